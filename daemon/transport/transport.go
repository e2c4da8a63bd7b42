package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/zkd-project/zkd/daemon/ensemble"
	"github.com/zkd-project/zkd/daemon/proto"
)

// Handler takes what comes. Its methods are called from several goroutines.
type Handler interface {
	// Notification takes a message of the election. n is good during the call.
	Notification(from int64, n *proto.Notification)
	// Peer tells that there is a connection of the election to a server, or none any more.
	Peer(id int64, up bool)
	// LinkUp tells of a connection of the quorum port, dialled by this server or accepted.
	LinkUp(l *Link)
	// Packets takes the packets at the start of b. It returns how many bytes it has taken,
	// and whether the last packet it took was a SNAP, of which the body follows. It refuses
	// with an error what is too long: for the rest of a packet a link's buffer grows as it comes.
	Packets(l *Link, b []byte) (used int, snap bool, err error)
	// Snap reads the body that follows a SNAP packet.
	Snap(l *Link, r *bufio.Reader) error
	// Progress tells that bytes come and go on a link that is busy with something large.
	Progress(l *Link)
	// LinkDown tells that a link is gone; it is the last call for it.
	LinkDown(l *Link, err error)
	// DialFailed tells that a server's quorum port cannot be reached.
	DialFailed(id int64, err error)
}

// Options are the settings of a transport. Zero settings stand for the defaults.
type Options struct {
	ID        int64
	Ensemble  *ensemble.Config
	ListenAll bool // listen on all addresses and not only on those of the list
	// MasterPort is the port on which followers take observers, 0 for none.
	MasterPort int

	ConnectTimeout time.Duration // default 5 s; source: cnxTimeout
	FirstTimeout   time.Duration // for the first message of a connection, default 10 s
	DialLimit      time.Duration // how long a leader's quorum port is tried, default 5 s
	// SendLimit is how many bytes may wait for one learner, default 256 MiB. What is queued at
	// once for a learner that keeps up must be less.
	SendLimit int64

	Log logrus.FieldLogger
}

func (o *Options) setDefaults() {
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = 5 * time.Second
	}
	if o.FirstTimeout == 0 {
		o.FirstTimeout = 10 * time.Second
	}
	if o.DialLimit == 0 {
		o.DialLimit = 5 * time.Second
	}
	if o.SendLimit == 0 {
		o.SendLimit = 256 << 20
	}
}

// Transport are the connections of one server.
type Transport struct {
	opts    Options
	h       Handler
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	strange strangers

	listeners []net.Listener
	masters   []net.Listener
	elections []net.Listener
	peers     map[int64]*peer

	mu       sync.Mutex
	links    map[*Link]struct{}
	halfOpen map[string]int     // connections that have not said who they are, by address
	dial     context.CancelFunc // of the leader that is wanted
	closed   bool
}

// MasterPort is the name of the port for observers in errors.
const MasterPort = "observer master"

// PortError says that a port of this server cannot be listened on.
type PortError struct {
	ID   int64  // of this server
	Port string // "quorum", "election" or MasterPort
	Addr string // host:port
	Err  error
}

// Error implements error.
func (e *PortError) Error() string {
	return fmt.Sprintf("the %s port of server.%d cannot be listened on: %v", e.Port, e.ID, e.Err)
}

// Unwrap is the reason.
func (e *PortError) Unwrap() error { return e.Err }

// Listen binds the ports of this server. Nothing is accepted before Serve.
func Listen(o Options, h Handler) (*Transport, error) {
	o.setDefaults()
	me := o.Ensemble.Member(o.ID)
	if me == nil {
		return nil, fmt.Errorf("transport: server %d is not in the list of servers", o.ID)
	}
	t := &Transport{
		opts: o, h: h, links: make(map[*Link]struct{}), halfOpen: make(map[string]int), peers: make(map[int64]*peer),
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.strange.log = o.Log
	for i := range o.Ensemble.Members {
		if m := &o.Ensemble.Members[i]; m.ID != o.ID {
			t.peers[m.ID] = newPeer(t, m)
		}
	}
	for i, a := range me.Addresses {
		if i > 0 && o.ListenAll {
			break
		}
		host := a.Host
		if o.ListenAll {
			host = ""
		}
		if err := t.listenAt(host, &a, o.MasterPort > 0 && !me.Observer); err != nil {
			return nil, errors.Join(err, t.Close())
		}
	}
	return t, nil
}

// listenAt binds the ports at one address.
func (t *Transport) listenAt(host string, a *ensemble.Address, master bool) error {
	quorum, err := t.listen(host, a.Quorum, "quorum")
	if err != nil {
		return err
	}
	t.listeners = append(t.listeners, quorum)
	election, err := t.listen(host, a.Election, "election")
	if err != nil {
		return err
	}
	t.elections = append(t.elections, election)
	if !master {
		return nil
	}
	l, err := t.listen(host, t.opts.MasterPort, MasterPort)
	if err == nil {
		t.masters = append(t.masters, l)
	}
	return err
}

func (t *Transport) listen(host string, port int, what string) (net.Listener, error) {
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, &PortError{ID: t.opts.ID, Port: what, Addr: addr, Err: err}
	}
	return l, nil
}

