package daemon

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"go.uber.org/goleak"

	"github.com/zkd-project/zkd/daemon/proto"
)

// restored posts a snapshot; why is the status and reason of a refusal.
func restored(t *testing.T, port int, credentials string, snapshot []byte) (zxid proto.Zxid, why string) {
	t.Helper()
	defer http.DefaultClient.CloseIdleConnections()
	r, err := http.NewRequest("POST", fmt.Sprintf("http://127.0.0.1:%d/commands/restore", port), bytes.NewReader(snapshot))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", credentials)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	var o struct {
		Error    string
		LastZxid int64 `json:"last_zxid"`
	}
	if err := json.Unmarshal(text, &o); err != nil {
		t.Fatalf("%s: %s", answer.Status, text)
	}
	if answer.StatusCode != http.StatusOK {
		why = fmt.Sprintf("%d %s", answer.StatusCode, o.Error)
	}
	return proto.Zxid(o.LastZxid), why
}

// states are the states of a client's session since it was asked for the last time.
func states(events <-chan zk.Event) map[zk.State]bool {
	seen := make(map[zk.State]bool)
	for {
		select {
		case e := <-events:
			seen[e.State] = true
		default:
			return seen
		}
	}
}

// until waits until ok.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// watched connects a client and gives what happens to its session.
func watched(t *testing.T, addr string) (*zk.Conn, <-chan zk.Event) {
	t.Helper()
	c, events, err := zk.Connect([]string{addr}, 20*time.Second, zk.WithLogInfo(false), zk.WithLogger(silent{}))
	if err != nil {
		t.Fatal(err)
	}
	for e := range events {
		if e.State == zk.StateHasSession {
			break
		}
	}
	return c, events
}

// TestRestoreByHTTP goes back to a snapshot under clients. One that has seen what was undone begins anew, and its
// ephemeral of that time is gone; one that has not goes on, and is told of what it watches. So it is after
// another start, too.
func TestRestoreByHTTP(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreAnyFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"))
	port, dir := freePort(t), t.TempDir()
	more := fmt.Sprintf("admin.serverPort=%d\nadmin.serverAddress=127.0.0.1\nadmin.rateLimiterIntervalInMS=0\n", port)
	s := startWith(t, dir, more)
	idle, idleEvents := watched(t, s.addr)
	defer idle.Close()
	if _, _, _, err := idle.ExistsW("/w/then"); err != nil {
		t.Fatal(err)
	}
	session := idle.SessionID()
	c, events := watched(t, s.addr)
	defer c.Close()
	owned(t, c) // with the ephemeral /gone
	if _, err := c.Create("/w/then", []byte("then"), 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	const right = "digest " + rootUser
	file, why := snapshotOf(t, port, right, t.TempDir())
	if why != "" {
		t.Fatal(why)
	}
	snapshot, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before := read(t, file)
	undone, err := c.Create("/w/after", nil, 0, zk.WorldACL(zk.PermAll))
	if err != nil {
		t.Fatal(err)
	}
	_, st, err := c.Exists(undone)
	if err != nil {
		t.Fatal(err)
	}
	seen, old := proto.Zxid(st.Czxid), c.SessionID()
	for credentials, want := range map[string]string{"ip": "403 Not authorized", "digest root:wrong": "403 Not authorized"} {
		if _, why := restored(t, port, credentials, snapshot); why != want {
			t.Errorf("%s: %s", credentials, why)
		}
	}
	if _, why := restored(t, port, right, snapshot[:len(snapshot)-20]); why == "" || why[:3] != "400" {
		t.Errorf("a part of it: %s", why)
	}
	states(events)
	states(idleEvents)
	zxid, why := restored(t, port, right, snapshot)
	if why != "" || zxid != proto.Zxid((before.Zxid.Epoch64()+1)<<32) {
		t.Fatalf("%v %s", zxid, why)
	}
	until(t, "the client begins anew", func() bool { return c.State() == zk.StateHasSession && c.SessionID() != old })
	if ok, _, err := c.Exists(undone); ok || err != nil {
		t.Errorf("what was undone: %v %v", ok, err)
	}
	if ok, _, err := c.Exists("/gone"); ok || err != nil {
		t.Errorf("the ephemeral of who begins anew: %v %v", ok, err)
	}
	if data, st, err := c.Get("/w/then"); err != nil || string(data) != "then" || proto.Zxid(st.Mzxid) > before.Zxid {
		t.Errorf("%q %+v %v", data, st, err)
	}
	if !states(events)[zk.StateExpired] {
		t.Error("the client was not told that its session has expired")
	}
	until(t, "the other one comes back", func() bool { return idle.State() == zk.StateHasSession })
	if ok, _, err := idle.Exists("/w/then"); !ok || err != nil || idle.SessionID() != session || states(idleEvents)[zk.StateExpired] {
		t.Errorf("who has seen nothing that was undone: %v %v %x %x", ok, err, idle.SessionID(), session)
	}
	again, why := snapshotOf(t, port, right, t.TempDir())
	if why != "" {
		t.Fatal(why)
	}
	read(t, again)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s = startWith(t, dir, more)
	defer s.stop()
	if got := comeBack(t, s.addr, session, seen); got != 0 {
		t.Errorf("after another start, who has seen what was undone: %v", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "image-new")); !os.IsNotExist(err) {
		t.Error(err)
	}
}

// comeBack takes a session up, as a client that has seen a zxid, and tells which one it gets.
func comeBack(t *testing.T, addr string, id int64, seen proto.Zxid) proto.SessionID {
	t.Helper()
	r := dialRaw(t, addr)
	password := proto.SessionID(id).Password()
	req := proto.ConnectRequest{
		Timeout: 10000, Session: proto.SessionID(id), Password: password[:], LastZxidSeen: seen, HasReadOnly: true,
	}
	var res proto.ConnectResponse
	if b := r.ask(req.Append(nil)); b == nil || res.Decode(b) != nil {
		t.Fatalf("no answer")
	}
	return res.Session
}

// TestNoRestoreOfAMember: a server of an ensemble keeps what it has.
func TestNoRestoreOfAMember(t *testing.T) {
	e := newTrio(t)
	e.more = "admin.rateLimiterIntervalInMS=0\n"
	for i := range 3 {
		e.admin[i] = freePort(t)
		e.start(i)
		defer e.halt(i)
	}
	for i := range 3 {
		e.await(i)
	}
	c := connect(t, e.addr(0))
	defer c.Close()
	owned(t, c)
	file, why := snapshotOf(t, e.admin[1], "digest "+rootUser, t.TempDir())
	if why != "" {
		t.Fatal(why)
	}
	snapshot, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, why := restored(t, e.admin[i], "digest "+rootUser, snapshot); why[:3] != "409" {
			t.Errorf("server %d: %s", i+1, why)
		}
	}
}
