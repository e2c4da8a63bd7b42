package cnxn

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zkd-project/zkd/daemon/proto"
)

func TestEcho(t *testing.T) {
	p := serve(t, Options{}, newEcho())
	c := dial(t, p)
	for _, n := range []int{0, 1, 500, 70_000, DefaultMaxFrame} {
		want := bytes.Repeat([]byte{7}, n)
		send(t, c, frameOf(want))
		if got := receive(t, c); !bytes.Equal(got, want) {
			t.Fatalf("a frame of %d bytes came back different", n)
		}
	}
	if st := p.Stats(); st.Received != 5 || st.Sent != 5 || st.Accepted != 1 || st.Connections != 1 {
		t.Errorf("counted %+v", st)
	}
	p.Visit(func(c *Conn) {
		if n := c.Counters(); n.Received != 5 || n.Sent != 5 || n.Paused {
			t.Errorf("counted %+v of the connection", n)
		}
	})
}

func TestLengthOutOfRangeClosesWithoutReply(t *testing.T) {
	for _, n := range []uint32{0xffffffff, DefaultMaxFrame + 1} {
		e := newEcho()
		p := serve(t, Options{}, e)
		c := dial(t, p)
		send(t, c, binary.BigEndian.AppendUint32(nil, n))
		wantEnd(t, c)
		if st := p.Stats(); st.BadFrames != 1 {
			t.Errorf("counted %d bad frames", st.BadFrames)
		}
		e.until(t, "no connection was announced", func() bool { return e.opened == 0 })
	}
}

func TestLimits(t *testing.T) {
	e := newEcho()
	p := serve(t, Options{Limits: Limits{PerIP: 2}}, e)
	a, _ := dial(t, p), dial(t, p)
	wantEnd(t, dial(t, p))
	p.SetLimits(Limits{Total: 3})
	dial(t, p)
	wantEnd(t, dial(t, p))
	a.Close()
	e.until(t, "the closed connection was counted out", func() bool { return p.Stats().Connections == 2 })
	c := dial(t, p)
	send(t, c, frameOf([]byte("hello")))
	receive(t, c)
	if st := p.Stats(); st.RefusedIP != 1 || st.RefusedAll != 1 || st.Accepted != 4 {
		t.Errorf("counted %+v", st)
	}
}

// TestDescriptorsAreLeft: clients must not use up those that the log and other servers' connections need.
func TestDescriptorsAreLeft(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	next := int(f.Fd())
	f.Close()
	e := newEcho()
	p := serve(t, Options{MaxFiles: next + 20}, e) // this test's ends of the connections count, too
	var conns []net.Conn
	for len(conns) < 20 && p.Stats().RefusedAll == 0 {
		conns = append(conns, dial(t, p))
		send(t, conns[len(conns)-1], frameOf(nil))
		if _, err := conns[len(conns)-1].Read(make([]byte, 4)); err != nil {
			break
		}
	}
	if n := len(conns); n < 2 || n > 11 || p.Stats().RefusedAll != 1 {
		t.Fatalf("%d connections, and %+v", n, p.Stats())
	}
	for _, c := range conns {
		c.Close()
	}
	e.until(t, "the closed connections were counted out", func() bool { return p.Stats().Connections == 0 })
	c := dial(t, p)
	send(t, c, frameOf([]byte("room again")))
	receive(t, c)
}

func TestFirstFrameInTime(t *testing.T) {
	e := newEcho()
	p := serve(t, Options{FirstFrame: 50 * time.Millisecond}, e)
	good, silent, half := dial(t, p), dial(t, p), dial(t, p)
	send(t, good, frameOf([]byte("in time")))
	receive(t, good)
	send(t, half, []byte{0, 0})
	wantEnd(t, silent)
	wantEnd(t, half)
	send(t, good, frameOf([]byte("still there")))
	receive(t, good)
	if st := p.Stats(); st.Late != 2 {
		t.Errorf("counted %d late connections", st.Late)
	}
}

