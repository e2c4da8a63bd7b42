package server

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"sync/atomic"

	"github.com/sirupsen/logrus"

	"github.com/zkd-project/zkd/daemon/ensemble"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
	"github.com/zkd-project/zkd/daemon/transport"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zab"
)

// quorum is a server's connection to the others of its ensemble.
type quorum struct {
	net     *transport.Transport // nil for a server on its own
	serving atomic.Bool
	links   map[*quorumLink]struct{} // guarded by the step lock
	trees   chan struct{}            // holds one for each tree that is being made for somebody
}

// quorumLink is a connection of the quorum port, between transport and replica.
type quorumLink struct {
	zab.Link
	net *transport.Link

	// SNAP packet whose body follows.
	snapZxid proto.Zxid
}

// minLearnerPacket is the least that a learner's packet may have: that is room for the sessions
// in a PING, and for requests of a server with a larger jute.maxbuffer.
const minLearnerPacket = 64 << 20

// maxPacket bounds the packets of a link in bytes. What comes from the leader is history, which
// nobody can do without; a learner's largest packet is a request and as much again of identities.
func (s *Server) maxPacket(q *quorumLink) int {
	if q.Upward() {
		return math.MaxInt
	}
	return max(minLearnerPacket, 2*s.opts.Ports.MaxFrame+1<<10)
}

// peers makes a server the handler of its transport.
type peers struct{ s *Server }

// do steps the replica; what it wants written may be written here.
func (p peers) do(f func(r *replica.Replica, now replica.Now)) {
	s := p.s
	s.step.lock.Lock()
	s.step.begin()
	f(s.opts.Replica, s.step.now)
	s.finish()
	s.combine()
	s.appendHere(func() {})
}

// Notification implements transport.Handler.
func (p peers) Notification(from int64, n *proto.Notification) {
	p.do(func(r *replica.Replica, now replica.Now) { r.Notification(now, from, n) })
}

// Peer implements transport.Handler.
func (p peers) Peer(id int64, up bool) {
	p.do(func(r *replica.Replica, now replica.Now) { r.PeerUp(now, id, up) })
}

// LinkUp implements transport.Handler.
func (p peers) LinkUp(l *transport.Link) {
	q := &quorumLink{net: l}
	q.Link.Owner, q.Link.Master = q, l.Master()
	l.Owner = q
	p.do(func(r *replica.Replica, now replica.Now) {
		p.s.quorum.links[q] = struct{}{}
		r.LinkUp(now, &q.Link, l.Dialled())
	})
}

// LinkDown implements transport.Handler.
func (p peers) LinkDown(l *transport.Link, err error) {
	q := l.Owner.(*quorumLink)
	reason := "closed by the other end"
	if err != nil && !errors.Is(err, io.EOF) {
		reason = err.Error()
	}
	if q.Upward() {
		p.s.image.arrivals.abandon() // if it is wanted all the same, it is written from its tree
	}
	p.do(func(r *replica.Replica, now replica.Now) {
		delete(p.s.quorum.links, q)
		r.LinkDown(now, &q.Link, reason)
	})
}

// DialFailed implements transport.Handler.
func (p peers) DialFailed(id int64, err error) {
	p.do(func(r *replica.Replica, now replica.Now) { r.DialFailed(now, id, err.Error()) })
}

// Readdress takes over the other servers' addresses from a list that has the same servers.
func (s *Server) Readdress(list *ensemble.Config) {
	s.hold(func() { s.opts.Replica.Readdress(list) })
	s.quorum.net.Readdress(list)
}

// VisitLearners calls f for each connection to a learner that has said which one it is.
func (s *Server) VisitLearners(f func(id int64, l *transport.Link)) {
	s.hold(func() {
		for q := range s.quorum.links {
			if id := q.Peer(); id != 0 && !q.net.Dialled() {
				f(id, q.net)
			}
		}
	})
}

// Seen counts the servers of the ensemble that this one can talk to, itself among them.
func (s *Server) Seen() int {
	if s.quorum.net == nil {
		return 1
	}
	return 1 + s.quorum.net.Connected()
}

// Progress implements transport.Handler.
func (p peers) Progress(l *transport.Link) {
	q := l.Owner.(*quorumLink)
	p.do(func(r *replica.Replica, now replica.Now) { r.Heard(now, &q.Link) })
}

// packetSlice is the number of packets that are handled before the lock is let go.
const packetSlice = 512

