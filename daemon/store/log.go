package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/storage"

	"github.com/zkd-project/zkd/daemon/proto"
)

// openLog opens the segments that hold txns above the image, newest first, and checks
// that their groups follow one another.
func (s *Store) openLog() error {
	err := s.readLog()
	if err == nil || !s.opt.AcceptLoss || !errors.Is(err, ErrDamaged) && !errors.Is(err, syscall.EIO) ||
		s.fail.get() != nil {
		return err
	}
	s.log.WithError(Cause(err)).Warn("The log is damaged; keeping what is whole")
	s.forget()
	if err := s.salvage(); err != nil {
		return err
	}
	return s.readLog()
}

// forget closes what was opened to read.
func (s *Store) forget() {
	for _, seg := range s.read {
		seg.close(s.log)
	}
	s.read, s.old, s.stale = nil, nil, nil
}

func (s *Store) readLog() error {
	seqs, err := s.segments()
	if err != nil {
		return err
	}
	s.end = link{zxid: s.image.zxid}
	var first *link
	limit := noLimit
	for i := len(seqs) - 1; i >= 0; i-- {
		s.seq = max(s.seq, seqs[i])
		dir := filepath.Join(s.opt.LogDir, segmentName(seqs[i]))
		if first != nil && first.zxid <= s.image.zxid {
			s.old = append(s.old, oldSegment{seqs[i], dir, diskUsage(s.fs, dir), first.zxid, limit, notRead})
			continue
		}
		seg, head, err := s.checkSegment(seqs[i], limit)
		if err != nil {
			return s.hint(err)
		}
		s.tookHard(seg)
		if seg.isCut {
			if seg.txns == 0 && limit != noLimit && seg.cut < limit {
				seg.close(s.log)
				return s.hint(fmt.Errorf("%w: the log went on to %v, but %s holds nothing of what came after %v",
					ErrDamaged, limit, seg.dir, seg.cut))
			}
			limit = min(limit, seg.cut)
		}
		if seg.txns == 0 { // nothing was ever appended to it, or nothing of it counts
			seg.close(s.log)
			s.stale = append(s.stale, dir)
			continue
		}
		s.read = append(s.read, seg)
		if first != nil && seg.last != *first || first == nil && seg.limit != noLimit && seg.last.zxid != seg.limit {
			return s.hint(fmt.Errorf("%w: after %v in %s txns are missing", ErrDamaged, seg.last.zxid, seg.dir))
		}
		first = &head
	}
	slices.Reverse(s.read)
	slices.Reverse(s.old)
	return s.joinImage(first, limit)
}

// joinImage checks that log and image meet.
func (s *Store) joinImage(first *link, limit proto.Zxid) error {
	switch {
	case first == nil && limit == s.image.zxid:
		return nil // everything is in the image: the log is to begin behind it
	case first == nil && s.image.zxid > 0:
		return s.hint(fmt.Errorf("%w: %s has no log, but the image is at %v", ErrDamaged, s.opt.LogDir, s.image.zxid))
	case first == nil:
		return nil
	case first.zxid > s.image.zxid:
		return s.hint(fmt.Errorf("%w: the log begins after %v, but the image is at %v: txns in between are missing",
			ErrDamaged, first.zxid, s.image.zxid))
	}
	s.end = s.read[len(s.read)-1].last
	if s.end.zxid < s.image.zxid {
		return s.hint(fmt.Errorf("%w: the image is at %v, but the log ends at %v",
			ErrDamaged, s.image.zxid, s.end.zxid))
	}
	return nil
}

// hint says what to do about damage.
func (s *Store) hint(err error) error {
	if !errors.Is(err, ErrDamaged) {
		return err
	}
	return advised{err, "restore the directory from a backup, or give up what is damaged: " +
		"'zkd recover --accept-loss' keeps what is whole and moves the rest aside"}
}

// segments lists the log's segments by number.
func (s *Store) segments() ([]uint64, error) {
	names, err := s.fs.List(s.opt.LogDir)
	if err != nil {
		return nil, err
	}
	var seqs []uint64
	for _, name := range names {
		if seq, ok := parseSegment(name); ok {
			seqs = append(seqs, seq)
		}
	}
	slices.Sort(seqs)
	return seqs, nil
}

