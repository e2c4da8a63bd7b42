package cnxn

import (
	"encoding/binary"
	"sync"

	"github.com/zkd-project/zkd/daemon/proto"
)

const (
	smallOut = 2 << 10  // of the buffers that few replies are built in
	largeOut = 64 << 10 // of those for many
)

// chunk is a run of output. Its memory may not be touched while it is being written,
// except by the one who writes.
type chunk struct {
	out  proto.Out
	sent int // bytes of it that the socket has taken
	next *chunk
}

var (
	chunks    = sync.Pool{New: func() any { return new(chunk) }}
	smallOuts = sync.Pool{New: func() any { return new([smallOut]byte) }}
	largeOuts = sync.Pool{New: func() any { return new([largeOut]byte) }}
)

// Lend gives out memory to build the replies to so many requests in, if it has none.
func Lend(out *proto.Out, requests int) {
	const few = 8
	switch {
	case cap(out.B) > 0:
	case requests <= few:
		out.B = smallOuts.Get().(*[smallOut]byte)[:0]
	default:
		out.B = largeOuts.Get().(*[largeOut]byte)[:0]
	}
}

// Reclaim takes back what Lend gave, if out is empty.
func Reclaim(out *proto.Out) {
	if out.Len() == 0 {
		reuse(out.B)
		*out = proto.Out{}
	}
}

func reuse(b []byte) {
	switch cap(b) {
	case smallOut:
		smallOuts.Put((*[smallOut]byte)(b[:smallOut]))
	case largeOut:
		largeOuts.Put((*[largeOut]byte)(b[:largeOut]))
	}
}

// Queue takes over what is in out, which is empty afterwards and has no memory of its
// own. Nothing is sent before Flush. Calls for one connection must not overlap.
//
// A connection whose unsent output is beyond the hard limit is closed: since the handler
// heeds Full, that is one with too many watch events.
func (c *Conn) Queue(out *proto.Out) {
	n := int64(out.Len())
	if n == 0 {
		Reclaim(out)
		return
	}
	frames := countFrames(out)
	c.mu.Lock()
	switch {
	case c.state != stateOpen:
		out.Reset()
	case c.queued.Load() > int64(c.p.ports.opts.QueueHard):
		c.p.ports.slow(c)
		c.state = stateAborted
		out.Reset()
	default:
		c.queued.Add(n)
		c.sent.Add(frames)
		c.p.ports.stats.sent.Add(frames)
		c.append(out)
	}
	c.mu.Unlock()
	Reclaim(out)
}

// append puts out behind what is queued. It needs c.mu.
func (c *Conn) append(out *proto.Out) {
	t := c.tail
	if t != nil && (t != c.head || !c.flushing) && len(out.Refs) == 0 && len(t.out.B)+len(out.B) <= largeOut {
		t.out.B = append(t.out.B, out.B...)
		out.Reset()
		return
	}
	k := chunks.Get().(*chunk)
	k.out, *out = *out, proto.Out{}
	if t == nil {
		c.head = k
	} else {
		t.next = k
	}
	c.tail = k
}

// countFrames counts the frames in out by their lengths.
func countFrames(out *proto.Out) (n int64) {
	refs := out.Refs
	for p := 0; p+lengthLen <= len(out.B); n++ {
		size := int(binary.BigEndian.Uint32(out.B[p:]))
		p += lengthLen
		for len(refs) > 0 && refs[0].At-p+len(refs[0].V) <= size {
			size -= len(refs[0].V)
			refs = refs[1:]
		}
		p += size
	}
	return n
}

// Flush writes queued output as far as the socket takes it; the poller goes on with the
// rest when there is room. It also closes a connection that is to be closed. It does not
// block. It must not be called with a lock held that the Handler takes.
func (c *Conn) Flush() {
	c.mu.Lock()
	if c.flushing {
		c.mu.Unlock() // who is at it does all
		return
	}
	c.flushing = true
	for c.head != nil && !c.blocked && c.state < stateAborted {
		k := c.head
		c.mu.Unlock()
		n, err := k.write(c.sock)
		c.mu.Lock()
		c.wrote(k, n, err)
	}
	c.settle()
	c.mu.Unlock()
	c.resume()
}

// wrote accounts for a write of k. It needs c.mu.
func (c *Conn) wrote(k *chunk, n int, err error) {
	k.sent += n
	c.queued.Add(-int64(n))
	switch {
	case err == errAgain:
		c.blocked = !c.retry
		c.retry = false
	case err != nil:
		c.state = max(c.state, stateAborted)
	case k.sent == k.out.Len():
		c.head = k.next
		if c.head == nil {
			c.tail = nil
		}
		k.free()
	}
}

// settle ends a turn of flushing. It needs c.mu.
func (c *Conn) settle() {
	c.flushing, c.retry = false, false
	switch {
	case c.state == stateClosing && c.head == nil:
		c.linger()
	case c.state == stateAborted && !c.ended:
		c.ended = true
		c.dropOutput()
		c.sock.end()
		c.sock.rearm(c.tag)
	case c.unclosed:
		c.unclosed = false
		c.dropOutput()
		c.sock.close()
	}
}

// writable tells that the socket takes output again.
func (c *Conn) writable() {
	c.mu.Lock()
	c.blocked = false
	c.retry = c.flushing
	c.mu.Unlock()
	c.Flush()
}

// dropOutput frees what is queued. It needs c.mu, and nobody may be flushing.
func (c *Conn) dropOutput() {
	for k := c.head; k != nil; {
		next := k.next
		k.free()
		k = next
	}
	c.head, c.tail = nil, nil
	c.queued.Store(0)
}

func (k *chunk) free() {
	k.out.Reset()
	Reclaim(&k.out)
	k.sent, k.next = 0, nil
	chunks.Put(k)
}

// write sends as much of k as the socket takes.
func (k *chunk) write(s socket) (int, error) {
	if len(k.out.Refs) == 0 {
		return s.write(k.out.B[k.sent:])
	}
	return s.writev(k.pieces())
}

// pieces is what is left to be sent of k, at most maxPieces of it.
func (k *chunk) pieces() [][]byte {
	pieces := make([][]byte, 0, min(2*len(k.out.Refs)+1, maxPieces))
	skip, from := k.sent, 0
	add := func(b []byte) {
		if skip >= len(b) {
			skip -= len(b)
			return
		}
		if len(pieces) < maxPieces {
			pieces = append(pieces, b[skip:])
		}
		skip = 0
	}
	for _, r := range k.out.Refs {
		add(k.out.B[from:r.At])
		add(r.V)
		from = r.At
	}
	add(k.out.B[from:])
	return pieces
}
