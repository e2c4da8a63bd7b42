package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/zkd-project/zkd/daemon/proto"
)

// Keys of the image that are the store's own. The tree's records have other first bytes,
// prefixed with keyRecord.
const (
	keyRecord = 'r'
	keyZxid   = 'z'
	keyRifts  = 'x'
)

// image is the image's database.
type image struct {
	stor    *dirStorage
	db      *leveldb.DB
	zxid    proto.Zxid
	rifts   []proto.Rift
	readers readers
	dead    bool // a write failed for want of space: it is opened anew before the next one
}

func (s *Store) imageDir() string { return filepath.Join(s.opt.ImageDir, "image") }

func imageOptions() *opt.Options {
	return &opt.Options{
		Strict:                       opt.StrictAll,
		Compression:                  opt.NoCompression,
		WriteBuffer:                  8 << 20,
		BlockSize:                    16 << 10,
		CompactionTableSize:          8 << 20,
		CompactionTotalSize:          256 << 20,
		CompactionL0Trigger:          8,
		WriteL0SlowdownTrigger:       32,
		WriteL0PauseTrigger:          64,
		DisableLargeBatchTransaction: true,
		DisableBufferPool:            true,
		DisableBlockCache:            true,
		DisableSeeksCompaction:       true,
		OpenFilesCacheCapacity:       64,
		NoWriteMerge:                 true,
	}
}

// openImage opens the image, or makes an empty one.
func (s *Store) openImage() error {
	stor, err := openStorage(s.fs, s.imageDir(), s.log, &s.fail, storageOptions{
		pace: &s.pace, readOnly: s.opt.ReadOnly,
	})
	if err != nil {
		return s.hintImage(err)
	}
	var db *leveldb.DB
	if s.opt.ReadOnly {
		db, err = leveldb.Open(newOverlay(stor), overlayOptions())
	} else {
		db, err = leveldb.Open(stor, imageOptions())
	}
	if err != nil {
		return s.hintImage(damaged(s.imageDir(), stor.reworded(err)))
	}
	s.setImage(&image{stor: stor, db: db})
	if !s.opt.ReadOnly { // it may have been made by a process that died
		if err := s.fs.SyncDir(s.opt.ImageDir); err != nil {
			return s.failed(err)
		}
	}
	b, err := db.Get([]byte{keyFormat}, nil)
	switch {
	case errors.Is(err, leveldb.ErrNotFound):
		return s.initImage()
	case err != nil:
		return s.hintImage(damaged(s.imageDir(), err))
	}
	if len(b) == 24 && s.stamp == [16]byte{} {
		copy(s.stamp[:], b[8:])
	}
	if err := s.checkFormat(s.imageDir(), b); err != nil {
		return err
	}
	z, err := db.Get([]byte{keyZxid}, nil)
	if err != nil || len(z) != 8 {
		return s.hintImage(fmt.Errorf("%w: %s does not tell its zxid", ErrDamaged, s.imageDir()))
	}
	s.image.zxid = proto.Zxid(binary.BigEndian.Uint64(z))
	return s.readRifts()
}

// readRifts reads what restores have undone.
func (s *Store) readRifts() error {
	b, err := s.image.db.Get([]byte{keyRifts}, nil)
	switch {
	case errors.Is(err, leveldb.ErrNotFound):
		return nil
	case err != nil:
		return s.hintImage(damaged(s.imageDir(), err))
	case len(b)%16 != 0:
		return s.hintImage(fmt.Errorf("%w: %s: what was undone has %d bytes", ErrDamaged, s.imageDir(), len(b)))
	}
	for be := binary.BigEndian; len(b) > 0; b = b[16:] {
		r := proto.Rift{After: proto.Zxid(be.Uint64(b)), Before: proto.Zxid(be.Uint64(b[8:]))}
		s.image.rifts = append(s.image.rifts, r)
	}
	return nil
}

// Rifts are the parts of history that restores have undone, oldest first.
func (s *Store) Rifts() []proto.Rift {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.image.rifts
}

func (s *Store) setImage(m *image) {
	s.mu.Lock()
	s.image = m
	s.mu.Unlock()
}

func (s *Store) hintImage(err error) error {
	if !errors.Is(err, ErrDamaged) {
		return err
	}
	return advised{err, "restore the directory from a backup"}
}

// initImage marks an empty image as this store's. Where there is a log already, the
// image that belongs to it is missing.
func (s *Store) initImage() error {
	seqs, err := s.segments()
	if err != nil {
		return err
	}
	for _, seq := range seqs {
		if !s.unfinished(seq) {
			return s.hintImage(fmt.Errorf("%w: %s is empty, but there is a log in %s",
				ErrDamaged, s.imageDir(), s.opt.LogDir))
		}
	}
	if err := s.newStamp(); err != nil {
		return err
	}
	b := new(leveldb.Batch)
	b.Put([]byte{keyFormat}, s.format())
	b.Put([]byte{keyZxid}, make([]byte, 8))
	if err := s.image.db.Write(b, &opt.WriteOptions{Sync: true}); err != nil {
		return s.failed(err)
	}
	return nil
}

// LoadImage calls f for every record of the image, in parallel from workers goroutines,
// each with a range of its own. key and value are good during the call.
func (s *Store) LoadImage(workers int, f func(key, value []byte) error) error {
	db, dir := s.image.db, s.imageDir()
	bounds, err := imageBounds(db, dir, workers)
	if err != nil {
		return s.hintImage(err)
	}
	errs := make([]error, len(bounds)-1)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = readRange(db, dir, bounds[i], bounds[i+1], f) })
	}
	wg.Wait()
	return s.hintImage(errors.Join(errs...))
}

