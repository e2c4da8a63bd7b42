package proto

import (
	"errors"
	"fmt"

	"github.com/zkd-project/zkd/daemon/jute"
)

// PacketType is the kind of a packet between a learner and its leader.
type PacketType int32

// The packets of the quorum port. Source: Leader.java.
const (
	PacketRequest           PacketType = 1
	PacketProposal          PacketType = 2
	PacketAck               PacketType = 3
	PacketCommit            PacketType = 4
	PacketPing              PacketType = 5
	PacketRevalidate        PacketType = 6
	PacketSync              PacketType = 7
	PacketInform            PacketType = 8
	PacketCommitAndActivate PacketType = 9
	PacketNewLeader         PacketType = 10
	PacketFollowerInfo      PacketType = 11
	PacketUpToDate          PacketType = 12
	PacketDiff              PacketType = 13
	PacketTrunc             PacketType = 14
	PacketSnap              PacketType = 15
	PacketObserverInfo      PacketType = 16
	PacketLeaderInfo        PacketType = 17
	PacketAckEpoch          PacketType = 18
	PacketInformAndActivate PacketType = 19
)

var packetNames = [...]string{
	1: "REQUEST", 2: "PROPOSAL", 3: "ACK", 4: "COMMIT", 5: "PING", 6: "REVALIDATE", 7: "SYNC", 8: "INFORM",
	9: "COMMITANDACTIVATE", 10: "NEWLEADER", 11: "FOLLOWERINFO", 12: "UPTODATE", 13: "DIFF", 14: "TRUNC",
	15: "SNAP", 16: "OBSERVERINFO", 17: "LEADERINFO", 18: "ACKEPOCH", 19: "INFORMANDACTIVATE",
}

// String is Apache's name of the packet.
func (t PacketType) String() string {
	if t > 0 && int(t) < len(packetNames) {
		return packetNames[t]
	}
	return fmt.Sprintf("packet type %d", int32(t))
}

// Packet is one packet of the quorum port. Packets follow each other without a frame.
// The slices of a decoded packet alias its encoding; Auth is an encoded list of ids,
// count included, and nil where there is none.
//
// Source: QuorumPacket in zookeeper.jute.
type Packet struct {
	Type PacketType
	Zxid Zxid
	Data []byte
	Auth []byte
}

// PacketMin is the length of the shortest packet in bytes.
const PacketMin = 20

// ErrShort says that a packet is not complete yet.
var ErrShort = errors.New("proto: the packet is not complete")

// MaxPacketIDs is the number of ids that a packet's list may hold.
const MaxPacketIDs = 1 << 16

// Append appends the encoded packet.
func (p *Packet) Append(b []byte) []byte {
	b = jute.AppendInt(b, int32(p.Type))
	b = jute.AppendLong(b, int64(p.Zxid))
	b = jute.AppendBuffer(b, p.Data)
	if p.Auth == nil {
		return jute.AppendInt(b, -1)
	}
	return append(b, p.Auth...)
}

// Decode reads a packet from the start of b, which it aliases, and returns how many
// bytes it took. It fails with ErrShort while b holds only part of a packet, and with
// another error if what b holds can be none, or one of more than limit bytes.
func (p *Packet) Decode(b []byte, limit int) (int, error) {
	if len(b) < 16 {
		return 0, ErrShort
	}
	*p = Packet{Type: PacketType(jute.Int(b)), Zxid: Zxid(jute.Long(b[4:]))}
	if p.Type <= 0 || int(p.Type) >= len(packetNames) {
		return 0, fmt.Errorf("proto: no packet has the type %d", int32(p.Type))
	}
	data, at, err := lengthed(b, 12, limit)
	if err != nil {
		return 0, err
	}
	p.Data = data
	if len(b) < at+4 {
		return 0, ErrShort
	}
	n := jute.Int(b[at:])
	if n < -1 || n > MaxPacketIDs {
		return 0, fmt.Errorf("proto: a packet cannot carry %d ids", n)
	}
	end := at + 4
	for range 2 * max(n, 0) {
		if _, end, err = lengthed(b, end, limit); err != nil {
			return 0, err
		}
	}
	if n >= 0 {
		p.Auth = b[at:end:end]
	}
	return end, nil
}

// lengthed reads a buffer at an offset of b; the second result is the offset behind it,
// which is at most limit.
func lengthed(b []byte, at, limit int) ([]byte, int, error) {
	if len(b) < at+4 {
		return nil, 0, ErrShort
	}
	n := int(jute.Int(b[at:]))
	at += 4
	switch {
	case n == -1:
		return nil, at, nil
	case n < 0:
		return nil, 0, fmt.Errorf("proto: %d is no length in a packet", n)
	case n > limit-at:
		return nil, 0, fmt.Errorf("proto: a packet has %d bytes or more, and may have %d; "+
			"jute.maxbuffer must be the same on all servers", at+n, limit)
	case len(b)-at < n:
		return nil, 0, ErrShort
	}
	return b[at : at+n : at+n], at + n, nil
}

// AppendIDs appends a list of identities as a packet carries it.
func AppendIDs(b []byte, ids []ID) []byte {
	b = jute.AppendInt(b, int32(len(ids)))
	for _, id := range ids {
		b = jute.AppendString(b, id.Scheme)
		b = jute.AppendString(b, id.ID)
	}
	return b
}

// DecodeIDs reads what AppendIDs wrote; nil is no identity.
func DecodeIDs(b []byte) ([]ID, error) {
	if b == nil {
		return nil, nil
	}
	d := jute.NewDecoder(b)
	ids := make([]ID, 0, d.Count(8))
	for range cap(ids) {
		scheme, id := d.Buffer(), d.Buffer()
		ids = append(ids, ID{Scheme: string(scheme), ID: string(id)})
	}
	return ids, d.Err()
}

// LearnerVersion is the protocol version of learners that know LEADERINFO and ACKEPOCH.
const LearnerVersion = 0x10000

// LearnerInfo is what a learner says of itself in FOLLOWERINFO and OBSERVERINFO.
type LearnerInfo struct {
	ID            int64 // server id
	Version       int32 // of the protocol
	ConfigVersion Zxid  // of the learner's committed configuration
}

// Append appends the encoded record.
func (l *LearnerInfo) Append(b []byte) []byte {
	b = jute.AppendLong(b, l.ID)
	b = jute.AppendInt(b, l.Version)
	return jute.AppendLong(b, int64(l.ConfigVersion))
}

// Decode reads the record; the fields at its end may be missing.
func (l *LearnerInfo) Decode(b []byte) error {
	*l = LearnerInfo{}
	switch {
	case len(b) < 8:
		return fmt.Errorf("proto: a learner's info cannot have %d bytes", len(b))
	case len(b) >= 20:
		l.ConfigVersion = Zxid(jute.Long(b[12:]))
		fallthrough
	case len(b) >= 12:
		l.Version = jute.Int(b[8:])
	}
	l.ID = jute.Long(b)
	return nil
}

// AppendPacket appends a packet that has no ids.
func AppendPacket(b []byte, t PacketType, zxid Zxid, data []byte) []byte {
	p := Packet{Type: t, Zxid: zxid, Data: data}
	return p.Append(b)
}