// TestLastReplyArrives sends far more than the server looks at, so that a plain close
// would reset the connection and destroy the reply.
func TestLastReplyArrives(t *testing.T) {
	e := newEcho()
	reply := bytes.Repeat([]byte("sorry "), 50_000)
	e.onFrame = func(c *Conn, _ []byte) {
		if c.Owner != nil {
			return
		}
		c.Owner = e
		e.out.Begin()
		e.out.B = append(e.out.B, reply...)
		e.out.End()
		c.Queue(&e.out)
		c.CloseAfterFlush()
	}
	p := serve(t, Options{}, e)
	for range 20 {
		c := dial(t, p)
		send(t, c, bytes.Repeat(frameOf(make([]byte, 1000)), 200))
		if got := receive(t, c); !bytes.Equal(got, reply) {
			t.Fatalf("the reply has %d bytes of %d", len(got), len(reply))
		}
		if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Fatalf("got %d bytes and %v after the last reply", n, err)
		}
		c.Close()
	}
	e.until(t, "all connections are closed", func() bool { return e.closed == 20 })
}

// TestPeerThatNeverCloses leaves the last step of a close to the server.
func TestPeerThatNeverCloses(t *testing.T) {
	e := newEcho()
	e.onFrame = func(c *Conn, _ []byte) { c.CloseAfterFlush() }
	p := serve(t, Options{ClosePeriod: 50 * time.Millisecond}, e)
	c := dial(t, p)
	send(t, c, frameOf([]byte("x")))
	e.until(t, "the connection is closed", func() bool { return e.closed == 1 })
	wantEnd(t, c)
}

func TestAbort(t *testing.T) {
	e := newEcho()
	e.onFrame = func(c *Conn, _ []byte) { c.Abort() }
	p := serve(t, Options{}, e)
	c := dial(t, p)
	send(t, c, frameOf([]byte("x")))
	wantEnd(t, c)
	e.until(t, "the connection is closed", func() bool { return e.closed == 1 })
}

