package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/sirupsen/logrus"
	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/storage"

	"github.com/zkd-project/zkd/daemon/proto"
)

// remains are what can be read of a segment that may be damaged: every record that is whole,
// wherever it is.
type remains struct {
	begun  bool // the record it begins with was read, so that cut is known
	format []byte
	cut    proto.Zxid // noLimit if it cuts nothing off
	loose  bool
	hard   HardState
	limit  proto.Zxid
	groups []group // as they were written
}

// remainsOf reads what is left of a segment.
func (s *Store) remainsOf(seq uint64) (*remains, error) {
	m := &remains{cut: noLimit, limit: noLimit}
	if s.unfinished(seq) {
		m.begun = true
		return m, nil
	}
	dir := filepath.Join(s.opt.LogDir, segmentName(seq))
	names, err := s.fs.List(dir)
	if err != nil {
		return nil, err
	}
	var journals []int64
	for _, name := range names {
		switch fd, ok := parseName(name); {
		case ok && fd.Type == storage.TypeTable:
			return m, s.readTables(seq, m)
		case ok && fd.Type == storage.TypeJournal:
			journals = append(journals, fd.Num)
		}
	}
	slices.Sort(journals)
	never := len(journals) > 0
	for _, num := range journals {
		e, err := s.readJournal(filepath.Join(dir, fileName(storage.FileDesc{Type: storage.TypeJournal, Num: num})), m)
		if err != nil {
			return nil, err
		}
		never = never && e.neverBegun()
	}
	m.begun = m.begun || never
	return m, nil
}

// neverBegun says whether the making of a segment was interrupted in front of the end of the
// first record of its journal.
func (e extent) neverBegun() bool {
	const first = 128 // bytes that it has at most
	return e.valid == 0 && !e.after && e.size <= first
}

// readTables reads a segment of which LevelDB has made a table. There is one where a single
// group was larger than a segment.
func (s *Store) readTables(seq uint64, m *remains) error {
	seg, err := s.openSegmentIn(filepath.Join(s.opt.LogDir, segmentName(seq)), seq, s.opt.SegmentBytes,
		storageOptions{readOnly: true})
	if err != nil {
		return keepGoing(err)
	}
	defer seg.close(s.log)
	format, err := seg.db.Get([]byte{keyFormat}, nil)
	if err == nil {
		err = seg.readStart()
	}
	if err != nil {
		return keepGoing(damaged(seg.dir, err))
	}
	m.begun, m.format, m.hard = true, format, seg.hard
	if seg.isCut {
		m.cut = seg.cut
	}
	return keepGoing(seg.groups(func(g group) error {
		m.Put(groupKeyOf(g), bytes.Clone(g.raw))
		return nil
	}))
}

func groupKeyOf(g group) []byte {
	key := groupKey(g.first)
	return key[:]
}

// keepGoing passes an error on unless it tells of damage, of which there is some anyway.
func keepGoing(err error) error {
	if errors.Is(err, ErrDamaged) || errors.Is(err, syscall.EIO) || errors.Is(err, leveldb.ErrNotFound) {
		return nil
	}
	return err
}

// readJournal reads the whole records of a journal.
func (s *Store) readJournal(path string, m *remains) (extent, error) {
	f, err := s.fs.Open(path)
	if err != nil {
		return extent{}, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return extent{}, err
	}
	unread, err := eachRecord(f, size, func(record []byte) {
		const header = 8 + 4 // sequence number and count
		b := new(leveldb.Batch)
		if len(record) > header && b.Load(bytes.Clone(record[header:])) == nil {
			_ = b.Replay(m)
		}
	})
	if err != nil {
		return extent{}, err
	}
	if unread > 0 {
		s.log.WithFields(logrus.Fields{"event": "damage", "file": path, "blocks": unread}).
			Warn("The disk does not give back all of a file of the log")
	}
	e, err := scanJournal(f, size)
	if errors.Is(err, syscall.EIO) {
		e, err = extent{after: true}, nil
	}
	return e, err
}

// Put takes one key of a record.
func (m *remains) Put(key, value []byte) {
	if len(key) == 0 {
		return
	}
	switch key[0] {
	case keyFormat:
		m.begun, m.format = true, value
	case keyHard:
		if h, ok := decodeHard(value); ok {
			m.hard = m.hard.max(h)
		}
	case keyCut:
		if len(value) == 8 {
			m.cut = proto.Zxid(binary.BigEndian.Uint64(value))
		}
	case keyLoose:
		m.loose = true
	case keyGroup:
		g, err := parseGroup(value)
		if err == nil && bytes.Equal(groupKeyOf(g), key) && g.check() == nil {
			m.groups = append(m.groups, g)
		}
	}
}

// Delete is never met: no key of a segment is deleted.
func (m *remains) Delete([]byte) {}

// eachRecord calls f for the records of a journal that are whole. Behind a chunk that is
// broken it goes on with the next one, if the broken one still tells where that is, or else
// with the next block. It never looks for chunks inside others, which a client may have made.
// unread is how many blocks the disk did not give back.
func eachRecord(r io.ReaderAt, size int64, f func(record []byte)) (unread int, err error) {
	buf := make([]byte, blockSize)
	var record []byte
	inside := false
	for off := int64(0); off < size; off += blockSize {
		n, err := r.ReadAt(buf[:min(blockSize, size-off)], off)
		if errors.Is(err, syscall.EIO) {
			inside = false
			unread++
			continue
		}
		if err != nil && err != io.EOF {
			return unread, err
		}
		for b := buf[:n]; len(b) >= chunkHeader; {
			length, typ, ok := chunkAt(b)
			if !ok {
				inside = false
				length, typ = int(binary.LittleEndian.Uint16(b[4:])), b[6]
				if typ < chunkFull || typ > chunkLast || chunkHeader+length > len(b) {
					break
				}
				b = b[chunkHeader+length:]
				continue
			}
			if typ == chunkFull || typ == chunkFirst {
				record, inside = record[:0], true
			}
			record = append(record, b[chunkHeader:chunkHeader+length]...)
			if inside && (typ == chunkFull || typ == chunkLast) {
				f(record)
				inside = false
			}
			b = b[chunkHeader+length:]
		}
	}
	return unread, nil
}
