package sim

import "github.com/zkd-project/zkd/daemon/proto"

// The faults.
const (
	faultCrash = iota
	faultCrashMany
	faultCrashLeader
	faultStop
	faultPause
	faultPauseLeader
	faultSlowDisk
	faultClock
	faultDamage
	faultClient
	faultPartition // and what follows concerns the network
	faultHalves
	faultBridge
	faultOneWay
	faultCutLeader
	faultReign
	faultLink
	faultMend
	numFaults
)

// fault breaks something, and comes again.
func (w *world) fault() {
	if w.healing {
		return
	}
	total := 0
	for _, n := range w.shape.weights {
		total += n
	}
	n := w.rnd.IntN(total)
	kind := 0
	for n >= w.shape.weights[kind] {
		n -= w.shape.weights[kind]
		kind++
	}
	s := w.servers[w.rnd.IntN(len(w.servers))]
	if kind < faultPartition {
		w.serverFault(kind, s)
	} else {
		w.networkFault(kind, s)
	}
	w.after(w.between(5_000, w.shape.pause), w.fault)
}

// serverFault does the faults of servers and of clients.
func (w *world) serverFault(kind int, s *server) {
	switch kind {
	case faultCrash:
		w.crash(s)
	case faultCrashMany:
		for _, s := range w.servers {
			if w.chance(70) {
				w.crash(s)
			}
		}
	case faultCrashLeader:
		if l := w.leader(); l != nil {
			w.crash(l)
		}
	case faultStop:
		s.stop()
	case faultPause:
		s.pause(w.between(10_000, 1_500_000))
	case faultPauseLeader:
		if l := w.leader(); l != nil {
			l.pause(w.between(10_000, 1_500_000))
		}
	case faultSlowDisk:
		s.slow = w.now + w.between(10_000, 2_000_000)
	case faultClock:
		s.wall += proto.Millis(w.between(-3_600_000, 3_600_000))
	case faultDamage:
		w.damage(s)
	case faultClient:
		c := w.clients[w.rnd.IntN(len(w.clients))]
		c.asleep = w.now + w.between(10_000, 3_000_000)
		if w.chance(50) && c.conn != nil {
			c.drop()
		}
	}
}

// networkFault does the faults of the network.
func (w *world) networkFault(kind int, s *server) {
	if kind < faultLink && w.chance(60) {
		w.after(w.between(20_000, 900_000), w.clear)
	}
	switch kind {
	case faultPartition:
		w.clear()
		w.isolate(s)
	case faultHalves:
		w.clear()
		var side [maxServers]bool
		for _, s := range w.servers {
			side[s.id] = w.chance(50)
		}
		w.divide(func(a, b *server) bool { return side[a.id] != side[b.id] })
	case faultBridge: // s sees everybody, and the others see their own half only
		w.clear()
		w.divide(func(a, b *server) bool { return a != s && b != s && a.id%2 != b.id%2 })
	case faultOneWay:
		to := w.servers[w.rnd.IntN(len(w.servers))]
		w.cut[s.id][to.id] = s != to
		w.trace("%d does not reach %d", s.id, to.id)
	case faultCutLeader:
		if l := w.leader(); l != nil {
			w.clear()
			w.isolate(l)
		}
	case faultReign:
		w.shortReign()
	case faultLink:
		if len(s.ends) > 0 {
			w.trace("a link of %d breaks", s.id)
			s.ends[len(s.ends)-1].breakOff("a fault", false)
		}
	case faultMend:
		w.clear()
	}
}

// shortReign cuts a leader off in the middle of its work, has another one lead just long
// enough to take the first one back, while nobody asks for anything, and then crashes it:
// the first one may lead again, with nothing done meanwhile.
func (w *world) shortReign() {
	l := w.leader()
	if l == nil || w.reign != nil {
		return
	}
	w.trace("a short reign is to follow that of %d", l.id)
	w.reign = l
	w.clear()
	w.isolate(l)
	for _, c := range w.clients {
		if c.server != l {
			c.asleep = w.now + 1_500_000
			continue
		}
		w.after(w.between(5_000, 60_000), func() { c.asleep = w.now + 1_500_000 })
	}
	w.after(3_000_000, func() { w.reign = nil })
}

