package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/zkd-project/zkd/daemon/ensemble"
)

// readBuffer is the size of a link's input buffer at first.
const readBuffer = 128 << 10

// firstInput is the size of the buffer for the first packet of a connection.
const firstInput = 4 << 10

// Link is a connection of the quorum port.
type Link struct {
	// Owner is the handler's.
	Owner any

	t       *Transport
	conn    *net.TCPConn
	raw     syscall.RawConn
	dialled bool
	since   time.Time
	master  bool
	why     error // set before conn is closed by this side

	mu      sync.Mutex
	out     []byte // queued behind items
	spare   []byte
	items   []item // in front of out
	queued  int64
	writing bool // somebody is writing, or about to
	closed  bool
	ending  error // why the link is to be closed once everything is sent
	refused bool  // because its other end does not belong there
	wake    chan struct{}
	done    chan struct{}
}

// item is something queued: bytes, or what writes bytes.
type item struct {
	b    []byte
	bulk func(w io.Writer) error
}

// Done is closed when the link is.
func (l *Link) Done() <-chan struct{} { return l.done }

// Dialled says whether this server dialled, so that a leader is at the other end.
func (l *Link) Dialled() bool { return l.dialled }

// Master says whether the link was made to the port for observers.
func (l *Link) Master() bool { return l.master }

// RemoteAddr is the address of the other end.
func (l *Link) RemoteAddr() string { return l.conn.RemoteAddr().String() }

// Since is when the connection was made.
func (l *Link) Since() time.Time { return l.since }

// Queued is the number of bytes that wait to be sent.
func (l *Link) Queued() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queued
}

// Queue queues a copy of b. Nothing is sent before Flush.
func (l *Link) Queue(b []byte) {
	if len(b) == 0 {
		return
	}
	l.mu.Lock()
	l.out = append(l.out, b...)
	l.queued += int64(len(b))
	over := l.queued > l.t.opts.SendLimit
	l.mu.Unlock()
	if over {
		l.Close(fmt.Errorf("more than %d bytes wait to be sent: the learner does not keep up", l.t.opts.SendLimit))
	}
}

// QueueBulk queues something that writes a lot, on a goroutine of its own.
func (l *Link) QueueBulk(f func(w io.Writer) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.out) > 0 {
		l.items = append(l.items, item{b: l.out})
		l.out = nil
	}
	l.items = append(l.items, item{bulk: f})
}

// Flush sends what is queued, on the calling goroutine as far as the socket takes it.
func (l *Link) Flush() {
	l.mu.Lock()
	if l.writing || l.closed {
		l.mu.Unlock()
		return
	}
	if len(l.out) == 0 && len(l.items) == 0 {
		l.idle()
		return
	}
	l.writing = true
	if len(l.items) > 0 {
		l.mu.Unlock()
		l.wakeSender()
		return
	}
	b := l.out
	l.out, l.spare = l.spare[:0], nil
	l.mu.Unlock()
	n := l.try(b)
	l.mu.Lock()
	l.queued -= int64(n)
	if n == len(b) {
		l.keep(b)
		if len(l.out) == 0 && len(l.items) == 0 {
			l.idle()
			return
		}
	} else {
		l.items = append([]item{{b: b[n:]}}, l.items...)
	}
	l.mu.Unlock()
	l.wakeSender()
}

// idle notes that everything has been sent; the mutex is held, and let go.
func (l *Link) idle() {
	l.writing = false
	ending := l.ending
	l.mu.Unlock()
	if ending != nil {
		l.Close(ending)
	}
}

func (l *Link) wakeSender() {
	select {
	case l.wake <- struct{}{}:
	case <-l.done:
	}
}

// keepBuffer is the size of a buffer that is kept for use again.
const keepBuffer = 1 << 20

func (l *Link) keep(b []byte) {
	if cap(b) <= keepBuffer && l.spare == nil {
		l.spare = b[:0]
	}
}

// try writes what the socket takes at once.
func (l *Link) try(b []byte) (n int) {
	err := l.raw.Write(func(fd uintptr) bool {
		for n < len(b) {
			m, err := syscall.Write(int(fd), b[n:])
			if errors.Is(err, syscall.EINTR) {
				continue
			}
			if err != nil || m <= 0 {
				break // what is wrong shows when the sender goroutine writes
			}
			n += m
		}
		return true
	})
	if err != nil {
		return 0
	}
	return n
}

