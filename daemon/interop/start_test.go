//go:build interop

package interop

import (
	"slices"
	"testing"
	"time"
)

// TestEnsembleStartsOneAfterAnother starts five servers one after the other: the first two look
// for a leader, the third completes a quorum and leads, because all are empty and its id is the
// largest, and the others follow it though theirs are larger.
func TestEnsembleStartsOneAfterAnother(t *testing.T) {
	c := newCluster(t, "zkd", "zkd", "zkd", "zkd", "zkd")
	defer func() {
		for i, p := range c.servers {
			if p.cmd == nil {
				p.launch() // so that the cleaning up finds a process
				t.Logf("server %d was not started", i+1)
			}
		}
	}()
	modes := func(n int) (all []string) {
		for _, p := range c.servers[:n] {
			all = append(all, p.role())
		}
		return all
	}
	for _, want := range [][]string{
		{"looking"},
		{"looking", "looking"},
		{"follower", "follower", "leader"},
		{"follower", "follower", "leader", "follower"},
		{"follower", "follower", "leader", "follower", "follower"},
	} {
		n := len(want)
		c.servers[n-1].launch()
		c.await(n-1, func() bool { return slices.Equal(modes(n), want) })
		time.Sleep(time.Second)
		if got := modes(n); !slices.Equal(got, want) {
			t.Fatalf("a second after %d servers were %v they are %v", n, want, got)
		}
	}
}