// reigns goes on with a short reign when a server begins to serve.
func (w *world) reigns(s *server, leader int64) {
	switch {
	case w.reign == nil || w.healing:
	case s.id == leader && s != w.reign:
		w.after(0, w.clear)
	case s == w.reign && s.id != leader:
		w.reign = nil
		w.after(w.between(0, 3000), func() {
			w.crash(w.server(leader))
			for _, c := range w.clients {
				c.asleep = w.now + w.between(50_000, 300_000)
			}
		})
	}
}

func (w *world) crash(s *server) {
	s.crash()
	w.after(w.between(1000, 800_000), s.boot)
}

// damage crashes a server, whose next start finds its disk damaged. So many may be damaged at a
// time as the ensemble can spare.
func (w *world) damage(s *server) {
	if !w.config.HasQuorum(func(id int64) bool { return id != s.id && !w.server(id).disk.lost }) {
		return
	}
	w.crash(s)
	w.trace("the disk of %d is damaged", s.id)
	w.report.Damages++
	before := s.disk
	s.disk = disk{image: map[string][]byte{}, lost: true, before: &before}
}

// leader is who leads, or thinks so.
func (w *world) leader() *server {
	var all []*server
	for _, s := range w.servers {
		if s.r != nil && s.part.leads {
			all = append(all, s)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[w.rnd.IntN(len(all))]
}

// onlyLeader is who leads, if nobody else thinks so. One that was stopped while later epochs came
// and went, and has not noticed, does not count: it says what it knows, as Apache's servers do.
func (w *world) onlyLeader() (only *server) {
	for _, s := range w.servers {
		switch {
		case s.r == nil || !s.part.leads:
		case only != nil:
			return nil
		default:
			only = s
		}
	}
	if only != nil && only.r.Status().Quorum.Epoch < w.history.acked.Epoch64() {
		return nil
	}
	return only
}

// clear makes the network whole.
func (w *world) clear() {
	w.trace("the network is whole")
	clear(w.cut[:])
	for _, s := range w.servers {
		s.forget()
		for _, other := range w.servers {
			if s != other {
				w.notice(s, other)
			}
		}
	}
}

// notice has a server notice after a while, or never, whether it reaches another one.
func (w *world) notice(s, other *server) {
	if s.r == nil || w.chance(50) && !w.healing {
		return
	}
	s.later(w.between(1000, 500_000), func() {
		s.r.PeerUp(s.clock(), other.id, other.r != nil && w.meet(s.id, other.id))
	})
}

func (w *world) isolate(s *server) {
	w.trace("%d is cut off", s.id)
	w.divide(func(a, b *server) bool { return (a == s) != (b == s) })
}

func (w *world) divide(apart func(a, b *server) bool) {
	for _, a := range w.servers {
		for _, b := range w.servers {
			if apart(a, b) {
				w.cut[a.id][b.id] = true
				w.notice(a, b)
			}
		}
	}
	w.trace("the network is divided: %v", w.cut)
}

// heal ends all faults and starts everybody who is down. Some clients do not come back:
// their sessions have to expire.
func (w *world) heal() {
	w.healing, w.healed = true, w.now
	w.trace("healing")
	w.clear()
	for _, s := range w.servers {
		w.after(w.between(0, 100_000), s.boot)
	}
	for i, c := range w.clients {
		c.asleep = 0
		if i > 0 && w.chance(30) {
			c.gone = true
			if c.conn != nil {
				c.drop()
			}
		}
		w.after(w.between(300_000, 800_000), func() { c.ending = true })
	}
	w.after(500_000, w.look)
}

// look looks whether everything is as it should be in the end.
func (w *world) look() {
	if w.unfinished() != "" {
		w.after(50_000, w.look)
		return
	}
	w.done = true
	w.last()
}
