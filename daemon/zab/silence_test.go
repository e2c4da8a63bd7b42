package zab

import (
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
)

// pass lets time pass in steps of half a tick; before each tick comes what do has come.
func (g *rig) pass(ms int, do func()) {
	for ; ms > 0; ms -= 500 {
		g.now += 500
		if do != nil {
			do()
		}
		g.p.Tick(g.now)
		g.take()
	}
}

// TestSilentLeader: a follower leaves a leader that has been silent for syncLimit, and no other;
// any bytes count, for a long packet takes its time.
func TestSilentLeader(t *testing.T) {
	g, l := serving(t)
	g.pass(20_000, func() { g.p.Heard(g.now, l) })
	g.pass(5000, nil)
	if g.p.Role() != proto.Following {
		t.Fatalf("role %v before the limit", g.p.Role())
	}
	g.pass(500, nil)
	if g.p.Role() != proto.Looking || g.p.Serving() {
		t.Errorf("role %v after it", g.p.Role())
	}
	if got := g.out(l); !strings.Contains(got, "closed: the leader is silent") {
		t.Errorf("sent %q", got)
	}
}

// TestSlowSynchronization: history may take longer than initLimit as long as it goes on.
func TestSlowSynchronization(t *testing.T) {
	for _, snap := range []bool{false, true} {
		g, l := followed(t, Recovered{Hard: HardState{1, 1}})
		if !snap {
			g.packet(l, proto.PacketDiff, z(1, 1), nil)
		} else if !g.p.Snap(g.now, l, z(1, 9)) {
			t.Fatal("the snapshot was not taken")
		}
		g.pass(40_000, func() { g.p.Heard(g.now, l) })
		g.pass(5000, nil)
		if g.p.Role() != proto.Following {
			t.Fatalf("snapshot %v: role %v before the limit", snap, g.p.Role())
		}
		g.pass(500, nil)
		if g.p.Role() != proto.Looking {
			t.Errorf("snapshot %v: role %v after it", snap, g.p.Role())
		}
	}
}

// TestUnconfirmedLeader: who has acknowledged NEWLEADER leaves when nothing comes of it.
func TestUnconfirmedLeader(t *testing.T) {
	g, l := followed(t, Recovered{Hard: HardState{1, 1}})
	g.packet(l, proto.PacketDiff, 0, nil)
	g.packet(l, proto.PacketNewLeader, z(2, 0), nil)
	g.durable(9)
	g.pass(15_000, nil)
	if g.p.Role() != proto.Following {
		t.Fatalf("role %v before the limit", g.p.Role())
	}
	g.pass(500, nil)
	if g.p.Role() != proto.Looking {
		t.Errorf("role %v after it", g.p.Role())
	}
}

// leads brings server 3 of three to lead in epoch 5, with 2 a follower.
func leads(t *testing.T) (*rig, *Link) {
	t.Helper()
	g, l := led(t, members(t, 3, 0), Recovered{Hard: HardState{4, 4}})
	g.durable(1)
	g.ackEpoch(l, 0, 4)
	g.durable(1)
	g.packet(l, proto.PacketAck, z(5, 0), nil)
	if !g.p.Leads() {
		t.Fatal("it does not lead")
	}
	g.out(l)
	return g, l
}

// TestSilentLearners: a learner that takes long to synchronize stays as long as it takes bytes,
// and one that serves as long as it answers.
func TestSilentLearners(t *testing.T) {
	g, l2 := leads(t)
	ping := func() { g.packet(l2, proto.PacketPing, 0, nil) }
	l1 := join(g, 1, proto.PacketFollowerInfo, 4)
	g.ackEpoch(l1, 0, 4)
	g.pass(40_000, func() { ping(); g.p.Heard(g.now, l1) })
	g.pass(15_000, ping)
	if got := g.out(l1); strings.Contains(got, "closed") {
		t.Fatalf("one that synchronizes: %q", got)
	}
	g.pass(500, ping)
	if got := g.out(l1); !strings.Contains(got, "closed: the learner does not synchronize in time") {
		t.Errorf("one that has stopped to synchronize: %q", got)
	}
	l1 = join(g, 1, proto.PacketFollowerInfo, 4)
	g.ackEpoch(l1, 0, 4)
	g.packet(l1, proto.PacketAck, z(5, 0), nil)
	g.pass(5000, ping)
	if got := g.out(l1); strings.Contains(got, "closed") {
		t.Fatalf("one that serves: %q", got)
	}
	g.pass(500, ping)
	if got := g.out(l1); !strings.Contains(got, "closed: the learner is silent") {
		t.Errorf("one that is silent: %q", got)
	}
	if !g.p.Leads() {
		t.Error("it leads no more")
	}
}

