//go:build interop

package interop

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zkd-project/zkd/daemon/proto"
)

// TestMixed has zkd and Apache's servers form one ensemble, in every role: each server
// in turn is killed and comes back, under writes.
func TestMixed(t *testing.T) {
	for _, kinds := range [][]string{
		{"zkd", "java", "zkd"}, {"java", "zkd", "java"}, {"zkd", "debian", "zkd"}, {"debian", "zkd", "debian"},
		{"old", "zkd", "debian"},
	} {
		t.Run(strings.Join(kinds, "-"), func(t *testing.T) {
			c := newCluster(t, kinds...)
			c.start()
			writers := c.write(3)
			led := map[string]int{}
			for i := range count("ROUNDS", 3) {
				time.Sleep(300 * time.Millisecond)
				leader := c.leader()
				led[c.servers[leader].name]++
				victim := (leader + i%3) % 3
				began := time.Now()
				c.servers[victim].kill()
				for _, w := range writers {
					w.progress(began.Add(50 * time.Millisecond))
				}
				c.servers[victim].launch()
				c.awaitAll()
			}
			c.finish(writers)
			c.sameTrees()
			t.Logf("leaderships: %v", led)
		})
	}
}

// TestMixedPassing has the lead go to and fro between zkd and Apache's servers, under
// clients whose sessions last.
func TestMixedPassing(t *testing.T) {
	for _, kinds := range [][]string{{"zkd", "java", "zkd"}, {"debian", "zkd", "debian"}} {
		t.Run(strings.Join(kinds, "-"), func(t *testing.T) {
			c := newCluster(t, kinds...)
			c.start()
			l := c.load(6, proto.OpSync)
			led := []string{c.servers[c.leader()].name}
			for range count("ROUNDS", 3) {
				time.Sleep(500 * time.Millisecond)
				leader := c.leader()
				c.servers[leader].signal(syscall.SIGTERM)
				l.flows()
				led = append(led, c.servers[c.leader()].name)
				c.servers[leader].launch()
				c.awaitAll()
			}
			l.check()
			t.Logf("leaders: %v", led)
		})
	}
}

// TestMixedObserver has a zkd observe Apache's servers, and the other way round.
func TestMixedObserver(t *testing.T) {
	for _, kinds := range [][]string{{"debian", "debian", "zkd"}, {"zkd", "zkd", "java"}} {
		t.Run(strings.Join(kinds, "-"), func(t *testing.T) {
			c := &cluster{t: t, tick: 2000, shape: shape{observers: 1}}
			c.found(kinds)
			c.start()
			if mode := c.servers[2].mode(); mode != "observer" {
				t.Fatalf("server 3 (%s) is a %s", kinds[2], mode)
			}
			l := c.load(6, proto.OpSync)
			for _, i := range []int{2, c.leader(), 2} {
				time.Sleep(300 * time.Millisecond)
				c.servers[i].kill()
				if i == 2 {
					l.flows()
				}
				c.servers[i].launch()
				c.awaitAll()
				l.flows()
			}
			l.check()
		})
	}
}
