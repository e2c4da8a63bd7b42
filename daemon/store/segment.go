package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/sirupsen/logrus"
	"github.com/syndtr/goleveldb/leveldb"
	ldberrors "github.com/syndtr/goleveldb/leveldb/errors"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/storage"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/zkd-project/zkd/daemon/proto"
)

// Keys of a segment.
const (
	keyFormat = 'f' // format and stamp
	keyGroup  = 'g' // + zxid of the first txn, 8 bytes
	keyHard   = 'h' // the epochs
	keyCut    = 'c' // zxid: of older segments, what is above does not count
	keyLoose  = 'l' // there if groups are not forced to the disk one by one
)

// memSlack is what a segment's memory table has room for beyond the segment's size, so
// that LevelDB never writes a table for it.
const memSlack = 3 << 20

// segment is one LevelDB database of the log.
type segment struct {
	seq   uint64
	dir   string
	stor  *dirStorage
	db    *leveldb.DB
	bytes int64 // appended
	room  int64 // of the largest group that it takes
	last  link  // of the newest group
	txns  int
	hard  HardState // as the segment holds it
	cut   proto.Zxid
	isCut bool
	loose bool       // see Options.NoSync
	limit proto.Zxid // of what is read of it
	batch leveldb.Batch
	using sync.RWMutex // held for reading while the log is read behind the back of who writes it
}

func segmentName(seq uint64) string { return fmt.Sprintf("log-%010d", seq) }

func parseSegment(name string) (seq uint64, ok bool) {
	n, err := fmt.Sscanf(name, "log-%d", &seq)
	return seq, err == nil && n == 1 && segmentName(seq) == name
}

func segmentOptions(size int64, readOnly bool) *opt.Options {
	return &opt.Options{
		Strict:                       opt.StrictAll,
		Compression:                  opt.NoCompression,
		WriteBuffer:                  int(size) + memSlack,
		DisableLargeBatchTransaction: true,
		NoWriteMerge:                 true,
		DisableBufferPool:            true,
		DisableBlockCache:            true,
		DisableSeeksCompaction:       true,
		OpenFilesCacheCapacity:       16,
		ReadOnly:                     readOnly,
		ErrorIfMissing:               readOnly,
		DisableCompactionBackoff:     true,
		CompactionL0Trigger:          1 << 20,
		WriteL0SlowdownTrigger:       1 << 20,
		WriteL0PauseTrigger:          1 << 20,
	}
}

// createSegment makes an empty segment for new groups of up to group bytes, for which there is
// room on the disk if they are longer than a segment usually is. It holds the epochs and, unless
// cut is nil, says up to where older segments count.
func (s *Store) createSegment(seq uint64, hard HardState, cut *proto.Zxid, group int64) (*segment, error) {
	if err := s.deleteSegment(filepath.Join(s.opt.LogDir, segmentName(seq))); err != nil {
		return nil, s.failed(err)
	}
	size := max(group, s.opt.SegmentBytes)
	seg, err := s.openSegmentIn(filepath.Join(s.opt.LogDir, segmentName(seq)), seq, size,
		storageOptions{reserve: s.opt.reserve(size)})
	if err == nil {
		err = seg.begin(segmentStart{s.format(), hard, cut, s.opt.NoSync})
		if err != nil {
			seg.close(s.log)
		}
	}
	if err == nil {
		err = s.fs.SyncDir(s.opt.LogDir)
	}
	if err != nil {
		return nil, s.failed(err)
	}
	return seg, nil
}

// segmentStart is what a segment begins with.
type segmentStart struct {
	format []byte
	hard   HardState
	cut    *proto.Zxid
	loose  bool
}

// begin writes what a segment begins with, before any group.
func (seg *segment) begin(start segmentStart) error {
	seg.hard = start.hard
	seg.batch.Put([]byte{keyFormat}, start.format)
	seg.batch.Put([]byte{keyHard}, start.hard.encode())
	if start.cut != nil {
		seg.cut, seg.isCut = *start.cut, true
		seg.batch.Put([]byte{keyCut}, binary.BigEndian.AppendUint64(nil, uint64(seg.cut)))
	}
	if seg.loose = start.loose; seg.loose {
		seg.batch.Put([]byte{keyLoose}, nil)
	}
	for range twice {
		if err := seg.write(true); err != nil {
			return err
		}
	}
	return nil
}

// gonePrefix is in front of the names of segments that are being deleted.
const gonePrefix = "gone-"

// deleteSegment deletes a segment, all of it or, if that is interrupted, none: half of one
// could not be told from damage.
func (s *Store) deleteSegment(dir string) error {
	gone := filepath.Join(s.opt.LogDir, gonePrefix+filepath.Base(dir))
	if err := s.fs.RemoveAll(gone); err != nil {
		return err
	}
	if err := s.fs.Rename(dir, gone); errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if err := s.fs.SyncDir(s.opt.LogDir); err != nil {
		return err
	}
	return s.fs.RemoveAll(gone)
}

