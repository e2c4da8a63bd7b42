package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkd-project/zkd/daemon/config"
	"github.com/zkd-project/zkd/daemon/ensemble"
)

// flip damages a file, the largest one that matches: a third of its data are in front.
func flip(t *testing.T, pattern string) {
	t.Helper()
	names, _ := filepath.Glob(pattern)
	size := func(name string) int64 {
		if st, err := os.Stat(name); err == nil {
			return st.Size()
		}
		return 0
	}
	if len(names) == 0 {
		t.Fatalf("nothing is like %s", pattern)
	}
	name := slices.MaxFunc(names, func(a, b string) int { return int(size(a) - size(b)) })
	b, err := os.ReadFile(name)
	if err != nil || len(b) == 0 {
		t.Fatalf("%s: %d bytes, %v", name, len(b), err)
	}
	b[len(strings.TrimRight(string(b), "\x00"))/3] ^= 1
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDamage damages a follower's log, and its image: the follower says so, does not count
// meanwhile, and gets everything back.
func TestDamage(t *testing.T) {
	e := newTrio(t)
	for i := range 3 {
		e.start(i)
	}
	leader := e.leader(0, 1, 2)
	follower, other := (leader+1)%3, (leader+2)%3
	c := connect(t, e.addr(leader))
	total := 0
	write := func(n int) {
		t.Helper()
		for range n {
			total++
			if _, err := c.Create(fmt.Sprintf("/n%d", total), make([]byte, 500), 0, zk.WorldACL(zk.PermAll)); err != nil {
				t.Fatalf("create %d: %v", total, err)
			}
		}
	}
	healed := func(times int) {
		t.Helper()
		marker := filepath.Join(e.dirs[follower], "HEALING")
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			_, err := os.Stat(marker)
			if err != nil && strings.Count(e.logs[follower].String(), "this server votes") == times {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("it does not heal")
			}
		}
		f := connect(t, e.addr(follower))
		defer f.Close()
		if _, err := f.Sync("/"); err != nil {
			t.Fatal(err)
		}
		children, _, err := f.Children("/")
		if err != nil || len(children) != total+1 {
			t.Fatalf("healed, it has %d of %d znodes: %v", len(children)-1, total, err)
		}
	}
	for round, pattern := range []string{"log-*/*.log", "image/MANIFEST-*", "image/SEAL"} {
		write(60)
		e.await(follower)
		e.halt(follower)
		flip(t, filepath.Join(e.dirs[follower], pattern))
		write(20)
		e.start(follower)
		write(20)
		healed(round + 1)
		if aside, _ := filepath.Glob(filepath.Join(e.dirs[follower], "damaged-*")); len(aside) < 2 {
			t.Errorf("%s: aside are only %v", pattern, aside)
		}
		if n := strings.Count(e.logs[follower].String(), "level=error"); n != round+1 {
			t.Errorf("%s: %d lines tell of the damage", pattern, n)
		}
	}

	// Alone with the leader gone it elects nobody, whatever it has; whoever comes back decides.
	e.halt(follower)
	flip(t, filepath.Join(e.dirs[follower], "log-*/*.log"))
	e.halt(other)
	c.Close()
	e.start(follower)
	time.Sleep(1500 * time.Millisecond)
	for _, i := range []int{leader, follower} {
		if m := e.mode(i); m == "leader" || m == "follower" {
			t.Errorf("server %d is a %s, but of the two only one remembers", i+1, m)
		}
	}
	e.halt(follower)
	e.start(follower) // what it has forgotten it does not forget by a restart
	e.start(other)
	e.leader(0, 1, 2)
	healed(4)
	for i := range 3 {
		e.halt(i)
	}
}

// TestDamageIsSpared looks which ensembles can do without a server.
func TestDamageIsSpared(t *testing.T) {
	for text, want := range map[string]bool{
		"server.1=h1:1:2\nserver.2=h2:3:4":                             false,
		"server.1=h1:1:2\nserver.2=h2:3:4:observer":                    false,
		"server.1=h1:1:2\nserver.2=h2:3:4\nserver.3=h3:5:6":            true,
		"server.2=h1:1:2\nserver.3=h2:3:4\nserver.1=h3:5:6:observer\n": true,
	} {
		c, err := ensemble.ParseText(text)
		if err != nil {
			t.Fatal(err)
		}
		p := &process{cfg: &config.Config{ServerID: 1, Ensemble: c}}
		if p.spared() != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}
