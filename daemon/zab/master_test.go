package zab

import (
	"fmt"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// serving brings server 1 of three, with 4 an observer, to follow 3 in epoch 2. It has
// (1,1) and (1,2), both committed.
func serving(t *testing.T) (*rig, *Link) {
	t.Helper()
	g := newRig(t, 1, members(t, 3, 1), Recovered{Hard: HardState{1, 1}, Suffix: logOf(z(1, 1), z(1, 2))})
	v := proto.Vote{Leader: 3, Zxid: z(1, 2), ElectionEpoch: 1, PeerEpoch: 1}
	g.vote(3, proto.Leading, v)
	g.vote(2, proto.Following, v)
	up := &Link{}
	g.p.LinkUp(g.now, up, true)
	g.packet(up, proto.PacketLeaderInfo, z(2, 0), jute.AppendInt(nil, proto.LearnerVersion))
	g.durable(9)
	early := &Link{Master: true}
	g.p.LinkUp(g.now, early, false)
	if got := g.out(early); !strings.HasPrefix(got, "closed") {
		t.Fatalf("before it serves it takes observers: %s", got)
	}
	g.packet(up, proto.PacketDiff, z(1, 2), nil)
	g.packet(up, proto.PacketNewLeader, z(2, 0), nil)
	g.durable(9)
	g.packet(up, proto.PacketUpToDate, -1, nil)
	g.out(up)
	if !g.p.Serving() {
		t.Fatal("it does not serve")
	}
	return g, up
}

// greeted has an observer, or what kind else, greet a follower.
func (g *rig) greeted(kind proto.PacketType, zxid proto.Zxid) *Link {
	l := &Link{Master: true}
	g.p.LinkUp(g.now, l, false)
	info := proto.LearnerInfo{ID: 4, Version: proto.LearnerVersion}
	g.packet(l, kind, 0, info.Append(nil))
	g.packet(l, proto.PacketAckEpoch, zxid, jute.AppendInt(nil, 1))
	return l
}

// TestObserverOfFollower has a follower serve an observer: with what is committed, once it
// is, and nothing else; and with nothing more when its own leader is gone.
func TestObserverOfFollower(t *testing.T) {
	g, up := serving(t)
	l := g.greeted(proto.PacketObserverInfo, z(1, 1))
	g.wants(l, "LEADERINFO(0x200000000) DIFF(0x100000002) PROPOSAL(0x100000002) COMMIT(0x100000002) NEWLEADER(0x200000000)")
	g.packet(l, proto.PacketAck, z(2, 0), nil)
	g.wants(l, "UPTODATE(0xffffffffffffffff)")
	g.packet(up, proto.PacketProposal, z(2, 1), txn(z(2, 1)))
	g.durable(9)
	g.wants(l, "")
	if !strings.Contains(g.out(up), "ACK(0x200000001)") {
		t.Fatal("no ACK to the leader")
	}
	g.packet(up, proto.PacketCommit, z(2, 1), nil)
	g.wants(l, "INFORM(0x200000001)")
	g.now += 600
	g.p.Tick(g.now)
	g.wants(l, "PING(0x200000001)")
	if s := g.p.Status(); len(s.Learners) != 1 || !s.Learners[0].Synced || !s.Learners[0].Observer {
		t.Fatalf("learners: %+v", s.Learners)
	}
	g.p.LinkDown(g.now, up, "a test")
	if got := g.out(l); !strings.HasPrefix(got, "closed") {
		t.Fatalf("without a leader: %s", got)
	}
}

// TestObserverAhead has an observer know more than the follower to which it comes.
func TestObserverAhead(t *testing.T) {
	g, _ := serving(t)
	for _, ahead := range []proto.Zxid{z(2, 1), z(3, 1)} {
		if got := g.out(g.greeted(proto.PacketObserverInfo, ahead)); !strings.Contains(got, "closed: it is ahead") {
			t.Errorf("at %v: %s", ahead, got)
		}
	}
	got := g.out(g.greeted(proto.PacketObserverInfo, z(1, 7))) // of a leader that nobody confirmed
	if !strings.Contains(got, "TRUNC(0x100000002)") {
		t.Errorf("what was never committed is kept: %s", got)
	}
}

func TestOnlyObserversComeToFollowers(t *testing.T) {
	g, _ := serving(t)
	if got := g.out(g.greeted(proto.PacketFollowerInfo, z(1, 2))); !strings.Contains(got, "closed: it is no observer") {
		t.Errorf("a follower: %s", got)
	}
}

// TestObserverChooses has an observer come to each follower and at last to the leader.
func TestObserverChooses(t *testing.T) {
	g := &rig{t: t, now: 1000, sent: make(map[*Link][]string), raw: make(map[*Link]proto.Packet)}
	g.p = New(Config{ID: 4, Ensemble: members(t, 3, 1), TickTime: 1000, InitLimit: 10, SyncLimit: 5, Masters: true},
		Recovered{})
	g.p.Start(g.now)
	var dialled []int64
	for range 6 {
		v := proto.Vote{Leader: 3, Zxid: 0, ElectionEpoch: 1}
		g.p.Notification(g.now, 3, &proto.Notification{State: proto.Leading, Vote: v})
		g.p.Notification(g.now, 2, &proto.Notification{State: proto.Following, Vote: v})
		var e Effects
		g.p.Effects(&e)
		if !e.Dialling || e.Master != (e.Dial != 3) {
			t.Fatalf("it dials %d, %v, %v", e.Dial, e.Dialling, e.Master)
		}
		dialled = append(dialled, e.Dial)
		g.p.DialFailed(g.now, e.Dial, "a test")
		if g.p.Role() != proto.Looking {
			t.Fatal("it does not look for another one")
		}
		g.now += 2500
		g.p.Tick(g.now)
		g.p.Effects(&e)
	}
	if fmt.Sprint(dialled) != "[1 2 1 2 3 3]" {
		t.Errorf("it dials %v", dialled)
	}
}