// deleteGone goes on with what an earlier process was deleting, and deletes what one had not
// finished to write anew. That their names have
// changed must be on the disk first: the process may have died before it saw to that.
func (s *Store) deleteGone() error {
	if err := s.fs.SyncDir(s.opt.LogDir); err != nil {
		return err
	}
	names, err := s.fs.List(s.opt.LogDir)
	if err != nil {
		return err
	}
	for _, name := range names {
		seg, gone := strings.CutPrefix(strings.TrimPrefix(name, newPrefix), gonePrefix)
		if _, ok := parseSegment(seg); ok && (gone || seg != name) {
			if err := s.fs.RemoveAll(filepath.Join(s.opt.LogDir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// failed classifies an error of the file system or LevelDB.
func (s *Store) failed(err error) error {
	if doubt := s.fail.get(); doubt != nil {
		return doubt // of which err is a consequence
	}
	switch {
	case noSpace(err) && !errors.Is(err, errPlaced):
		return errors.Join(ErrNoSpace, err)
	case errors.Is(err, ErrDamaged) || errors.Is(err, ErrForeign):
		return err
	}
	return s.fail.set(err)
}

// openSegment opens a segment's database to read it. What was not forced to the disk group by
// group may have a hole after a power failure; it ends there.
func (s *Store) openSegment(seq uint64) (*segment, error) {
	dir, o := filepath.Join(s.opt.LogDir, segmentName(seq)), storageOptions{readOnly: true}
	seg, err := s.openSegmentIn(dir, seq, s.opt.SegmentBytes, o)
	if !errors.Is(err, ErrDamaged) {
		return seg, err
	}
	m, merr := s.remainsOf(seq)
	if merr != nil || !m.loose {
		return nil, err
	}
	o.loose = true
	seg, lerr := s.openSegmentIn(dir, seq, s.opt.SegmentBytes, o)
	if lerr != nil {
		return nil, err
	}
	if lerr = seg.readStart(); lerr != nil || seg.hard != m.hard { // epochs are forced to the disk at once
		seg.close(s.log)
		return nil, err
	}
	return seg, nil
}

// openSegmentIn opens the database in a directory, for as many bytes of groups as size.
func (s *Store) openSegmentIn(dir string, seq uint64, size int64, o storageOptions) (*segment, error) {
	seg := &segment{seq: seq, dir: dir, limit: noLimit, room: size}
	stor, err := openStorage(s.fs, seg.dir, s.log, &s.fail, o)
	if err != nil {
		return nil, err
	}
	seg.db, err = leveldb.Open(stor, segmentOptions(size, o.readOnly))
	if err != nil {
		return nil, damaged(seg.dir, stor.reworded(err))
	}
	seg.stor = stor
	return seg, nil
}

// write writes the segment's batch.
func (seg *segment) write(sync bool) error {
	return seg.stor.reworded(seg.db.Write(&seg.batch, &opt.WriteOptions{Sync: sync}))
}

// damaged turns LevelDB's word for corruption into the store's.
func damaged(dir string, err error) error {
	var c *storage.ErrCorrupted
	if ldberrors.IsCorrupted(err) || errors.As(err, &c) {
		return fmt.Errorf("%w: %s: %w", ErrDamaged, dir, err)
	}
	return err
}

// append writes one group and, if sync is set, makes it durable.
func (seg *segment) append(key [9]byte, value []byte, sync bool) error {
	seg.batch.Reset()
	seg.batch.Put(key[:], value)
	if err := seg.write(sync); err != nil {
		return err
	}
	if len(value) > keepGroup {
		seg.batch = leveldb.Batch{}
	}
	seg.bytes += int64(len(value))
	return nil
}

func groupKey(first proto.Zxid) (key [9]byte) {
	key[0] = keyGroup
	binary.BigEndian.PutUint64(key[1:], uint64(first))
	return key
}

// groups calls f for the segment's groups in order.
func (seg *segment) groups(f func(group) error) error {
	it := seg.db.NewIterator(util.BytesPrefix([]byte{keyGroup}), nil)
	defer it.Release()
	for it.Next() {
		g, err := parseGroup(it.Value())
		if err == nil && groupKey(g.first) != [9]byte(it.Key()) {
			err = fmt.Errorf("%w: the group of %v has another group's key", ErrDamaged, g.first)
		}
		if err == nil {
			err = f(g)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", seg.dir, err)
		}
	}
	return damaged(seg.dir, it.Error())
}

// close closes the segment's database.
func (seg *segment) close(log logrus.FieldLogger) {
	seg.using.Lock()
	defer seg.using.Unlock()
	if seg.db == nil {
		return
	}
	if err := seg.db.Close(); err != nil {
		log.WithError(err).WithField("dir", seg.dir).Warn("a log segment did not close cleanly")
	}
	seg.db = nil
}
