package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

type silent struct{}

func (silent) Printf(string, ...any) {}

// pages asks at a local socket.
func pages(t *testing.T, socket, method, path string, body []byte) (status int, text []byte, err error) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	r, err := http.NewRequest(method, "http://local/commands/"+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "digest u:p")
	answer, err := client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	text, err = io.ReadAll(answer.Body)
	return answer.StatusCode, text, err
}

// nodeCount is how many znodes the server says it has.
func (s *service) nodeCount() (n int) {
	s.t.Helper()
	_, count, _ := strings.Cut(s.word("srvr"), "Node count: ")
	if _, err := fmt.Sscanf(count, "%d", &n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// TestRestoreIsKilled kills the server at some moment of a restore, or right after it was answered: there are the old data
// or the new, and the new ones where it was answered.
func TestRestoreIsKilled(t *testing.T) {
	const many = 3000
	rounds := 14
	if testing.Short() {
		rounds = 4
	}
	s := newService(t)
	short, err := os.MkdirTemp("", "zkd") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(short) })
	socket := filepath.Join(short, "s")
	s.config("admin.socket=" + socket + "\nadmin.rateLimiterIntervalInMS=0\n")
	start := func() {
		s.start(0)
		for s.note()["READY"] != "1" {
		}
	}
	grow := func(top string, n int) {
		c, _, err := zk.Connect([]string{fmt.Sprintf("127.0.0.1:%d", s.port)}, patience, zk.WithLogger(silent{}))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ops := make([]any, n)
		for i := range ops {
			ops[i] = &zk.CreateRequest{Path: fmt.Sprintf("/%s%d", top, i), Data: make([]byte, 100), Acl: zk.WorldACL(zk.PermAll)}
		}
		if _, err := c.Multi(ops...); err != nil {
			t.Fatal(err)
		}
	}
	start()
	grow("kept", many)
	status, snapshot, err := pages(t, socket, "GET", "snapshot", nil)
	if err != nil || status != http.StatusOK {
		t.Fatalf("%d %s %v", status, snapshot, err)
	}
	old, restoredTo := s.nodeCount(), map[bool]int{}
	kept := old
	took := 200 * time.Millisecond
	for round := range rounds {
		grow(fmt.Sprintf("r%d-", round), round+1)
		before := s.nodeCount()
		began := time.Now()
		answered := make(chan int, 1)
		go func() {
			status, _, _ := pages(t, socket, "POST", "restore", snapshot)
			answered <- status
		}()
		at := rand.N(took + 1)
		if round%3 == 0 {
			status = <-answered
			took = min(took, time.Since(began))
		} else {
			status = 0
			time.Sleep(at)
		}
		s.signal(os.Kill)
		<-s.exit
		if status == 0 {
			status = <-answered
		} else if status != http.StatusOK {
			t.Fatalf("round %d: %d", round, status)
		}
		start()
		now := s.nodeCount()
		if now != kept && (now != before || status == http.StatusOK) {
			t.Fatalf("round %d: killed after %v of %v, answered %d: %d znodes, not %d, and there were %d", round, at, took,
				status, now, kept, before)
		}
		restoredTo[now == kept]++
	}
	if restoredTo[true] < rounds/3 {
		t.Errorf("%v", restoredTo)
	}
	t.Logf("new data: %d, old data: %d", restoredTo[true], restoredTo[false])
	s.signal(os.Interrupt)
	if code := s.code(); code != 0 {
		t.Errorf("code %d", code)
	}
}
