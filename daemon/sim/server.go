package sim

import (
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zab"
)

// server is one server of the ensemble, up or down.
type server struct {
	w    *world
	id   int64
	disk disk
	life int // counts starts: what belongs to an earlier life is ignored

	r        *replica.Replica // nil while down
	effect   replica.Effects
	queue    []write // under way to the disk
	writing  bool
	slow     int64 // until when the disk is slow
	dialled  int64 // whom the server wants to follow
	master   bool  // at its port for observers
	attempt  int
	paused   int64 // until when the process does not run
	stopping bool
	vanished bool // the machine is gone, and nobody is told
	waiting  []func()
	ends     []*end

	offset proto.Millis // of its clocks
	drift  int64        // in parts of a thousand
	wall   proto.Millis // what the wall clock is off besides

	part part // of the history, as it is checked
}

func newServer(w *world, id int64) *server {
	s := &server{w: w, id: id, disk: disk{image: map[string][]byte{}}}
	s.offset = proto.Millis(w.between(0, 5000))
	if w.shape.drift > 0 {
		s.drift = w.between(-w.shape.drift, w.shape.drift)
	}
	return s
}

func (s *server) clock() replica.Now {
	us := s.w.now + s.w.now/1000*s.drift
	mono := proto.Millis(us/1000) + s.offset
	return replica.Now{Wall: 1_600_000_000_000 + mono + s.wall, Mono: mono}
}

// boot starts the server from its disk.
func (s *server) boot() {
	if s.r != nil {
		return
	}
	w := s.w
	s.life++
	s.queue, s.writing, s.dialled, s.paused, s.stopping, s.waiting, s.ends = nil, false, 0, 0, false, nil, nil
	s.vanished = false
	t := load(s.disk.image)
	suffix := new(proto.LogBatch)
	for _, l := range s.disk.log {
		if l.zxid > t.LastZxid() {
			suffix.AddBytes(l.zxid, l.txn)
		}
	}
	w.trace("%d starts, image %v, log to %v, epochs %v", s.id, t.LastZxid(), s.disk.last(), s.disk.hard)
	s.part = newPart(s, t, suffix)
	s.r = replica.New(replica.Config{
		ServerID: s.id, TickTime: tickTime, MinTimeout: 200, MaxTimeout: 4000,
		ReapInterval: 500, ReapPerMinute: 6000, Auth: nobody{},
		LocalSessions: w.shape.local, Upgrading: w.shape.local,
		Zab: zab.Config{
			ID: s.id, Ensemble: w.config, TickTime: tickTime, InitLimit: initLimit, SyncLimit: syncLimit,
			MinNotify: 10, MaxNotify: 500, WindowTxns: w.shape.window, WindowBytes: 1 << 20,
			EpochSize: w.shape.epochSize, Masters: w.shape.masters,
		},
	}, s.clock(), t, zab.Recovered{Hard: s.disk.hard, Suffix: suffix, Healing: s.disk.lost})
	for _, other := range w.servers {
		if other != s && other.r != nil && w.meet(s.id, other.id) {
			s.r.PeerUp(s.clock(), other.id, true)
			other.step(func() { other.r.PeerUp(other.clock(), s.id, true) })
		}
	}
	s.effects()
	s.tick(s.life)
	s.writeImage(s.life)
}

// crash ends the server's process. What was not synced yet may be on the disk, or not.
func (s *server) crash() {
	if s.r == nil {
		return
	}
	w := s.w
	w.report.Crashes++
	w.trace("%d crashes", s.id)
	for torn := false; len(s.queue) > 0 && !torn && w.chance(50); s.queue = s.queue[1:] {
		torn = w.chance(50)
		s.perform(s.queue[0], torn)
	}
	s.disk.rollBack()
	s.vanished = w.shape.silent && w.chance(50)
	s.gone()
}

// stop ends the server in good order: a leader lets what it has proposed be committed,
// and leaves new requests to the next one.
func (s *server) stop() {
	if s.r == nil || s.stopping {
		return
	}
	s.w.trace("%d is to stop", s.id)
	s.stopping = true
	s.step(func() { s.r.Resign() })
	life, deadline := s.life, s.w.now+200_000
	var wait func()
	wait = func() {
		switch {
		case s.life != life || s.r == nil:
		case s.paused <= s.w.now && (s.r.Status().Settled && len(s.queue) == 0 || s.w.now > deadline):
			s.w.trace("%d stops", s.id)
			for _, wr := range s.queue {
				s.perform(wr, false)
			}
			s.disk.rollBack()
			s.gone()
			s.w.after(s.w.between(1000, 500_000), s.boot)
		default:
			s.w.after(5000, wait)
		}
	}
	wait()
}

// gone tells everybody that the process is gone.
func (s *server) gone() {
	w := s.w
	s.r, s.queue = nil, nil
	for _, e := range s.ends {
		if s.vanished {
			e.down = true
		} else {
			e.breakOff("the process ended", true)
		}
	}
	s.ends = nil
	for _, other := range w.servers {
		if other.r == nil || s.vanished {
			continue
		}
		o := other
		o.later(w.between(100, 2000), func() { o.r.PeerUp(o.clock(), s.id, s.r != nil) })
	}
	for _, c := range w.clients {
		if c.server == s {
			c.lost()
		}
	}
}

