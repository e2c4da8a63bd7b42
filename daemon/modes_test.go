package daemon

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"go.uber.org/goleak"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// raw is a connection on which frames are sent by hand.
type raw struct {
	t    *testing.T
	conn net.Conn
}

func dialRaw(t *testing.T, addr string) *raw {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &raw{t, conn}
}

// ask sends a frame and returns the next one, nil if the connection ends.
func (r *raw) ask(frame []byte) []byte {
	r.t.Helper()
	if _, err := r.conn.Write(append(jute.AppendInt(nil, int32(len(frame))), frame...)); err != nil {
		return nil
	}
	r.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	var head [4]byte
	if _, err := io.ReadFull(r.conn, head[:]); err != nil {
		return nil
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(r.conn, b); err != nil {
		return nil
	}
	return b
}

// open connects a client; the answer is zero if the server ends the connection.
func (r *raw) open(readOnly bool) (res proto.ConnectResponse) {
	r.t.Helper()
	req := proto.ConnectRequest{Timeout: 10000, ReadOnly: readOnly, HasReadOnly: true}
	if b := r.ask(req.Append(nil)); b != nil {
		if err := res.Decode(b); err != nil {
			r.t.Fatal(err)
		}
	}
	return res
}

// code is the error of a reply.
func (r *raw) code(frame []byte) proto.ErrCode {
	r.t.Helper()
	b := r.ask(frame)
	if len(b) < 16 {
		r.t.Fatal("the connection ends without a reply")
	}
	return proto.ErrCode(binary.BigEndian.Uint32(b[12:]))
}

func request(op proto.Op, path string) []byte {
	return jute.AppendString(jute.AppendInt(jute.AppendInt(nil, 1), int32(op)), path)
}

func (e *trio) expect(i int, what string, ok func() bool) {
	e.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	e.t.Fatalf("server %d: %s; it says\n%s", i+1, what, e.word(i, "mntr"))
}

// has waits until mntr has a line.
func (e *trio) has(i int, line string) {
	e.t.Helper()
	e.expect(i, "mntr has no "+line, func() bool { return strings.Contains(e.word(i, "mntr"), "zk_"+line+"\n") })
}

// TestSessionsAndModes has local sessions become global, and a server without a quorum
// serve clients that only read.
func TestSessionsAndModes(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreAnyFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"))
	e := newTrio(t)
	e.more = "localSessionsEnabled=true\nlocalSessionsUpgradingEnabled=true\nreadonlymode.enabled=true\nleaderServes=no\n"
	for i := range 3 {
		e.start(i)
	}
	leader := e.leader(0, 1, 2)
	a, b := (leader+1)%3, (leader+2)%3
	if got := e.word(leader, "isro"); got != "null" {
		t.Errorf("the leader, which takes no clients, answers isro with %q", got)
	}
	if res := dialRaw(t, e.addr(leader)).open(true); res.Session != 0 {
		t.Errorf("the leader takes a client: %+v", res)
	}

	c, all := connect(t, e.addr(a)), zk.WorldACL(zk.PermAll)
	e.has(a, "local_sessions\t1")
	e.has(a, "global_sessions\t0")
	if !strings.Contains(e.word(a, "dump"), "Local Session Sets (1)/(1):") {
		t.Errorf("dump: %s", e.word(a, "dump"))
	}
	if _, err := c.Create("/a", []byte("data"), 0, all); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Create("/e", nil, zk.FlagEphemeral, all); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		e.has(i, "global_sessions\t1")
		e.has(i, "local_sessions\t0")
		e.has(i, "ephemerals_count\t1")
	}
	c.Close()
	e.has(b, "ephemerals_count\t0")

	e.halt(leader)
	e.halt(b)
	e.expect(a, "is not read-only", func() bool { return e.mode(a) == "read-only" })
	if got := e.word(a, "isro"); got != "ro" {
		t.Errorf("isro: %q", got)
	}
	if !strings.Contains(e.word(a, "srvr"), "READ-ONLY mode; serving only read-only clients\n") {
		t.Errorf("srvr: %s", e.word(a, "srvr"))
	}
	if res := dialRaw(t, e.addr(a)).open(false); res.Session != 0 {
		t.Errorf("a client that wants to write is taken: %+v", res)
	}
	r := dialRaw(t, e.addr(a))
	if res := r.open(true); res.Session == 0 || !res.ReadOnly {
		t.Errorf("a client that only reads gets %+v", res)
	}
	get := append(request(proto.OpGetData, "/a"), 0)
	if code := r.code(get); code != proto.ErrOK {
		t.Errorf("a read gets %v", code)
	}
	if code := r.code(jute.AppendInt(request(proto.OpDelete, "/a"), -1)); code != proto.ErrNotReadOnly {
		t.Errorf("a write gets %v", code)
	}

	e.start(leader)
	e.expect(a, "does not come to serve", func() bool { m := e.mode(a); return m == "leader" || m == "follower" })
	if b := r.ask(get); b != nil {
		t.Errorf("the read-only connection goes on: %x", b)
	}
	at := a
	if e.mode(a) == "leader" {
		at = leader
	}
	if got := e.word(at, "isro"); got != "rw" {
		t.Errorf("isro: %q", got)
	}
	c = connect(t, e.addr(at))
	if _, _, err := c.Get("/a"); err != nil {
		t.Error(err)
	}
	c.Close()
	e.halt(a)
	e.halt(leader)
}
