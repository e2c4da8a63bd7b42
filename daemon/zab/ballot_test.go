package zab

import (
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/ensemble"
	"github.com/zkd-project/zkd/daemon/proto"
)

// TestWeightlessIsNotElected: a server that weighs nothing does not come to lead, whatever it has.
func TestWeightlessIsNotElected(t *testing.T) {
	c, err := ensemble.ParseText("server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\nserver.4=d:1:2\n" +
		"group.1=1:2:3:4\nweight.4=0\n")
	if err != nil {
		t.Fatal(err)
	}
	g := newRig(t, 1, c, Recovered{Hard: HardState{1, 1}})
	v := proto.Vote{Leader: 4, Zxid: z(9, 9), ElectionEpoch: 1, PeerEpoch: 9}
	for _, round := range []int64{1, 7} {
		v.ElectionEpoch = round
		g.vote(4, proto.Looking, v)
		if got := g.p.election.proposal; got.Leader != 1 {
			t.Fatalf("round %d: it votes for %d", round, got.Leader)
		}
	}
	v = proto.Vote{Leader: 3, ElectionEpoch: 7, PeerEpoch: 1}
	g.vote(3, proto.Looking, v)
	if got := g.p.election.proposal; got.Leader != 3 {
		t.Errorf("it votes for %d", got.Leader)
	}
}

// TestOlderRoundIsTold: who is behind by a round, or has a worse vote, is told of it at once and not
// only when votes are sent again.
func TestOlderRoundIsTold(t *testing.T) {
	g := newRig(t, 2, members(t, 3, 0), Recovered{Hard: HardState{1, 1}})
	g.p.PeerUp(g.now, 1) // a better vote may come from there
	g.vote(3, proto.Looking, proto.Vote{Leader: 3, ElectionEpoch: 5, PeerEpoch: 1})
	if g.p.Role() != proto.Looking {
		t.Fatalf("role %v", g.p.Role())
	}
	for _, v := range []proto.Vote{
		{Leader: 1, ElectionEpoch: 4, PeerEpoch: 1}, {Leader: 1, ElectionEpoch: 5, PeerEpoch: 1},
	} {
		g.notes = nil
		g.vote(1, proto.Looking, v)
		if len(g.notes) != 1 || g.notes[0].To != 1 || g.notes[0].N.Vote.Leader != 3 || g.notes[0].N.Vote.ElectionEpoch != 5 {
			t.Errorf("%+v: answers %+v", v, g.notes)
		}
	}
}

// TestWrongGreetings: a learner with this server's own id, or with a list of servers that is newer,
// is refused, and nobody else hears of it.
func TestWrongGreetings(t *testing.T) {
	g, l2 := leads(t)
	for want, info := range map[string]proto.LearnerInfo{
		"closed: it has this server's own id":  {ID: 3, Version: proto.LearnerVersion},
		"closed: its configuration is newer":   {ID: 1, Version: proto.LearnerVersion, ConfigVersion: 1},
		"closed: a learner of a version befor": {ID: 1, Version: proto.LearnerVersion - 1},
	} {
		l := &Link{}
		g.p.LinkUp(g.now, l, false)
		g.packet(l, proto.PacketFollowerInfo, 0, info.Append(nil))
		if got := g.out(l); !strings.HasPrefix(got, want) || !l.Refused {
			t.Errorf("%+v: sent %q", info, got)
		}
	}
	if got := g.out(l2); got != "" || !g.p.Leads() {
		t.Errorf("the follower got %q", got)
	}
}

// TestAgreedBefore: who had agreed to the epoch before, perhaps with another leader, or has lost its
// history, is synchronized, but its answer does not make the leader's epoch the current one.
func TestAgreedBefore(t *testing.T) {
	for _, answer := range []struct {
		zxid    proto.Zxid
		current int32
	}{{z(4, 1), -1}, {-1, 4}} {
		g, l2 := led(t, members(t, 3, 0), Recovered{Hard: HardState{4, 4}, Suffix: logOf(z(4, 1))})
		g.durable(1)
		g.out(l2)
		g.ackEpoch(l2, answer.zxid, answer.current)
		g.durable(9)
		if got := g.out(l2); got != "" || g.p.hard.Current != 4 {
			t.Fatalf("%+v: sent %q, current epoch %d", answer, got, g.p.hard.Current)
		}
		l1 := join(g, 1, proto.PacketFollowerInfo, 4)
		g.ackEpoch(l1, z(4, 1), 4)
		g.durable(9)
		for _, l := range []*Link{l1, l2} {
			if got := g.out(l); !strings.HasSuffix(got, "NEWLEADER(0x500000000)") {
				t.Errorf("%+v: sent %q", answer, got)
			}
		}
	}
}
