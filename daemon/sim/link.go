package sim

import (
	"errors"
	"maps"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/zab"
)

// end is one end of a connection between two servers.
type end struct {
	w       *world
	s       *server
	life    int
	link    *zab.Link
	peer    *end
	learner bool // is the learner's end
	down    bool
	lost    bool // something that was sent did not arrive, so nothing after it does

	arrives int64          // when the last thing that was sent arrives: nothing overtakes
	flight  []func(p *end) // what is on its way, in order
	due     int            // of these, how many would have arrived
	stalled bool           // they wait for the network
	in      []byte         // received and not a whole packet yet

	epoch     int64 // of the leader, as LEADERINFO said
	confirmed bool  // UPTODATE has been sent

	heardAt proto.Millis // when something came, by the clock of this end
}

// latency is how long a message takes.
func (w *world) latency() int64 {
	if !w.healing && w.chance(w.shape.spikes) {
		return w.between(1000, 150_000)
	}
	return w.between(w.shape.latency[0], w.shape.latency[1])
}

// join connects a learner to a server.
func join(learner, leader *server, master bool) {
	a := &end{w: learner.w, s: learner, life: learner.life, learner: true}
	b := &end{w: learner.w, s: leader, life: leader.life}
	a.peer, b.peer = b, a
	a.link, b.link = &zab.Link{Owner: a}, &zab.Link{Owner: b, Master: master}
	a.heardAt, b.heardAt = learner.clock().Mono, leader.clock().Mono
	learner.ends, leader.ends = append(learner.ends, a), append(leader.ends, b)
	leader.step(func() { leader.r.LinkUp(leader.clock(), b.link, false) })
	learner.step(func() { learner.r.LinkUp(learner.clock(), a.link, true) })
}

// forget drops the ends that are down.
func (s *server) forget() {
	kept := s.ends[:0]
	for _, e := range s.ends {
		if !e.down {
			kept = append(kept, e)
		}
	}
	clear(s.ends[len(kept):])
	s.ends = kept
}

// breakOff ends the connection: at once here, and at the other end when it notices.
func (e *end) breakOff(reason string, told bool) {
	if e.down {
		return
	}
	e.down = true
	if !told {
		e.s.step(func() { e.s.r.LinkDown(e.s.clock(), e.link, reason) })
	}
	p := e.peer
	if p.down {
		return
	}
	if e.w.shape.silent { // the end of the stream comes last, if it comes
		e.deliver(func(p *end) { p.hangUp(reason) })
		return
	}
	e.w.after(max(e.w.between(50, 3000), e.arrives-e.w.now), func() {
		if !p.down && p.life == p.s.life {
			p.s.step(func() { p.hangUp(reason) })
		}
	})
}

// hangUp ends the connection at this end, because of the other one; the step is its caller's.
func (e *end) hangUp(reason string) {
	if !e.down {
		e.down = true
		e.s.r.LinkDown(e.s.clock(), e.link, reason)
	}
}

// flush sends what a link has to send.
func (e *end) flush(l *zab.Link) {
	at := 0
	for _, b := range l.Bulks {
		e.send(append([]byte(nil), l.Out[at:b.At]...))
		at = b.At
		e.bulk(b)
	}
	if at < len(l.Out) {
		e.send(append([]byte(nil), l.Out[at:]...))
	}
	l.Out, l.Bulks = l.Out[:0], nil
	if l.Close != "" {
		e.breakOff(l.Close, true)
	}
}

// send has bytes arrive in pieces.
func (e *end) send(b []byte) {
	e.inspect(b)
	for len(b) > 0 {
		n := len(b)
		if e.w.chance(10) {
			n = 1 + e.w.rnd.IntN(n)
		}
		piece := b[:n]
		b = b[n:]
		e.deliver(func(p *end) { p.receive(piece) })
	}
}

// deliver has something happen at the other end, after everything sent before.
func (e *end) deliver(f func(p *end)) {
	e.arrives = max(e.arrives, e.w.now+e.w.latency())
	e.flight = append(e.flight, f)
	e.w.after(e.arrives-e.w.now, func() {
		e.due++
		e.arrive()
	})
}

// arrive has happen what is due. Where nothing comes through, the connection breaks; or it
// stands still, and goes on when the network does, unless one of the ends has given it up by then.
func (e *end) arrive() {
	w, p := e.w, e.peer
	for e.due > 0 && !e.lost && !e.stalled {
		if !w.reaches(e.s.id, p.s.id) || p.s.vanished {
			if !w.shape.silent {
				e.lost = true
				e.breakOff("lost", e.down)
				return
			}
			e.stalled = true
			w.after(w.between(5000, 200_000), func() {
				e.stalled = false
				e.arrive()
			})
			return
		}
		f := e.flight[0]
		e.flight, e.due = e.flight[1:], e.due-1
		switch {
		case !p.down && p.life == p.s.life:
			p.s.step(func() {
				if !p.down {
					f(p)
				}
			})
		case w.shape.silent: // nobody is there any more
			e.lost = true
			e.s.later(w.latency(), func() { e.hangUp("reset") })
		}
	}
}

// receive takes bytes; the step is its caller's.
func (e *end) receive(b []byte) {
	r, now := e.s.r, e.s.clock()
	e.heardAt = now.Mono
	if len(e.in) > 0 {
		b = append(e.in, b...)
	}
	for {
		var p proto.Packet
		n, err := p.Decode(b, 1<<20)
		if errors.Is(err, proto.ErrShort) {
			break
		}
		if err != nil {
			e.w.violated("server %d sent what is no packet: %v", e.peer.s.id, err)
			return
		}
		b = b[n:]
		e.heard(&p)
		r.Packet(now, e.link, &p)
	}
	e.in = b
	r.Settled(now)
}

