package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/zkd-project/zkd/daemon/cnxn"
	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zab"
)

func TestMain(m *testing.M) {
	// goleveldb's buffer pool takes a second after Close to end its goroutine.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"))
}

// patience bounds every wait of these tests; nothing takes so long unless it hangs.
const patience = 20 * time.Second

// anyone takes every identity for granted.
type anyone struct{}

func (anyone) Matches(have, want proto.ID) bool { return have == want }
func (anyone) Valid(proto.ID) bool              { return true }
func (anyone) Authenticated(string) bool        { return true }
func (anyone) User(id proto.ID) string          { return id.ID }
func (anyone) Satisfied([]proto.ID) bool        { return true }
func (anyone) Authenticate(string, []byte, proto.ID) ([]proto.ID, proto.ErrCode) {
	return nil, proto.ErrOK
}

// checked is a replica that panics when it is stepped by two goroutines at a time.
type checked struct {
	*replica.Replica
	inside atomic.Int32
	inputs atomic.Int64
}

func (c *checked) enter() func() {
	if c.inside.Add(1) != 1 {
		panic("the replica is stepped by two goroutines")
	}
	return func() { c.inside.Add(-1) }
}

func (c *checked) Connect(now replica.Now, conn *replica.Conn) {
	defer c.enter()()
	c.Replica.Connect(now, conn)
}

func (c *checked) Input(now replica.Now, conn *replica.Conn, frame []byte) {
	defer c.enter()()
	c.inputs.Add(1)
	c.Replica.Input(now, conn, frame)
}

func (c *checked) Disconnect(conn *replica.Conn) {
	defer c.enter()()
	c.Replica.Disconnect(conn)
}

func (c *checked) Durable(now replica.Now, pos uint64) {
	defer c.enter()()
	c.Replica.Durable(now, pos)
}

func (c *checked) Tick(now replica.Now) {
	defer c.enter()()
	c.Replica.Tick(now)
}

func (c *checked) Effects(e *replica.Effects) {
	defer c.enter()()
	c.Replica.Effects(e)
}

// memLog is a log in memory. It fails when something is appended out of order, or by two
// goroutines at a time.
type memLog struct {
	t       testing.TB
	mu      sync.Mutex
	last    proto.Zxid
	appends int
	errs    []error       // returned by the next appends, one each
	gate    chan struct{} // if not nil, appends wait for its closing
	busy    atomic.Int32
}

func (l *memLog) Append(b *proto.LogBatch) error {
	if l.busy.Add(1) != 1 {
		l.t.Error("two appends at a time")
	}
	defer l.busy.Add(-1)
	l.mu.Lock()
	gate := l.gate
	l.mu.Unlock()
	if gate != nil {
		<-gate
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.appends++
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		return err
	}
	for i, e := range b.Entries {
		var txn proto.Txn
		if err := txn.Decode(b.Txn(i)); err != nil || txn.Zxid != e.Zxid || e.Zxid != l.last+1 {
			l.t.Errorf("entry %v after %v holds %v, %v", e.Zxid, l.last, txn.Zxid, err)
		}
		l.last = e.Zxid
	}
	return nil
}

func (*memLog) SetHardState(store.HardState) error    { return nil }
func (*memLog) TruncateAfter(proto.Zxid) error        { return nil }
func (*memLog) Healed() error                         { return nil }
func (*memLog) Install() (*store.Installation, error) { return nil, errors.New("nothing to install") }

// hold makes appends wait for what it returns to be called.
func (l *memLog) hold() (release func()) {
	gate := make(chan struct{})
	l.mu.Lock()
	l.gate = gate
	l.mu.Unlock()
	return func() { close(gate) }
}

// fail makes the next appends return err.
func (l *memLog) fail(err error, times int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range times {
		l.errs = append(l.errs, err)
	}
}

func (l *memLog) Status() store.Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return store.Status{LastLogged: l.last, Syncs: int64(l.appends)}
}

// memImage counts what is written to it.
type memImage struct {
	mu     sync.Mutex
	zxid   proto.Zxid
	writes int
	errs   []error
}

func (m *memImage) NewImageBatch() *store.ImageBatch { return new(store.ImageBatch) }

func (m *memImage) Hurry(bool) {}

func (m *memImage) WriteImage(_ *store.ImageBatch, zxid proto.Zxid) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	if len(m.errs) > 0 {
		err := m.errs[0]
		m.errs = m.errs[1:]
		return err
	}
	m.zxid = zxid
	return nil
}

func (m *memImage) at() proto.Zxid {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.zxid
}

// rig is a server on loopback with a real replica, and a log and an image in memory.
type rig struct {
	t       testing.TB
	s       *Server
	log     *memLog
	image   *memImage
	replica *checked
	halt    context.CancelFunc
	ended   chan struct{}
	err     error // of Run; good once ended is closed
}

func quietLog() logrus.FieldLogger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}

func newReplica(t *tree.Tree) *replica.Replica {
	return replica.New(replica.Config{
		ServerID: 1, TickTime: 1000, MinTimeout: 1000, MaxTimeout: 60_000,
		ReapInterval: 60_000, ReapPerMinute: 1000, Auth: anyone{},
	}, Now(), t, zab.Recovered{})
}

