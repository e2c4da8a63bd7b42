//go:build interop

package interop

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

const (
	loadKeys    = 6
	loadTimeout = 10 * time.Second // of the sessions
)

// load is clients that change and read a few znodes all the time, through all servers,
// and note what they asked and were told. Each checks what it alone can see; check looks
// at all of it.
type load struct {
	c       *cluster
	began   time.Time
	barrier proto.Op // what is in front of a read that must not be stale: sync, or a write
	stop    atomic.Bool
	running sync.WaitGroup
	clients []*client

	mu     sync.Mutex
	ops    []porcupine.Operation
	writes []stamped
	err    error

	expired int
	moves   int
}

// client is one of the load: a session, on one server at a time.
type client struct {
	l        *load
	id       int
	rnd      *rand.Rand
	at       int           // the server
	patience time.Duration // how long it waits for an answer before it goes elsewhere
	conn     *session
	where    string // the server it is connected to, and that one's role
	barrier  proto.Op
	session  proto.SessionID
	passwd   []byte
	xid      int32
	zxid     proto.Zxid         // the last one seen
	watched  map[int]proto.Zxid // keys with a data watch, and their mzxid then
	maybe    []maybe            // without an answer yet that would end them
	asked    time.Duration      // when the last write that was answered had been sent
	own      string             // the ephemeral that this session has
	sure     bool               // that it is there
	doomed   string             // the ephemeral that it has asked to delete
	serial   int                // of ephemerals and values
	progress atomic.Int64       // when the last write that was answered had been sent
}

// asked is a request on its way.
type asked struct {
	in   input
	op   proto.Op
	xid  int32
	call time.Duration
}

// maybe is a request of which nobody knows what has become of it.
type maybe struct {
	in   input
	call time.Duration
}

// load starts n clients.
func (c *cluster) load(n int, barrier proto.Op) *load {
	l := &load{c: c, began: time.Now(), barrier: barrier}
	l.prepare()
	for i := range n {
		cl := &client{l: l, id: i, at: i % len(c.servers), rnd: rand.New(rand.NewPCG(uint64(i), uint64(time.Now().UnixNano())))}
		cl.patience = []time.Duration{300 * time.Millisecond, time.Second, 3 * time.Second}[i%3]
		l.clients = append(l.clients, cl)
	}
	for _, cl := range l.clients {
		l.running.Go(cl.run)
	}
	for i := range c.servers {
		l.running.Go(func() { l.witness(i) })
	}
	return l
}

// witness looks at the ephemerals of the load through one server: each comes once, and
// goes once after that.
func (l *load) witness(at int) {
	came, gone := make(map[string]bool), make(map[string]bool)
	for ; !l.stop.Load(); time.Sleep(10 * time.Millisecond) {
		s, err := dial(l.c.servers[at].addr, 10000, 0, nil)
		if err != nil || s.id == 0 {
			continue
		}
		s.send(jute.AppendInt(header(1, proto.OpAddWatch, "/e"), proto.AddWatchPersistentRecursive))
		for !l.stop.Load() {
			f, err := s.await(time.Second)
			if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
				s.ping()
				if f, err = s.await(4 * time.Second); err == nil && len(f) < 20 {
					continue
				}
			}
			if err != nil {
				break
			}
			d := jute.NewDecoder(f)
			if d.Int() != proto.XidNotification {
				continue
			}
			d.Long()
			d.Int()
			event, _, path := proto.EventType(d.Int()), d.Int(), string(d.Buffer())
			switch {
			case event == proto.EventNodeCreated && !came[path] && !gone[path]:
				came[path] = true
			case event == proto.EventNodeDeleted && !gone[path]:
				gone[path] = true
			case path != "/e":
				l.fail("server %d: %s: event %v, after it had come: %v, gone: %v", at+1, path, event, came[path], gone[path])
			}
		}
		s.c.Close()
	}
}

