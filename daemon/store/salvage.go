package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/sirupsen/logrus"

	"github.com/zkd-project/zkd/daemon/proto"
)

// errStop ends a walk over groups.
var errStop = errors.New("store: enough")

// run are groups that follow one another, from the image on.
type run struct {
	parts []part
	head  link // what the first one follows
	end   link
	cut   proto.Zxid // up to where segments count that are older than those it was read from
	seen  proto.Zxid // up to where there are signs of txns
}

// part is a group as far as it counts.
type part struct {
	group
	limit proto.Zxid
}

// salvage writes what is whole of the log behind the image into a new segment, and then moves
// the segments that it was read from aside, not deleted, newest first. Before the new one has
// its name the log is damaged as before. With it, the log is whole if it holds anything; if it
// says only that the log begins at the image, the log is damaged until the last of the others
// is aside. Either way the same call does the rest.
func (s *Store) salvage() error {
	seqs, err := s.segments()
	if err != nil {
		return err
	}
	from, left, err := s.readRemains(seqs)
	if err != nil {
		return err
	}
	alone, err := s.wasAlone(seqs[:from], left)
	if err != nil {
		return err
	}
	r := s.runOf(left, alone)
	next := s.seq + 1
	if len(seqs) > 0 {
		next = max(next, seqs[len(seqs)-1]+1)
	}
	if err := s.rewrite(next, &r); err != nil {
		return err
	}
	if len(r.parts) == 0 {
		from = 0 // nothing connects with the image any more
	}
	for _, seq := range slices.Backward(seqs[from:]) {
		if err := s.setAside(s.opt.LogDir, segmentName(seq)); err != nil {
			return err
		}
	}
	log := s.log.WithFields(logrus.Fields{"event": "damage", "image": s.image.zxid, "kept": r.end.zxid, "seen": r.seen})
	switch {
	case r.seen > r.end.zxid:
		log.Warnf("The log is kept up to %v; what came after it, up to %v at least, is lost", r.end.zxid, r.seen)
	case len(r.parts) == 0:
		log.Warnf("The log begins anew at %v, where the image is; nothing is known of what came after it", r.end.zxid)
	default:
		log.Warnf("The log is kept up to %v; nothing is known of what came after it", r.end.zxid)
	}
	return nil
}

// readRemains reads the segments that are needed with the image, oldest first; the first of
// them is number from.
func (s *Store) readRemains(seqs []uint64) (from int, left []*remains, err error) {
	limit := noLimit
	for from = len(seqs); from > 0; {
		from--
		m, err := s.remainsOf(seqs[from])
		if err != nil {
			return 0, nil, err
		}
		if m.format != nil {
			if err := s.checkFormat(filepath.Join(s.opt.LogDir, segmentName(seqs[from])), m.format); err != nil {
				return 0, nil, err
			}
		}
		s.hard = s.hard.max(m.hard)
		m.limit, limit = limit, min(limit, m.cut)
		left = append(left, m)
		if len(m.groups) > 0 && m.groups[0].first <= m.limit && m.groups[0].prev.zxid <= s.image.zxid {
			break
		}
	}
	slices.Reverse(left)
	return from, left, nil
}

// wasAlone says whether it is certain that the server was never one of an ensemble: every
// segment holds the epochs as they were at its making, and one that is older than those of
// which the beginning is lost has none. The epochs count that are found meanwhile.
func (s *Store) wasAlone(older []uint64, left []*remains) (bool, error) {
	lost := slices.IndexFunc(left, func(m *remains) bool { return !m.begun })
	known := lost != 0
	for i := len(older) - 1; i >= 0 && !known; i-- {
		m, err := s.remainsOf(older[i])
		if err != nil {
			return false, err
		}
		known = m.begun && m.format != nil
		s.hard = s.hard.max(m.hard)
	}
	return known && s.hard == (HardState{}), nil
}

