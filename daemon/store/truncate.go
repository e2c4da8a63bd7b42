package store

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/zkd-project/zkd/daemon/proto"
)

// noLimit is above every zxid.
const noLimit proto.Zxid = math.MaxInt64

// Errors of what an ensemble asks of the store.
var (
	// ErrImageAhead says that the log cannot be cut below the image.
	ErrImageAhead = errors.New("store: the image is ahead of where the log is to be cut")
	// ErrLogTrimmed says that the log does not hold all that was asked for.
	ErrLogTrimmed = errors.New("store: the log does not reach back so far")
)

// TruncateAfter durably removes everything above zxid from the log. It must not run at
// the same time as Append. A crash leaves the old log or the new one.
func (s *Store) TruncateAfter(zxid proto.Zxid) error {
	if err := s.fail.get(); err != nil {
		return err
	}
	if zxid >= s.end.zxid {
		return nil
	}
	if zxid < s.ImageZxid() {
		return ErrImageAhead
	}
	end, err := s.linkAt(zxid)
	if err != nil {
		return err
	}
	if s.next != nil {
		s.next.discard(s)
		s.next = nil
	}
	if s.opt.NoSync && s.cur != nil { // what says how long the log is is not to be there without it
		if err := s.force(s.cur.dir); err != nil {
			return s.failed(err)
		}
	}
	seg, err := s.createSegment(s.seq+1, s.hard, &zxid, 0)
	if err != nil {
		return err
	}
	if s.cur != nil {
		s.closeCurrent()
	}
	s.setCurrent(seg)
	s.seq, s.end = seg.seq, end
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.old {
		s.old[i].last, s.old[i].limit = min(s.old[i].last, zxid), min(s.old[i].limit, zxid)
	}
	s.status.LastLogged = zxid
	return nil
}

// linkAt is the end of the chain at a txn: without the checksum if it lies in the middle
// of a group.
func (s *Store) linkAt(zxid proto.Zxid) (link, error) {
	found := link{zxid: -1}
	visit := func(g group) error {
		if g.first > zxid {
			return errStop
		}
		switch {
		case g.last == zxid:
			found = link{zxid, g.sum}
		case g.last > zxid:
			return g.each(func(z proto.Zxid, _ []byte) error {
				if z == zxid {
					found = link{zxid: zxid}
				}
				return nil
			})
		}
		return nil
	}
	if err := s.walkBack(visit, func() bool { return found.zxid == zxid }); err != nil {
		return found, err
	}
	switch {
	case found.zxid == zxid:
		return found, nil
	case zxid == s.ImageZxid():
		return link{zxid: zxid}, nil
	}
	return found, fmt.Errorf("store: the log cannot be cut at %v, which is not in it", zxid)
}

// setCurrent makes a segment the one that is appended to.
func (s *Store) setCurrent(seg *segment) {
	s.cur = seg
	s.mu.Lock()
	s.newest = seg
	s.mu.Unlock()
}

// walkBack walks over the groups of the segments, the newest first, until done.
func (s *Store) walkBack(visit func(group) error, done func() bool) error {
	segs := s.readable()
	for i := len(segs) - 1; i >= 0 && !done(); i-- {
		if err := s.readSegment(segs[i], visit); err != nil && !errors.Is(err, errStop) {
			return err
		}
	}
	return nil
}

// learnCuts reads of the segments that were passed over at the start how much of older
// ones they cut off.
func (s *Store) learnCuts() {
	s.learn.Lock()
	defer s.learn.Unlock()
	s.mu.Lock()
	old := slices.Clone(s.old)
	s.mu.Unlock()
	limit := noLimit
	for i := len(old) - 1; i >= 0; i-- {
		if old[i].asRead != notRead {
			continue
		}
		cut, err := s.cutOf(old[i].seq)
		how := readWhole
		if err != nil {
			how = unreadable
			s.log.WithError(err).WithField("dir", old[i].dir).Warn("old log cannot be read; nobody will be sent it")
		}
		s.mu.Lock()
		for j := range s.old {
			switch o := &s.old[j]; {
			case o.seq == old[i].seq:
				o.asRead, o.limit = how, min(o.limit, limit)
			case o.seq < old[i].seq && how == unreadable:
				o.asRead = unreadable
			}
		}
		s.mu.Unlock()
		if limit = min(limit, cut); err != nil {
			return
		}
	}
}

