//go:build interop

package interop

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestEnsemblePauses stops processes for a while and lets them go on: a follower, and the
// leader for less and for more than it is believed to lead.
func TestEnsemblePauses(t *testing.T) {
	c := newCluster(t, "zkd", "zkd", "zkd")
	c.start()
	writers := c.write(6)
	for _, pause := range []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond, 500 * time.Millisecond} {
		for _, leads := range []bool{false, true} {
			time.Sleep(200 * time.Millisecond)
			victim := c.leader()
			if !leads {
				victim = (victim + 1) % 3
			}
			p := c.servers[victim].cmd.Process
			p.Signal(syscall.SIGSTOP)
			time.Sleep(pause)
			p.Signal(syscall.SIGCONT)
			now := time.Now()
			for _, w := range writers {
				w.progress(now.Add(50 * time.Millisecond))
			}
			c.awaitAll()
		}
	}
	c.finish(writers)
}

// TestMixedReplace replaces the servers of an ensemble of Apache's by zkd's one after the
// other, under writes, and then back. A new server starts empty and gets everything.
func TestMixedReplace(t *testing.T) {
	c := newCluster(t, "java", "java", "java")
	c.start()
	writers := c.write(3)
	for _, kind := range []string{"zkd", "java"} {
		for n := range 3 {
			i := (c.leader() + 1 + n) % 3 // the leader at that time comes last, most often
			if c.servers[i].name == kind {
				for i = range 3 {
					if c.servers[i].name != kind {
						break
					}
				}
			}
			began := time.Now()
			c.servers[i].signal(syscall.SIGTERM)
			for _, w := range writers {
				w.progress(began.Add(100 * time.Millisecond))
			}
			c.become(i, kind)
			healing := filepath.Join(c.dirs[i], kind, "data", "HEALING")
			if kind == "zkd" { // as docs/MIGRATION.md says: it has no vote until it has everything
				if err := os.WriteFile(healing, nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			c.servers[i].launch()
			c.awaitAll()
			c.await(i, func() bool { _, err := os.Stat(healing); return err != nil })
			time.Sleep(300 * time.Millisecond)
		}
	}
	c.finish(writers)
	c.agree()
}
