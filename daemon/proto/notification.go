package proto

import (
	"fmt"

	"github.com/zkd-project/zkd/daemon/jute"
)

// State is what a server is doing, as notifications say it.
type State int32

// The states. Source: QuorumPeer.java and FastLeaderElection.java.
const (
	Looking State = iota
	Following
	Leading
	Observing
)

// String is Apache's name of the state.
func (s State) String() string {
	switch s {
	case Looking:
		return "LOOKING"
	case Following:
		return "FOLLOWING"
	case Leading:
		return "LEADING"
	case Observing:
		return "OBSERVING"
	}
	return fmt.Sprintf("state %d", int32(s))
}

// NoLeader is the leader in the votes of those who may not be voted for.
const NoLeader int64 = -1 << 63

// Vote is a proposal who should lead, with the position of that server's history.
// Epochs are signed: observers and servers that joined lately send negative ones.
type Vote struct {
	Leader        int64
	Zxid          Zxid
	ElectionEpoch int64 // the round of the election
	PeerEpoch     int64 // of the proposed leader's history
}

// Notification is a message of the election: the sender's state and vote.
//
// Source: FastLeaderElection.java, buildMsg.
type Notification struct {
	State  State
	Vote   Vote
	Config []byte // the text of the sender's configuration; nil is none
	Old    bool   // of version 0, by a server older than 3.4.6
}

// NotificationMax is the length of the longest notification in bytes.
// Source: QuorumCnxManager.java, PACKETMAXSIZE.
const NotificationMax = 512 << 10

// Append appends the encoded notification, without the length that goes before it.
func (n *Notification) Append(b []byte) []byte {
	b = jute.AppendInt(b, int32(n.State))
	b = jute.AppendLong(b, n.Vote.Leader)
	b = jute.AppendLong(b, int64(n.Vote.Zxid))
	b = jute.AppendLong(b, n.Vote.ElectionEpoch)
	b = jute.AppendLong(b, n.Vote.PeerEpoch)
	b = jute.AppendInt(b, 2)
	b = jute.AppendInt(b, int32(len(n.Config)))
	return append(b, n.Config...)
}

// Decode reads a notification, which aliases b. Older forms end early.
func (n *Notification) Decode(b []byte) error {
	if len(b) < 28 {
		return fmt.Errorf("proto: a notification cannot have %d bytes", len(b))
	}
	d := jute.NewDecoder(b)
	*n = Notification{State: State(d.Int())}
	n.Vote = Vote{Leader: d.Long(), Zxid: Zxid(d.Long()), ElectionEpoch: d.Long()}
	if n.State < Looking || n.State > Observing {
		return fmt.Errorf("proto: %v is unknown", n.State)
	}
	if len(b) < 36 {
		n.Vote.PeerEpoch, n.Old = int64(n.Vote.Zxid)>>32, true
		return nil
	}
	n.Vote.PeerEpoch = d.Long()
	if n.Old = len(b) <= 40; n.Old {
		return nil
	}
	version := d.Int()
	n.Old = version == 0
	if version < 2 {
		return nil
	}
	n.Config = d.Buffer()
	if d.Err() != nil {
		return fmt.Errorf("proto: the configuration in a notification: %w", d.Err())
	}
	return nil
}
