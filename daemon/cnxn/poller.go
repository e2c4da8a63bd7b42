package cnxn

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	heldMax   = 64 << 10  // bytes of a connection's input with the handler, above which no more is read
	turnBytes = 256 << 10 // read from one connection before the others have their turn
	batchSize = 64        // events taken at a time
)

// poller reads the sockets of its share of the connections. One worker at a time runs it.
type poller struct {
	ports *Ports
	ep    int             // epoll instance that watches the sockets
	file  *os.File        // the same, for the Go runtime's poller to watch
	raw   syscall.RawConn // of file

	events [batchSize]unix.EpollEvent
	batch  [batchSize]*Conn // the connections of events, nil for those that are gone
	again  []*Conn          // have more to be read than one turn took
	accept []*listener      // have, or may have, connections waiting

	mu    sync.Mutex
	conns []*Conn // by file descriptor
	tag   int32   // of the newest connection
}

func newPoller(ports *Ports) (*poller, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cnxn: create an epoll instance: %w", err)
	}
	_ = unix.SetNonblock(ep, true) // so that NewFile gives it to the runtime's poller
	p := &poller{ports: ports, ep: ep, file: os.NewFile(uintptr(ep), "epoll")}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		return nil, fmt.Errorf("cnxn: watch an epoll instance: %w", err)
	}
	return p, nil
}

// add takes on a connection, whose socket is watched from now on.
func (p *poller) add(c *Conn) error {
	fd := c.sock.fd
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.conns) <= fd {
		p.conns = append(p.conns, nil)
	}
	p.tag++
	c.tag = p.tag
	if err := c.sock.watch(c.tag); err != nil {
		return fmt.Errorf("cnxn: watch a socket: %w", err)
	}
	p.conns[fd] = c
	return nil
}

// visit calls f for each connection.
func (p *poller) visit(f func(*Conn)) {
	p.mu.Lock()
	conns := make([]*Conn, 0, 64)
	for _, c := range p.conns {
		if c != nil {
			conns = append(conns, c)
		}
	}
	p.mu.Unlock()
	for _, c := range conns {
		f(c)
	}
}

// poll serves events until the handler has work that may block, or the poller is closed.
func (p *poller) poll() error {
	return p.raw.Read(func(uintptr) bool {
		for {
			n := p.round()
			if p.ports.handler.Due() {
				return true
			}
			if n == 0 {
				return false
			}
		}
	})
}

// round serves one batch of events and returns how much there was to do.
func (p *poller) round() int {
	n := pollNow(p.ep, p.events[:])
	p.mu.Lock()
	for i := range p.events[:n] {
		ev := &p.events[i]
		p.batch[i] = nil
		if c := p.connOf(ev); c != nil {
			p.batch[i] = c
		} else if l := p.ports.listenerOf(ev.Fd); l != nil && !slices.Contains(p.accept, l) {
			p.accept = append(p.accept, l)
		}
	}
	p.mu.Unlock()
	for i, c := range p.batch[:n] {
		if c != nil {
			p.batch[i] = nil
			p.event(c, p.events[i].Events)
		}
	}
	again := p.again
	p.again = nil
	for _, c := range again {
		c.again = false
		p.event(c, unix.EPOLLIN)
	}
	return n + len(again) + p.acceptAll()
}

// connOf is the connection that an event is of, nil if that is gone. It needs p.mu.
func (p *poller) connOf(ev *unix.EpollEvent) *Conn {
	if int(ev.Fd) < len(p.conns) {
		if c := p.conns[ev.Fd]; c != nil && c.tag == ev.Pad {
			return c
		}
	}
	return nil
}

// acceptAll accepts a share of the connections that wait and returns at how many
// listeners there were any.
func (p *poller) acceptAll() int {
	n := len(p.accept)
	left := p.accept[:0]
	for _, l := range p.accept {
		if p.ports.accept(l) {
			left = append(left, l)
		}
	}
	p.accept = left
	return n
}

