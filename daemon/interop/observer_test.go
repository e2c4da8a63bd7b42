//go:build interop

package interop

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// chained makes an ensemble whose last server is an observer and comes to followers.
func chained(t *testing.T, kinds ...string) (c *cluster, port int) {
	port = freePort(t)
	return newShaped(t, shape{
		addresses: func(i int) []string { return []string{fmt.Sprintf("127.0.0.%d", i+1)} },
		observers: 1,
		more:      fmt.Sprintf("observerMasterPort=%d\n", port),
	}, kinds...), port
}

// masterOf finds the follower to which the observer has come, -1 if there is none.
func (c *cluster) masterOf(port int) int {
	for i := range len(c.servers) - 1 {
		// The follower counts the observers that are in step with it.
		for line := range strings.Lines(c.servers[i].word("mntr")) {
			if strings.HasPrefix(line, "zk_synced_observers\t1") && c.servers[i].mode() == "follower" {
				return i
			}
		}
	}
	return -1
}

// observe writes, reads, syncs, and resumes sessions at the observer while its follower, and
// then the leader, are killed.
func observe(t *testing.T, c *cluster, port int) {
	c.start()
	last := len(c.servers) - 1
	writers := c.write(len(c.servers) + 1) // one of them begins with the observer
	c.await(last, func() bool { return c.masterOf(port) >= 0 })
	p := c.servers[last]
	through(t, p, "/a")
	for _, victim := range []func() int{func() int { return c.masterOf(port) }, c.leader} {
		time.Sleep(300 * time.Millisecond)
		i := victim()
		if i < 0 {
			t.Fatal("the observer has come to no follower")
		}
		began := time.Now()
		c.servers[i].kill()
		for _, w := range writers {
			w.progress(began)
		}
		c.servers[i].launch()
		c.awaitAll()
		c.await(last, func() bool { return c.masterOf(port) >= 0 })
		through(t, p, fmt.Sprintf("/b%d", i))
	}
	c.servers[last].signal(syscall.SIGTERM)
	time.Sleep(300 * time.Millisecond)
	c.servers[last].launch()
	c.awaitAll()
	through(t, p, "/c")
	c.finish(writers)
	c.agree()
}

// through does at a server what an observer needs its leader for.
func through(t *testing.T, p *process, path string) {
	t.Helper()
	s, err := dial(p.addr, 4000, 0, nil)
	if err != nil || s.id == 0 {
		t.Fatalf("no session: %v", err)
	}
	ask := func(s *session, frame []byte) proto.ErrCode {
		t.Helper()
		s.send(frame)
		f, err := s.frame()
		if err != nil {
			t.Fatal(err)
		}
		d := jute.NewDecoder(f)
		d.Int()
		d.Long()
		return proto.ErrCode(d.Int())
	}
	create := jute.AppendBuffer(header(1, proto.OpCreate, path), []byte("x"))
	create = jute.AppendInt(proto.AppendACLs(create, proto.OpenACLUnsafe), 1) // ephemeral
	for name, code := range map[string]proto.ErrCode{"create": ask(s, create), "sync": ask(s, header(2, proto.OpSync, path))} {
		if code != proto.ErrOK {
			t.Fatalf("%s: %v", name, code)
		}
	}
	if code := ask(s, create); code != proto.ErrNodeExists {
		t.Fatalf("the second create: %v", code)
	}
	s.c.Close()
	again, err := dial(p.addr, 4000, s.id, s.passwd)
	if err != nil || again.id != s.id {
		t.Fatalf("the session does not resume: %v, %v", again, err)
	}
	for range 10 { // longer than the session's timeout: pings have to come through to the leader
		time.Sleep(600 * time.Millisecond)
		if code := ask(again, jute.AppendInt(jute.AppendInt(nil, -2), int32(proto.OpPing))); code != proto.ErrOK {
			t.Fatalf("ping: %v", code)
		}
	}
	if code := ask(again, jute.AppendBool(header(3, proto.OpExists, path), false)); code != proto.ErrOK {
		t.Fatalf("the ephemeral: %v", code)
	}
	if code := ask(again, jute.AppendInt(jute.AppendInt(nil, 4), int32(proto.OpCloseSession))); code != proto.ErrOK {
		t.Fatalf("close: %v", code)
	}
	again.c.Close()
}

// TestEnsembleObserverMaster has an observer come to zkd's followers.
func TestEnsembleObserverMaster(t *testing.T) {
	c, port := chained(t, "zkd", "zkd", "zkd", "zkd")
	observe(t, c, port)
	for i := range 4 { // an observer does not listen there
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.%d:%d", i+1, port))
		if (err == nil) != (i < 3) {
			t.Errorf("server %d: %v", i+1, err)
		}
		if err == nil {
			conn.Close()
		}
	}
}

// TestMixedObserverMaster has an observer of Apache's come to zkd's followers, and one of
// zkd's to Apache's.
func TestMixedObserverMaster(t *testing.T) {
	t.Run("Apache's observer", func(t *testing.T) {
		c, port := chained(t, "zkd", "zkd", "zkd", "java")
		observe(t, c, port)
	})
	t.Run("zkd's observer", func(t *testing.T) {
		c, port := chained(t, "java", "java", "java", "zkd")
		observe(t, c, port)
	})
}
