package zab

import (
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// TestForgedLearner has somebody claim the id of a follower that is connected: the follower
// stays. Once nothing has been heard of it for a tick, it is taken to have come back.
func TestForgedLearner(t *testing.T) {
	g := newRig(t, 3, members(t, 3, 0), Recovered{})
	v := proto.Vote{Leader: 3, ElectionEpoch: 1}
	g.vote(1, proto.Looking, v)
	g.vote(2, proto.Looking, v)
	g.now += 1000
	g.p.Tick(g.now)
	g.take()
	greet := func(id int64) *Link {
		l := &Link{}
		g.p.LinkUp(g.now, l, false)
		info := proto.LearnerInfo{ID: id, Version: proto.LearnerVersion}
		g.packet(l, proto.PacketFollowerInfo, 0, info.Append(nil))
		return l
	}
	follower := greet(2)
	g.durable(9)
	g.packet(follower, proto.PacketAckEpoch, 0, jute.AppendInt(nil, 0))
	g.durable(9)
	g.packet(follower, proto.PacketAck, z(1, 0), nil)
	if !g.p.Serving() {
		t.Fatal("it does not lead")
	}
	g.out(follower)
	forged := greet(2)
	if got := g.out(forged); !strings.Contains(got, "closed: server 2 is connected already") || !forged.Refused {
		t.Errorf("the forged one: %s", got)
	}
	if got := g.out(follower); strings.Contains(got, "closed") {
		t.Errorf("the follower: %s", got)
	}
	for range 2 {
		g.now += 550
		g.p.Tick(g.now)
	}
	g.out(follower)
	again := greet(2)
	if got := g.out(follower); !strings.Contains(got, "closed: it has connected again") {
		t.Errorf("the old connection: %s", got)
	}
	if got := g.out(again); strings.Contains(got, "closed") {
		t.Errorf("the new one: %s", got)
	}
}