// runOf finds the groups that follow one another and the image. Where it is not known what a
// segment cut off, older ones count beyond the image only if what came later shows that they
// did then, or if the server was always on its own, where nothing is ever cut off.
func (s *Store) runOf(left []*remains, alone bool) run {
	var r run
	doubt, blind := false, false // about what the run holds, and about what is older
walk:
	for _, m := range left {
		if !m.begun {
			doubt = true
		} else if len(r.parts) > 0 && m.cut == r.end.zxid {
			doubt = false
		}
		for _, g := range m.groups {
			switch {
			case g.first > m.limit:
				continue walk
			case len(r.parts) > 0 && g.prev == r.end, !m.begun && r.backTo(g.prev):
			case (len(r.parts) == 0 || r.end.zxid <= s.image.zxid) && g.prev.zxid <= s.image.zxid:
				r = run{head: g.prev} // what it does not follow is in the image
				blind = blind || doubt
			default:
				break walk
			}
			r.add(g, m.limit)
			doubt = false
		}
	}
	if doubt && r.end.zxid > s.image.zxid && !alone {
		s.log.WithField("event", "damage").
			Warnf("What came after %v may have been cut off by what is lost; it does not count", s.image.zxid)
		r.cutAt(s.image.zxid)
	}
	if r.end.zxid < s.image.zxid || len(r.parts) == 0 {
		at := link{zxid: s.image.zxid}
		r = run{head: at, end: at}
	}
	r.cut, r.seen = r.head.zxid, s.image.zxid
	for _, m := range left {
		r.see(m)
		if len(r.parts) > 0 { // else all older ones go, and the log begins at the image
			r.cut = min(r.cut, m.cut)
		}
	}
	if len(r.parts) > 0 && (blind || doubt) && !alone {
		r.cut = 0
	}
	return r
}

// see notes how far a segment tells that there were txns.
func (r *run) see(m *remains) {
	if m.cut != noLimit {
		r.seen = max(r.seen, m.cut)
	}
	for _, g := range m.groups {
		if g.first <= m.limit {
			r.seen = max(r.seen, min(g.last, m.limit))
		}
	}
}

func (r *run) add(g group, limit proto.Zxid) {
	r.parts = append(r.parts, part{g, limit})
	if r.end = (link{g.last, g.sum}); g.last > limit {
		r.end = link{zxid: limit}
	}
}

// cutAt drops what is above zxid.
func (r *run) cutAt(zxid proto.Zxid) {
	r.parts = slices.DeleteFunc(r.parts, func(p part) bool { return p.first > zxid })
	for i := range r.parts {
		r.parts[i].limit = min(r.parts[i].limit, zxid)
	}
	r.end = link{zxid: zxid}
}

// backTo ends the run where a group followed it that is known of a segment alone of which it
// is not known what it cut off.
func (r *run) backTo(end link) bool {
	for i, p := range r.parts {
		last := min(p.last, p.limit)
		if end.zxid < p.first || end.zxid > last {
			continue
		}
		if whole := end.zxid == p.last; whole && end.sum != p.sum || !whole && end.sum != 0 {
			return false
		}
		r.parts = r.parts[:i+1]
		r.parts[i].limit, r.end = min(p.limit, end.zxid), end
		return true
	}
	return false
}

// newPrefix is in front of the name of a segment that is not complete yet.
const newPrefix = "new-"

// rewrite makes a segment of what was kept. It gets its name once it is whole.
func (s *Store) rewrite(seq uint64, r *run) error {
	name := segmentName(seq)
	dir := filepath.Join(s.opt.LogDir, newPrefix+name)
	err := s.fs.RemoveAll(dir)
	if err == nil {
		err = s.writeRun(seq, dir, r)
	}
	if err == nil {
		err = s.fs.Rename(dir, filepath.Join(s.opt.LogDir, name))
	}
	if err != nil {
		err = s.failed(err)
		if s.fail.get() == nil {
			err = errors.Join(err, s.fs.RemoveAll(dir))
		}
		return fmt.Errorf("write what is whole of the log anew: %w", err)
	}
	if err := s.fs.SyncDir(s.opt.LogDir); err != nil {
		return s.fail.set(fmt.Errorf("sync %s: %w", s.opt.LogDir, err))
	}
	return nil
}

// writeRun writes a run's txns as groups that follow one another: a group that was cut is
// shorter, and what follows it names another checksum.
func (s *Store) writeRun(seq uint64, dir string, r *run) error {
	const perGroup = 64 // LevelDB's, at most
	size := int64(0)
	for _, p := range r.parts {
		size += int64(len(p.raw)) + perGroup
	}
	size = max(size, s.opt.SegmentBytes)
	seg, err := s.openSegmentIn(dir, seq, size, storageOptions{reserve: s.opt.reserve(size)})
	if err != nil {
		return err
	}
	defer seg.close(s.log)
	if err := seg.begin(segmentStart{format: s.format(), hard: s.hard, cut: &r.cut}); err != nil {
		return err
	}
	var buf []byte
	prev := r.head
	for i, p := range r.parts {
		b := new(proto.LogBatch)
		err := p.each(func(zxid proto.Zxid, txn []byte) error {
			if zxid <= p.limit {
				b.AddBytes(zxid, txn)
			}
			return nil
		})
		if err != nil {
			return err
		}
		buf, prev = appendGroup(buf[:0], b, 0, b.Len(), prev)
		if err := seg.append(groupKey(p.first), buf, i == len(r.parts)-1); err != nil {
			return err
		}
	}
	return nil
}
