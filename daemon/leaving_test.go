package daemon

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"go.uber.org/goleak"
)

// TestLeaderLeavesUnderLoad ends the leader in good order while clients of its followers write: it
// takes nothing new and so soon has nothing under way, another one leads at once, and the clients
// have their sessions, connections and all answers.
func TestLeaderLeavesUnderLoad(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreAnyFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"))
	e := newTrio(t)
	e.more = "tickTime=2000\n" // who waits for a tick, or for silence, is seen
	for i := range 3 {
		e.start(i)
	}
	leader := e.leader(0, 1, 2)
	var running sync.WaitGroup
	var done atomic.Bool
	var written, longest atomic.Int64
	var clients []*zk.Conn
	var sessions []int64
	const writers = 16
	for _, at := range []int{(leader + 1) % 3, (leader + 2) % 3} {
		c := connect(t, e.addr(at))
		if _, err := c.Create(fmt.Sprintf("/own%d", at), nil, zk.FlagEphemeral, zk.WorldACL(zk.PermAll)); err != nil {
			t.Fatal(err)
		}
		clients, sessions = append(clients, c), append(sessions, c.SessionID())
		for w := range writers {
			running.Go(func() {
				for n, last := 0, time.Now(); !done.Load(); n++ {
					path := fmt.Sprintf("/n%d-%d-%d", at, w, n)
					if _, err := c.Create(path, []byte("data"), 0, zk.WorldACL(zk.PermAll)); err != nil {
						t.Errorf("%s: %v", path, err)
						return
					}
					written.Add(1)
					now := time.Now()
					for gap := int64(now.Sub(last)); ; {
						if most := longest.Load(); gap <= most || longest.CompareAndSwap(most, gap) {
							break
						}
					}
					last = now
				}
			})
		}
	}
	for written.Load() < 500 {
		time.Sleep(time.Millisecond)
	}
	longest.Store(0)
	began := time.Now()
	e.halt(leader)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the leader took %v to end", took)
	}
	next := e.leader((leader+1)%3, (leader+2)%3)
	for at := written.Load(); written.Load() < at+500 && !t.Failed(); {
		time.Sleep(time.Millisecond)
	}
	done.Store(true)
	running.Wait()
	if gap := time.Duration(longest.Load()); gap > 1500*time.Millisecond {
		t.Errorf("writes stood still for %v", gap)
	}
	children, _, err := clients[0].Children("/")
	if want := int(written.Load()) + len(clients) + 1; err != nil || len(children) != want {
		t.Errorf("%d znodes, want %d, %v", len(children), want, err)
	}
	for i, c := range clients {
		if c.SessionID() != sessions[i] {
			t.Errorf("client %d has another session", i)
		}
		c.Close()
	}
	t.Logf("longest gap %v, server %d leads next", time.Duration(longest.Load()), next+1)
	e.halt((leader + 1) % 3)
	e.halt((leader + 2) % 3)
}
