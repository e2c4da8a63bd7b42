package sim

// fault breaks something, and comes again.
func (w *world) fault() {
	if w.healing {
		return
	}
	s := w.servers[w.rnd.IntN(len(w.servers))]
	switch w.rnd.IntN(12) {
	case 0, 1, 2:
		s.crash()
		w.after(w.between(1000, 1_500_000), s.boot)
	case 3:
		for _, s := range w.servers {
			if w.chance(70) {
				s.crash()
				w.after(w.between(1000, 800_000), s.boot)
			}
		}
	case 4, 5:
		w.partition(s.id)
	case 6:
		w.oneWay(s.id)
	case 7:
		s.pause(w.between(10_000, 2_500_000))
	case 8, 9:
		if len(s.ends) > 0 {
			w.trace("a link of %d breaks", s.id)
			s.ends[len(s.ends)-1].breakOff("a fault", false)
		}
	case 10:
		w.leaderCrash()
	default:
		clear(w.cut)
		w.trace("the network is whole")
	}
	w.after(w.between(20_000, 900_000), w.fault)
}

// leaderCrash crashes whoever leads.
func (w *world) leaderCrash() {
	for _, s := range w.servers {
		if s.r != nil && s.r.Status().Quorum.Leader == s.id {
			s.crash()
			w.after(w.between(1000, 1_500_000), s.boot)
		}
	}
}

// partition cuts one server, or two sides, off from each other.
func (w *world) partition(id int64) {
	side := map[int64]bool{id: true}
	for _, s := range w.servers {
		if w.chance(25) {
			side[s.id] = true
		}
	}
	clear(w.cut)
	for _, a := range w.servers {
		for _, b := range w.servers {
			if side[a.id] != side[b.id] {
				w.cut[[2]int64{a.id, b.id}] = true
			}
		}
	}
	w.trace("partition of %v", len(side))
}

// oneWay has nothing that one server sends come to another.
func (w *world) oneWay(id int64) {
	to := w.servers[w.rnd.IntN(len(w.servers))].id
	w.cut[[2]int64{id, to}] = id != to
	w.trace("%d does not reach %d", id, to)
}

// heal ends all faults and starts everybody who is down.
func (w *world) heal() {
	w.healing = true
	w.trace("healing")
	clear(w.cut)
	for _, s := range w.servers {
		w.after(w.between(0, 100_000), s.boot)
	}
	for _, c := range w.clients {
		w.after(int64(w.opt.Quiet)*700, func() { c.sweep = true })
	}
}
