package zab

import (
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// TestHealing brings a server that has lost everything back: it gives no vote, comes to the
// leader as nobody's voter, then as a follower, and votes once what it got is on its disk.
func TestHealing(t *testing.T) {
	g := newRig(t, 1, members(t, 3, 0), Recovered{Healing: true})
	for _, n := range g.notes {
		if n.N.State != proto.Looking || n.N.Vote.Leader != proto.NoLeader {
			t.Fatalf("it votes: %+v", n.N)
		}
	}
	v := proto.Vote{Leader: 3, Zxid: z(1, 9), ElectionEpoch: 4, PeerEpoch: 1}
	g.notes = nil
	g.vote(3, proto.Looking, v)
	g.now += 1000
	g.p.Tick(g.now)
	g.take()
	if g.p.Role() != proto.Looking {
		t.Fatal("one vote and its own have made a leader")
	}
	g.vote(2, proto.Looking, v)
	g.now += 1000
	g.p.Tick(g.now)
	g.take()
	for _, n := range g.notes {
		if n.N.Vote.Leader != proto.NoLeader {
			t.Fatalf("it votes: %+v", n.N)
		}
	}
	if g.p.Role() != proto.Observing || g.dial != 3 {
		t.Fatalf("role %v, dials %d", g.p.Role(), g.dial)
	}
	l := healFrom(t, g, proto.PacketObserverInfo, ^int64(1))
	g.packet(l, proto.PacketUpToDate, -1, nil)
	if got := g.out(l); !strings.Contains(got, "closed: it comes back as a follower") {
		t.Fatalf("after UPTODATE: %s", got)
	}
	if g.p.Role() != proto.Following || g.p.Serving() || !g.p.Status().Healing {
		t.Fatal("it is healed before it has what is only proposed")
	}
	g.notes = nil
	g.vote(2, proto.Looking, v)
	if len(g.notes) != 1 || g.notes[0].N.State != proto.Observing {
		t.Fatalf("it claims to follow: %+v", g.notes)
	}
	l = healFrom(t, g, proto.PacketFollowerInfo, 1)
	g.packet(l, proto.PacketUpToDate, -1, nil)
	if !g.p.Serving() || !g.p.Status().Healing {
		t.Fatal("it is healed before it has noted that")
	}
	if kinds := g.durable(1); len(kinds) != 1 || kinds[0] != WriteHealed || g.p.Status().Healing {
		t.Fatalf("wrote %v", kinds)
	}
	g.notes = nil
	g.vote(2, proto.Looking, v)
	if len(g.notes) != 1 || g.notes[0].N.State != proto.Following {
		t.Fatalf("healed, it does not say whom it follows: %+v", g.notes)
	}
}

// healFrom has a leader synchronize a server that is healing, up to its ACK of NEWLEADER.
func healFrom(t *testing.T, g *rig, info proto.PacketType, id int64) *Link {
	t.Helper()
	l := &Link{}
	g.p.LinkUp(g.now, l, true)
	g.take()
	g.wantsGreeting(l, info, id)
	g.packet(l, proto.PacketLeaderInfo, z(2, 0), jute.AppendInt(nil, proto.LearnerVersion))
	g.durable(9)
	g.out(l)
	g.packet(l, proto.PacketDiff, z(1, 1), nil)
	if info == proto.PacketObserverInfo {
		g.packet(l, proto.PacketProposal, z(1, 1), txn(z(1, 1)))
		g.packet(l, proto.PacketCommit, z(1, 1), nil)
	} else {
		g.packet(l, proto.PacketProposal, z(1, 2), txn(z(1, 2))) // proposed only
	}
	g.packet(l, proto.PacketNewLeader, z(2, 0), nil)
	g.durable(9)
	if got := g.out(l); !strings.HasPrefix(got, "ACK(0x200000000)") {
		t.Fatalf("after NEWLEADER: %s", got)
	}
	return l
}

// wantsGreeting checks how a learner says who it is.
func (g *rig) wantsGreeting(l *Link, kind proto.PacketType, id int64) {
	g.t.Helper()
	got := strings.Split(g.out(l), "(")[0]
	var info proto.LearnerInfo
	if err := info.Decode(g.raw[l].Data); err != nil || got != kind.String() || info.ID != id {
		g.t.Fatalf("it greets with %s as %d, %v", got, info.ID, err)
	}
}

// TestHealingLeaderBeginsAnew has the leader of the first part restart before the second.
func TestHealingLeaderBeginsAnew(t *testing.T) {
	g := newRig(t, 1, members(t, 3, 0), Recovered{Healing: true})
	v := proto.Vote{Leader: 3, Zxid: z(1, 9), ElectionEpoch: 4, PeerEpoch: 1}
	g.vote(3, proto.Leading, v)
	g.vote(2, proto.Following, v)
	l := healFrom(t, g, proto.PacketObserverInfo, ^int64(1))
	g.packet(l, proto.PacketUpToDate, -1, nil)
	l = &Link{}
	g.p.LinkUp(g.now, l, true)
	g.take()
	g.packet(l, proto.PacketLeaderInfo, z(3, 0), jute.AppendInt(nil, proto.LearnerVersion))
	if g.p.Role() != proto.Looking || strings.Contains(g.out(l), "ACKEPOCH") {
		t.Fatal("it agreed to an epoch before it was healed")
	}
}

// TestHealingNeverLeads has the others still believe that the server leads.
func TestHealingNeverLeads(t *testing.T) {
	g := newRig(t, 1, members(t, 3, 0), Recovered{Healing: true})
	for _, state := range []proto.State{proto.Looking, proto.Following} {
		for _, round := range []int64{0, 1, 2} {
			v := proto.Vote{Leader: 1, Zxid: z(1, 9), ElectionEpoch: round, PeerEpoch: 1}
			g.vote(2, state, v)
			g.vote(3, state, v)
			g.now += 1000
			g.p.Tick(g.now)
			if g.p.Role() != proto.Looking {
				t.Fatalf("%v in round %d: role %v", state, round, g.p.Role())
			}
		}
	}
}

// TestTooFewWhole looks for a leader where two of three have lost what they had promised.
func TestTooFewWhole(t *testing.T) {
	g := newRig(t, 1, members(t, 3, 0), Recovered{})
	nobody := proto.Vote{Leader: proto.NoLeader, Zxid: -1 << 63, PeerEpoch: -1 << 63, ElectionEpoch: 1}
	lost := func() (n int) {
		g.now += 500
		g.p.Tick(g.now)
		var e Effects
		g.p.Effects(&e)
		for _, ev := range e.Events {
			if ev.What == "lost" {
				n++
			}
		}
		return n
	}
	g.vote(2, proto.Looking, nobody)
	if lost() != 0 {
		t.Fatal("two of three are enough")
	}
	g.vote(3, proto.Looking, nobody)
	if lost() != 1 || lost() != 0 || g.p.Role() != proto.Looking {
		t.Fatal("it does not say, once, that nobody can be elected")
	}
}

// TestHealingServerEndsItsOldLink: a server that heals has lost its connection as a follower and is
// an observer again, which may have to cut what it acknowledged there. Nothing of that counts then.
func TestHealingServerEndsItsOldLink(t *testing.T) {
	g, old := led(t, members(t, 3, 0), Recovered{Hard: HardState{4, 4}})
	g.durable(1)
	g.ackEpoch(old, 0, 4)
	g.durable(1)
	g.packet(old, proto.PacketAck, z(5, 0), nil)
	g.p.Propose(&proto.Txn{TxnHeader: proto.TxnHeader{Zxid: z(5, 1), Type: proto.OpError}})
	g.pass(2000, nil)
	join(g, ^old.id, proto.PacketObserverInfo, 4)
	if !old.closed {
		t.Fatal("the connection as a follower stays")
	}
	g.packet(old, proto.PacketAck, z(5, 1), nil)
	if g.p.committed() == z(5, 1) {
		t.Fatal("what was acknowledged there counts")
	}
}
