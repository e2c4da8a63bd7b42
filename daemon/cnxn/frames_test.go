package cnxn

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// bench is a poller without goroutines, and one connection whose far end is in hand.
type bench struct {
	p      *poller
	c      *Conn
	far    int
	got    [][]byte
	gone   bool
	opened int
}

// Open, Input, Drained, Closed, FourLetter, Due and Idle make it a Handler.
func (b *bench) Open(*Conn)                                              { b.opened++ }
func (b *bench) Drained(*Conn)                                           {}
func (b *bench) Closed(*Conn)                                            { b.gone = true }
func (b *bench) FourLetter(*Conn, string, []byte) (text []byte, ok bool) { return nil, false }
func (b *bench) Due() bool                                               { return false }
func (b *bench) Idle(func())                                             {}
func (b *bench) Input(_ *Conn, buf *Buffer) {
	for f, ok := buf.Next(); ok; f, ok = buf.Next() {
		b.got = append(b.got, bytes.Clone(f))
	}
	buf.Release()
}

func newBench(t testing.TB, maxFrame int) *bench {
	t.Helper()
	b := &bench{}
	ports, err := Listen(Options{MaxFrame: maxFrame, Log: quietLog(), Pollers: 1}, b)
	if err != nil {
		t.Fatal(err)
	}
	b.p = ports.pollers[0]
	t.Cleanup(func() {
		b.p.drop(b.c)
		unix.Close(b.far)
		ports.running.Wait()
		if err := ports.Close(); err != nil {
			t.Error(err)
		}
	})
	b.connect(t)
	return b
}

// connect starts over with a new connection.
func (b *bench) connect(t testing.TB) {
	t.Helper()
	if b.c != nil {
		b.p.drop(b.c)
		unix.Close(b.far)
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	b.far, b.got, b.gone, b.opened = fds[1], nil, false, 0
	b.c = &Conn{p: b.p, sock: socket{fd: fds[0], ep: b.p.ep}}
	b.p.ports.admit(0, b.c.peer.Addr())
	if err := b.p.add(b.c); err != nil {
		t.Fatal(err)
	}
}

// open says whether the connection is neither closed nor about to be.
func (b *bench) open() bool {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	return b.c.state == stateOpen
}

// write sends what fits, and has the poller read until all of it is taken or the
// connection is dropped.
func (b *bench) write(t testing.TB, data []byte) {
	t.Helper()
	for len(data) > 0 && b.open() && !b.c.discard {
		n, err := unix.Write(b.far, data)
		if err != nil && err != unix.EAGAIN {
			t.Fatal(err)
		}
		data = data[max(n, 0):]
		b.p.round()
	}
	for b.p.round() > 0 && b.open() {
	}
}

func stream(sizes ...int) (all []byte, frames [][]byte) {
	for i, n := range sizes {
		f := bytes.Repeat([]byte{byte(i + 1)}, n)
		frames = append(frames, f)
		all = append(all, frameOf(f)...)
	}
	return all, frames
}

func (b *bench) want(t testing.TB, frames [][]byte) {
	t.Helper()
	if !slices.EqualFunc(b.got, frames, bytes.Equal) {
		t.Fatalf("got %d frames, want %d, or their bytes differ", len(b.got), len(frames))
	}
}

func TestFramesSplitAtEveryByte(t *testing.T) {
	all, frames := stream(8, 0, 1, 17, 3, 40)
	b := newBench(t, DefaultMaxFrame)
	for at := range all {
		b.got = nil
		b.write(t, all[:at])
		b.write(t, all[at:])
		b.want(t, frames)
	}
	if b.opened != 1 {
		t.Errorf("announced %d times", b.opened)
	}
}

func TestFramesOneByteAtATime(t *testing.T) {
	all, frames := stream(3, 70, 0, 5)
	b := newBench(t, DefaultMaxFrame)
	for i := range all {
		b.write(t, all[i:i+1])
	}
	b.want(t, frames)
}

func TestLargeFrames(t *testing.T) {
	sizes := []int{1, readSize - 5, readSize - 4, readSize - 3, 3, readSize, 200_000, DefaultMaxFrame, 9}
	all, frames := stream(sizes...)
	for _, piece := range []int{len(all), 100_000, 4099} {
		b := newBench(t, DefaultMaxFrame)
		for p := range slices.Chunk(all, piece) {
			b.write(t, p)
		}
		b.want(t, frames)
	}
}

func TestLengthOutOfRange(t *testing.T) {
	const most = 1000
	header := func(n int32) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
	for _, n := range []int32{-1, -2, most + 1, 1 << 30, 1<<31 - 1, -1 << 31} {
		b := newBench(t, most)
		all, frames := stream(10, most)
		b.write(t, append(all, header(n)...))
		b.want(t, frames)
		if !b.gone {
			t.Errorf("length %d did not close the connection", n)
		}
	}
}

func TestMemoryFollowsBytesNotLengths(t *testing.T) {
	b := newBench(t, DefaultMaxFrame)
	sent := 0
	check := func(data []byte) {
		t.Helper()
		b.write(t, data)
		sent += len(data)
		if b.c.part == nil || len(b.c.part.b) != sent {
			t.Fatal("what came of the frame is not kept")
		}
		if c := cap(b.c.part.b); c > 2*sent+64 {
			t.Fatalf("%d bytes of memory for %d bytes of input", c, sent)
		}
	}
	check(binary.BigEndian.AppendUint32(nil, DefaultMaxFrame))
	for _, n := range []int{1, 10, 500, 20_000, 40_000, 100_000, 300_000} {
		check(make([]byte, n))
	}
}

func TestIdleConnectionHoldsNoBuffer(t *testing.T) {
	b := newBench(t, DefaultMaxFrame)
	all, _ := stream(100, 100_000, 7)
	b.write(t, all)
	if b.c.part != nil || b.c.head != nil || b.c.held.Load() != 0 {
		t.Errorf("holds %v, %v, %d bytes", b.c.part, b.c.head, b.c.held.Load())
	}
}

// FuzzFrames sends any bytes in any pieces and compares with the plain definition of a frame.
func FuzzFrames(f *testing.F) {
	all, _ := stream(8, 0, 300)
	f.Add(all, uint16(3))
	f.Add([]byte("ruok"), uint16(1))
	f.Add([]byte{0, 0, 0, 1, 7, 0xff, 0xff, 0xff, 0xff}, uint16(2))
	f.Add(append(all, 0, 0, 16, 1), uint16(70))
	const most = 4096
	b := newBench(f, most)
	f.Fuzz(func(t *testing.T, data []byte, piece uint16) {
		b.connect(t)
		for p := range slices.Chunk(data, int(piece%2000)+1) {
			b.write(t, p)
		}
		var want [][]byte
		rest, bad := data, false
		for len(rest) >= 4 && !bad {
			n := int32(binary.BigEndian.Uint32(rest))
			switch bad = n < 0 || n > most; {
			case bad:
			case len(rest)-4 < int(n):
				rest = nil
			default:
				want = append(want, rest[4:4+n])
				rest = rest[4+n:]
			}
		}
		b.want(t, want)
		if bad && len(want) > 0 && !b.gone {
			t.Error("a length out of range did not close the connection")
		}
		if !bad && !b.open() {
			t.Error("the connection was closed for no reason")
		}
	})
}