// imageBounds cuts the records into ranges of roughly the same size. Znodes are the many;
// their keys are numbers, so the range up to the last one is cut evenly.
func imageBounds(db leveldb.Reader, dir string, workers int) ([][]byte, error) {
	low, high := []byte{keyRecord}, []byte{keyRecord + 1}
	const nodes = 'n'
	it := db.NewIterator(util.BytesPrefix([]byte{keyRecord, nodes}), nil)
	defer it.Release()
	bounds := [][]byte{low}
	if it.Last() && len(it.Key()) == 6 {
		last := binary.BigEndian.Uint32(it.Key()[2:])
		for i := 1; i < workers; i++ {
			at := uint32(uint64(last) * uint64(i) / uint64(workers))
			bounds = append(bounds, binary.BigEndian.AppendUint32([]byte{keyRecord, nodes}, at))
		}
	}
	return append(bounds, high), damaged(dir, it.Error())
}

func readRange(db leveldb.Reader, dir string, from, to []byte, f func(key, value []byte) error) error {
	it := db.NewIterator(&util.Range{Start: from, Limit: to}, nil)
	defer it.Release()
	for it.Next() {
		if err := f(it.Key()[1:], it.Value()); err != nil {
			return err
		}
	}
	return damaged(dir, it.Error())
}

// ImageBatch collects the records of one delta.
type ImageBatch struct {
	b   leveldb.Batch
	key []byte
}

// NewImageBatch makes an empty batch.
func (s *Store) NewImageBatch() *ImageBatch {
	return &ImageBatch{b: makeBatch(0)}
}

// makeBatch makes a batch that doubles when it is full, as LevelDB's own do up to some size only.
func makeBatch(bytes int) leveldb.Batch {
	return *leveldb.MakeBatchWithConfig(&leveldb.BatchConfig{InitialCapacity: bytes, GrowLimit: math.MaxInt32})
}

// Reserve makes room in an empty batch, so that it need not be copied while it grows. Copying a
// large one holds up the collector, and with it everybody else.
func (b *ImageBatch) Reserve(bytes int) {
	if b.Len() == 0 && cap(b.b.Dump()) < bytes {
		b.b = makeBatch(bytes)
	}
}

// Put adds a record.
func (b *ImageBatch) Put(key, value []byte) {
	b.key = append(append(b.key[:0], keyRecord), key...)
	b.b.Put(b.key, value)
}

// Delete removes a record.
func (b *ImageBatch) Delete(key []byte) {
	b.key = append(append(b.key[:0], keyRecord), key...)
	b.b.Delete(b.key)
}

// Reset empties the batch.
func (b *ImageBatch) Reset() { b.b.Reset() }

// Len is the number of records.
func (b *ImageBatch) Len() int { return b.b.Len() }

// Bytes is roughly the batch's size.
func (b *ImageBatch) Bytes() int { return len(b.b.Dump()) }

// WriteImage makes a delta durable: the image is then at zxid. What the log holds
// beyond what is wanted may be deleted. With ErrNoSpace the image is what it was, and
// the same batch may be written again.
func (s *Store) WriteImage(b *ImageBatch, zxid proto.Zxid) error {
	if err := s.fail.get(); err != nil {
		return err
	}
	s.mu.Lock()
	logged := s.status.LastLogged
	s.mu.Unlock()
	if zxid > logged {
		return fmt.Errorf("store: the image would be at %v, but the log is at %v", zxid, logged)
	}
	if err := s.forceLoose(); err != nil {
		return err
	}
	start := time.Now()
	if err := s.reviveImage(); err != nil {
		return err
	}
	b.b.Put([]byte{keyZxid}, binary.BigEndian.AppendUint64(nil, uint64(zxid)))
	if err := s.image.db.Write(&b.b, &opt.WriteOptions{Sync: true}); err != nil {
		s.image.dead = true
		return s.failed(s.image.stor.reworded(err))
	}
	b.b.Reset()
	s.image.zxid = zxid
	s.mu.Lock()
	s.status.ImageZxid = zxid
	s.status.Images++
	s.status.LastImage, s.status.ImageAt = time.Since(start), time.Now()
	s.meters.Image.Add(s.status.LastImage.Microseconds())
	s.mu.Unlock()
	s.trim(zxid)
	return nil
}

// forceLoose brings what was only written to the log to the disk: the image must not be ahead
// of it there. Only the newest segment can hold something of that kind.
func (s *Store) forceLoose() error {
	s.mu.Lock()
	seg := s.newest
	s.mu.Unlock()
	if !s.opt.NoSync || seg == nil {
		return nil
	}
	if err := s.force(seg.dir); err != nil && !errors.Is(err, os.ErrNotExist) { // trimmed: the image holds it
		return s.failed(err)
	}
	return nil
}

// reviveImage opens the image anew after a write that failed for want of space: what
// LevelDB holds of its journal is then not what is on the disk.
func (s *Store) reviveImage() error {
	if !s.image.dead {
		return nil
	}
	s.image.close(s.log)
	if err := s.openImage(); err != nil {
		s.setImage(&image{dead: true})
		return s.failed(err)
	}
	return nil
}

func (m *image) close(log logrus.FieldLogger) {
	if m.db == nil {
		return
	}
	if err := m.readers.close(m.db.Close); err != nil {
		log.WithError(err).Warn("the image did not close cleanly")
	}
}
