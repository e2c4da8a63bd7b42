//go:build interop

package interop

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/zkd-project/zkd/daemon/proto"
)

// trouble is something bad in a network. The parts are the leader and two followers.
type trouble struct {
	name  string
	stuck bool // nobody can write as long as it lasts
	long  bool // only if LONG is set
	lasts time.Duration
	begin func(c *cluster, leader, a, b int) (end func())
}

// both cuts two machines off from each other.
func (l *lan) both(a, b int) {
	l.cut(a, b)
	l.cut(b, a)
}

var troubles = []trouble{
	{name: "the leader is alone", lasts: 3500 * time.Millisecond, begin: func(c *cluster, leader, a, b int) func() {
		c.lan.both(leader, a)
		c.lan.both(leader, b)
		return c.lan.heal
	}},
	{name: "a follower is alone", lasts: 3500 * time.Millisecond, begin: func(c *cluster, leader, a, b int) func() {
		c.lan.both(a, leader)
		c.lan.both(a, b)
		return c.lan.heal
	}},
	{name: "everybody is alone", stuck: true, lasts: 6 * time.Second, begin: func(c *cluster, leader, a, b int) func() {
		c.lan.both(leader, a)
		c.lan.both(leader, b)
		c.lan.both(a, b)
		return c.lan.heal
	}},
	{name: "a follower does not hear the leader", lasts: 3500 * time.Millisecond, begin: func(c *cluster, leader, a, _ int) func() {
		c.lan.cut(leader, a)
		return c.lan.heal
	}},
	{name: "the leader does not hear a follower", lasts: 3500 * time.Millisecond, begin: func(c *cluster, leader, a, _ int) func() {
		c.lan.cut(a, leader)
		return c.lan.heal
	}},
	{name: "nobody hears the leader", lasts: 3500 * time.Millisecond, begin: func(c *cluster, leader, a, b int) func() {
		c.lan.cut(leader, a)
		c.lan.cut(leader, b)
		return c.lan.heal
	}},
	{name: "the leader hears nobody", lasts: 3500 * time.Millisecond, begin: func(c *cluster, leader, a, b int) func() {
		c.lan.cut(a, leader)
		c.lan.cut(b, leader)
		return c.lan.heal
	}},
	{name: "leader and follower have only the third in common", lasts: 3500 * time.Millisecond,
		begin: func(c *cluster, leader, a, _ int) func() {
			c.lan.both(leader, a)
			return c.lan.heal
		}},
	{name: "the followers have only the leader in common", lasts: 3 * time.Second,
		begin: func(c *cluster, _, a, b int) func() {
			c.lan.both(a, b)
			return c.lan.heal
		}},
	{name: "a follower's link is slow", lasts: 2500 * time.Millisecond, begin: func(c *cluster, _, a, _ int) func() { return c.lan.slow(a) }},
	{name: "the leader's link is slow", lasts: 2500 * time.Millisecond, begin: func(c *cluster, leader, _, _ int) func() { return c.lan.slow(leader) }},
	{name: "the leader's cable is out", lasts: 3500 * time.Millisecond, begin: func(c *cluster, leader, _, _ int) func() {
		c.lan.link(leader, false)
		return func() { c.lan.link(leader, true) }
	}},
	{name: "a follower's cable is out for long", long: true, lasts: 50 * time.Second, begin: func(c *cluster, _, a, _ int) func() {
		c.lan.link(a, false)
		return func() { c.lan.link(a, true) }
	}},
	{name: "the leader's machine vanishes", lasts: 3500 * time.Millisecond, begin: func(c *cluster, leader, _, _ int) func() { return c.vanish(leader) }},
	{name: "a follower's machine vanishes", lasts: 3500 * time.Millisecond, begin: func(c *cluster, _, a, _ int) func() { return c.vanish(a) }},
}

// vanish takes a machine away: nobody hears that its connections have ended.
func (c *cluster) vanish(i int) func() {
	c.lan.link(i, false)
	c.servers[i].kill()
	return func() {
		c.lan.link(i, true)
		c.servers[i].launch()
	}
}

// TestEnsembleNetwork has all troubles of a network, one after the other, under clients
// that can reach every server.
func TestEnsembleNetwork(t *testing.T) {
	c := newNetwork(t, "zkd", "zkd", "zkd")
	c.start()
	c.network(troubles)
}

func (c *cluster) network(troubles []trouble) {
	c.t.Helper()
	barrier := proto.OpSetData // a sync is not enough while a leader is cut off
	if os.Getenv("BARRIER") == "sync" {
		barrier = proto.OpSync
	}
	l := c.load(6, barrier)
	for _, tr := range troubles {
		if only := os.Getenv("TROUBLE"); !strings.Contains(tr.name, only) || tr.long && os.Getenv("LONG") == "" {
			continue
		}
		l.flows()
		leader := c.leader()
		began := time.Now()
		end := tr.begin(c, leader, (leader+1)%3, (leader+2)%3)
		if tr.stuck {
			time.Sleep(tr.lasts / 2)
			since := l.now() // from now on nothing can be answered that is asked
			time.Sleep(tr.lasts / 2)
			for _, cl := range l.clients {
				if cl.progress.Load() > int64(since) {
					c.t.Fatalf("%s, and client %d has had a write answered", tr.name, cl.id)
				}
			}
			for i, p := range c.servers {
				if mode := p.mode(); mode != "" {
					c.t.Fatalf("%s, and server %d says that it is a %s", tr.name, i+1, mode)
				}
			}
			end()
			c.t.Logf("%s: writes go on %v after the end", tr.name, l.flows().Round(time.Millisecond))
			c.awaitAll()
			continue
		}
		flows := l.flows().Round(time.Millisecond)
		time.Sleep(tr.lasts - time.Since(began))
		l.flows()
		end()
		ended := time.Now()
		c.awaitAll()
		c.t.Logf("%s: all clients wrote again after %v; whole again %v after the end", tr.name, flows,
			time.Since(ended).Round(time.Millisecond))
	}
	l.check()
}
