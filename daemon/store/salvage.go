package store

import (
	"bytes"
	"errors"
)

// errStop ends a walk over groups.
var errStop = errors.New("store: enough")

// salvage keeps the log as far as it is whole. The segment in which the damage begins is
// copied up to there; it and all later ones are moved aside, not deleted.
func (s *Store) salvage() error {
	seqs, err := s.segments()
	if err != nil {
		return err
	}
	var end *link
	for i, seq := range seqs {
		whole, last, ok := s.wholeGroups(seq, end)
		if ok {
			if last != nil {
				end = last
			}
			continue
		}
		for _, bad := range seqs[i:] {
			if err := s.setAside(s.opt.LogDir, segmentName(bad)); err != nil {
				return err
			}
		}
		return s.rewrite(seqs[len(seqs)-1]+1, whole)
	}
	return nil
}

// wholeGroups reads a segment's groups as long as they follow one another and end, which
// is nil before the first segment. ok says that nothing was wrong; last is nil for a
// segment without groups.
func (s *Store) wholeGroups(seq uint64, end *link) (whole [][]byte, last *link, ok bool) {
	if s.unfinished(seq) {
		return nil, nil, true
	}
	seg, err := s.openSegment(seq, toRead)
	if err != nil {
		return nil, nil, false
	}
	defer seg.close(s.log)
	last = end
	if err := seg.readStart(); err != nil {
		return nil, nil, false
	}
	s.tookHard(seg)
	if seg.isCut && end != nil && seg.cut > end.zxid {
		return nil, nil, false // it follows something that is not there any more
	}
	err = seg.groups(func(g group) error {
		cut := len(whole) == 0 && seg.isCut && g.prev.zxid == seg.cut && last != nil && seg.cut <= last.zxid
		if last != nil && g.prev != *last && !cut {
			return errStop
		}
		last = &link{g.last, g.sum}
		whole = append(whole, bytes.Clone(g.raw))
		return nil
	})
	if len(whole) == 0 {
		last = nil
	}
	return whole, last, err == nil
}

// rewrite makes a segment of groups that were whole.
func (s *Store) rewrite(seq uint64, whole [][]byte) error {
	if len(whole) == 0 {
		return nil
	}
	first, err := parseGroup(whole[0])
	if err != nil {
		return err
	}
	longest := 0
	for _, raw := range whole {
		longest = max(longest, len(raw))
	}
	seg, err := s.createSegment(seq, s.hard, &first.prev.zxid, int64(longest))
	if err != nil {
		return err
	}
	defer seg.close(s.log)
	for _, raw := range whole {
		g, err := parseGroup(raw)
		if err == nil {
			err = seg.append(groupKey(g.first), raw, true)
		}
		if err != nil {
			return s.failed(err)
		}
	}
	return nil
}
