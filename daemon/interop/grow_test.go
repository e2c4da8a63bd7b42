//go:build interop

package interop

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestEnsembleGrows makes three servers five as docs/OPERATIONS.md tells, while clients write:
// one server more at a time, since two more and one of the old ones would be a quorum that
// knows nothing of what the other two acknowledge.
func TestEnsembleGrows(t *testing.T) {
	c := newCluster(t, "zkd", "zkd", "zkd", "zkd", "zkd")
	file := func(i int) string { return filepath.Join(c.dirs[i], "zkd", "zoo.cfg") }
	five, err := os.ReadFile(file(0))
	if err != nil {
		t.Fatal(err)
	}
	list := string(five)[strings.Index(string(five), "server.1="):]
	know := func(i, n int) { // server i counts n servers
		text, err := os.ReadFile(file(i))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.SplitAfter(list, "\n")
		text = append(text[:strings.Index(string(text), "server.1=")], strings.Join(lines[:n], "")...)
		if err := os.WriteFile(file(i), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	serves := func(i int) bool { m := c.servers[i].mode(); return m == "leader" || m == "follower" }
	for i := range 3 {
		know(i, 3)
		c.servers[i].launch()
	}
	for i := range 3 {
		c.await(i, func() bool { return serves(i) })
	}
	writers := c.write(2)
	for n := 4; n <= 5; n++ {
		know(n-1, n)
		c.servers[n-1].launch()
		order, leader := []int{}, c.leader()
		for i := range n - 1 {
			if i != leader {
				order = append(order, i)
			}
		}
		for k, i := range append(order, leader) {
			know(i, n)
			c.servers[i].signal(syscall.SIGTERM)
			c.servers[i].launch()
			for _, j := range order[:min(k+1, len(order))] {
				if k > 0 { // the first one may look until the second one counts as it does
					c.await(j, func() bool { return serves(j) })
				}
			}
			for _, w := range writers {
				w.progress(time.Now())
			}
		}
		for i := range n {
			c.await(i, func() bool { return serves(i) })
		}
	}
	c.finish(writers)
}
