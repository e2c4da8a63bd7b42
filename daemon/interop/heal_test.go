//go:build interop

package interop

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// flip flips a bit of the largest file that matches, a third of its data in front of it.
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
	b[len(strings.TrimRight(string(b), "\x00"))/3] ^= 4
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// heal kills a server, damages what it has, and has it heal while writes go on; half of the
// times it is killed once more on the way.
func (c *cluster) heal(i int, pattern string, again bool, writers []*writer) {
	c.t.Helper()
	data := filepath.Join(c.dirs[i], "zkd", "data")
	began := time.Now()
	c.servers[i].kill()
	flip(c.t, filepath.Join(data, pattern))
	c.servers[i].launch()
	if again {
		for range 2000 {
			if _, err := os.Stat(filepath.Join(data, "HEALING")); err == nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		c.servers[i].kill()
		c.servers[i].launch()
	}
	c.await(i, func() bool {
		_, err := os.Stat(filepath.Join(data, "HEALING"))
		return os.IsNotExist(err) && c.servers[i].mode() == "follower"
	})
	for _, w := range writers {
		w.progress(began)
	}
	if aside, _ := filepath.Glob(filepath.Join(data, "damaged-*")); len(aside) < 2 {
		c.t.Fatalf("%s: aside are only %v", pattern, aside)
	}
	log, _ := os.ReadFile(c.servers[i].log)
	if !strings.Contains(string(log), "The data are damaged") {
		c.t.Fatal("the log does not tell of the damage")
	}
}

// TestEnsembleHealing damages log and image of followers, and of a leader that is killed.
func TestEnsembleHealing(t *testing.T) {
	c := newCluster(t, "zkd", "zkd", "zkd")
	c.start()
	writers := c.write(4)
	for n, pattern := range []string{"log-*/*.log", "image/MANIFEST-*", "log-*/*.log", "image/SEAL", "log-*/SEAL"} {
		time.Sleep(300 * time.Millisecond)
		i := c.leader()
		if n != 2 {
			i = (i + 1 + n%2) % 3
		}
		c.heal(i, pattern, n%2 == 1, writers)
	}
	c.finish(writers)
	c.agree()
}

// TestMixedHealing heals zkd's servers from a leader of Apache's.
func TestMixedHealing(t *testing.T) {
	c := newCluster(t, "zkd", "java", "java")
	c.start()
	writers := c.write(3)
	for n, pattern := range []string{"log-*/*.log", "image/MANIFEST-*"} {
		for c.leader() == 0 { // the others elect one of Apache's
			c.servers[0].signal(syscall.SIGTERM)
			c.await(1, func() bool { return c.servers[1].mode() == "leader" || c.servers[2].mode() == "leader" })
			c.servers[0].launch()
			c.awaitAll()
		}
		time.Sleep(300 * time.Millisecond)
		c.heal(0, pattern, n == 1, writers)
	}
	c.finish(writers)
	c.agree()
}
