package replica

import (
	"slices"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/tree"
)

// phase is how far a connection has come.
type phase uint8

const (
	phaseNew     phase = iota // waits for its connect request
	phaseOpening              // its session is being created
	phaseOpen                 // has a session
	phaseLast                 // takes no more input, but is owed replies; the last one closes it
	phaseClosed               // takes no more input
)

// Conn is one client connection as the replica sees it.
//
// The adapter sets Owner and IDs before Connect. After each step it takes Out away
// and, where Close or Abort is set, closes the socket.
type Conn struct {
	Owner any        // the adapter's handle; the replica never looks at it
	IDs   []proto.ID // who the client is; replaced, never changed in place
	Out   proto.Out  // replies and events to be sent
	Close bool       // close the socket once Out has been sent
	Abort bool       // close the socket at once
	Stats ConnStats

	phase    phase
	touched  bool // is listed in the effects to come
	listed   bool // had a connect request with the readOnly field
	watcher  tree.WatcherID
	session  *session
	peer     proto.ID
	timeout  proto.Millis // negotiated
	requests fifo
	closing  bool       // its closeSession is under way: no more requests
	hello    []byte     // a connect request that has to wait
	sureAt   proto.Zxid // transactions of the session up to here may be an earlier connection's
	crossed  bool       // there has been one of which nobody knows whose it was, an earlier or a later connection's
	asked    bool       // the leader is asked when there will be none
}

// ConnStats is what the word "cons" shows of a connection. Latencies are milliseconds.
type ConnStats struct {
	Received, Sent      int64
	Established         proto.Millis // wall time
	LastOp              proto.Op
	LastCxid            int32
	HasCxid             bool
	LastZxid            proto.Zxid
	LastResponse        proto.Millis // monotonic time
	LastLatency         proto.Millis
	MinLatency          proto.Millis
	MaxLatency, Latency proto.Millis // Latency is the sum over Replies
	Replies             int64
}

// Session is the id of the connection's session, 0 if it has none.
func (c *Conn) Session() proto.SessionID {
	if c.session == nil {
		return 0
	}
	return c.session.id
}

// Timeout is the negotiated session timeout, 0 before there is a session.
func (c *Conn) Timeout() proto.Millis { return c.timeout }

// Open says whether the connection still takes requests.
func (c *Conn) Open() bool { return c.phase < phaseLast }

// Pending is the number of requests that have no reply yet.
func (c *Conn) Pending() int { return c.requests.len() }

// ResetStats forgets the counters and latencies, as the word "crst" asks.
func (c *Conn) ResetStats() {
	c.Stats = ConnStats{Established: c.Stats.Established}
}

func (s *ConnStats) reply(op proto.Op, xid int32, zxid proto.Zxid, now, since proto.Millis) {
	latency := max(now-since, 0)
	s.LastOp, s.LastZxid, s.LastResponse, s.LastLatency = op, zxid, now, latency
	if xid >= 0 {
		s.LastCxid, s.HasCxid = xid, true
	}
	if s.Replies == 0 || latency < s.MinLatency {
		s.MinLatency = latency
	}
	s.MaxLatency = max(s.MaxLatency, latency)
	s.Latency += latency
	s.Replies++
}

// item is a request that waits for its reply: a write for its transaction to be
// applied, anything else for the writes in front of it.
type item struct {
	zxid  proto.Zxid // of the transaction; 0 for what is no write
	off   int64      // where the frame of a deferred request lies
	size  int32
	xid   int32
	op    proto.Op
	code  proto.ErrCode // of a request whose fate is decided when it arrives
	wait  waiting
	since proto.Millis // arrival
	ids   []proto.ID   // who the client was on arrival
}

// last says whether the item's refusal is the connection's end.
func (it *item) last() bool { return it.code != proto.ErrOK && it.code != proto.ErrNotReadOnly }

// waiting is what an item waits for besides those before it.
type waiting uint8

const (
	waitTurn waiting = iota // nothing
	waitHeld                // a server that leads: it is a write or a sync that has not been sent on
	waitTxn                 // its transaction
	waitSync                // the leader's answer to its sync, or the commit of zxid
)

// fifo holds a connection's items and the frames of its deferred requests.
type fifo struct {
	items []item
	head  int
	buf   []byte
	base  int64 // the offset of buf[0]; item.off counts from the first byte ever held
}

// keepItems and keepBytes are what an idle connection may keep for its next requests.
const (
	keepItems = 16
	keepBytes = 1 << 10
)

// live says whether replies and events still reach the client.
func (c *Conn) live() bool { return c.phase == phaseOpen || c.phase == phaseLast }

// holds says whether something has not been sent on yet.
func (c *Conn) holds() bool {
	return c.requests.any(func(it *item) bool { return it.wait == waitHeld })
}

func (f *fifo) len() int { return len(f.items) - f.head }

func (f *fifo) first() *item { return &f.items[f.head] }

// any says whether there is an item for which is holds.
func (f *fifo) any(is func(*item) bool) bool {
	for i := f.head; i < len(f.items); i++ {
		if is(&f.items[i]) {
			return true
		}
	}
	return false
}

// push adds an item; frame, which may be nil, is copied.
func (f *fifo) push(it item, frame []byte) {
	if f.head > keepItems && f.head > len(f.items)/2 {
		n := copy(f.items, f.items[f.head:])
		clear(f.items[n:])
		f.items, f.head = f.items[:n], 0
	}
	it.off, it.size = f.base+int64(len(f.buf)), int32(len(frame))
	f.buf = append(f.buf, frame...)
	f.items = append(f.items, it)
}

// unshift puts an item without a frame in front of the others.
func (f *fifo) unshift(it item) {
	it.off, it.size = f.base+int64(len(f.buf)), 0
	if f.len() > 0 {
		it.off = f.first().off
	}
	f.items = slices.Insert(f.items, f.head, it)
}

// frame is the frame of an item that is still held.
func (f *fifo) frame(it *item) []byte {
	off := it.off - f.base
	return f.buf[off : off+int64(it.size)]
}

// pop drops the first item.
func (f *fifo) pop() {
	end := f.items[f.head].off + int64(f.items[f.head].size) - f.base
	f.items[f.head].ids = nil
	f.head++
	if f.head == len(f.items) {
		f.reset()
		return
	}
	if end > keepBytes && int(end) > len(f.buf)/2 {
		f.buf = f.buf[:copy(f.buf, f.buf[end:])]
		f.base += end
	}
}

// reset drops everything, and the memory where it is more than an idle connection needs.
func (f *fifo) reset() {
	f.items, f.head, f.base, f.buf = f.items[:0], 0, 0, f.buf[:0]
	if cap(f.items) > keepItems {
		f.items = nil
	}
	if cap(f.buf) > keepBytes {
		f.buf = nil
	}
}
