package sim

import (
	"errors"
	"maps"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
	"github.com/zkd-project/zkd/daemon/zab"
)

// end is one end of a connection between two servers.
type end struct {
	w    *world
	s    *server
	life int
	link *zab.Link
	peer *end
	down bool
	lost bool // something that was sent did not arrive, so nothing after it does

	arrives int64  // when the last thing that was sent arrives: nothing overtakes
	in      []byte // received and not a whole packet yet
}

// latency is how long a message takes.
func (w *world) latency() int64 {
	if w.chance(3) && !w.healing {
		return w.between(1000, 150_000)
	}
	return w.between(50, 1500)
}

// join connects a learner to a server.
func join(learner, leader *server) {
	a := &end{w: learner.w, s: learner, life: learner.life}
	b := &end{w: learner.w, s: leader, life: leader.life}
	a.peer, b.peer = b, a
	a.link, b.link = &zab.Link{Owner: a}, &zab.Link{Owner: b}
	learner.ends, leader.ends = append(learner.ends, a), append(leader.ends, b)
	leader.step(func(r *replica.Replica) { r.LinkUp(leader.clock(), b.link, false) })
	learner.step(func(r *replica.Replica) { r.LinkUp(learner.clock(), a.link, true) })
}

// breakOff ends the connection: at once here, and at the other end when it notices.
func (e *end) breakOff(reason string, told bool) {
	if e.down {
		return
	}
	e.down = true
	if !told {
		e.s.step(func(r *replica.Replica) { r.LinkDown(e.s.clock(), e.link, reason) })
	}
	p := e.peer
	if p.down {
		return
	}
	e.w.after(max(e.w.between(50, 3000), e.arrives-e.w.now), func() {
		if !p.down && p.life == p.s.life {
			p.down = true
			p.s.step(func(r *replica.Replica) { r.LinkDown(p.s.clock(), p.link, reason) })
		}
	})
}

// flush sends what a link has to send.
func (e *end) flush(l *zab.Link) {
	at := 0
	for _, b := range l.Bulks {
		e.send(append([]byte(nil), l.Out[at:b.At]...))
		at = b.At
		e.bulk(b)
	}
	e.send(append([]byte(nil), l.Out[at:]...))
	l.Out, l.Bulks = l.Out[:0], nil
	if l.Close != "" {
		e.breakOff(l.Close, true)
	}
}

// send has bytes arrive in pieces.
func (e *end) send(b []byte) {
	for len(b) > 0 {
		n := len(b)
		if e.w.chance(20) {
			n = 1 + e.w.rnd.IntN(n)
		}
		piece := b[:n]
		b = b[n:]
		e.deliver(func(p *end) { p.receive(piece) })
	}
}

// deliver has something happen at the other end, after everything sent before.
func (e *end) deliver(f func(p *end)) {
	p := e.peer
	e.arrives = max(e.arrives, e.w.now+e.w.latency())
	e.w.after(e.arrives-e.w.now, func() {
		if e.lost {
			return
		}
		if !e.w.reaches(e.s.id, p.s.id) {
			e.lost = true
			e.breakOff("lost", e.down)
			return
		}
		if !p.down && p.life == p.s.life {
			p.s.step(func(*replica.Replica) {
				if !p.down {
					f(p)
				}
			})
		}
	})
}

// receive takes bytes; the step is its caller's.
func (e *end) receive(b []byte) {
	r, now := e.s.r, e.s.clock()
	e.in = append(e.in, b...)
	used := 0
	for {
		var p proto.Packet
		n, err := p.Decode(e.in[used:], 1<<20)
		if errors.Is(err, proto.ErrShort) {
			break
		}
		if err != nil {
			e.w.violated("server %d sent what is no packet: %v", e.peer.s.id, err)
			return
		}
		used += n
		r.Packet(now, e.link, &p)
	}
	e.in = e.in[used:]
	r.Settled(now)
}

// bulk sends a snapshot or logged history.
func (e *end) bulk(b zab.Bulk) {
	s := e.s
	if b.Kind == zab.BulkLog {
		if i, ok := s.find(b.After); ok {
			out := proto.AppendPacket(nil, proto.PacketDiff, b.Zxid, nil)
			for _, l := range s.disk.log[i:] {
				if l.zxid <= b.Zxid {
					out = proto.AppendPacket(out, proto.PacketProposal, l.zxid, l.txn)
					out = proto.AppendPacket(out, proto.PacketCommit, l.zxid, nil)
				}
			}
			e.send(out)
			return
		}
		b.Zxid = s.r.Tree().LastZxid()
	}
	e.w.report.Snaps++
	s.cutNow()
	image := maps.Clone(s.mem)
	e.deliver(func(p *end) {
		t := load(image)
		t.Advance(b.Zxid)
		e.w.installs[t] = maps.Clone(image)
		p.s.r.Snap(p.s.clock(), p.link, t, b.Zxid)
	})
}

// find looks for a transaction in the log; the index is that of the one behind it.
func (s *server) find(zxid proto.Zxid) (int, bool) {
	for i, l := range s.disk.log {
		if l.zxid == zxid {
			return i + 1, true
		}
	}
	return 0, false
}
