package cnxn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// Ports is the open client ports of a server.
type Ports struct {
	opts    Options
	handler Handler
	pollers []*poller
	vacant  chan *poller // pollers whose worker is away in Handler.Idle
	stop    chan struct{}
	sweeper sweeper
	running sync.WaitGroup // all goroutines

	mu        sync.Mutex
	listeners []*listener
	limits    Limits
	perIP     map[netip.Addr]int
	total     int
	next      int           // poller of the next connection
	closing   bool          // no connection is taken on any more
	empty     chan struct{} // closed when the last connection is gone; nil until somebody waits
	stats     counters
}

// counters are the parts of Stats.
type counters struct {
	accepted, refusedIP, refusedAll, refusedFiles, badFrames, late, dropped, slow, paused, words atomic.Int64
	received, sent                                                                               atomic.Int64
}

// Listen binds every address of o and returns without accepting yet. Connections that
// come meanwhile wait in the kernel until Serve.
func Listen(o Options, h Handler) (*Ports, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	p := &Ports{
		opts: o, handler: h, limits: o.Limits,
		vacant: make(chan *poller, o.Pollers), stop: make(chan struct{}), perIP: map[netip.Addr]int{},
	}
	p.sweeper.ports = p
	for range o.Pollers {
		poller, err := newPoller(p)
		if err != nil {
			return nil, errors.Join(err, p.Close())
		}
		p.pollers = append(p.pollers, poller)
	}
	for _, addr := range o.Addresses {
		if err := p.listen(addr); err != nil {
			return nil, errors.Join(err, p.Close())
		}
	}
	return p, nil
}

func (p *Ports) listen(addr string) error {
	config := net.ListenConfig{
		Control: func(_, _ string, c syscall.RawConn) error {
			var err error
			return errors.Join(c.Control(func(fd uintptr) {
				err = setListening(int(fd), p.opts.KeepAlive)
			}), err)
		},
	}
	config.SetMultipathTCP(false)
	ln, err := config.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return fmt.Errorf("cnxn: listen on %s: %w", addr, err)
	}
	defer ln.Close() // takes its own descriptor with it; the socket goes on under another one
	l, err := newListener(ln.(*net.TCPListener), p.opts.Backlog)
	if err != nil {
		return fmt.Errorf("cnxn: listen on %s: %w", addr, err)
	}
	p.listeners = append(p.listeners, l)
	return nil
}

// Serve starts to accept connections and to serve them.
func (p *Ports) Serve() {
	for _, poller := range p.pollers {
		p.running.Go(func() { p.work(poller) })
	}
	p.running.Go(func() { p.work(nil) })
	p.running.Go(func() { p.sweeper.run(p.stop) })
	for _, l := range p.listeners {
		l.watch(p.pollers[0].ep)
	}
}

// Addrs are the addresses that are listened on.
func (p *Ports) Addrs() []net.Addr {
	var addrs []net.Addr
	for _, ln := range p.listeners {
		addrs = append(addrs, ln.addr)
	}
	return addrs
}

// SetLimits changes the limits; connections beyond them are left alone.
func (p *Ports) SetLimits(l Limits) {
	p.mu.Lock()
	p.limits = l
	p.mu.Unlock()
}

// Visit calls f for each connection, also for those that the handler does not know (yet).
func (p *Ports) Visit(f func(*Conn)) {
	for _, poller := range p.pollers {
		poller.visit(f)
	}
}

// Stats returns what has been counted.
func (p *Ports) Stats() Stats {
	p.mu.Lock()
	total := p.total
	p.mu.Unlock()
	c := &p.stats
	return Stats{
		Connections: int64(total),
		Accepted:    c.accepted.Load(), RefusedIP: c.refusedIP.Load(), RefusedAll: c.refusedAll.Load(),
		BadFrames: c.badFrames.Load(), Late: c.late.Load(), Dropped: c.dropped.Load(), Slow: c.slow.Load(),
		Paused: c.paused.Load(), Words: c.words.Load(), Received: c.received.Load(), Sent: c.sent.Load(),
	}
}

// StopAccepting closes the listeners. Open connections go on.
func (p *Ports) StopAccepting() {
	for _, l := range p.listeners {
		l.close()
	}
}