// TestSlowReader has replies pile up until input waits, and then reads everything.
func TestSlowReader(t *testing.T) {
	const requests, size = 400, 64 << 10
	e := newEcho()
	n := uint32(0)
	e.onFrame = func(_ *Conn, _ []byte) {
		e.out.Begin()
		e.out.B = binary.BigEndian.AppendUint32(e.out.B, n)
		e.out.B = append(e.out.B, make([]byte, size)...)
		e.out.End()
		n++
	}
	p := serve(t, Options{QueueSoft: 1 << 20, QueueHard: 64 << 20}, e)
	c := dial(t, p)
	go func() {
		for range requests {
			if _, err := c.Write(frameOf(make([]byte, 16<<10))); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	e.until(t, "input is paused", func() bool { return p.Stats().Paused > 0 })
	e.until(t, "replies wait", func() bool { return queuedOf(p) >= 1<<20 })
	e.mu.Lock()
	taken := e.frames
	e.mu.Unlock()
	if taken == requests {
		t.Fatal("all requests were taken although nothing was read")
	}
	for i := range uint32(requests) {
		if got := binary.BigEndian.Uint32(receive(t, c)); got != i {
			t.Fatalf("got reply %d, want %d", got, i)
		}
	}
	e.until(t, "nothing is queued", func() bool { return queuedOf(p) == 0 })
}

func queuedOf(p *Ports) (n int64) {
	p.Visit(func(c *Conn) { n += c.Queued() })
	return n
}

// TestTooManyEvents sends to a connection that does not read until it is closed.
func TestTooManyEvents(t *testing.T) {
	e := newEcho()
	conns := make(chan *Conn, 1)
	e.onFrame = func(c *Conn, _ []byte) { conns <- c }
	p := serve(t, Options{QueueSoft: 1 << 16, QueueHard: 1 << 20}, e)
	send(t, dial(t, p), frameOf([]byte("x")))
	c := <-conns
	for sent := 0; p.Stats().Slow == 0; sent++ {
		if sent > 100_000 {
			t.Fatal("the connection may hold any amount of output")
		}
		e.mu.Lock()
		e.out.Event(-1, 1, make([]byte, 1000))
		c.Queue(&e.out)
		e.mu.Unlock()
		c.Flush()
	}
	e.until(t, "the connection is closed", func() bool { return e.closed == 1 })
	if c.Queued() != 0 {
		t.Errorf("%d bytes are still held", c.Queued())
	}
}

// TestDrained checks that a handler which found a connection full is told when it is not.
func TestDrained(t *testing.T) {
	e := newEcho()
	drained := make(chan struct{}, 1)
	e.onDrained = func(*Conn) { drained <- struct{}{} }
	e.onFrame = func(c *Conn, _ []byte) {
		for !c.Full(e.out.Len()) {
			e.out.Begin()
			e.out.B = append(e.out.B, make([]byte, 100_000)...)
			e.out.End()
			c.Queue(&e.out)
		}
	}
	p := serve(t, Options{QueueSoft: 16 << 20, QueueHard: 64 << 20}, e)
	c := dial(t, p)
	send(t, c, frameOf([]byte("x")))
	if _, err := io.CopyN(io.Discard, c, 16<<20); err != nil {
		t.Fatal(err)
	}
	select {
	case <-drained:
	case <-time.After(patience):
		t.Fatal("not told")
	}
}

// TestOutputInOrder has many goroutines queue and flush to one connection, with large
// values among the small ones, against a reader that takes its time.
func TestOutputInOrder(t *testing.T) {
	const writers, each = 8, 400
	e := newEcho()
	conns := make(chan *Conn, 1)
	e.onFrame = func(c *Conn, _ []byte) { conns <- c }
	p := serve(t, Options{QueueHard: 1 << 30}, e)
	client := dial(t, p)
	send(t, client, frameOf([]byte("x")))
	c := <-conns
	value := bytes.Repeat([]byte{9}, 20_000)
	next := uint32(0)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for i := range each {
				e.mu.Lock()
				for range 1 + i%3 {
					e.out.Begin()
					e.out.B = binary.BigEndian.AppendUint32(e.out.B, next)
					if next%5 == 0 {
						e.out.Immutable(value)
					}
					e.out.End()
					next++
				}
				c.Queue(&e.out)
				e.mu.Unlock()
				c.Flush()
			}
		})
	}
	const total = writers * (each/3*(1+2+3) + 1)
	for i := range uint32(total) {
		got := receive(t, client)
		if n := binary.BigEndian.Uint32(got); n != i {
			t.Fatalf("got frame %d, want %d", n, i)
		}
		if i%5 == 0 && !bytes.Equal(got[4:], value) {
			t.Fatalf("the value in frame %d is not what was sent", i)
		}
	}
	wg.Wait()
	e.until(t, "all is sent", func() bool { return c.Queued() == 0 })
	if n := c.Counters(); n.Sent != total {
		t.Errorf("counted %d frames, want %d", n.Sent, total)
	}
}

// TestManyValues sends one output of more values than one system call takes.
func TestManyValues(t *testing.T) {
	e := newEcho()
	value := bytes.Repeat([]byte("v"), 50_000)
	e.onFrame = func(*Conn, []byte) {
		for i := range 3 * maxPieces {
			e.out.Begin()
			e.out.B = append(e.out.B, byte(i))
			e.out.Immutable(value)
			e.out.B = append(e.out.B, byte(i))
			e.out.End()
		}
	}
	p := serve(t, Options{}, e)
	c := dial(t, p)
	send(t, c, frameOf(nil))
	for i := range 3 * maxPieces {
		want := append(append([]byte{byte(i)}, value...), byte(i))
		if got := receive(t, c); !bytes.Equal(got, want) {
			t.Fatalf("frame %d is not what was sent", i)
		}
	}
}