// checkSegment opens a segment and checks its chain up to limit. The link is what its
// first group follows; a segment of which nothing counts has no txns.
func (s *Store) checkSegment(seq uint64, limit proto.Zxid) (*segment, link, error) {
	seg, err := s.openSegment(seq)
	if err != nil {
		if s.unfinished(seq) {
			return new(segment), link{}, nil
		}
		return nil, link{}, err
	}
	seg.limit = limit
	format, err := seg.db.Get([]byte{keyFormat}, nil)
	if errors.Is(err, leveldb.ErrNotFound) {
		m, err := s.remainsOf(seq)
		if err == nil && !m.begun {
			err = fmt.Errorf("%w: what %s begins with is lost", ErrDamaged, seg.dir)
		}
		if err != nil {
			seg.close(s.log)
		}
		return seg, link{}, err
	}
	if err == nil {
		err = s.checkFormat(seg.dir, format)
	}
	if err == nil {
		err = seg.readStart()
	}
	var head link
	if err == nil {
		head, err = seg.checkChain()
	}
	if err == nil && seg.txns > 0 && !s.opt.ReadOnly {
		err = s.force(seg.dir)
	}
	if err != nil {
		seg.close(s.log)
		return nil, head, err
	}
	return seg, head, nil
}

// force brings what was read of a segment to the disk. The process that wrote the last of it
// may have died before it did so; from now on it is history.
func (s *Store) force(dir string) error {
	names, err := s.fs.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if fd, ok := parseName(name); !ok || fd.Type != storage.TypeJournal {
			continue
		}
		f, err := s.fs.Open(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		err = f.Sync()
		f.Close()
		if err != nil {
			return s.fail.set(fmt.Errorf("sync %s: %w", filepath.Join(dir, name), err))
		}
	}
	return s.fs.SyncDir(dir)
}

// unfinished says whether a segment never got as far as being usable: its creation was
// interrupted, so nothing in it was acknowledged.
func (s *Store) unfinished(seq uint64) bool {
	dir := filepath.Join(s.opt.LogDir, segmentName(seq))
	names, err := s.fs.List(dir)
	if err != nil {
		return false
	}
	l, err := readSeal(s.fs, dir, names)
	return err == nil && (l.manifest == noManifest || len(l.journals) == 0) && !hasDatabase(names)
}

// follows says whether next can come after last: no txn of an epoch is left out, but a new
// epoch may begin after any.
func follows(last, next proto.Zxid) bool {
	return next == last+1 || next.Epoch() > last.Epoch()
}

