package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zkd-project/zkd/daemon/ensemble"
	"github.com/zkd-project/zkd/daemon/proto"
)

// The versions of the first message of an election connection.
const (
	version1 int64 = -65536 // one address
	version2 int64 = -65535 // several
)

// maxInitial is the length of the longest list of addresses in a first message.
const maxInitial = 2048

// peer is another server, as the election knows it. The server with the larger id dials;
// a dial of the other one makes it do so.
type peer struct {
	t      *Transport
	id     int64
	member atomic.Pointer[ensemble.Member] // where it is; a reload may change that
	signal chan struct{}                   // dial now

	mu      sync.Mutex
	conn    net.Conn
	wake    chan struct{} // there is something to send on conn
	next    []byte        // not sent yet
	last    []byte        // sent last; a new connection begins with it
	stopped bool
}

func newPeer(t *Transport, m *ensemble.Member) *peer {
	p := &peer{t: t, id: m.ID, signal: make(chan struct{}, 1)}
	p.member.Store(m)
	return p
}

// notify queues a notification.
func (p *peer) notify(n *proto.Notification) {
	b := n.Append(make([]byte, 4, 64+len(n.Config)))
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	p.mu.Lock()
	p.next = b
	connected := p.conn != nil
	if connected {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
	p.mu.Unlock()
	if !connected {
		p.nudge()
	}
}

// nudge has the peer dialled soon.
func (p *peer) nudge() {
	select {
	case p.signal <- struct{}{}:
	default:
	}
}

// Pauses between dials of a server that does not answer.
const (
	dialPauseMin = 20 * time.Millisecond
	dialPauseMax = time.Second
)

// dialLoop connects to the peer: always, where it is for this server to do so; and when
// there is something to say, so that the other one does it.
func (p *peer) dialLoop() {
	pause := dialPauseMin
	for p.t.ctx.Err() == nil {
		if p.connected() {
			pause = dialPauseMin
			p.await(0)
			continue
		}
		if p.t.opts.ID < p.id {
			p.await(0)
			if p.connected() {
				continue
			}
		}
		if err := p.dial(); err != nil || p.t.opts.ID < p.id {
			p.await(pause)
			pause = min(2*pause, dialPauseMax)
		}
	}
}

func (p *peer) connected() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conn != nil || p.stopped
}

// reachable says whether there is a connection.
func (p *peer) reachable() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conn != nil
}

// await waits until it is time to dial again; 0 is no time.
func (p *peer) await(d time.Duration) {
	var timer <-chan time.Time
	if d > 0 {
		timer = time.After(d)
	}
	select {
	case <-p.t.ctx.Done():
	case <-p.signal:
		if d > 0 { // whatever is to be said, not in a frenzy
			p.t.pause(dialPauseMin / 2)
		}
	case <-timer:
	}
}

// dial connects to the peer and says who this server is.
func (p *peer) dial() error {
	conn, err := p.t.connect(p.t.ctx, p.member.Load(), func(a ensemble.Address) int { return a.Election })
	if err != nil {
		return err
	}
	if err = conn.SetWriteDeadline(time.Now().Add(p.t.opts.FirstTimeout)); err == nil {
		_, err = conn.Write(p.t.initial())
	}
	if err != nil || p.t.opts.ID < p.id {
		// The other one has to dial; it knows now that it should.
		_ = conn.Close()
		return err
	}
	_ = conn.SetWriteDeadline(time.Time{}) // what is wrong with conn shows when it is used
	p.start(conn)
	return nil
}

// initial is the first message of a connection that this server dials.
func (t *Transport) initial() []byte {
	me := t.opts.Ensemble.Member(t.opts.ID)
	version, list := version1, []string{}
	for _, a := range me.Addresses {
		list = append(list, ensemble.JoinHostPort(a.Host, strconv.Itoa(a.Election)))
	}
	if len(list) > 1 {
		version = version2
	}
	addrs := strings.Join(list, "|")
	b := binary.BigEndian.AppendUint64(nil, uint64(version))
	b = binary.BigEndian.AppendUint64(b, uint64(t.opts.ID))
	b = binary.BigEndian.AppendUint32(b, uint32(len(addrs)))
	return append(b, addrs...)
}

// readInitial reads the first message of a connection: who dials.
func readInitial(r io.Reader) (id int64, err error) {
	var head [20]byte
	if _, err := io.ReadFull(r, head[:8]); err != nil {
		return 0, err
	}
	version := int64(binary.BigEndian.Uint64(head[:]))
	if version >= 0 {
		return version, nil // before 3.5 there was nothing but the id
	}
	if version != version1 && version != version2 {
		return 0, fmt.Errorf("the first message has the unknown version %d", version)
	}
	if _, err := io.ReadFull(r, head[8:]); err != nil {
		return 0, err
	}
	n := int32(binary.BigEndian.Uint32(head[16:]))
	if n < 1 || n > maxInitial {
		return 0, fmt.Errorf("the first message has a list of %d bytes", n)
	}
	if _, err := io.CopyN(io.Discard, r, int64(n)); err != nil {
		return 0, err
	}
	return int64(binary.BigEndian.Uint64(head[8:])), nil
}