// send is the sender goroutine: it writes what Flush could not.
func (l *Link) send() {
	for {
		select {
		case <-l.done:
			return
		case <-l.wake:
		}
		for next, ok := l.next(); ok; next, ok = l.next() {
			if err := l.write(next); err != nil {
				l.Close(err)
				return
			}
		}
	}
}

// next is what is to be written next; without anything the sender's part is over.
func (l *Link) next() (it item, ok bool) {
	l.mu.Lock()
	switch {
	case l.closed:
		l.mu.Unlock()
		return it, false
	case len(l.items) > 0:
		it, l.items = l.items[0], l.items[1:]
	case len(l.out) > 0:
		it.b, l.out, l.spare = l.out, l.spare[:0], nil
	default:
		l.idle()
		return it, false
	}
	l.mu.Unlock()
	return it, true
}

func (l *Link) write(next item) error {
	if next.bulk != nil {
		w := bufio.NewWriterSize(&progress{l: l, w: l.conn}, 256<<10)
		if err := next.bulk(w); err != nil {
			return err
		}
		return w.Flush()
	}
	_, err := l.conn.Write(next.b)
	l.mu.Lock()
	l.queued -= int64(len(next.b))
	l.keep(next.b)
	l.mu.Unlock()
	return err
}

// progress tells now and then that bytes come or go.
type progress struct {
	l    *Link
	r    io.Reader
	w    io.Writer
	told time.Time
}

const progressEvery = 100 * time.Millisecond

// Read implements io.Reader.
func (p *progress) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.tell()
	return n, err
}

// Write implements io.Writer.
func (p *progress) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	p.tell()
	return n, err
}

func (p *progress) tell() {
	if now := time.Now(); now.Sub(p.told) > progressEvery {
		p.told = now
		p.l.t.h.Progress(p.l)
	}
}

// Close closes the link. LinkDown follows, with err.
func (l *Link) Close(err error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed, l.why = true, err
	close(l.done)
	l.mu.Unlock()
	_ = l.conn.Close() // its reader ends
}

// End has the link closed once everything that is queued has been sent. refused tells that
// who is at the other end does not belong there.
func (l *Link) End(err error, refused bool) {
	l.mu.Lock()
	l.ending, l.refused = err, refused
	l.mu.Unlock()
}

