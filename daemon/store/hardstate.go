package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/syndtr/goleveldb/leveldb"

	"github.com/zkd-project/zkd/daemon/proto"
)

// HardState are the epochs that a server of an ensemble keeps with its log. They never
// decrease. Source: the files acceptedEpoch and currentEpoch of Apache's servers.
type HardState struct {
	AcceptedEpoch int64 // of the last leader that the server agreed to follow
	CurrentEpoch  int64 // of the last leader with which it synchronized
}

func (h HardState) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(h.AcceptedEpoch))
	b = binary.BigEndian.AppendUint64(b, uint64(h.CurrentEpoch))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeHard(b []byte) (h HardState, ok bool) {
	be := binary.BigEndian
	if len(b) != 20 || crc32.Checksum(b[:16], castagnoli) != be.Uint32(b[16:]) {
		return h, false
	}
	return HardState{int64(be.Uint64(b)), int64(be.Uint64(b[8:]))}, true
}

// max are the larger epochs of both.
func (h HardState) max(o HardState) HardState {
	return HardState{max(h.AcceptedEpoch, o.AcceptedEpoch), max(h.CurrentEpoch, o.CurrentEpoch)}
}

// HardState is what was found at the start, or set last.
func (s *Store) HardState() HardState { return s.hard }

// SetHardState makes new epochs durable. It must not run at the same time as Append. With
// ErrNoSpace nothing has changed, and the call may be repeated.
func (s *Store) SetHardState(h HardState) error {
	if err := s.fail.get(); err != nil {
		return err
	}
	if h.AcceptedEpoch < s.hard.AcceptedEpoch || h.CurrentEpoch < s.hard.CurrentEpoch {
		return fmt.Errorf("store: the epochs would go back from %v to %v", s.hard, h)
	}
	was := s.hard
	s.hard = h
	err := s.haveSegment(0)
	if err == nil {
		err = s.putHard()
	}
	if err != nil {
		s.hard = was
	}
	return err
}

// twice is how often the epochs are written. A journal's last record, if it is broken, counts
// as one that was never finished; what is to be promised must not be the last record.
const twice = 2

// putHard brings the epochs into the current segment.
func (s *Store) putHard() error {
	if s.cur.hard == s.hard {
		return nil
	}
	for range twice {
		s.cur.batch.Reset()
		s.cur.batch.Put([]byte{keyHard}, s.hard.encode())
		if err := s.cur.write(true); err != nil {
			err = s.failed(err)
			s.closeCurrent()
			return err
		}
	}
	s.cur.hard = s.hard
	return nil
}

// readStart reads what stands in a segment besides groups.
func (seg *segment) readStart() error {
	b, err := seg.db.Get([]byte{keyHard}, nil)
	switch hard, ok := decodeHard(b); {
	case errors.Is(err, leveldb.ErrNotFound): // made by a version that knew of no epochs
	case err != nil:
		return damaged(seg.dir, err)
	case !ok:
		return fmt.Errorf("%w: %s: the epochs have a wrong checksum", ErrDamaged, seg.dir)
	default:
		seg.hard = hard
	}
	b, err = seg.db.Get([]byte{keyCut}, nil)
	switch {
	case errors.Is(err, leveldb.ErrNotFound):
	case err != nil:
		return damaged(seg.dir, err)
	case len(b) != 8:
		return fmt.Errorf("%w: %s: the end of older segments has %d bytes", ErrDamaged, seg.dir, len(b))
	default:
		seg.cut, seg.isCut = proto.Zxid(binary.BigEndian.Uint64(b)), true
	}
	return nil
}

// tookHard takes over the epochs of a segment that was read. Every segment holds those at
// its making, and they never decrease, so the largest ones count.
func (s *Store) tookHard(seg *segment) { s.hard = s.hard.max(seg.hard) }

// sweepLog removes segments of which nothing counts, once the newest one says so.
func (s *Store) sweepLog() error {
	for _, dir := range s.stale {
		if err := s.deleteSegment(dir); err != nil {
			return err
		}
	}
	s.stale = nil
	return nil
}
