//go:build interop

package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// dump is what a server has below the root, after a sync.
func (c *cluster) dump(p *process) string {
	s, err := dial(p.addr, 60000, 0, nil)
	if err != nil || s.id == 0 {
		c.t.Fatalf("%s: %v", p.addr, err)
	}
	defer s.c.Close()
	s.send(header(1, proto.OpSync, "/"))
	s.send(jute.AppendBool(header(2, proto.OpGetChildren2, "/"), false))
	for {
		f, err := s.frame()
		if err != nil {
			c.t.Fatal(err)
		}
		d := jute.NewDecoder(f)
		xid, _, code := d.Int(), d.Long(), d.Int()
		if xid != 2 {
			continue
		}
		var names []string
		for n := d.Int(); n > 0; n-- {
			names = append(names, string(d.Buffer()))
		}
		slices.Sort(names)
		return fmt.Sprintf("code %d, %d children, stat %+v, %v", code, len(names), proto.DecodeStat(&d), names)
	}
}

// agree checks that all servers have the same below the root.
func (c *cluster) agree() {
	c.t.Helper()
	first := c.dump(c.servers[0])
	for i, p := range c.servers[1:] {
		if got := c.dump(p); got != first {
			c.t.Fatalf("server 1 (%s) has\n%.300s\nserver %d (%s) has\n%.300s", c.servers[0].name, first, i+2, p.name, got)
		}
	}
}

// put creates n znodes through a server, which has to answer.
func (c *cluster) put(at int, prefix string, n int) {
	c.t.Helper()
	s, err := dial(c.servers[at].addr, 30000, 0, nil)
	if err != nil || s.id == 0 {
		c.t.Fatalf("server %d: %v", at+1, err)
	}
	defer s.c.Close()
	for i := range n {
		b := jute.AppendBuffer(header(int32(i+1), proto.OpCreate, fmt.Sprintf("/%s%d", prefix, i)), []byte("data"))
		s.send(jute.AppendInt(proto.AppendACLs(b, proto.OpenACLUnsafe), 0))
	}
	for i := range n {
		f, err := s.frame()
		if err != nil {
			c.t.Fatal(err)
		}
		d := jute.NewDecoder(f)
		d.Int()
		d.Long()
		if code := proto.ErrCode(d.Int()); code != proto.ErrOK {
			c.t.Fatalf("create %d: %v", i, code)
		}
	}
}

// TestMixedSnap has a server that has lost everything get it from a leader of the other
// kind, and one that lacks some.
func TestMixedSnap(t *testing.T) {
	for _, kinds := range [][]string{{"java", "zkd", "zkd"}, {"zkd", "java", "java"}, {"zkd", "debian", "debian"},
		{"debian", "zkd", "zkd"}, {"zkd", "zkd", "zkd"}} {
		t.Run(strings.Join(kinds, "-"), func(t *testing.T) {
			c := newCluster(t, kinds...)
			c.start()
			c.put(0, "a", 300)
			c.agree()
			c.servers[0].signal(syscall.SIGTERM)
			c.put(1, "b", 30)
			c.servers[0].launch() // DIFF
			c.awaitAll()
			c.agree()
			c.servers[0].signal(syscall.SIGTERM)
			c.put(1, "c", 2000)
			c.servers[0].launch() // from the log, or SNAP
			c.awaitAll()
			c.agree()
			c.servers[0].signal(syscall.SIGTERM)
			data := filepath.Join(c.dirs[0], kinds[0], "data")
			os.RemoveAll(data)
			c.become(0, kinds[0])
			c.servers[0].launch() // SNAP
			c.awaitAll()
			c.agree()
			c.put(0, "d", 10)
			c.agree()
			if kinds[0] == "zkd" { // and once more from what is on its own disk
				c.servers[0].kill()
				c.servers[0].launch()
				c.awaitAll()
				c.agree()
			}
		})
	}
}

// TestMixedTrunc has a leader log what nobody else gets, and come back as a learner of a
// leader of the other kind: what was never committed has to go.
func TestMixedTrunc(t *testing.T) {
	for _, kinds := range [][]string{{"zkd", "zkd", "java"}, {"java", "java", "zkd"}, {"debian", "debian", "zkd"},
		{"zkd", "zkd", "debian"}, {"zkd", "zkd", "zkd"}} {
		t.Run(strings.Join(kinds, "-"), func(t *testing.T) {
			c := newCluster(t, kinds...)
			for _, i := range []int{0, 2, 1} { // the first two are empty, so the larger id leads
				c.servers[i].launch()
				if i == 2 {
					c.await(2, func() bool { return c.servers[2].mode() == "leader" })
				}
			}
			c.awaitAll()
			c.put(0, "a", 50)
			s, err := dial(c.servers[2].addr, 30000, 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range c.servers[:2] {
				p.kill()
			}
			for i := range 5 {
				b := jute.AppendBuffer(header(int32(i+1), proto.OpCreate, fmt.Sprintf("/lost%d", i)), []byte("data"))
				s.send(jute.AppendInt(proto.AppendACLs(b, proto.OpenACLUnsafe), 0))
			}
			time.Sleep(300 * time.Millisecond) // for the leader's own disk
			c.servers[2].kill()
			s.c.Close()
			for _, p := range c.servers[:2] {
				p.launch()
			}
			c.await(0, func() bool { m := c.servers[0].mode(); return m == "leader" || m == "follower" })
			if strings.Contains(c.dump(c.servers[0]), "lost0") {
				t.Fatal("what was never committed is there")
			}
			c.put(0, "b", 20)
			c.servers[2].launch()
			c.awaitAll()
			c.agree()
			c.servers[2].signal(syscall.SIGTERM)
			c.servers[2].launch() // what was cut must not come back from its disk
			c.awaitAll()
			c.agree()
		})
	}
}