// newLink takes a connection on; it ends it if the transport is closed.
func (t *Transport) newLink(conn net.Conn, dialled bool) *Link {
	tcp := conn.(*net.TCPConn)
	raw, err := tcp.SyscallConn()
	l := &Link{
		t: t, conn: tcp, raw: raw, dialled: dialled, since: time.Now(),
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || err != nil {
		_ = conn.Close() // nobody wants it any more
		return nil
	}
	if !dialled && len(t.links) >= maxLinks+2*len(t.peers) {
		t.strange.refuse(conn, errors.New("too many servers are connected"))
		return nil
	}
	t.links[l] = struct{}{}
	return l
}

// acceptLink takes a connection to the quorum port, or to the port for observers.
func (t *Transport) acceptLink(conn net.Conn, master bool) {
	l := t.newLink(conn, false)
	if l == nil {
		t.greeted(conn)
		return
	}
	l.master = master
	t.serve(l)
}

// serve reads a link until it ends.
func (t *Transport) serve(l *Link) {
	t.running.Go(l.send)
	t.h.LinkUp(l)
	known, err := l.read()
	if !l.dialled && !known {
		t.greeted(l.conn)
	}
	l.judge(known, err)
	l.Close(err)
	t.mu.Lock()
	delete(t.links, l)
	t.mu.Unlock()
	if l.why != nil {
		err = l.why
	}
	t.h.LinkDown(l, err)
}

// read hands packets to the handler. known tells that there was at least one.
func (l *Link) read() (known bool, err error) {
	if !l.dialled {
		if err := l.conn.SetReadDeadline(time.Now().Add(l.t.opts.FirstTimeout)); err != nil {
			return false, err
		}
	}
	buf, have := make([]byte, firstInput), 0
	in := &progress{l: l}
	for {
		if have == len(buf) {
			if !known && !l.dialled {
				return known, fmt.Errorf("%w: it is too long", errFormat)
			}
			buf = append(buf, make([]byte, len(buf))...)
		}
		n, err := l.conn.Read(buf[have:])
		if err != nil {
			return known, err
		}
		have += n
		used, snap, err := l.t.h.Packets(l, buf[:have])
		if err != nil {
			return known, fmt.Errorf("%w: %w", errFormat, err)
		}
		if used > 0 && !known {
			known = true
			if !l.dialled {
				l.t.greeted(l.conn)
				if err := l.conn.SetReadDeadline(time.Time{}); err != nil {
					return known, err
				}
			}
			buf = append(make([]byte, 0, readBuffer), buf...)[:readBuffer]
		}
		have = copy(buf, buf[used:have])
		switch {
		case used > 0 && len(buf) > keepBuffer && have < readBuffer:
			buf = append(make([]byte, 0, readBuffer), buf[:have]...)[:readBuffer]
		case used == 0 && l.dialled && have > readBuffer:
			in.tell() // a long packet of the leader's takes its time
		}
		if snap {
			if buf, have, err = l.readSnap(buf, have); err != nil {
				return known, err
			}
		}
	}
}

// readSnap has the handler read the body of a snapshot, and returns what has been read
// beyond it. What follows may be whole packets, which are handled before the next read.
func (l *Link) readSnap(buf []byte, have int) ([]byte, int, error) {
	for {
		rest := &prefixed{b: append([]byte(nil), buf[:have]...), r: &progress{l: l, r: l.conn}}
		r := bufio.NewReaderSize(rest, 256<<10)
		if err := l.t.h.Snap(l, r); err != nil {
			return buf, 0, err
		}
		left, err := r.Peek(r.Buffered())
		if err != nil {
			return buf, 0, err
		}
		more := append(append([]byte(nil), left...), rest.b...)
		if len(more) > len(buf) {
			buf = make([]byte, 2*len(more))
		}
		have = copy(buf, more)
		used, snap, err := l.t.h.Packets(l, buf[:have])
		if err != nil {
			return buf, 0, err
		}
		have = copy(buf, buf[used:have])
		if !snap {
			return buf, have, nil
		}
	}
}

// prefixed reads bytes that were read already, and then goes on.
type prefixed struct {
	b []byte
	r io.Reader
}

// Read implements io.Reader.
func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.b) > 0 {
		n := copy(b, p.b)
		p.b = p.b[n:]
		return n, nil
	}
	return p.r.Read(b)
}

// Pauses between tries to reach a leader, which may be about to listen.
const (
	leaderPauseMin = 5 * time.Millisecond
	leaderPauseMax = 100 * time.Millisecond
)

// DialLeader connects to a server's quorum port, or its port for observers, in place of any
// other that is being tried. 0 is none. LinkUp or DialFailed follows.
func (t *Transport) DialLeader(id int64, master bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dial != nil {
		t.dial()
		t.dial = nil
	}
	p := t.peers[id]
	if p == nil || t.closed {
		return
	}
	ctx, cancel := context.WithCancel(t.ctx)
	t.dial = cancel
	t.running.Go(func() { t.dialLeader(ctx, p, master) })
}

func (t *Transport) dialLeader(ctx context.Context, p *peer, master bool) {
	end := time.Now().Add(t.opts.DialLimit)
	port := func(a ensemble.Address) int { return a.Quorum }
	if master { // there are others to go to
		end = time.Now()
		port = func(ensemble.Address) int { return t.opts.MasterPort }
	}
	for pause := leaderPauseMin; ; pause = min(2*pause, leaderPauseMax) {
		conn, err := t.connect(ctx, p.member.Load(), port)
		switch {
		case ctx.Err() != nil:
			if conn != nil {
				_ = conn.Close() // another leader is wanted
			}
			return
		case err == nil:
			if l := t.newLink(conn, true); l != nil {
				t.serve(l)
			}
			return
		case time.Now().After(end):
			t.h.DialFailed(p.id, err)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}