func TestThousandConnections(t *testing.T) {
	const conns, rounds = 1000, 5
	e := newEcho()
	p := serve(t, Options{Pollers: 3}, e)
	var all []*net.TCPConn
	for range conns {
		all = append(all, dial(t, p))
	}
	for r := range rounds {
		for i, c := range all {
			send(t, c, frameOf(fmt.Appendf(nil, "%d/%d", r, i)))
		}
		for i, c := range all {
			if got, want := string(receive(t, c)), fmt.Sprintf("%d/%d", r, i); got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	}
	for _, c := range all[:conns/2] {
		c.Close()
	}
	e.until(t, "half of them are closed", func() bool {
		return e.closed == conns/2 && p.Stats().Connections == conns/2
	})
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if e.opened != conns || e.closed != conns {
		t.Errorf("%d announced, %d closed", e.opened, e.closed)
	}
}

// TestDetach blocks a worker in Idle and checks that others are served meanwhile.
func TestDetach(t *testing.T) {
	e := newEcho()
	release, blocked := make(chan struct{}), make(chan struct{})
	var due atomic.Bool
	e.due = due.Load
	e.idle = func(detach func()) {
		if due.CompareAndSwap(true, false) {
			detach()
			close(blocked)
			<-release
		}
	}
	e.onFrame = func(c *Conn, frame []byte) {
		due.Store(string(frame) == "block")
		e.out.Begin()
		e.out.B = append(e.out.B, frame...)
		e.out.End()
	}
	p := serve(t, Options{Pollers: 1}, e)
	a, b := dial(t, p), dial(t, p)
	send(t, a, frameOf([]byte("block")))
	receive(t, a)
	<-blocked
	for _, c := range []net.Conn{b, a, b} {
		send(t, c, frameOf([]byte("hello")))
		receive(t, c)
	}
	close(release)
	send(t, a, frameOf([]byte("hello")))
	receive(t, a)
}

func TestCloseWhileBusy(t *testing.T) {
	e := newEcho()
	p := serve(t, Options{}, e)
	var wg sync.WaitGroup
	for range 20 {
		c := dial(t, p)
		wg.Go(func() {
			for { // ends when the server closes the connection
				if _, err := c.Write(frameOf(make([]byte, 300))); err != nil {
					return
				}
			}
		})
	}
	e.until(t, "all connections are busy", func() bool { return e.opened == 20 && e.frames > 1000 })
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if e.closed != 20 {
		t.Errorf("%d of 20 connections were reported as closed", e.closed)
	}
}

func TestJavaAddresses(t *testing.T) {
	for _, tt := range []struct{ addr, want string }{
		{"127.0.0.1:2181", "/127.0.0.1:2181"},
		{"[::ffff:10.0.0.1]:7", "/10.0.0.1:7"},
		{"[::1]:2181", "/0:0:0:0:0:0:0:1:2181"},
		{"[2001:db8::a:0:ff]:80", "/2001:db8:0:0:0:a:0:ff:80"},
		{"[fe80::1%eth0]:80", "/fe80:0:0:0:0:0:0:1%eth0:80"},
	} {
		c := &Conn{peer: netip.MustParseAddrPort(tt.addr)}
		if got := c.RemoteAddr(); got != tt.want {
			t.Errorf("%s is printed as %s, want %s", tt.addr, got, tt.want)
		}
	}
}

func TestOptionsThatContradict(t *testing.T) {
	for _, o := range []Options{
		{MaxFrame: maxMaxFrame + 1, Log: quietLog()},
		{QueueSoft: 2, QueueHard: 1, Log: quietLog()},
		{},
		{Addresses: []string{"127.0.0.1:0", "256.0.0.1:1"}, Log: quietLog()},
	} {
		if p, err := Listen(o, newEcho()); err == nil {
			p.Close()
			t.Errorf("%+v was accepted", o)
		}
	}
}

func TestLendAndReclaim(t *testing.T) {
	var out proto.Out
	Lend(&out, 1)
	if cap(out.B) != smallOut {
		t.Errorf("lent %d bytes", cap(out.B))
	}
	out.Reply(1, 2, proto.ErrOK)
	Reclaim(&out)
	if out.Len() == 0 {
		t.Error("took back memory that was in use")
	}
	out.Reset()
	Reclaim(&out)
	Lend(&out, 100)
	if cap(out.B) != largeOut {
		t.Errorf("lent %d bytes", cap(out.B))
	}
	Reclaim(&out)
	if out.B != nil {
		t.Error("did not take back memory that was not in use")
	}
}