// step steps the replica, now or once the process runs again.
func (s *server) step(f func()) {
	if s.r == nil {
		return
	}
	if s.paused > s.w.now || len(s.waiting) > 0 {
		s.waiting = append(s.waiting, func() { s.step(f) })
		return
	}
	f()
	s.effects()
}

// later steps the replica after a while, unless the server has crashed meanwhile.
func (s *server) later(us int64, f func()) {
	life := s.life
	s.w.after(us, func() {
		if s.life == life {
			s.step(f)
		}
	})
}

// pause stops the process for a while.
func (s *server) pause(us int64) {
	if s.r == nil || s.paused > s.w.now {
		return
	}
	s.w.trace("%d is stopped for %d ms", s.id, us/1000)
	s.paused = s.w.now + us
	life := s.life
	s.w.after(us, func() {
		if s.life != life || s.r == nil {
			return
		}
		waiting := s.waiting
		s.waiting = nil
		s.awake()
		if s.w.chance(50) { // the clock may be looked at before the sockets are
			s.step(func() { s.r.Tick(s.clock()) })
		}
		for _, f := range waiting {
			f()
		}
	})
}

func (s *server) tick(life int) {
	if s.life != life || s.r == nil {
		return
	}
	if s.paused <= s.w.now {
		s.step(func() { s.r.Tick(s.clock()) })
		s.listens()
	}
	s.w.after(tickTime*100+s.w.between(0, 500), func() { s.tick(life) })
}

// effects does what the replica wants done.
func (s *server) effects() {
	w, e := s.w, &s.effect
	if w.report.Err != nil {
		return
	}
	s.r.Effects(e)
	for i := range e.Events {
		s.happened(&e.Events[i])
	}
	for _, wr := range e.Writes {
		q := write{Write: wr}
		if wr.Kind == zab.WriteInstall {
			q.image = w.imageOf(e.Install)
		}
		s.queue = append(s.queue, q)
		s.logging(&q)
	}
	s.advanced()
	s.writeNext()
	for i := range e.Notices {
		s.notify(&e.Notices[i])
	}
	for _, l := range e.Links {
		l.Owner.(*end).flush(l)
	}
	if e.Dialling {
		s.dialled, s.master = e.Dial, e.Master
		s.attempt++
		s.dial(s.attempt, 0)
	}
	for _, c := range e.Conns {
		c.Owner.(*client).receive(s, c)
	}
}

// happened takes notice of an event.
func (s *server) happened(ev *zab.Event) {
	s.w.trace("%d %s peer %d epoch %d zxid %v %s", s.id, ev.What, ev.Peer, ev.Epoch, ev.Zxid, ev.Reason)
	if ev.What == "serving" {
		s.w.reigns(s, ev.Peer)
	}
	switch {
	case ev.What == "looking":
		s.part.leads, s.part.serves = false, false
	case ev.What == "leading":
		s.awake() // who waits for it to lead has its time from now on
	case ev.What == "serving" && ev.Peer == s.id:
		s.part.serves = true
		s.part.begin(s.clock().Mono)
		s.w.report.Leaders++
		s.w.history.leads(s, ev.Epoch)
	case ev.What == "serving":
		s.part.serves = true
	}
}

// notify sends a notification.
func (s *server) notify(n *zab.Notice) {
	if n.N.State == proto.Looking && n.N.Vote.Leader == s.id {
		if d := &s.disk; n.N.Vote.Zxid != d.last() || n.N.Vote.PeerEpoch != d.hard.Current {
			s.w.violated("server %d votes for itself with epoch %d and %v, and %d and %v are on its disk", s.id,
				n.N.Vote.PeerEpoch, n.N.Vote.Zxid, d.hard.Current, d.last())
		}
	}
	to := s.w.server(n.To)
	from, note := s.id, n.N
	s.w.after(s.w.latency(), func() {
		if s.w.reaches(from, to.id) {
			to.step(func() { to.r.Notification(to.clock(), from, &note) })
		}
	})
}

// dial tries to reach the leader until another one is wanted.
func (s *server) dial(attempt, tries int) {
	if s.dialled == 0 || s.attempt != attempt || s.r == nil {
		return
	}
	w, life, to := s.w, s.life, s.w.server(s.dialled)
	w.after(w.latency(), func() {
		if s.life != life || s.attempt != attempt || s.r == nil {
			return
		}
		if to.r != nil && w.meet(s.id, to.id) {
			join(s, to, s.master)
			return
		}
		if tries > 20 {
			s.step(func() { s.r.DialFailed(s.clock(), to.id, "cannot be reached") })
			return
		}
		w.after(20_000, func() { s.dial(attempt, tries+1) })
	})
}

func exists(t *tree.Tree, path string) (code proto.ErrCode, stat proto.Stat) {
	var out proto.Out
	req := proto.Request{Op: proto.OpExists, Path: []byte(path)}
	if code = t.Read(&tree.Caller{}, &req, &out); code == proto.ErrOK {
		stat = decodeStat(out.B)
	}
	return code, stat
}