func (seg *segment) checkChain() (head link, err error) {
	err = seg.groups(func(g group) error {
		if g.first > seg.limit {
			return errStop
		}
		switch {
		case seg.txns == 0:
			head = g.prev
		case g.prev != seg.last:
			return fmt.Errorf("%w: between %v and %v txns are missing", ErrDamaged, seg.last.zxid, g.first)
		}
		if err := g.check(); err != nil {
			return err
		}
		seg.last = link{g.last, g.sum}
		seg.txns += g.count
		if g.last > seg.limit {
			seg.last = link{zxid: seg.limit}
		}
		return nil
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	return head, err
}

// Replay calls f for the txns above after, in order, and then lets go of the segments
// that were open for it. It is called once, before the first Append.
func (s *Store) Replay(after proto.Zxid, f func(zxid proto.Zxid, txn []byte) error) error {
	for _, seg := range s.read {
		err := seg.groups(func(g group) error {
			if g.last <= after || g.first > seg.limit {
				return nil
			}
			return g.each(func(zxid proto.Zxid, txn []byte) error {
				if zxid <= after || zxid > seg.limit {
					return nil
				}
				return f(zxid, txn)
			})
		})
		if err != nil {
			return s.hint(err)
		}
	}
	for _, seg := range s.read {
		seg.close(s.log)
		s.retire(seg, diskUsage(s.fs, seg.dir))
	}
	s.read = nil
	return nil
}

func (s *Store) retire(seg *segment, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.old = append(s.old, oldSegment{seg.seq, seg.dir, size, seg.last.zxid, seg.limit, readWhole})
}

// Append makes a batch durable. When it returns without an error, every txn of the
// batch is on the disk. With ErrNoSpace none of them counts, and the same batch may be
// appended again; any other error is final.
func (s *Store) Append(b *proto.LogBatch) error {
	if err := s.fail.get(); err != nil {
		return err
	}
	start := time.Now()
	s.mu.Lock()
	s.status.SyncStarted = start
	s.mu.Unlock()
	err := s.appendAll(b)
	took := time.Since(start)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.SyncStarted = time.Time{}
	s.status.NoSpace = errors.Is(err, ErrNoSpace)
	if err != nil {
		return err
	}
	s.status.LastLogged = s.end.zxid
	s.status.Syncs++
	s.meters.Sync.Add(took.Microseconds())
	s.status.LastSync, s.status.MaxSync = took, max(s.status.MaxSync, took)
	if took > s.opt.SlowSync {
		s.status.SlowSyncs++
		s.log.WithFields(logrus.Fields{"event": "slow-log", "zxid": s.end.zxid, "ms": took.Milliseconds()}).
			Warn("the log took long to write; the disk is slow or busy")
	}
	return nil
}

// appendAll appends what is not durable yet of a batch, group by group.
func (s *Store) appendAll(b *proto.LogBatch) error {
	from := 0
	for from < b.Len() && b.Entries[from].Zxid <= s.end.zxid {
		from++ // durable since an earlier try
	}
	last := s.end.zxid
	for _, e := range b.Entries[from:] {
		if !follows(last, e.Zxid) {
			return fmt.Errorf("store: %v cannot be logged after %v: txns in between are missing", e.Zxid, last)
		}
		last = e.Zxid
	}
	for from < b.Len() {
		to := from + 1
		for to < b.Len() && b.Entries[to].End-b.Entries[from].Off <= maxGroup {
			to++
		}
		if err := s.appendGroup(b, from, to); err != nil {
			return err
		}
		from = to
	}
	return nil
}

func (s *Store) appendGroup(b *proto.LogBatch, from, to int) error {
	var end link
	s.buf, end = appendGroup(s.buf[:0], b, from, to, s.end)
	size := int64(len(s.buf))
	if s.cur != nil && (size > s.cur.room || s.cur.txns > 0 && s.cur.bytes+size > s.opt.SegmentBytes) {
		s.closeCurrent()
	}
	if err := s.haveSegment(size); err != nil {
		return err
	}
	if err := s.cur.append(groupKey(b.Entries[from].Zxid), s.buf, !s.opt.NoSync); err != nil {
		err = s.failed(err)
		s.closeCurrent() // what it ends in is cut when it is read
		return err
	}
	if cap(s.buf) > keepGroup {
		s.buf = nil
	}
	s.end, s.cur.last = end, end
	s.cur.txns += to - from
	if s.next == nil && s.cur.bytes > s.opt.SegmentBytes/2 {
		s.next = s.prepare(s.seq+1, s.hard)
	}
	return nil
}

// haveSegment makes sure that there is a segment to which a group of so many bytes can be
// appended; if there is one already, it can.
func (s *Store) haveSegment(group int64) (err error) {
	if s.cur != nil {
		return nil
	}
	if s.next != nil && group > s.opt.SegmentBytes {
		s.next.discard(s)
		s.next = nil
	}
	var seg *segment
	if s.next != nil {
		seg, err = s.next.wait()
		s.next = nil
	} else {
		// The segment before it may hold nothing but up to where older ones count, and be
		// passed over from now on.
		seg, err = s.createSegment(s.seq+1, s.hard, &s.end.zxid, group)
	}
	if err != nil {
		return s.failed(err)
	}
	s.setCurrent(seg)
	s.seq = seg.seq
	return s.putHard()
}

// closeCurrent turns the current segment into an old one. LevelDB takes its time to
// close, so it does so on the side.
func (s *Store) closeCurrent() {
	seg := s.cur
	s.cur = nil
	if seg.loose && s.fail.get() == nil {
		if err := s.force(seg.dir); err != nil { // what comes behind it is not to be there without it
			_ = s.fail.set(err)
		}
	}
	s.retire(seg, seg.bytes)
	done := make(chan struct{})
	go func() {
		defer close(done)
		seg.close(s.log)
	}()
	if s.fail.get() != nil {
		<-done
	}
}

// preparation is a segment that is being made ahead of time.
type preparation struct {
	done chan struct{}
	seg  *segment
	err  error
}

func (s *Store) prepare(seq uint64, hard HardState) *preparation {
	p := &preparation{done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.seg, p.err = s.createSegment(seq, hard, nil, 0)
	}()
	return p
}

func (p *preparation) wait() (*segment, error) {
	<-p.done
	return p.seg, p.err
}

func (p *preparation) discard(s *Store) {
	if seg, err := p.wait(); err == nil {
		seg.close(s.log)
	}
}

// keepFrom is the first of the old segments that is kept behind an image at a zxid, and how many bytes
// are kept; mu is held.
func (s *Store) keepFrom(image proto.Zxid) (cut int, kept int64) {
	for cut = len(s.old); cut > 0 && (kept < s.opt.KeepBytes || s.old[cut-1].last > image); {
		cut--
		kept += s.old[cut].bytes
	}
	return cut, kept
}

// trim deletes old segments that the image and its snapshots make superfluous, but keeps KeepBytes.
func (s *Store) trim(image proto.Zxid) {
	s.mu.Lock()
	held := image
	for _, zxid := range s.held {
		held = min(held, zxid)
	}
	cut, kept := s.keepFrom(held)
	if kept > s.opt.KeepBytes+s.opt.HoldBytes { // somebody takes too long
		cut, _ = s.keepFrom(image)
	}
	gone := s.old[:cut:cut]
	s.old = slices.Clone(s.old[cut:])
	s.mu.Unlock()
	for i, o := range gone {
		if err := s.deleteSegment(o.dir); err != nil {
			s.log.WithError(err).WithField("dir", o.dir).Warn("an old log segment cannot be deleted")
			s.mu.Lock()
			s.old = append(gone[i:], s.old...) // without a gap, and to be tried again
			s.mu.Unlock()
			return
		}
	}
}
