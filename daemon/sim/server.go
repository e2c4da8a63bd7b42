package sim

import (
	"maps"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zab"
)

// logged is a transaction in a server's log.
type logged struct {
	zxid proto.Zxid
	txn  []byte
}

// disk is what survives a crash.
type disk struct {
	hard  zab.HardState
	log   []logged
	image map[string][]byte
	zxid  proto.Zxid // of the image
}

// server is one server of the ensemble, up or down.
type server struct {
	w    *world
	id   int64
	disk disk
	life int // counts starts: what belongs to an earlier life is ignored

	r       *replica.Replica // nil while down
	mem     map[string][]byte
	queue   []write // under way to the disk
	writing bool
	dialled int64 // whom the server wants to follow
	attempt int
	paused  int64 // until when the process does not run
	waiting []func()
	ends    []*end
	offset  proto.Millis // of its clock
}

// write is a write under way, with what it needs.
type write struct {
	zab.Write
	image map[string][]byte // of an install
}

func newServer(w *world, id int64) *server {
	return &server{w: w, id: id, offset: proto.Millis(w.between(0, 5000)), disk: disk{image: map[string][]byte{}}}
}

// Put implements tree.DeltaSink.
func (s *server) Put(key, value []byte) { s.mem[string(key)] = append([]byte(nil), value...) }

// Delete implements tree.DeltaSink.
func (s *server) Delete(key []byte) { delete(s.mem, string(key)) }

func (s *server) clock() replica.Now {
	ms := proto.Millis(s.w.now / 1000)
	return replica.Now{Wall: 1_600_000_000_000 + ms + s.offset, Mono: ms + s.offset}
}

func load(image map[string][]byte) *tree.Tree {
	l := tree.NewLoader(treeOptions())
	for k, v := range image {
		if err := l.Put([]byte(k), v); err != nil {
			panic(err)
		}
	}
	t, err := l.Finish()
	if err != nil {
		panic(err)
	}
	return t
}