// event serves what the kernel says of one connection.
func (p *poller) event(c *Conn, events uint32) {
	c.mu.Lock()
	state, wait := c.state, c.blocked || c.flushing
	c.mu.Unlock()
	switch {
	case state == stateGone:
		return
	case state == stateAborted, events&unix.EPOLLERR != 0:
		p.drop(c)
		return
	}
	if wait && events&unix.EPOLLOUT != 0 {
		c.writable()
	}
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP) == 0 {
		return
	}
	ended := events&(unix.EPOLLRDHUP|unix.EPOLLHUP) != 0
	if state != stateOpen || c.discard {
		p.throwAway(c, events&unix.EPOLLHUP != 0)
		return
	}
	p.take(c, ended)
}

// take reads what there is and hands over the whole frames. ended tells that the input
// has an end, so that reading goes on until there.
func (p *poller) take(c *Conn, ended bool) {
	for turn := 0; ; {
		if c.paused.Load() || c.pause() {
			return
		}
		b := withRoom(c.part)
		c.part = nil
		room := b.b[len(b.b):cap(b.b)]
		n, err := c.sock.read(room)
		b.b = b.b[:len(b.b)+n]
		if err == nil {
			err = p.hand(c, b)
		} else {
			if err == errGone {
				p.ports.stats.dropped.Add(1)
			}
			c.keep(b)
		}
		switch {
		case err == errAgain, c.discard:
			return
		case err != nil:
			p.drop(c)
			return
		case n < len(room) && !ended:
			return
		}
		if turn += n; turn >= turnBytes {
			p.later(c)
			return
		}
	}
}

// keep holds the beginning of a frame until more comes, in memory of its size.
func (c *Conn) keep(b *Buffer) {
	if cap(b.b) == readSize && len(b.b) < readSize/2 {
		c.part = b.tail(0)
		b.recycle()
		return
	}
	c.part = b
}

// later has c served again after the other connections.
func (p *poller) later(c *Conn) {
	if !c.again {
		c.again = true
		p.again = append(p.again, c)
	}
}

// hand gives the whole frames in b to the handler and keeps the rest for the next read.
// An error tells to drop the connection.
func (p *poller) hand(c *Conn, b *Buffer) error {
	frames, end, bad := cut(b.b, p.ports.opts.MaxFrame)
	if !c.opened {
		if bad && frames == 0 {
			return p.word(c, b)
		}
		if frames == 0 {
			c.keep(b)
			return nil
		}
		c.opened = true
		p.ports.handler.Open(c)
	}
	if frames > 0 {
		if !bad {
			c.part = b.tail(end)
		}
		b.b, b.off, b.frames, b.c = b.b[:end], 0, frames, c
		b.held = int64(end)
		c.held.Add(b.held)
		c.received.Add(int64(frames))
		p.ports.stats.received.Add(int64(frames))
		p.ports.handler.Input(c, b)
	} else if bad {
		b.recycle()
	} else {
		c.keep(b)
	}
	if bad {
		p.ports.badFrame(c)
		return errGone
	}
	return nil
}

// throwAway reads and forgets what still comes on a connection that takes no more input,
// so that it can be closed without a reset. gone tells that the peer has closed as well.
func (p *poller) throwAway(c *Conn, gone bool) {
	const enough = 1 << 20
	c.mu.Lock()
	lingers := c.state == stateLinger
	c.mu.Unlock()
	b := newBuffer()
	defer b.recycle()
	for {
		n, err := c.sock.read(b.b[:cap(b.b)])
		c.dropped += n
		switch {
		case err == errAgain:
			return
		case err == errGone && !lingers && !gone:
			return // the peer has said all, and waits for the answer
		case err != nil, c.dropped > enough:
			p.drop(c)
			return
		}
	}
}

// drop closes a connection: this poller is the only one that does.
func (p *poller) drop(c *Conn) {
	fd := c.sock.fd
	c.mu.Lock()
	if c.state == stateGone {
		c.mu.Unlock()
		return
	}
	c.state = stateGone
	c.gone.Store(true)
	p.mu.Lock()
	p.conns[fd] = nil
	p.mu.Unlock()
	if c.unclosed = c.flushing; !c.unclosed {
		c.dropOutput()
		c.sock.close()
	}
	c.mu.Unlock()
	if c.part != nil {
		c.part.recycle()
		c.part = nil
	}
	if c.opened {
		p.ports.handler.Closed(c)
	}
	p.ports.closed(c)
}
