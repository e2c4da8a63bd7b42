package cnxn

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/zkd-project/zkd/daemon/proto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of these tests; nothing takes so long unless it hangs.
const patience = 20 * time.Second

// echo is a handler that sends each frame back. Its fields may be set before use.
type echo struct {
	mu     sync.Mutex // stands for the step lock
	out    proto.Out
	opened int
	closed int
	frames int

	onFrame   func(c *Conn, frame []byte) // called under mu in place of the echo
	onWord    func(word string, arg []byte) ([]byte, bool)
	onDrained func(c *Conn)
	due       func() bool
	idle      func(detach func())
	changed   chan struct{} // gets a value, if there is room, after each change
}

func newEcho() *echo { return &echo{changed: make(chan struct{}, 1)} }

func (e *echo) change() {
	select {
	case e.changed <- struct{}{}:
	default:
	}
}

func (e *echo) Open(*Conn) {
	e.mu.Lock()
	e.opened++
	e.mu.Unlock()
	e.change()
}

func (e *echo) Closed(*Conn) {
	e.mu.Lock()
	e.closed++
	e.mu.Unlock()
	e.change()
}

func (e *echo) Input(c *Conn, buf *Buffer) {
	e.mu.Lock()
	Lend(&e.out, buf.Frames())
	for frame, ok := buf.Next(); ok; frame, ok = buf.Next() {
		e.frames++
		if e.onFrame != nil {
			e.onFrame(c, frame)
			continue
		}
		e.out.Begin()
		e.out.B = append(e.out.B, frame...)
		e.out.End()
	}
	c.Queue(&e.out)
	e.mu.Unlock()
	buf.Release()
	c.Flush()
	e.change()
}

func (e *echo) FourLetter(_ *Conn, word string, arg []byte) ([]byte, bool) {
	if e.onWord == nil {
		return nil, false
	}
	return e.onWord(word, arg)
}

func (e *echo) Drained(c *Conn) {
	if e.onDrained != nil {
		e.onDrained(c)
	}
}

func (e *echo) Due() bool { return e.due != nil && e.due() }

func (e *echo) Idle(detach func()) { e.idle(detach) }

// until waits until ok, which is called under mu, holds.
func (e *echo) until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	limit := time.After(patience)
	for {
		e.mu.Lock()
		done := ok()
		e.mu.Unlock()
		if done {
			return
		}
		select {
		case <-e.changed:
		case <-time.After(5 * time.Millisecond): // what is waited for may be a counter
		case <-limit:
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

func quietLog() logrus.FieldLogger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}

// serve opens a port on loopback and closes it when the test ends.
func serve(t testing.TB, o Options, h Handler) *Ports {
	t.Helper()
	o.Addresses, o.Log = []string{"127.0.0.1:0"}, quietLog()
	p, err := Listen(o, h)
	if err != nil {
		t.Fatal(err)
	}
	p.Serve()
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func dial(t testing.TB, p *Ports) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

func frameOf(payload []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(payload))), payload...)
}

func send(t testing.TB, c net.Conn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

// receive reads one frame.
func receive(t testing.TB, c net.Conn) []byte {
	t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		t.Fatalf("reading a frame's length: %v", err)
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatalf("reading a frame of %d bytes: %v", len(b), err)
	}
	return b
}

// wantEnd checks that the server closes the connection without another byte.
func wantEnd(t testing.TB, c net.Conn) {
	t.Helper()
	n, err := c.Read(make([]byte, 1))
	if n != 0 || err == nil {
		t.Fatalf("got %d bytes and %v, want the end of the connection", n, err)
	}
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Fatal("the server did not close the connection")
	}
}