// Serve begins to accept and to dial.
func (t *Transport) Serve() {
	for _, l := range t.listeners {
		t.running.Go(func() { t.accept(l, func(c net.Conn) { t.acceptLink(c, false) }) })
	}
	for _, l := range t.masters {
		t.running.Go(func() { t.accept(l, func(c net.Conn) { t.acceptLink(c, true) }) })
	}
	for _, l := range t.elections {
		t.running.Go(func() { t.accept(l, t.acceptElection) })
	}
	for _, p := range t.peers {
		t.running.Go(p.dialLoop)
	}
}

// accept takes connections until its listener is closed. It never ends for another reason.
func (t *Transport) accept(l net.Listener, take func(net.Conn)) {
	for {
		conn, err := l.Accept()
		if err != nil {
			if t.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			t.opts.Log.WithError(err).Warn("Accepting a server's connection failed")
			t.pause(100 * time.Millisecond)
			continue
		}
		if !t.welcome(conn) {
			t.strange.refuse(conn, errors.New("too many connections have not said who they are"))
			continue
		}
		t.running.Go(func() { take(conn) })
	}
}

// pause waits, but not for longer than the transport lasts.
func (t *Transport) pause(d time.Duration) {
	select {
	case <-t.ctx.Done():
	case <-time.After(d):
	}
}

// Notify sends a notification to another server, in place of one that it has not got yet.
func (t *Transport) Notify(to int64, n *proto.Notification) {
	if p := t.peers[to]; p != nil {
		p.notify(n)
	}
}

// Redial has connections made to servers to which there is none.
func (t *Transport) Redial() {
	for _, p := range t.peers {
		p.nudge()
	}
}

// Readdress takes over the addresses of the other servers from a list that has the same ones.
// Connections stay; the next one goes to the new address.
func (t *Transport) Readdress(list *ensemble.Config) {
	for i := range list.Members {
		m := &list.Members[i]
		if p := t.peers[m.ID]; p != nil {
			p.member.Store(m)
			p.nudge()
		}
	}
}

// Connected counts the servers to which there is a connection of the election.
func (t *Transport) Connected() (n int) {
	for _, p := range t.peers {
		if p.reachable() {
			n++
		}
	}
	return n
}

// LeaveElection closes the election port and its connections: a leader that is about to
// end must not be voted for.
func (t *Transport) LeaveElection() {
	for _, l := range t.elections {
		_ = l.Close() // it has nothing to lose
	}
	for _, p := range t.peers {
		p.stop()
	}
}

// Close closes everything and waits for its goroutines.
func (t *Transport) Close() error {
	t.cancel()
	t.mu.Lock()
	t.closed = true
	links := make([]*Link, 0, len(t.links))
	for l := range t.links {
		links = append(links, l)
	}
	t.mu.Unlock()
	var err error
	for _, l := range slices.Concat(t.listeners, t.masters, t.elections) {
		err = errors.Join(err, ignoreClosed(l.Close()))
	}
	for _, l := range links {
		l.Close(errClosing)
	}
	for _, p := range t.peers {
		p.stop()
	}
	t.running.Wait()
	return err
}

var errClosing = errors.New("this server is stopping")

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// connect dials all addresses of a member's port at the same time, their names resolved anew, and those
// that are found first first; the first connection wins.
func (t *Transport) connect(
	ctx context.Context, m *ensemble.Member, port func(ensemble.Address) int,
) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, t.opts.ConnectTimeout)
	defer cancel()
	return race(ctx, len(m.Addresses), func(ctx context.Context, i int) (net.Conn, error) {
		a := m.Addresses[i]
		ips, err := net.DefaultResolver.LookupIPAddr(ctx, a.Host)
		if err != nil {
			return nil, err
		}
		return race(ctx, len(ips), func(ctx context.Context, i int) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(ips[i].String(), strconv.Itoa(port(a))))
		})
	})
}

// race dials in n ways at the same time; the first connection wins.
func race(ctx context.Context, n int, dial func(ctx context.Context, i int) (net.Conn, error)) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result, n)
	for i := range n {
		go func() {
			conn, err := dial(ctx, i)
			results <- result{conn, err}
		}()
	}
	var first net.Conn
	var errs error
	for range n {
		switch r := <-results; {
		case r.err != nil:
			errs = errors.Join(errs, r.err)
		case first != nil:
			_ = r.conn.Close() // one is enough
		default:
			first = r.conn
			cancel()
		}
	}
	if first != nil {
		return first, nil
	}
	return nil, errs
}