// Close ends every connection at once and waits until all goroutines have ended.
// Handler.Closed has been called for each connection when it returns.
func (p *Ports) Close() error {
	p.StopAccepting()
	p.mu.Lock()
	if p.closing {
		p.mu.Unlock()
		return nil
	}
	p.closing = true
	empty := make(chan struct{})
	p.empty = empty
	if p.total == 0 {
		close(empty)
	}
	p.mu.Unlock()
	p.Visit(func(c *Conn) {
		c.Abort()
		c.Flush()
	})
	<-empty
	close(p.stop)
	var errs []error
	for _, poller := range p.pollers {
		errs = append(errs, poller.file.Close())
	}
	p.running.Wait()
	return errors.Join(errs...)
}

// work runs a poller, or waits for one that is vacant if it has none.
func (p *Ports) work(poller *poller) {
	detach := func() { p.vacant <- poller; poller = nil }
	for {
		if poller == nil {
			select {
			case poller = <-p.vacant:
			case <-p.stop:
				return
			}
		}
		if poller.poll() != nil {
			return
		}
		p.handler.Idle(detach)
	}
}

// listenerOf is the listener with a descriptor, or nil.
func (p *Ports) listenerOf(fd int32) *listener {
	for _, l := range p.listeners {
		if l.fd == int(fd) {
			return l
		}
	}
	return nil
}

// take takes on an accepted socket, or closes it without a byte if it is one too many.
func (p *Ports) take(fd int, peer netip.AddrPort) {
	poller := p.admit(fd, peer.Addr())
	if poller == nil {
		_ = unix.Close(fd)
		return
	}
	c := &Conn{p: poller, sock: socket{fd: fd, ep: poller.ep}, peer: peer}
	p.sweeper.accepted(c)
	if err := poller.add(c); err != nil {
		p.log(c).WithError(err).Warn("Cannot serve a client connection")
		c.mu.Lock()
		c.state = stateGone
		c.gone.Store(true)
		c.sock.close()
		c.mu.Unlock()
		p.closed(c)
	}
}

// admit counts a connection from ip and picks its poller; nil refuses it. Its descriptor is the
// lowest one that was free, so it tells how many there are in use.
func (p *Ports) admit(fd int, ip netip.Addr) *poller {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closing:
		return nil
	case fd >= p.opts.MaxFiles:
		p.stats.refusedAll.Add(1)
		if p.stats.refusedFiles.Add(1) == 1 {
			p.opts.Log.WithField("limit", p.opts.MaxFiles).
				Warn("Refusing connections: the file descriptors that are left are the server's; raise LimitNOFILE")
		}
		return nil
	case p.limits.Total > 0 && p.total >= p.limits.Total:
		if p.stats.refusedAll.Add(1) == 1 {
			p.opts.Log.WithField("limit", p.limits.Total).Warn("Refusing connections: maxCnxns is reached")
		}
		return nil
	case p.limits.PerIP > 0 && p.perIP[ip] >= p.limits.PerIP:
		if p.stats.refusedIP.Add(1) == 1 {
			p.opts.Log.WithFields(logrus.Fields{"limit": p.limits.PerIP, "client": ip}).
				Warn("Refusing connections: maxClientCnxns of an address is reached")
		}
		return nil
	}
	p.stats.accepted.Add(1)
	p.total++
	p.perIP[ip]++
	p.next++
	return p.pollers[p.next%len(p.pollers)]
}

// closed counts a connection out.
func (p *Ports) closed(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ip := c.peer.Addr()
	if p.perIP[ip]--; p.perIP[ip] == 0 {
		delete(p.perIP, ip)
	}
	if p.total--; p.total == 0 && p.empty != nil {
		close(p.empty)
	}
}

func (p *Ports) log(c *Conn) logrus.FieldLogger { return p.opts.Log.WithField("client", c.peer) }

func (p *Ports) badFrame(c *Conn) {
	p.stats.badFrames.Add(1)
	p.log(c).Debug("Closed a connection that sent a frame with a length out of range")
}

func (p *Ports) slow(c *Conn) {
	p.stats.slow.Add(1)
	p.log(c).WithField("bytes", c.queued.Load()).
		Warn("Closed a connection that does not read its watch events")
}
