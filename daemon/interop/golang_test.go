//go:build interop

package interop

import (
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

type silentLog struct{}

func (silentLog) Printf(string, ...any) {}

// goClient is a session of go-zookeeper/zk.
func goClient(t *testing.T, addr string) *zk.Conn {
	t.Helper()
	c, _, err := zk.Connect([]string{addr}, 20*time.Second, zk.WithLogInfo(false), zk.WithLogger(silentLog{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestGoClient uses the client of Go, and its lock, in the middle of which zkd is killed and started again.
// Apache's server is not: it leaves some connections of the time of its start without an answer.
func TestGoClient(t *testing.T) {
	for _, p := range []*process{zkd(t), java(t)} {
		p.start()
		useGoClient(t, p)
		lockWithGoClient(t, p)
		p.kill()
	}
}

func useGoClient(t *testing.T, p *process) {
	c := goClient(t, p.addr)
	want := func(what string, ok bool, err error) {
		t.Helper()
		if err != nil || !ok {
			t.Errorf("%s: %s: %v", p.name, what, err)
		}
	}
	open := zk.WorldACL(zk.PermAll)
	path, err := c.Create("/go", []byte("hello"), 0, open)
	want("create", path == "/go", err)
	for i, kind := range []int32{zk.FlagSequence, zk.FlagEphemeral | zk.FlagSequence} {
		path, err = c.Create("/go/n", nil, kind, open)
		want("create in order", path == "/go/n000000000"+strconv.Itoa(i), err)
	}
	path, err = c.CreateContainer("/go/c", nil, zk.FlagContainer, open)
	want("create a container", path == "/go/c", err)
	path, err = c.CreateTTL("/go/ttl", nil, zk.FlagTTL, open, time.Hour)
	want("create with a TTL", path == "/go/ttl", err)
	data, stat, changed, err := c.GetW("/go")
	want("get", string(data) == "hello" && stat.NumChildren == 4, err)
	results, err := c.Multi(&zk.CheckVersionRequest{Path: "/go", Version: 0},
		&zk.SetDataRequest{Path: "/go", Data: []byte("two"), Version: 0}, &zk.DeleteRequest{Path: "/go/c", Version: -1})
	want("multi", len(results) == 3 && results[1].Stat.Version == 1, err)
	select {
	case e := <-changed:
		want("watch", e.Type == zk.EventNodeDataChanged && e.Path == "/go", e.Err)
	case <-time.After(20 * time.Second):
		t.Errorf("%s: no event", p.name)
	}
	_, err = c.Multi(&zk.DeleteRequest{Path: "/go/ttl", Version: -1}, &zk.CheckVersionRequest{Path: "/go", Version: 0})
	want("multi that fails", errors.Is(err, zk.ErrBadVersion), nil)
	there, _, err := c.Exists("/go/ttl")
	want("exists", there, err)
	_, err = c.Set("/go", nil, 0)
	want("set of an old version", errors.Is(err, zk.ErrBadVersion), nil)
	want("authenticate", true, c.AddAuth("digest", []byte("bob:secret")))
	_, err = c.Create("/go/bob", nil, 0, zk.AuthACL(zk.PermAll))
	want("create with an ACL", true, err)
	acl, _, err := c.GetACL("/go/bob")
	want("get an ACL", len(acl) == 1 && acl[0].Scheme == "digest", err)
	_, err = goClient(t, p.addr).Set("/go/bob", nil, -1)
	want("set without permission", errors.Is(err, zk.ErrNoAuth), nil)
	_, err = c.Sync("/go")
	want("sync", true, err)
}

// lockWithGoClient counts under a lock, in several sessions.
func lockWithGoClient(t *testing.T, p *process) {
	const clients, turns = 5, 8
	open := zk.WorldACL(zk.PermAll)
	if _, err := goClient(t, p.addr).Create("/count", []byte("0"), 0, open); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var restart sync.Once
	for range clients {
		wg.Go(func() {
			c := goClient(t, p.addr)
			for turn := range turns {
				lock := zk.NewLock(c, "/lock", open)
				for err := lock.Lock(); err != nil; err = lock.Lock() {
					if !errors.Is(err, zk.ErrConnectionClosed) && !errors.Is(err, zk.ErrNoServer) {
						t.Errorf("%s: lock: %v", p.name, err)
						return
					}
					c.Close() // its znode may stand in the queue
					c = goClient(t, p.addr)
					lock = zk.NewLock(c, "/lock", open)
				}
				if turn == turns/2 && p.name == "zkd" {
					restart.Do(func() { p.kill(); p.start() })
				}
				if err := patiently(func() error { return increment(c, "/count") }); err != nil {
					t.Errorf("%s: count: %v", p.name, err)
				}
				again := false
				err := patiently(func() error {
					err := lock.Unlock()
					if again && errors.Is(err, zk.ErrNoNode) {
						return nil // only the reply was lost
					}
					again = true
					return err
				})
				if err != nil {
					t.Errorf("%s: unlock: %v", p.name, err)
				}
			}
		})
	}
	wg.Wait()
	data, _, err := goClient(t, p.addr).Get("/count")
	if err != nil || string(data) != strconv.Itoa(clients*turns) {
		t.Errorf("%s: %q, %v", p.name, data, err)
	}
}

// patiently repeats what fails because the server is away.
func patiently(f func() error) (err error) {
	for range 400 {
		err = f()
		if !errors.Is(err, zk.ErrConnectionClosed) && !errors.Is(err, zk.ErrNoServer) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

// increment adds one to a number: without the lock another session would come in between.
func increment(c *zk.Conn, path string) error {
	data, stat, err := c.Get(path)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(string(data))
	if err != nil {
		return err
	}
	_, err = c.Set(path, []byte(strconv.Itoa(n+1)), stat.Version)
	return err
}
