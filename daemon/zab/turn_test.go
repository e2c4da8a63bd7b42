package zab

import (
	"fmt"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
)

// TestOutOfTurn: a leader that sends what cannot come at a stage is left, and nothing is believed.
func TestOutOfTurn(t *testing.T) {
	long := txn(z(2, 1))
	greeted, history, synced, active := 0, 1, 2, 3
	for _, c := range []struct {
		stage  int
		packet proto.PacketType
		zxid   proto.Zxid
		data   []byte
	}{
		{greeted, proto.PacketProposal, z(2, 1), long},
		{greeted, proto.PacketCommit, z(1, 1), nil},
		{greeted, proto.PacketNewLeader, z(2, 0), nil},
		{greeted, proto.PacketUpToDate, -1, nil},
		{greeted, proto.PacketInform, z(2, 1), long},
		{greeted, proto.PacketLeaderInfo, z(3, 0), []byte{0, 1, 0, 0}},
		{history, proto.PacketUpToDate, -1, nil},
		{history, proto.PacketDiff, z(1, 1), nil},
		{history, proto.PacketTrunc, z(1, 1), nil},
		{history, proto.PacketNewLeader, z(1, 0), nil},
		{history, proto.PacketProposal, z(2, 1), long[:proto.TxnHeaderLen-1]},
		{history, proto.PacketInform, z(2, 1), long}, // for observers only
		{synced, proto.PacketNewLeader, z(2, 0), nil},
		{synced, proto.PacketTrunc, z(1, 1), nil},
		{active, proto.PacketUpToDate, -1, nil},
		{active, proto.PacketProposal, z(2, 1), long[:8]},
		{active, proto.PacketInformAndActivate, z(2, 1), long[:7]},
		{active, proto.PacketAck, z(2, 1), nil},
	} {
		g, l := followed(t, Recovered{Hard: HardState{1, 1}, Committed: z(1, 1)})
		if c.stage >= history {
			g.packet(l, proto.PacketDiff, z(1, 1), nil)
		}
		if c.stage >= synced {
			g.packet(l, proto.PacketNewLeader, z(2, 0), nil)
			g.durable(9)
		}
		if c.stage >= active {
			g.packet(l, proto.PacketUpToDate, -1, nil)
		}
		if g.p.Role() != proto.Following || g.p.Serving() != (c.stage == active) {
			t.Fatalf("role %v at stage %d", g.p.Role(), c.stage)
		}
		g.packet(l, c.packet, c.zxid, c.data)
		if g.p.Role() != proto.Looking || g.p.Serving() || g.p.last() != z(1, 1) || g.p.committed() != z(1, 1) {
			t.Errorf("stage %d, %v: role %v, history to %v", c.stage, c.packet, g.p.Role(), g.p.last())
		}
	}
}

// TestPingBeforeTheAcknowledgement: a PING is passed on, and so answered, once NEWLEADER has been
// acknowledged; a leader takes the first packet for that ACK.
func TestPingBeforeTheAcknowledgement(t *testing.T) {
	g, l := followed(t, Recovered{Hard: HardState{1, 1}})
	ping := func() bool { return g.p.Packet(g.now, l, &proto.Packet{Type: proto.PacketPing}) }
	g.packet(l, proto.PacketDiff, 0, nil)
	g.packet(l, proto.PacketNewLeader, z(2, 0), nil)
	if ping() {
		t.Error("it is answered while the epoch is being written")
	}
	g.durable(9)
	if !ping() {
		t.Error("it is not answered behind the ACK")
	}
}

// TestObserverGetsWhatIsCommitted: an observer that joins is told nothing of what is only proposed.
func TestObserverGetsWhatIsCommitted(t *testing.T) {
	g, l := led(t, members(t, 3, 1), Recovered{Hard: HardState{4, 4}})
	g.durable(1)
	g.ackEpoch(l, 0, 4)
	g.durable(1)
	g.packet(l, proto.PacketAck, z(5, 0), nil)
	g.p.Propose(&proto.Txn{TxnHeader: proto.TxnHeader{Zxid: z(5, 1), Type: proto.OpError}})
	g.durable(1)
	o := join(g, 4, proto.PacketObserverInfo, 4)
	g.ackEpoch(o, 0, 4)
	if got := g.out(o); strings.Contains(got, "PROPOSAL") || !strings.HasSuffix(got, "NEWLEADER(0x500000000)") {
		t.Fatalf("sent %q", got)
	}
	g.packet(o, proto.PacketAck, z(5, 0), nil)
	g.packet(l, proto.PacketAck, z(5, 1), nil)
	g.wants(o, fmt.Sprintf("UPTODATE(%v) INFORM(%v)", proto.Zxid(-1), z(5, 1)))
}