// newRig makes a rig; change, which may be nil, is called before it starts.
func newRig(t testing.TB, o Options, change func(*rig)) *rig {
	t.Helper()
	o.Log = quietLog()
	o.Ports.Addresses, o.Ports.Log = []string{"127.0.0.1:0"}, o.Log
	o.FourLetter = func(_ *cnxn.Conn, word string, _ []byte) ([]byte, bool) { return []byte("imok"), word == "ruok" }
	o.Replica = newReplica(tree.New(tree.Options{Match: anyone{}}))
	if err := o.setDefaults(); err != nil {
		t.Fatal(err)
	}
	r := &rig{
		t: t, s: newServer(o), log: &memLog{t: t}, image: &memImage{},
		replica: &checked{Replica: o.Replica}, ended: make(chan struct{}),
	}
	r.s.step.replica, r.s.image.tree = r.replica, o.Replica.Tree()
	r.s.log.store, r.s.image.store = r.log, r.image
	if change != nil {
		change(r)
	}
	if err := r.s.listen(); err != nil {
		t.Fatal(err)
	}
	ctx, halt := context.WithCancel(context.Background())
	r.halt = halt
	ready := make(chan struct{})
	go func() {
		r.err = r.s.Run(ctx, func() { close(ready) })
		close(r.ended)
	}()
	<-ready
	t.Cleanup(func() { r.stop() })
	return r
}

// stop ends the server and returns what Run returned.
func (r *rig) stop() error {
	r.halt()
	select {
	case <-r.ended:
	case <-time.After(patience):
		r.t.Fatal("the server does not stop")
	}
	return r.err
}

// until waits until ok holds.
func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	for limit := time.Now().Add(patience); !ok(); {
		if time.Now().After(limit) {
			r.t.Fatalf("waited in vain for: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// user is a client of the rig.
type user struct {
	t testing.TB
	net.Conn
	session proto.ConnectResponse
}

// raw opens a connection without a session.
func (r *rig) raw() *user {
	r.t.Helper()
	c, err := net.Dial("tcp", r.s.Addrs()[0].String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		r.t.Fatal(err)
	}
	return &user{t: r.t, Conn: c}
}

// user opens a connection with a session.
func (r *rig) user() *user {
	r.t.Helper()
	u := r.raw()
	u.hello(proto.ConnectRequest{Timeout: 30_000, Password: make([]byte, 16)})
	return u
}

func (u *user) hello(req proto.ConnectRequest) {
	u.t.Helper()
	u.send(framed(req.Append(nil)))
	if err := u.session.Decode(u.frame()); err != nil {
		u.t.Fatal(err)
	}
}

func framed(b []byte) []byte { return append(jute.AppendInt(nil, int32(len(b))), b...) }

// send writes, and begins all waiting anew.
func (u *user) send(b []byte) {
	u.t.Helper()
	if err := u.SetDeadline(time.Now().Add(patience)); err != nil {
		u.t.Fatal(err)
	}
	if _, err := u.Write(b); err != nil {
		u.t.Fatal(err)
	}
}

// frame reads one frame.
func (u *user) frame() []byte {
	u.t.Helper()
	b, err := u.readFrame()
	if err != nil {
		u.t.Fatalf("reading a frame: %v", err)
	}
	return b
}

func (u *user) readFrame() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(u, head[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	_, err := io.ReadFull(u, b)
	return b, err
}

// want reads a reply and checks its header; it returns the body.
func (u *user) want(xid int32, code proto.ErrCode) []byte {
	u.t.Helper()
	d := jute.NewDecoder(u.frame())
	if got, _, err := d.Int(), d.Long(), proto.ErrCode(d.Int()); got != xid || err != code {
		u.t.Fatalf("got a reply to %d with code %d, want %d with %d", got, err, xid, code)
	}
	return d.Rest()
}

func request(xid int32, op proto.Op) []byte {
	return jute.AppendInt(jute.AppendInt(nil, xid), int32(op))
}

func get(xid int32, path string) []byte {
	return framed(jute.AppendBool(jute.AppendString(request(xid, proto.OpGetData), path), false))
}

func set(xid int32, path string, data []byte) []byte {
	b := jute.AppendBuffer(jute.AppendString(request(xid, proto.OpSetData), path), data)
	return framed(jute.AppendInt(b, -1))
}

func create(xid int32, path string, data []byte) []byte {
	b := jute.AppendBuffer(jute.AppendString(request(xid, proto.OpCreate), path), data)
	b = jute.AppendInt(jute.AppendInt(b, 1), 31)
	b = jute.AppendString(jute.AppendString(b, "world"), "anyone")
	return framed(jute.AppendInt(b, 0))
}

func ping() []byte { return framed(request(proto.XidPing, proto.OpPing)) }

// dataOf takes the data off the front of a getData reply's body.
func dataOf(body []byte) []byte {
	d := jute.NewDecoder(body)
	return d.Buffer()
}

// wantEnd checks that the connection is closed without another byte.
func (u *user) wantEnd() {
	u.t.Helper()
	b, err := u.readFrame()
	var ne net.Error
	if err == nil || errors.As(err, &ne) && ne.Timeout() {
		u.t.Fatalf("got %x and %v, want the end of the connection", b, err)
	}
}

// quiet checks that nothing has come up to now: pinged is another connection, on which a
// ping has been answered meanwhile.
func (u *user) quiet(other *user) {
	u.t.Helper()
	other.send(ping())
	other.want(proto.XidPing, proto.ErrOK)
	if err := u.SetReadDeadline(time.Now().Add(5 * time.Millisecond)); err != nil {
		u.t.Fatal(err)
	}
	if n, err := u.Read(make([]byte, 1)); n != 0 || err == nil {
		u.t.Fatal("got something that must not have been sent yet")
	}
	if err := u.SetReadDeadline(time.Now().Add(patience)); err != nil {
		u.t.Fatal(err)
	}
}

var hundred = bytes.Repeat([]byte("x"), 100)
