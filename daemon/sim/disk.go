package sim

import (
	"maps"
	"slices"

	"github.com/zkd-project/zkd/daemon/proto"
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
	lost  bool       // was damaged, and what it had promised is not there again
	// before is the disk before it was damaged: what was on it may have been committed for it.
	before *disk
	// undo is set while the image runs ahead of what is written: the records as they are
	// on disk, nil for those that are not there.
	undo map[string][]byte
}

// write is a write under way, with what it needs.
type write struct {
	zab.Write
	image map[string][]byte // of an install
}

// Put implements tree.DeltaSink.
func (d *disk) Put(key, value []byte) {
	d.remember(key)
	d.image[string(key)] = append([]byte{}, value...)
}

// Delete implements tree.DeltaSink.
func (d *disk) Delete(key []byte) {
	d.remember(key)
	delete(d.image, string(key))
}

func (d *disk) remember(key []byte) {
	if d.undo == nil {
		return
	}
	if _, known := d.undo[string(key)]; !known {
		d.undo[string(key)] = d.image[string(key)]
	}
}

// rollBack makes the image what was written.
func (d *disk) rollBack() {
	for key, value := range d.undo {
		if value == nil {
			delete(d.image, key)
		} else {
			d.image[key] = value
		}
	}
	d.undo = nil
}

// find looks for a transaction in the log; the index is that of the one behind it.
func (d *disk) find(zxid proto.Zxid) (int, bool) {
	i, ok := slices.BinarySearchFunc(d.log, zxid, func(l logged, z proto.Zxid) int {
		switch {
		case l.zxid < z:
			return -1
		case l.zxid > z:
			return 1
		}
		return 0
	})
	return i + 1, ok
}

// has says whether a transaction is on the disk.
func (d *disk) has(z proto.Zxid) bool {
	_, ok := d.find(z)
	return ok || z <= d.zxid
}

// had says whether a transaction is on the disk, or was until that was damaged.
func (d *disk) had(z proto.Zxid) bool { return d.has(z) || d.before != nil && d.before.had(z) }

// last is where the history on disk ends.
func (d *disk) last() proto.Zxid {
	if n := len(d.log); n > 0 && d.log[n-1].zxid > d.zxid {
		return d.log[n-1].zxid
	}
	return d.zxid
}

// load makes a tree from an image.
func load(image map[string][]byte) *tree.Tree {
	l := tree.NewLoader(treeOptions())
	for _, k := range slices.Sorted(maps.Keys(image)) {
		if err := l.Put([]byte(k), image[k]); err != nil {
			panic(err)
		}
	}
	t, err := l.Finish()
	if err != nil {
		panic(err)
	}
	return t
}

// drain brings what has changed in a tree into an image.
func drain(t *tree.Tree, into tree.DeltaSink) {
	t.Cut(into)
	for !t.Drain(1 << 20) {
	}
}

// imageOf is the whole image of a tree that is to be installed.
func (w *world) imageOf(t *tree.Tree) map[string][]byte {
	image, ok := w.installs[t]
	if t == nil || !ok {
		panic("sim: an install of an unknown tree")
	}
	delete(w.installs, t)
	drain(t, &disk{image: image})
	return image
}

// writeNext writes the next thing to the disk.
func (s *server) writeNext() {
	if s.writing || len(s.queue) == 0 {
		return
	}
	s.writing = true
	w := s.w
	us := w.between(w.shape.disk[0], w.shape.disk[1])
	if !w.healing && (w.chance(w.shape.stalls) || s.slow > w.now) {
		us = w.between(1000, 300_000)
	}
	life := s.life
	w.after(us, func() {
		if s.life != life || s.r == nil {
			return
		}
		wr := s.queue[0]
		s.queue = s.queue[1:]
		s.perform(wr, false)
		s.writing = false
		s.step(func() { s.r.Durable(s.clock(), wr.Pos) })
		s.writeNext()
	})
}

// perform brings a write to the disk; torn brings only part of it.
func (s *server) perform(wr write, torn bool) {
	d := &s.disk
	switch {
	case wr.Kind == zab.WriteLog:
		n := wr.Log.Len()
		if torn {
			n = s.w.rnd.IntN(n + 1)
		}
		for i := range n {
			s.append(wr.Log.Entries[i].Zxid, wr.Log.Txn(i))
		}
	case torn:
	case wr.Kind == zab.WriteHard:
		h := wr.Hard
		if h.Accepted < d.hard.Accepted || h.Current < d.hard.Current || h.Accepted < h.Current {
			s.w.violated("server %d writes the epochs %v over %v", s.id, wr.Hard, d.hard)
		}
		d.hard = wr.Hard
	case wr.Kind == zab.WriteTruncate:
		if wr.Zxid < d.zxid {
			s.w.violated("server %d cuts its log at %v, below its image at %v", s.id, wr.Zxid, d.zxid)
		}
		s.keeps(wr.Zxid)
		for len(d.log) > 0 && d.log[len(d.log)-1].zxid > wr.Zxid {
			d.log = d.log[:len(d.log)-1]
		}
	case wr.Kind == zab.WriteInstall:
		s.keeps(wr.Zxid)
		d.image, d.log, d.zxid, d.undo = wr.image, nil, wr.Zxid, nil
	case wr.Kind == zab.WriteHealed:
		d.lost = false
		s.w.report.Healed++
	}
}

// append adds a transaction to the log.
func (s *server) append(z proto.Zxid, txn []byte) {
	d := &s.disk
	switch {
	case z <= d.last():
		s.w.violated("server %d logs %v behind %v", s.id, z, d.last())
	case z.Epoch64() > d.hard.Accepted:
		s.w.violated("server %d logs %v and has accepted the epoch %d only", s.id, z, d.hard.Accepted)
	}
	d.log = append(d.log, logged{z, append([]byte(nil), txn...)})
}

// keeps checks, when only what is up to a zxid is kept, that a quorum without this server
// has what is committed and dropped. A leader that serves has a learner drop what it has
// not committed, and sends it again; meanwhile it may come to be committed without that
// learner.
func (s *server) keeps(zxid proto.Zxid) {
	w := s.w
	others := func(z proto.Zxid) bool {
		return w.config.HasQuorum(func(id int64) bool { return id != s.id && w.server(id).disk.had(z) })
	}
	for i := len(s.disk.log) - 1; i >= 0 && s.disk.log[i].zxid > zxid; i-- {
		z := s.disk.log[i].zxid
		if w.history.committed(z) && !others(z) {
			w.violated("server %d drops %v, which is committed and not on the disks of a quorum besides", s.id, z)
			return
		}
	}
}

// writeImage brings the image up to date now and then, never ahead of the log.
func (s *server) writeImage(life int) {
	if s.life != life || s.r == nil {
		return
	}
	t, d := s.r.Tree(), &s.disk
	frozen := s.paused > s.w.now || len(s.waiting) > 0
	if t.LastZxid() > d.zxid && t.LastZxid() <= d.last() && !frozen && !s.installing() {
		drain(t, d)
		d.undo, d.zxid = nil, t.LastZxid()
		keep := 0
		for keep < len(d.log)-s.w.shape.keep && d.log[keep].zxid <= d.zxid {
			keep++
		}
		d.log = d.log[keep:]
	}
	s.w.after(s.w.between(50_000, 1_000_000), func() { s.writeImage(life) })
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
