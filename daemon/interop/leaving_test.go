//go:build interop

package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// TestEnsembleLeaving measures what clients see when a leader goes, and prints it.
func TestEnsembleLeaving(t *testing.T) { leaving(t, "zkd", count("LEAVES", 5)) }

// TestMixedLeaving measures the same with Apache's servers, to compare.
func TestMixedLeaving(t *testing.T) { leaving(t, "debian", count("LEAVES", 2)) }

// prober asks one thing after the other through one server; without a connection it tries
// its own server again, or, if it may roam, the next one.
type prober struct {
	c       *cluster
	at      int
	op      proto.Op
	roams   bool
	stop    *atomic.Bool
	mu      sync.Mutex
	last    time.Time
	longest time.Duration
}

func (p *prober) run() {
	for at := p.at; !p.stop.Load(); time.Sleep(2 * time.Millisecond) {
		s, err := dial(p.c.servers[at].addr, 10000, 0, nil)
		for xid := int32(1); err == nil && s.id != 0 && !p.stop.Load(); xid++ {
			b := jute.AppendBool(header(xid, p.op, "/"), false)
			if p.op == proto.OpSetData {
				b = jute.AppendInt(jute.AppendBuffer(header(xid, p.op, "/"), nil), -1)
			}
			s.send(b)
			if _, err = s.await(20 * time.Second); err == nil {
				p.answered()
				time.Sleep(time.Millisecond)
			}
		}
		if s != nil {
			s.c.Close()
		}
		if p.roams {
			at = (at + 1) % len(p.c.servers)
		}
	}
}

func (p *prober) answered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.longest, p.last = max(p.longest, now.Sub(p.last)), now
}

func (p *prober) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.longest = 0
}

// gap waits for an answer that came after since, and is the longest time without one.
func (p *prober) gap(since time.Time) time.Duration {
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		p.mu.Lock()
		last, longest := p.last, p.longest
		p.mu.Unlock()
		if last.After(since) {
			return longest
		}
	}
	p.c.t.Fatalf("nothing is answered at server %d any more", p.at+1)
	return 0
}

func leaving(t *testing.T, kind string, rounds int) {
	c := newCluster(t, kind, kind, kind)
	c.start()
	if n := count("NODES", 0); n > 0 { // how fast one is elected must not depend on this
		bench := filepath.Join(filepath.Dir(os.Getenv("ZKD_BINARY")), "zkbench")
		out, err := exec.Command(bench, "load", "--nodes", fmt.Sprint(n), "--server", c.servers[c.leader()].addr).CombinedOutput()
		t.Logf("%s%v", out, err)
		time.Sleep(30 * time.Second)
	}
	var stop atomic.Bool
	var running sync.WaitGroup
	var writers, readers []*prober
	for i := range c.servers {
		writers = append(writers, &prober{c: c, at: i, op: proto.OpSetData, roams: true, stop: &stop, last: time.Now()})
		readers = append(readers, &prober{c: c, at: i, op: proto.OpExists, stop: &stop, last: time.Now()})
	}
	var all []*prober
	defer func() {
		stop.Store(true)
		running.Wait()
	}()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		gaps := map[string][]time.Duration{}
		for range rounds {
			stop.Store(false)
			all = append(slices.Clone(writers), readers...)
			for _, p := range all {
				running.Go(p.run)
			}
			now := time.Now()
			for _, p := range all {
				p.gap(now)
			}
			time.Sleep(300 * time.Millisecond)
			leader := c.leader()
			for _, p := range all {
				p.reset()
			}
			began := time.Now()
			c.servers[leader].signal(sig)
			for _, p := range writers {
				p.gap(began.Add(50 * time.Millisecond))
			}
			time.Sleep(300 * time.Millisecond)
			for i := range c.servers {
				if i == leader {
					gaps["writes of the leader's own client"] = append(gaps["writes of the leader's own client"], writers[i].gap(began.Add(50*time.Millisecond)))
					continue
				}
				gaps["writes of other clients"] = append(gaps["writes of other clients"], writers[i].gap(began.Add(50*time.Millisecond)))
				gaps["reads on other servers"] = append(gaps["reads on other servers"], readers[i].gap(began.Add(50*time.Millisecond)))
			}
			c.servers[leader].launch()
			c.awaitAll()
			stop.Store(true) // each begins at its own server again
			running.Wait()
		}
		for _, what := range []string{"writes of other clients", "writes of the leader's own client", "reads on other servers"} {
			g := gaps[what]
			slices.Sort(g)
			t.Logf("%s, leader %v: longest gap in %s: median %v, least %v, most %v", kind, sig, what, round(g[len(g)/2]), round(g[0]), round(g[len(g)-1]))
		}
	}
}

func round(d time.Duration) string { return fmt.Sprint(d.Round(100 * time.Microsecond)) }

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}
