//go:build interop

package interop

import (
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