// Packets implements transport.Handler.
func (p peers) Packets(l *transport.Link, b []byte) (used int, snap bool, err error) {
	q := l.Owner.(*quorumLink)
	limit := p.s.maxPacket(q)
	for more := true; more && err == nil && !snap; {
		p.do(func(r *replica.Replica, now replica.Now) {
			for range packetSlice {
				var packet proto.Packet
				n, e := packet.Decode(b[used:], limit)
				if e != nil {
					more = false
					if !errors.Is(e, proto.ErrShort) {
						err = e
					}
					break
				}
				used += n
				if packet.Type == proto.PacketSnap && q.Upward() {
					snap, q.snapZxid = true, packet.Zxid
					break
				}
				r.Packet(now, &q.Link, &packet)
			}
			r.Settled(now)
			p.s.step.freed = true
		})
	}
	return used, snap, err
}

// Snap implements transport.Handler.
func (p peers) Snap(l *transport.Link, r *bufio.Reader) error {
	q := l.Owner.(*quorumLink)
	var t *tree.Tree
	err := inBackground(func() (err error) {
		t, err = p.s.readSnap(r, q.snapZxid)
		return err
	})
	if err != nil {
		return fmt.Errorf("the snapshot at %v: %w", q.snapZxid, err)
	}
	p.do(func(r *replica.Replica, now replica.Now) { r.Snap(now, &q.Link, t, q.snapZxid) })
	return nil
}

// settleLinks queues what the replica has for other servers; the step lock is held.
func (s *Server) settleLinks(e *replica.Effects) {
	for _, l := range e.Links {
		q, at := l.Owner.(*quorumLink), 0
		for _, b := range l.Bulks {
			q.net.Queue(l.Out[at:b.At])
			at = b.At
			q.net.QueueBulk(s.bulk(b, q.net.Done()))
		}
		q.net.Queue(l.Out[at:])
		if l.Close != "" {
			q.net.End(errors.New(l.Close), l.Refused)
		}
		l.Out, l.Bulks = l.Out[:0], nil
		if cap(l.Out) > keepBatch {
			l.Out = nil
		}
	}
	for i := range e.Notices {
		s.quorum.net.Notify(e.Notices[i].To, &e.Notices[i].N)
	}
	if e.Redial {
		s.quorum.net.Redial()
	}
	if e.Dialling && s.quorum.net != nil {
		s.quorum.net.DialLeader(e.Dial, e.Master)
	}
	s.quorum.serving.Store(s.step.replica.Serving())
}

// sendLinks sends what was queued for other servers, and says what has happened.
func (s *Server) sendLinks(e *replica.Effects) {
	for _, l := range e.Links {
		q := l.Owner.(*quorumLink)
		q.net.Flush()
	}
	for _, ev := range e.Events {
		s.logEvent(ev)
	}
}

// logEvent writes an event of the ensemble to the log.
func (s *Server) logEvent(ev zab.Event) {
	f := logrus.Fields{"event": "election", "state": ev.What, "epoch": ev.Epoch, "zxid": ev.Zxid}
	switch ev.What {
	case "learner", "learner gone":
		f["event"] = "learner"
	case "truncated":
		f["event"] = "truncated"
	case "healed", "lost":
		f["event"] = "healing"
	}
	if ev.Peer < 0 {
		f["peer"], f["healing"] = ^ev.Peer, true
	} else if ev.Peer != 0 {
		f["peer"] = ev.Peer
	}
	if ev.Reason != "" {
		f["reason"] = ev.Reason
	}
	text := map[string]string{
		"looking": "Looking for a leader", "following": "Following a leader", "leading": "Leading",
		"observing": "Observing a leader", "serving": "Serving", "learner": "A learner is synchronized",
		"learner gone": "A learner is gone", "truncated": "The end of the log was never committed and is cut off",
		"read-only": "Serving clients read-only, without a quorum",
		"healed":    "Everything that was damaged is there again: this server votes",
		"lost": "Nobody can be elected: too few servers have kept what they had acknowledged; " +
			"bring those back that are down, or see \"More than half of the disks\" in OPERATIONS",
	}[ev.What]
	if ev.What == "lost" {
		s.opts.Log.WithFields(f).Error(text)
		return
	}
	s.opts.Log.WithFields(f).Info(text)
}

// startQuorum begins to talk to the other servers.
func (s *Server) startQuorum() {
	if s.quorum.net == nil {
		return
	}
	s.quorum.net.Serve()
	s.hold(func() {}) // what the replica wanted when it was made
}

// stopQuorum leaves the ensemble.
func (s *Server) stopQuorum() {
	if s.quorum.net == nil {
		return
	}
	s.quorum.net.LeaveElection()
	if err := s.quorum.net.Close(); err != nil {
		s.opts.Log.WithError(err).Warn("Closing the ports for servers failed")
	}
}