// acceptElection takes a connection to the election port.
func (t *Transport) acceptElection(conn net.Conn) {
	err := conn.SetReadDeadline(time.Now().Add(t.opts.FirstTimeout))
	var id int64
	if err == nil {
		id, err = readInitial(conn)
	}
	if errors.Is(err, io.EOF) {
		err = errNothing
	}
	t.greeted(conn)
	p := t.peers[id]
	switch {
	case err == nil && id == t.opts.ID:
		err = fmt.Errorf("it says to be server %d, which is this one; every server needs an id of its own", id)
	case err == nil && p == nil:
		err = fmt.Errorf("it says to be server %d, which is not in the list of servers", id)
	}
	if err != nil {
		t.strange.refuse(conn, err)
		return
	}
	if id < t.opts.ID {
		_ = conn.Close() // it is for this server to dial
		p.drop()
		p.nudge()
		return
	}
	_ = conn.SetReadDeadline(time.Time{}) // what is wrong with conn shows when it is used
	p.start(conn)
}

// drop ends the connection, so that a new one is made.
func (p *peer) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != nil {
		_ = p.conn.Close() // its reader sees that
	}
}

// stop ends the connection for good.
func (p *peer) stop() {
	p.mu.Lock()
	p.stopped = true
	p.mu.Unlock()
	p.drop()
	p.nudge()
}

// voteLimit is how long a vote may be on its way, unacknowledged by the other kernel.
const voteLimit = 2 * time.Second

// start uses a new connection, in place of an older one.
func (p *peer) start(conn net.Conn) {
	if err := watch(conn, voteLimit); err != nil {
		p.t.opts.Log.WithError(err).WithField("peer", p.id).Debug("The election connection is not watched")
	}
	p.mu.Lock()
	if p.stopped || p.t.ctx.Err() != nil {
		p.mu.Unlock()
		_ = conn.Close() // nobody wants it any more
		return
	}
	if p.conn != nil {
		_ = p.conn.Close() // its reader ends
		close(p.wake)
	}
	wake := make(chan struct{}, 1)
	p.conn, p.wake = conn, wake
	if p.next == nil {
		p.next = p.last
	}
	wake <- struct{}{}
	p.mu.Unlock()
	p.t.running.Go(func() { p.write(conn, wake) })
	p.t.running.Go(func() { p.read(conn) })
	p.t.h.Peer(p.id, true)
}

// write sends notifications until the connection ends.
func (p *peer) write(conn net.Conn, wake chan struct{}) {
	for range wake {
		p.mu.Lock()
		b := p.next
		if p.conn != conn {
			b = nil
		}
		if b != nil {
			p.next, p.last = nil, b
		}
		p.mu.Unlock()
		if b == nil {
			continue
		}
		if _, err := conn.Write(b); err != nil {
			_ = conn.Close() // its reader sees that
		}
	}
}

// read takes notifications until the connection ends.
func (p *peer) read(conn net.Conn) {
	err := p.readAll(conn)
	_ = conn.Close() // it is over
	p.mu.Lock()
	current := p.conn == conn
	if current {
		p.conn = nil
		close(p.wake)
	}
	stopped := p.stopped
	p.mu.Unlock()
	if !current {
		return
	}
	if errors.Is(err, errFormat) {
		p.t.strange.tell(conn, fmt.Errorf("it says to be server %d: %w", p.id, err))
	} else if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
		p.t.opts.Log.WithError(err).WithField("peer", p.id).Debug("The election connection has ended")
	}
	p.t.h.Peer(p.id, false)
	if !stopped {
		p.nudge()
	}
}

func (p *peer) readAll(conn net.Conn) error {
	buf := make([]byte, 4<<10)
	for {
		var head [4]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return err
		}
		n := int(int32(binary.BigEndian.Uint32(head[:])))
		if n < 1 || n > proto.NotificationMax {
			return fmt.Errorf("%w: a notification cannot have %d bytes", errFormat, n)
		}
		if n > len(buf) {
			buf = make([]byte, n)
		}
		if _, err := io.ReadFull(conn, buf[:n]); err != nil {
			return err
		}
		var note proto.Notification
		if err := note.Decode(buf[:n]); err != nil {
			p.t.strange.tell(conn, fmt.Errorf("it says to be server %d: %w", p.id, err))
			continue
		}
		p.t.h.Notification(p.id, &note)
	}
}
