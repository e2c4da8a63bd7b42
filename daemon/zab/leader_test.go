package zab

import (
	"fmt"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/ensemble"
	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// led brings server 3 of a list to lead, with a link from server 2 that has said who it is.
func led(t *testing.T, c *ensemble.Config, r Recovered) (*rig, *Link) {
	t.Helper()
	g := newRig(t, 3, c, r)
	g.p.PeerUp(g.now, 2)
	v := g.p.election.proposal
	g.vote(2, proto.Looking, v)
	if g.p.Role() != proto.Leading {
		t.Fatalf("role %v", g.p.Role())
	}
	return g, join(g, 2, proto.PacketFollowerInfo, r.Hard.Accepted)
}

func join(g *rig, id int64, kind proto.PacketType, accepted int64) *Link {
	l := &Link{}
	g.p.LinkUp(g.now, l, false)
	info := proto.LearnerInfo{ID: id, Version: proto.LearnerVersion}
	g.packet(l, kind, proto.Zxid(accepted<<32), info.Append(nil))
	return l
}

func (g *rig) ackEpoch(l *Link, zxid proto.Zxid, current int32) {
	g.packet(l, proto.PacketAckEpoch, zxid, jute.AppendInt(nil, current))
}

// TestLeaderActivation walks a leader through its stages; each waits for the disk.
func TestLeaderActivation(t *testing.T) {
	g, l := led(t, members(t, 3, 0), Recovered{Hard: HardState{4, 4}, Suffix: logOf(z(4, 1))})
	g.wants(l, "")
	g.durable(1)
	g.wants(l, fmt.Sprintf("LEADERINFO(%v)", z(5, 0)))
	g.ackEpoch(l, 0, 4)
	g.wants(l, "")
	g.durable(1)
	g.wants(l, fmt.Sprintf("DIFF(%v) PROPOSAL(%v) COMMIT(%v) NEWLEADER(%v)", z(4, 1), z(4, 1), z(4, 1), z(5, 0)))
	g.packet(l, proto.PacketAck, z(4, 1), nil) // as some releases do; it is not the ACK of NEWLEADER
	if g.p.Serving() {
		t.Fatal("serves without an acknowledgement")
	}
	g.packet(l, proto.PacketAck, z(5, 0), nil)
	g.wants(l, fmt.Sprintf("UPTODATE(%v)", proto.Zxid(-1)))
	if !g.p.Leads() || g.p.committed() != z(4, 1) {
		t.Fatalf("leads %v, committed %v", g.p.Leads(), g.p.committed())
	}
	next, _ := g.p.NextZxid()
	if next != z(5, 1) {
		t.Errorf("the next zxid is %v", next)
	}
	g.p.Propose(&proto.Txn{TxnHeader: proto.TxnHeader{Zxid: next, Type: proto.OpError}})
	g.wants(l, fmt.Sprintf("PROPOSAL(%v)", next))
	g.packet(l, proto.PacketAck, next, nil)
	g.wants(l, "") // not on the leader's own disk yet, so no quorum
	g.durable(1)
	g.wants(l, fmt.Sprintf("COMMIT(%v)", next))
}

// TestCommitsWaitForUpToDate: an active leader tells a learner that synchronizes of new
// proposals at once, and of their commits after UPTODATE. ZOOKEEPER-4394.
func TestCommitsWaitForUpToDate(t *testing.T) {
	g, l2 := led(t, members(t, 3, 0), Recovered{Hard: HardState{4, 4}})
	g.durable(1)
	g.ackEpoch(l2, 0, 4)
	g.durable(1)
	g.packet(l2, proto.PacketAck, z(5, 0), nil)
	l1 := join(g, 1, proto.PacketFollowerInfo, 4)
	g.ackEpoch(l1, 0, 4)
	g.out(l1)
	g.p.Propose(&proto.Txn{TxnHeader: proto.TxnHeader{Zxid: z(5, 1), Type: proto.OpError}})
	g.packet(l2, proto.PacketAck, z(5, 1), nil)
	g.durable(1)
	if g.p.committed() != z(5, 1) {
		t.Fatalf("committed %v", g.p.committed())
	}
	g.wants(l1, fmt.Sprintf("PROPOSAL(%v)", z(5, 1)))
	g.packet(l1, proto.PacketAck, z(5, 0), nil)
	g.wants(l1, fmt.Sprintf("UPTODATE(%v) COMMIT(%v)", proto.Zxid(-1), z(5, 1)))
}

// TestObserversDoNotCount: ZOOKEEPER-2959.
func TestObserversDoNotCount(t *testing.T) {
	c := members(t, 3, 2)
	g := newRig(t, 3, c, Recovered{})
	g.vote(4, proto.Looking, g.p.election.proposal)
	g.vote(5, proto.Looking, g.p.election.proposal)
	g.now += 1000
	g.p.Tick(g.now)
	if g.p.Role() != proto.Looking {
		t.Fatal("observers elected a leader")
	}
	g.vote(2, proto.Looking, g.p.election.proposal)
	for g.p.Role() == proto.Looking {
		g.now += 100
		g.p.Tick(g.now)
	}
	join(g, 4, proto.PacketObserverInfo, 0)
	join(g, 5, proto.PacketObserverInfo, 0)
	if g.p.leading.epoch != 0 {
		t.Error("observers were counted for the epoch")
	}
}

// TestMoreRecentLearner: a leader does not overwrite a history that is more recent.
func TestMoreRecentLearner(t *testing.T) {
	g, l := led(t, members(t, 3, 0), Recovered{Hard: HardState{4, 4}, Suffix: logOf(z(4, 1))})
	g.durable(1)
	g.out(l)
	g.ackEpoch(l, z(4, 2), 4)
	if got := g.out(l); !strings.Contains(got, "more recent") {
		t.Errorf("sent %q", got)
	}
}

// TestSyncDecision holds which packet begins the synchronization of a learner whose
// history ends at a zxid.
func TestSyncDecision(t *testing.T) {
	h := logOf(z(1, 2), z(1, 3), z(3, 1), z(3, 2))
	for at, want := range map[proto.Zxid]string{
		z(3, 2): "DIFF", z(1, 3): "DIFF", z(1, 1): "DIFF", z(3, 0): "DIFF", z(4, 0): "DIFF",
		z(1, 9): "TRUNC(" + z(1, 3).String() + ")", z(3, 3): "TRUNC(" + z(3, 2).String() + ")",
		z(2, 7): fmt.Sprintf("BULK0(%v,%v)", z(2, 7), z(4, 0)), // of an epoch that the leader has nothing of
		z(2, 0): fmt.Sprintf("BULK0(%v,%v)", z(2, 0), z(4, 0)), // of a leader that may never have been confirmed
		0:       fmt.Sprintf("BULK1(%v,%v)", proto.Zxid(0), z(1, 1)),
	} {
		g, l := led(t, members(t, 3, 0), Recovered{Hard: HardState{3, 3}, Committed: z(1, 1), Suffix: h})
		g.durable(1)
		g.out(l)
		g.ackEpoch(l, at, 2)
		g.durable(1)
		got := g.out(l)
		if !strings.HasPrefix(got, want) || !strings.HasSuffix(got, fmt.Sprintf("NEWLEADER(%v)", z(4, 0))) {
			t.Errorf("%v: sent %q, want %q first", at, got, want)
		}
	}
}

// TestLearnerThatWasOnItsOwn: zxids of servers that were on their own are equal by chance.
func TestLearnerThatWasOnItsOwn(t *testing.T) {
	for at, want := range map[proto.Zxid]string{
		0: "DIFF", z(0, 1): "BULK0", z(0, 2): "BULK0", z(0, 3): "BULK0",
	} {
		g, l := led(t, members(t, 3, 0), Recovered{Suffix: logOf(z(0, 1), z(0, 2), z(0, 3))})
		g.durable(1)
		g.out(l)
		g.ackEpoch(l, at, 0)
		g.durable(1)
		if got := g.out(l); !strings.HasPrefix(got, want) {
			t.Errorf("%v: sent %q, want %q first", at, got, want)
		}
	}
}

// TestCounterEnds: the last zxid of an epoch is not passed. ZOOKEEPER-1277.
func TestCounterEnds(t *testing.T) {
	g, l := led(t, members(t, 3, 0), Recovered{Hard: HardState{4, 4}})
	g.durable(1)
	g.ackEpoch(l, 0, 4)
	g.durable(1)
	g.packet(l, proto.PacketAck, z(5, 0), nil)
	g.p.Propose(&proto.Txn{TxnHeader: proto.TxnHeader{Zxid: z(5, 1<<32-1), Type: proto.OpError}})
	if next, ok := g.p.NextZxid(); ok {
		t.Errorf("after the last zxid comes %v", next)
	}
}

// TestLeaderWhoseDiskStands: a leader that cannot write leads on as long as it is needed,
// and leaves to others that do without it.
func TestLeaderWhoseDiskStands(t *testing.T) {
	g, l2 := led(t, members(t, 3, 0), Recovered{Hard: HardState{4, 4}})
	g.durable(1)
	g.ackEpoch(l2, 0, 4)
	g.durable(1)
	g.packet(l2, proto.PacketAck, z(5, 0), nil)
	l1 := join(g, 1, proto.PacketFollowerInfo, 4)
	g.ackEpoch(l1, 0, 4)
	g.packet(l1, proto.PacketAck, z(5, 0), nil)
	g.p.Propose(&proto.Txn{TxnHeader: proto.TxnHeader{Zxid: z(5, 1), Type: proto.OpError}})
	pass := func(ms int) {
		for ; ms > 0; ms -= 500 {
			g.now += 500
			g.packet(l1, proto.PacketPing, 0, nil)
			g.packet(l2, proto.PacketPing, 0, nil)
			g.p.Tick(g.now)
			g.take()
		}
	}
	g.packet(l2, proto.PacketAck, z(5, 1), nil)
	pass(4000)
	g.packet(l1, proto.PacketAck, z(5, 1), nil)
	if g.p.committed() != z(5, 1) {
		t.Fatalf("committed %v", g.p.committed())
	}
	g.durable(1) // just in time
	g.p.Propose(&proto.Txn{TxnHeader: proto.TxnHeader{Zxid: z(5, 2), Type: proto.OpError}})
	g.packet(l2, proto.PacketAck, z(5, 2), nil)
	pass(4500)
	g.packet(l1, proto.PacketAck, z(5, 2), nil)
	if !g.p.Leads() {
		t.Fatal("has left early")
	}
	pass(2000)
	if g.p.Leads() {
		t.Fatal("leads on")
	}
	if !strings.Contains(g.out(l1), "closed: the own disk takes no writes") {
		t.Error("a follower is not told")
	}
}

// TestLeaderWhoseDiskStandsIsNeeded: without it there would be no quorum.
func TestLeaderWhoseDiskStandsIsNeeded(t *testing.T) {
	g, l2 := led(t, members(t, 3, 0), Recovered{Hard: HardState{4, 4}})
	g.durable(1)
	g.ackEpoch(l2, 0, 4)
	g.durable(1)
	g.packet(l2, proto.PacketAck, z(5, 0), nil)
	g.p.Propose(&proto.Txn{TxnHeader: proto.TxnHeader{Zxid: z(5, 1), Type: proto.OpError}})
	g.packet(l2, proto.PacketAck, z(5, 1), nil)
	for range 20 {
		g.now += 500
		g.packet(l2, proto.PacketPing, 0, nil)
		g.p.Tick(g.now)
		g.take()
	}
	if !g.p.Leads() {
		t.Fatal("has left, and nobody can do without it")
	}
}

// TestSyncBetweenCommits: a sync is answered before the commit of what was proposed later,
// though both are committed in one step.
func TestSyncBetweenCommits(t *testing.T) {
	g, l := led(t, members(t, 3, 0), Recovered{Hard: HardState{4, 4}})
	g.durable(1)
	g.ackEpoch(l, 0, 4)
	g.durable(1)
	g.packet(l, proto.PacketAck, z(5, 0), nil)
	g.p.Propose(&proto.Txn{TxnHeader: proto.TxnHeader{Zxid: z(5, 1), Type: proto.OpError}})
	g.p.SyncAfter(l, z(5, 1))
	g.p.Propose(&proto.Txn{TxnHeader: proto.TxnHeader{Zxid: z(5, 2), Type: proto.OpError}})
	g.packet(l, proto.PacketAck, z(5, 2), nil)
	g.out(l)
	g.durable(2)
	g.wants(l, fmt.Sprintf("COMMIT(%v) SYNC(%v) COMMIT(%v)", z(5, 1), proto.Zxid(0), z(5, 2)))
	g.p.SyncAfter(l, z(5, 2))
	g.wants(l, fmt.Sprintf("SYNC(%v)", proto.Zxid(0)))
}