// cutOf reads up to where a segment lets older ones count.
func (s *Store) cutOf(seq uint64) (proto.Zxid, error) {
	seg, err := s.openSegment(seq)
	if err != nil {
		return noLimit, err
	}
	defer seg.close(s.log)
	if err := seg.readStart(); err != nil || !seg.isCut {
		return noLimit, err
	}
	return seg.cut, nil
}

// readable are the segments that can be read now, oldest first.
func (s *Store) readable() []oldSegment {
	s.learnCuts()
	s.mu.Lock()
	defer s.mu.Unlock()
	segs := slices.Clone(s.old)
	segs = slices.DeleteFunc(segs, func(o oldSegment) bool { return o.asRead == unreadable })
	if s.newest != nil && (len(segs) == 0 || segs[len(segs)-1].seq != s.newest.seq) {
		segs = append(segs, oldSegment{seq: s.newest.seq, limit: noLimit})
	}
	return segs
}

// readSegment walks over the groups of a segment as far as they count.
func (s *Store) readSegment(o oldSegment, visit func(group) error) error {
	limited := func(g group) error {
		if g.first > o.limit {
			return errStop
		}
		return visit(g)
	}
	s.mu.Lock()
	seg := s.newest
	s.mu.Unlock()
	if seg != nil && seg.seq == o.seq {
		seg.using.RLock()
		if seg.db != nil {
			defer seg.using.RUnlock()
			return seg.groups(limited)
		}
		seg.using.RUnlock()
	}
	seg, err := s.openSegment(o.seq)
	if err != nil {
		return err
	}
	defer seg.close(s.log)
	return seg.groups(limited)
}

// trimmed says whether a segment was deleted while somebody was about to read it.
func (s *Store) trimmed(o oldSegment) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !slices.ContainsFunc(s.old, func(k oldSegment) bool { return k.seq == o.seq }) &&
		(s.newest == nil || s.newest.seq != o.seq)
}

var errNever = errors.New("store: not in the log")

// HasLogged says whether the log holds a txn, so that everything behind it can be read.
func (s *Store) HasLogged(zxid proto.Zxid) bool {
	has, at := false, zxid
	for _, o := range s.readable() {
		if o.limit < zxid || o.last != 0 && o.last < zxid {
			continue
		}
		err := s.readSegment(o, func(g group) error {
			if g.last < zxid {
				return nil
			}
			has = has && g.prev.zxid <= at || // what was damaged may have left a gap
				zxid != 0 && g.prev.zxid == zxid // it begins there
			if at = max(at, min(g.last, o.limit)); g.first > zxid {
				if !has { // nor will it
					return errNever
				}
				return nil
			}
			return g.each(func(z proto.Zxid, _ []byte) error {
				has = has || z == zxid
				return nil
			})
		})
		if err != nil && !errors.Is(err, errStop) {
			return false
		}
	}
	return has
}

// ReadLog calls f for the txns in (after, upTo], in order. It may run at the same time as
// Append. ErrLogTrimmed says that something in between is not there any more; f may have
// been called for what is in front of it. txn is good during the call.
func (s *Store) ReadLog(after, upTo proto.Zxid, f func(zxid proto.Zxid, txn []byte) error) error {
	at := after
	for _, o := range s.readable() {
		if o.last != 0 && o.last <= after {
			continue
		}
		err := s.readSegment(o, func(g group) error {
			switch {
			case g.last <= at:
				return nil
			case g.first > upTo:
				return errStop
			case g.prev.zxid > at:
				return fmt.Errorf("%w: nothing is between %v and %v", ErrLogTrimmed, at, g.first)
			}
			return g.each(func(zxid proto.Zxid, txn []byte) error {
				switch {
				case zxid <= at || zxid > upTo || zxid > o.limit:
					return nil
				}
				at = zxid
				return f(zxid, txn)
			})
		})
		if err != nil && !errors.Is(err, errStop) {
			if s.trimmed(o) {
				err = fmt.Errorf("%w: it is trimmed up to %v", ErrLogTrimmed, o.last)
			}
			return err
		}
	}
	if at < upTo {
		return fmt.Errorf("%w: it goes on to %v instead of %v", ErrLogTrimmed, at, upTo)
	}
	return nil
}