// boot starts the server from its disk.
func (s *server) boot() {
	if s.r != nil {
		return
	}
	w := s.w
	s.life++
	s.queue, s.writing, s.dialled, s.paused, s.waiting, s.ends = nil, false, 0, 0, nil, nil
	t := load(s.disk.image)
	s.mem = maps.Clone(s.disk.image)
	suffix := new(proto.LogBatch)
	for _, l := range s.disk.log {
		if l.zxid > t.LastZxid() {
			suffix.AddBytes(l.zxid, l.txn)
		}
	}
	w.trace("%d starts, image %v, log of %d, epochs %v", s.id, t.LastZxid(), len(s.disk.log), s.disk.hard)
	s.r = replica.New(replica.Config{
		ServerID: s.id, TickTime: 200, MinTimeout: 400, MaxTimeout: 4000,
		ReapInterval: 60_000, ReapPerMinute: 100, Auth: nobody{}, LocalSessions: w.opt.Local, Upgrading: w.opt.Local,
		Zab: zab.Config{
			ID: s.id, Ensemble: w.config, TickTime: 200, InitLimit: 10, SyncLimit: 5, MinNotify: 20, MaxNotify: 2000,
			WindowTxns: 20, WindowBytes: 1 << 20,
		},
	}, s.clock(), t, zab.Recovered{Hard: s.disk.hard, Suffix: suffix})
	for _, other := range w.servers {
		if other != s && other.r != nil && w.reaches(s.id, other.id) && w.reaches(other.id, s.id) {
			s.r.PeerUp(s.clock(), other.id, true)
			other.step(func(r *replica.Replica) { r.PeerUp(other.clock(), s.id, true) })
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
	s.r, s.queue = nil, nil
	for _, e := range s.ends {
		e.breakOff("the process ended", true)
	}
	s.ends = nil
	for _, other := range w.servers {
		if other.r == nil {
			continue
		}
		o := other
		o.later(w.between(100, 2000), func(r *replica.Replica) { r.PeerUp(o.clock(), s.id, s.r != nil) })
	}
	for _, c := range w.clients {
		if c.server == s {
			c.lost()
		}
	}
}

// step steps the replica, now or once the process runs again.
func (s *server) step(f func(r *replica.Replica)) {
	if s.r == nil {
		return
	}
	if s.paused > s.w.now || len(s.waiting) > 0 {
		s.waiting = append(s.waiting, func() { s.step(f) })
		return
	}
	f(s.r)
	s.effects()
}

// later steps the replica after a while, unless the server has crashed meanwhile.
func (s *server) later(us int64, f func(r *replica.Replica)) {
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
		if s.life != life {
			return
		}
		waiting := s.waiting
		s.waiting = nil
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
		s.step(func(r *replica.Replica) { r.Tick(s.clock()) })
	}
	s.w.after(10_000+s.w.between(0, 500), func() { s.tick(life) })
}

// effects does what the replica wants done.
func (s *server) effects() {
	if s.w.report.Err != nil {
		return
	}
	var e replica.Effects
	s.r.Effects(&e)
	s.w.check(s)
	for _, ev := range e.Events {
		s.w.trace("%d %s peer %d epoch %d zxid %v %s", s.id, ev.What, ev.Peer, ev.Epoch, ev.Zxid, ev.Reason)
	}
	for _, wr := range e.Writes {
		q := write{Write: wr}
		if wr.Kind == zab.WriteInstall {
			q.image = s.cutOf(e.Install)
		}
		s.queue = append(s.queue, q)
	}
	s.writeNext()
	for _, n := range e.Notices {
		s.notify(n)
	}
	for _, l := range e.Links {
		l.Owner.(*end).flush(l)
	}
	if e.Dialling {
		s.dialled = e.Dial
		s.attempt++
		s.dial(s.attempt, 0)
	}
	for _, c := range e.Conns {
		c.Owner.(*client).receive(s, c)
	}
}

// cutOf is the whole image of a tree that the replica keeps.
func (s *server) cutOf(t *tree.Tree) map[string][]byte {
	if t == nil {
		panic("sim: an install without a tree")
	}
	image, ok := s.w.installs[t]
	if !ok {
		panic("sim: an install of an unknown tree")
	}
	delete(s.w.installs, t)
	mem := s.mem
	s.mem = image
	t.Cut(s)
	for !t.Drain(1 << 20) {
	}
	image, s.mem = s.mem, mem
	return image
}

// writeNext writes the next thing to the disk.
func (s *server) writeNext() {
	if s.writing || len(s.queue) == 0 {
		return
	}
	s.writing = true
	life := s.life
	us := s.w.between(50, 800)
	if s.w.chance(2) && !s.w.healing {
		us = s.w.between(1000, 400_000)
	}
	s.w.after(us, func() {
		if s.life != life || s.r == nil {
			return
		}
		wr := s.queue[0]
		s.queue = s.queue[1:]
		s.perform(wr, false)
		s.writing = false
		if wr.Kind == zab.WriteInstall {
			s.mem = maps.Clone(s.disk.image)
		}
		s.step(func(r *replica.Replica) { r.Durable(s.clock(), wr.Pos) })
		s.writeNext()
	})
}

// perform brings a write to the disk; torn brings only part of it.
func (s *server) perform(wr write, torn bool) {
	d := &s.disk
	switch wr.Kind {
	case zab.WriteLog:
		n := wr.Log.Len()
		if torn {
			n = s.w.rnd.IntN(n + 1)
		}
		for i := range n {
			z := wr.Log.Entries[i].Zxid
			if len(d.log) > 0 && z <= d.log[len(d.log)-1].zxid || z <= d.zxid {
				s.w.violated("server %d logs %v out of order", s.id, z)
			}
			d.log = append(d.log, logged{z, append([]byte(nil), wr.Log.Txn(i)...)})
		}
	case zab.WriteHard:
		if torn {
			return
		}
		h := wr.Hard
		if h.Accepted < d.hard.Accepted || h.Current < d.hard.Current || h.Accepted < h.Current {
			s.w.violated("server %d writes the epochs %v over %v", s.id, wr.Hard, d.hard)
		}
		d.hard = wr.Hard
	case zab.WriteTruncate:
		if torn {
			return
		}
		if wr.Zxid < d.zxid {
			s.w.violated("server %d cuts its log at %v, below its image at %v", s.id, wr.Zxid, d.zxid)
		}
		for len(d.log) > 0 && d.log[len(d.log)-1].zxid > wr.Zxid {
			d.log = d.log[:len(d.log)-1]
		}
	case zab.WriteInstall:
		if torn {
			return
		}
		d.image, d.log, d.zxid = wr.image, nil, wr.Zxid
	}
}

// writeImage brings the image up to date now and then, never ahead of the log.
func (s *server) writeImage(life int) {
	if s.life != life || s.r == nil {
		return
	}
	t := s.r.Tree()
	if t.LastZxid() > s.disk.zxid && t.LastZxid() <= s.r.Status().Quorum.Durable && !s.installing() {
		s.cutNow()
		s.disk.image, s.disk.zxid = maps.Clone(s.mem), t.LastZxid()
		keep := 0
		for keep < len(s.disk.log)-30 && s.disk.log[keep].zxid <= t.LastZxid() {
			keep++
		}
		s.disk.log = s.disk.log[keep:]
	}
	s.w.after(s.w.between(100_000, 2_000_000), func() { s.writeImage(life) })
}

// installing says whether a snapshot is on its way to the disk.
func (s *server) installing() bool {
	for _, wr := range s.queue {
		if wr.Kind == zab.WriteInstall {
			return true
		}
	}
	return false
}

// cutNow brings mem up to date with the tree.
func (s *server) cutNow() {
	t := s.r.Tree()
	t.Cut(s)
	for !t.Drain(1 << 20) {
	}
}

// notify sends a notification.
func (s *server) notify(n zab.Notice) {
	to := s.w.server(n.To)
	from, note := s.id, n.N
	s.w.after(s.w.latency(), func() {
		if s.w.reaches(from, n.To) {
			to.step(func(r *replica.Replica) { r.Notification(to.clock(), from, &note) })
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
		if to.r != nil && w.reaches(s.id, to.id) && w.reaches(to.id, s.id) {
			join(s, to)
			return
		}
		if tries > 20 {
			s.step(func(r *replica.Replica) { r.DialFailed(s.clock(), to.id, "cannot be reached") })
			return
		}
		w.after(20_000, func() { s.dial(attempt, tries+1) })
	})
}