// heard takes notice of a packet that is about to be taken.
func (e *end) heard(p *proto.Packet) {
	switch p.Type {
	case proto.PacketLeaderInfo:
		e.epoch = p.Zxid.Epoch64()
	case proto.PacketPing:
		if e.learner {
			return
		}
		for d := jute.NewDecoder(p.Data); len(d.Rest()) >= 12; d.Int() {
			e.s.part.touch(proto.SessionID(d.Long()), e.s.clock().Mono)
		}
	case proto.PacketRevalidate, proto.PacketRequest:
		if !e.learner && len(p.Data) >= 8 {
			e.s.part.touch(proto.SessionID(jute.Long(p.Data)), e.s.clock().Mono)
		}
	}
}

// inspect checks what a server is about to say against what is on its disk.
func (e *end) inspect(b []byte) {
	for len(b) > 0 {
		var p proto.Packet
		n, err := p.Decode(b, 1<<20)
		if err != nil {
			e.w.violated("server %d is about to send what is no packet: %v", e.s.id, err)
			return
		}
		b = b[n:]
		if e.learner {
			e.inspectLearner(&p)
		} else {
			e.inspectLeader(&p)
		}
	}
}

func (e *end) inspectLearner(p *proto.Packet) {
	w, s, d := e.w, e.s, &e.s.disk
	switch p.Type {
	case proto.PacketAck:
		if p.Zxid.Counter() == 0 && p.Zxid.Epoch64() != d.hard.Current {
			w.violated("server %d acknowledges the epoch of %v, and has %d on its disk", s.id, p.Zxid, d.hard.Current)
		}
		if p.Zxid.Counter() != 0 && !s.disk.has(p.Zxid) {
			w.violated("server %d acknowledges %v, which is not on its disk", s.id, p.Zxid)
		}
	case proto.PacketAckEpoch:
		current := int64(jute.Int(p.Data))
		if d.hard.Accepted != e.epoch {
			w.violated("server %d acknowledges the epoch %d, and has accepted %d", s.id, e.epoch, d.hard.Accepted)
		}
		if p.Zxid != -1 && p.Zxid != d.last() || current != -1 && current != d.hard.Current {
			w.violated("server %d tells its leader of epoch %d and %v, and %d and %v are on its disk",
				s.id, current, p.Zxid, d.hard.Current, d.last())
		}
	}
}

func (e *end) inspectLeader(p *proto.Packet) {
	w, s, d := e.w, e.s, &e.s.disk
	switch p.Type {
	case proto.PacketLeaderInfo:
		if d.hard.Accepted != p.Zxid.Epoch64() {
			w.violated("server %d proposes the epoch of %v, and has accepted %d", s.id, p.Zxid, d.hard.Accepted)
		}
	case proto.PacketNewLeader:
		if d.hard.Current != p.Zxid.Epoch64() {
			w.violated("server %d leads with %v, and has the epoch %d on its disk", s.id, p.Zxid, d.hard.Current)
		}
		if !e.link.Master { // a follower passes on to observers whose epoch it is
			w.history.leads(s, p.Zxid.Epoch64())
			w.history.begins(s, p.Zxid.Epoch64())
		}
	case proto.PacketTrunc:
		if !e.peer.s.disk.had(p.Zxid) && e.peer.life == e.peer.s.life {
			w.violated("server %d has server %d cut its log at %v, which that does not have", s.id, e.peer.s.id, p.Zxid)
		}
	case proto.PacketUpToDate:
		e.confirmed = true
	case proto.PacketCommit, proto.PacketInform:
		if e.confirmed && !w.history.committed(p.Zxid) {
			w.violated("server %d tells server %d that %v is committed, and it is not", s.id, e.peer.s.id, p.Zxid)
		}
	}
}

// bulk sends a snapshot or logged history. Where the log does not hold all that was committed yet,
// a server waits; here the tree takes its place.
func (e *end) bulk(b zab.Bulk) {
	s := e.s
	if b.Kind == zab.BulkLog {
		if i, ok := s.disk.find(b.After); ok && s.disk.last() >= b.Zxid {
			e.history(proto.AppendPacket(nil, proto.PacketDiff, b.Zxid, nil), i, b.Zxid)
			return
		}
		b.Zxid = s.r.Tree().LastZxid()
	}
	e.w.report.Snaps++
	base, at := s.disk.zxid, b.End
	if i, ok := s.disk.find(base); ok && s.disk.undo == nil && b.After <= base && s.disk.last() >= at {
		e.snap(maps.Clone(s.disk.image), base)
		e.history(nil, i, at)
		return
	}
	if s.disk.undo == nil {
		s.disk.undo = make(map[string][]byte)
	}
	drain(s.r.Tree(), &s.disk)
	e.snap(maps.Clone(s.disk.image), b.Zxid)
}

// history sends a packet and what the log holds from an entry on, up to a zxid.
func (e *end) history(out []byte, i int, upTo proto.Zxid) {
	for _, l := range e.s.disk.log[i:] {
		if l.zxid <= upTo {
			out = proto.AppendPacket(out, proto.PacketProposal, l.zxid, l.txn)
			out = proto.AppendPacket(out, proto.PacketCommit, l.zxid, nil)
		}
	}
	if len(out) > 0 {
		e.send(out)
	}
}

// snap sends an image as the state at a zxid.
func (e *end) snap(image map[string][]byte, zxid proto.Zxid) {
	e.deliver(func(p *end) {
		t := load(image)
		t.Advance(zxid)
		e.w.installs[t] = maps.Clone(image)
		p.heardAt = p.s.clock().Mono
		p.s.r.Snap(p.s.clock(), p.link, t, zxid)
	})
}