// TestLearnerThatDoesNotAcknowledge: it answers, and has written nothing for syncLimit.
func TestLearnerThatDoesNotAcknowledge(t *testing.T) {
	g, l := leads(t)
	ping := func() { g.packet(l, proto.PacketPing, 0, nil) }
	for i := range uint32(3) { // slow, but it gets on
		g.p.Propose(&proto.Txn{TxnHeader: proto.TxnHeader{Zxid: z(5, 2*i+1), Type: proto.OpError}})
		g.p.Propose(&proto.Txn{TxnHeader: proto.TxnHeader{Zxid: z(5, 2*i+2), Type: proto.OpError}})
		g.durable(9)
		g.pass(4000, ping)
		g.packet(l, proto.PacketAck, z(5, 2*i+1), nil)
		g.pass(4000, ping)
		g.packet(l, proto.PacketAck, z(5, 2*i+2), nil)
		g.pass(8000, ping)
	}
	g.p.Propose(&proto.Txn{TxnHeader: proto.TxnHeader{Zxid: z(5, 7), Type: proto.OpError}})
	g.durable(9)
	g.pass(5000, ping)
	if got := g.out(l); strings.Contains(got, "closed") {
		t.Fatalf("before the limit: %q", got)
	}
	g.pass(500, ping)
	if got := g.out(l); !strings.Contains(got, "closed: the learner does not acknowledge") {
		t.Errorf("after it: %q", got)
	}
}

// TestSilenceOfOwn: nobody is judged by a time in which this process did not run.
func TestSilenceOfOwn(t *testing.T) {
	g, l := leads(t)
	f, up := serving(t)
	for _, r := range []*rig{g, f} {
		r.pass(2000, nil)
		r.now += 60_000
		r.p.Tick(r.now)
		r.take()
	}
	if !g.p.Leads() || strings.Contains(g.out(l), "closed") {
		t.Error("the leader has left, or its learner was dropped")
	}
	if !f.p.Serving() || strings.Contains(f.out(up), "closed") {
		t.Error("the follower has left")
	}
}

// TestCommitOfWhatWasNotProposed: a leader that says so errs, and is left.
func TestCommitOfWhatWasNotProposed(t *testing.T) {
	for _, at := range []proto.Zxid{z(1, 3), z(2, 1)} {
		g, l := serving(t)
		g.packet(l, proto.PacketCommit, at, nil)
		if got := g.out(l); g.p.Role() != proto.Looking || !strings.Contains(got, "which it has not proposed") {
			t.Errorf("%v: role %v, sent %q", at, g.p.Role(), got)
		}
	}
}

// TestPauseBeforeWhatHasCome: a process that did not run may find packets before its clock is looked at. Who sent them is not
// given the time of the pause on top: a leader would believe for as long as that in learners that are gone.
func TestPauseBeforeWhatHasCome(t *testing.T) {
	g, l := leads(t)
	g.pass(1000, nil)
	g.now += 600_000
	g.packet(l, proto.PacketPing, 0, nil)
	g.pass(5000, nil)
	if got := g.out(l); strings.Contains(got, "closed") {
		t.Fatalf("before the limit: %q", got)
	}
	g.pass(500, nil)
	if got := g.out(l); !strings.Contains(got, "closed: the learner is silent") {
		t.Errorf("after it: %q", got)
	}
	g, l = serving(t)
	g.pass(1000, nil)
	g.now += 600_000
	g.packet(l, proto.PacketPing, 0, nil)
	g.pass(5000, nil)
	if g.p.Role() != proto.Following {
		t.Fatalf("role %v before the limit", g.p.Role())
	}
	g.pass(500, nil)
	if g.p.Role() != proto.Looking {
		t.Errorf("role %v after it", g.p.Role())
	}
}