// prepare makes the znodes that are not part of the history.
func (l *load) prepare() {
	l.c.t.Helper()
	for range 100 {
		s, err := dial(l.c.servers[0].addr, 10000, 0, nil)
		if err == nil && s.id != 0 {
			defer s.c.Close()
			for i, path := range []string{"/k", "/e", "/b"} {
				s.send(createFrame(int32(i+1), path, nil, 0))
				if _, err := s.frame(); err != nil {
					l.c.t.Fatal(err)
				}
			}
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	l.c.t.Fatal("nobody takes a session")
}

func createFrame(xid int32, path string, data []byte, flags int32) []byte {
	b := jute.AppendBuffer(header(xid, proto.OpCreate, path), data)
	return jute.AppendInt(proto.AppendACLs(b, proto.OpenACLUnsafe), flags)
}

func (l *load) now() time.Duration { return time.Since(l.began) }

// fail notes what is wrong and ends the load.
func (l *load) fail(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = fmt.Errorf(format, args...)
	}
	l.stop.Store(true)
}

func (cl *client) fail(format string, args ...any) {
	cl.l.fail("client %d, session %v, on server %d (%s), %v after the start: %s", cl.id, cl.session, cl.at+1,
		cl.l.c.servers[cl.at].name, cl.l.now(), fmt.Sprintf(format, args...))
}

func (cl *client) run() {
	for !cl.l.stop.Load() {
		if !cl.connect() {
			cl.at = (cl.at + 1) % len(cl.l.c.servers)
			time.Sleep(time.Duration(1+cl.rnd.IntN(10)) * time.Millisecond)
			continue
		}
		for !cl.l.stop.Load() && cl.round() {
			time.Sleep(time.Duration(cl.rnd.IntN(4)) * time.Millisecond)
		}
		cl.conn.c.Close()
		if !cl.l.stop.Load() {
			cl.at = (cl.at + 1) % len(cl.l.c.servers)
			cl.l.mu.Lock()
			cl.l.moves++
			cl.l.mu.Unlock()
		}
	}
}

// connect takes the session up, or a new one, at the client's server.
func (cl *client) connect() bool {
	s, err := greet(cl.l.c.servers[cl.at].addr, &proto.ConnectRequest{
		LastZxidSeen: cl.zxid, Timeout: int32(loadTimeout.Milliseconds()), Session: cl.session, Password: cl.passwd, HasReadOnly: true,
	}, cl.patience)
	if err != nil {
		return false
	}
	cl.conn = s
	cl.placed()
	if s.id == 0 {
		s.c.Close()
		if silent := cl.l.now() - cl.asked; silent < loadTimeout {
			cl.fail("the session has expired, %v after it had sent a write that was answered", silent)
		}
		cl.over()
		cl.l.mu.Lock()
		cl.l.expired++
		cl.l.mu.Unlock()
		return false
	}
	if cl.session == 0 {
		cl.asked, cl.xid, cl.watched = cl.l.now(), 0, make(map[int]proto.Zxid)
	}
	cl.session, cl.passwd = s.id, s.passwd
	if len(cl.watched) == 0 {
		return true
	}
	b := jute.AppendInt(jute.AppendInt(nil, proto.XidSetWatches), int32(proto.OpSetWatches))
	b = jute.AppendInt(jute.AppendLong(b, int64(cl.zxid)), int32(len(cl.watched)))
	for k := range cl.watched {
		b = jute.AppendString(b, keyPath(k))
	}
	return s.send(jute.AppendInt(jute.AppendInt(b, 0), 0)) == nil
}

// placed notes where the client is now. A server that changes its role closes its connections, so it stays what it is.
func (cl *client) placed() {
	p := cl.l.c.servers[cl.at]
	cl.where, cl.barrier = fmt.Sprintf("server %d, %s", cl.at+1, p.name), cl.l.barrier
	if p.name == "zkd" {
		return
	}
	mode := p.mode()
	cl.where += ", " + mode
	if mode != "follower" && mode != "observer" {
		// A sync at a leader of Apache's does not wait for what is committed and not yet applied there: its
		// CommitProcessor passes it as it does reads, while the others have been told already.
		cl.barrier = proto.OpSetData
	}
}

// over is the end of the session.
func (cl *client) over() {
	cl.settle(cl.l.now())
	cl.session, cl.passwd, cl.own, cl.sure = 0, nil, "", false
}

// settle ends the requests that had no answer: whatever has become of them became so
// before end.
func (cl *client) settle(end time.Duration) {
	cl.l.mu.Lock()
	defer cl.l.mu.Unlock()
	for _, m := range cl.maybe {
		cl.l.ops = append(cl.l.ops, porcupine.Operation{
			ClientId: cl.id, Input: m.in, Call: int64(m.call), Output: output{unknown: true}, Return: int64(end),
		})
	}
	cl.maybe = nil
}

// round sends a few requests and takes their answers. It returns false when the
// connection is gone.
func (cl *client) round() bool {
	var all []asked
	for range 1 + cl.rnd.IntN(3) {
		all = append(all, cl.choose()...)
	}
	leave := cl.rnd.IntN(300)
	if leave == 0 {
		cl.xid++
		all = append(all, asked{op: proto.OpCloseSession, xid: cl.xid, call: cl.l.now()})
	}
	var b []byte
	for i := range all {
		all[i].call = cl.l.now()
		b = append(b, frame(cl.encode(&all[i]))...)
	}
	_, err := cl.conn.c.Write(b)
	for len(all) > 0 && err == nil {
		var done bool
		if done, err = cl.take(&all[0]); done {
			all = all[1:]
		}
	}
	for _, a := range all {
		if a.in.kind != 0 && a.in.kind != kindGet {
			cl.maybe = append(cl.maybe, maybe{a.in, a.call})
		}
		if a.op == proto.OpCloseSession {
			leave = 1 // it may be closed or not: not worth the trouble to find out
			cl.abandon()
		}
	}
	if err == nil && leave == 0 {
		cl.over()
		return false
	}
	if leave == 1 { // and some clients just go away
		cl.abandon()
		return false
	}
	return err == nil
}

// abandon leaves the session to expire. What it asked last may still come to be.
func (cl *client) abandon() {
	if cl.session == 0 {
		return
	}
	cl.settle(time.Hour)
	cl.over()
}

func frame(b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }

func keyPath(k int) string { return fmt.Sprintf("/k/%d", k) }

// choose makes up what is asked next.
func (cl *client) choose() []asked {
	next := func(op proto.Op, in input) asked {
		cl.xid++
		return asked{in: in, op: op, xid: cl.xid}
	}
	cl.serial++
	in := input{key: cl.rnd.IntN(loadKeys), version: -1, value: fmt.Sprintf("%d-%d", cl.id, cl.serial)}
	if cl.rnd.IntN(2) == 0 {
		in.version = int32(cl.rnd.IntN(4))
	}
	switch n := cl.rnd.IntN(20); {
	case n < 4:
		in.kind, in.version = kindCreate, 0
		return []asked{next(proto.OpCreate, in)}
	case n < 9:
		in.kind = kindSet
		return []asked{next(proto.OpSetData, in)}
	case n < 11:
		in.kind = kindDelete
		return []asked{next(proto.OpDelete, in)}
	case n < 12:
		return []asked{next(proto.OpCreate2, input{value: fmt.Sprintf("/e/%d-%d", cl.id, cl.serial)})}
	case n < 16: // any state that is not older than what was seen will do
		return []asked{next(proto.OpGetData, input{key: in.key, version: int32(n % 2)})}
	}
	in.kind = kindGet
	return []asked{next(cl.barrier, input{key: -1}), next(proto.OpGetData, in)}
}

func (cl *client) encode(a *asked) []byte {
	switch a.op {
	case proto.OpCloseSession:
		return jute.AppendInt(jute.AppendInt(nil, a.xid), int32(a.op))
	case proto.OpSync:
		return header(a.xid, a.op, "/")
	case proto.OpCreate2: // an ephemeral
		if cl.own != "" { // the old one goes first
			a.op, a.in.value, cl.sure, cl.doomed = proto.OpDelete, cl.own, false, cl.own
			return jute.AppendInt(header(a.xid, a.op, a.in.value), -1)
		}
		cl.own = a.in.value
		a.op = proto.OpCreate
		return createFrame(a.xid, a.in.value, nil, 1)
	case proto.OpGetData:
		return jute.AppendBool(header(a.xid, a.op, keyPath(a.in.key)), a.in.version == 1)
	case proto.OpCreate:
		return createFrame(a.xid, keyPath(a.in.key), []byte(a.in.value), 0)
	case proto.OpDelete:
		return jute.AppendInt(header(a.xid, a.op, keyPath(a.in.key)), a.in.version)
	}
	if a.in.key < 0 { // a write that is a barrier
		return jute.AppendInt(jute.AppendBuffer(header(a.xid, a.op, "/b"), nil), -1)
	}
	return jute.AppendInt(jute.AppendBuffer(header(a.xid, a.op, keyPath(a.in.key)), []byte(a.in.value)), a.in.version)
}

// take takes an event, or the reply to a.
func (cl *client) take(a *asked) (done bool, err error) {
	f, err := cl.conn.await(cl.patience)
	if err != nil {
		return false, err
	}
	d := jute.NewDecoder(f)
	xid, zxid, code := d.Int(), proto.Zxid(d.Long()), proto.ErrCode(d.Int())
	switch {
	case xid == proto.XidNotification:
		cl.event(&d)
		return false, nil
	case xid == proto.XidSetWatches:
		return false, nil
	case xid != a.xid:
		cl.fail("reply %d where that to request %d, %v, should come", xid, a.xid, a.op)
	case zxid < cl.zxid:
		cl.fail("the reply to %v has zxid %v, and there was a reply with %v before", a.op, zxid, cl.zxid)
	case code == proto.ErrSessionMoved, code == proto.ErrSessionExpired:
		return false, fmt.Errorf("%v", code) // it is for the next connection to find out
	}
	cl.zxid = zxid
	cl.reply(a, zxid, code, &d)
	return true, nil
}

// event takes the event of a data watch.
func (cl *client) event(d *jute.Decoder) {
	d.Int()
	d.Int()
	path := string(d.Buffer())
	for k := range cl.watched {
		if keyPath(k) == path {
			delete(cl.watched, k)
			return
		}
	}
	cl.fail("an event of %s, which has no watch", path)
}

// reply looks at a reply alone and notes it.
func (cl *client) reply(a *asked, zxid proto.Zxid, code proto.ErrCode, d *jute.Decoder) {
	end := cl.l.now()
	out := output{code: code}
	if a.op != proto.OpGetData {
		cl.asked = max(cl.asked, a.call)
		cl.progress.Store(int64(a.call))
		cl.settle(end)
	}
	if a.in.kind == 0 && a.op != proto.OpGetData {
		switch a.op {
		case proto.OpDelete:
			cl.own = ""
		case proto.OpCreate:
			cl.sure = code == proto.ErrOK && cl.doomed != a.in.value
		}
		return
	}
	seen := proto.Zxid(0)
	if code == proto.ErrOK {
		switch a.op {
		case proto.OpGetData:
			out.value = string(d.Buffer())
			st := proto.DecodeStat(d)
			out.version, seen = st.Version, st.Mzxid
		case proto.OpSetData:
			st := proto.DecodeStat(d)
			out.version, seen = st.Version, st.Mzxid
		case proto.OpDelete:
			seen = zxid
		}
	}
	if was, watched := cl.watched[a.in.key]; watched && (seen > was || a.op == proto.OpGetData && code == proto.ErrNoNode) {
		cl.fail("the reply to %v of %s shows a change at %v before its event: the watch was set at %v",
			a.op, keyPath(a.in.key), seen, was)
	}
	if a.op == proto.OpGetData && a.in.version == 1 && code == proto.ErrOK {
		cl.watched[a.in.key] = seen
	}
	if a.in.kind == 0 {
		return
	}
	cl.l.mu.Lock()
	defer cl.l.mu.Unlock()
	cl.l.ops = append(cl.l.ops, porcupine.Operation{
		ClientId: cl.id, Input: a.in, Call: int64(a.call), Output: out, Return: int64(end), Metadata: cl.where,
	})
	if a.in.kind != kindGet {
		cl.l.writes = append(cl.l.writes, stamped{zxid: zxid, call: a.call, end: end})
	}
}

// flows waits until every client has had a write answered that it sent from now on.
func (l *load) flows() time.Duration {
	l.c.t.Helper()
	since := l.now()
	late := func(cl *client) bool { return cl.progress.Load() <= int64(since) }
	for deadline := time.Now().Add(40 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if l.stop.Load() || !slices.ContainsFunc(l.clients, late) {
			return l.now() - since
		}
	}
	l.c.t.Fatalf("a client has had no write answered for %v", l.now()-since)
	return 0
}
