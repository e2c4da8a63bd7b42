package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"

	"github.com/zkd-project/zkd/daemon/proto"
)

// completeName is the file in a new image that says that it is whole and replaces the old
// one, with the log.
const completeName = "COMPLETE"

// Installation is a new image that is being written beside the old one.
type Installation struct {
	Rifts []proto.Rift // parts of history that this image and those before it undo

	s    *Store
	db   *leveldb.DB
	tr   *leveldb.Transaction // of everything but what Commit adds
	stor *dirStorage
}

func (s *Store) newImageDir() string { return filepath.Join(s.opt.ImageDir, "image-new") }

// Install begins a new image, which replaces the old one and the whole log at Commit. Until then
// both may be written. There must be one installation at a time, and no other method that writes
// may run during Commit.
func (s *Store) Install() (*Installation, error) {
	if err := s.fail.get(); err != nil {
		return nil, err
	}
	dir := s.newImageDir()
	if err := s.fs.RemoveAll(dir); err != nil {
		return nil, s.failed(err)
	}
	stor, err := openStorage(s.fs, dir, s.log, &s.fail, storageOptions{})
	if err != nil {
		return nil, s.failed(err)
	}
	db, err := leveldb.Open(stor, installOptions())
	if err != nil {
		return nil, s.failed(damaged(dir, stor.reworded(err)))
	}
	tr, err := db.OpenTransaction()
	if err != nil {
		return nil, s.failed(errors.Join(stor.reworded(err), db.Close()))
	}
	return &Installation{s: s, db: db, tr: tr, stor: stor}, nil
}

// installOptions leave out what only a database that is written for long needs: a transaction
// makes tables without a journal, and what comes in order need not be compacted.
func installOptions() *opt.Options {
	const never = 1 << 20
	o := imageOptions()
	o.CompactionL0Trigger, o.WriteL0SlowdownTrigger, o.WriteL0PauseTrigger = never, never, never
	return o
}

// Write adds the records of a batch and empties it.
func (n *Installation) Write(b *ImageBatch) error {
	if err := n.tr.Write(&b.b, nil); err != nil {
		return n.s.failed(n.stor.reworded(err))
	}
	b.b.Reset()
	return nil
}

// Abort gives the new image up. One of which it is not known whether it has replaced the old
// one is left to the next start.
func (n *Installation) Abort() {
	if err := n.db.Close(); err != nil && !errors.Is(err, leveldb.ErrClosed) {
		n.s.log.WithError(err).Warn("a new image did not close cleanly")
	}
	if n.s.fail.get() != nil {
		return
	}
	if err := n.s.fs.RemoveAll(n.s.newImageDir()); err != nil {
		n.s.log.WithError(err).Warn("a new image that is not wanted cannot be deleted")
	}
}

// Commit replaces image and log: the store holds the new image, which is at zxid, and an
// empty log that goes on after it. A crash leaves everything as it was, or replaced. With
// ErrNoSpace everything is as it was; the new image is to be aborted.
func (n *Installation) Commit(zxid proto.Zxid) error {
	s := n.s
	b := new(leveldb.Batch)
	b.Put([]byte{keyFormat}, s.format())
	b.Put([]byte{keyZxid}, binary.BigEndian.AppendUint64(nil, uint64(zxid)))
	if rifts := appendRifts(nil, n.Rifts); len(rifts) > 0 {
		b.Put([]byte{keyRifts}, rifts)
	}
	err := n.tr.Commit()
	if err == nil {
		err = n.db.Write(b, &opt.WriteOptions{Sync: true})
	}
	if err == nil {
		err = n.db.Close()
	}
	if err != nil {
		return s.failed(n.stor.reworded(err))
	}
	mark := binary.BigEndian.AppendUint64(s.hard.encode(), uint64(zxid))
	if err := writeFile(s.fs, filepath.Join(s.newImageDir(), completeName), mark); err != nil {
		return s.failed(err)
	}
	if err := s.fs.SyncDir(s.opt.ImageDir); err != nil {
		return s.fail.set(err)
	}
	return s.reopen()
}

func appendRifts(b []byte, rifts []proto.Rift) []byte {
	for _, r := range rifts {
		b = binary.BigEndian.AppendUint64(b, uint64(r.After))
		b = binary.BigEndian.AppendUint64(b, uint64(r.Before))
	}
	return b
}

// reopen takes a complete new image over. What fails here leaves the process without a
// store; the next start finishes the work.
func (s *Store) reopen() error {
	if s.next != nil {
		s.next.discard(s)
		s.next = nil
	}
	if s.cur != nil {
		s.cur.close(s.log)
		s.cur = nil
	}
	s.image.close(s.log)
	s.setImage(nil)
	s.mu.Lock()
	s.old, s.newest = nil, nil
	s.mu.Unlock()
	if err := s.finishInstall(); err != nil {
		return s.fail.set(err)
	}
	if err := s.openImage(); err != nil {
		return s.fail.set(err)
	}
	if err := s.openLog(); err != nil {
		return s.fail.set(err)
	}
	cur, err := s.createSegment(s.seq+1, s.hard, &s.end.zxid, 0)
	if err != nil {
		return s.fail.set(err)
	}
	s.seq++
	s.setCurrent(cur)
	s.mu.Lock()
	s.status.LastLogged, s.status.ImageZxid = s.end.zxid, s.image.zxid
	s.mu.Unlock()
	return s.sweepLog()
}

// finishInstall replaces image and log by a new image that is complete, and removes one
// that is not. Each step may be repeated.
func (s *Store) finishInstall() error {
	dir := s.newImageDir()
	mark, err := readFile(s.fs, filepath.Join(dir, completeName))
	if errors.Is(err, os.ErrNotExist) {
		if err := s.fs.RemoveAll(dir); err != nil {
			return err
		}
		return s.tidyInstall()
	}
	if err != nil {
		return err
	}
	hard, ok := decodeHard(mark[:max(0, min(len(mark), 20))])
	if !ok || len(mark) != 28 {
		return s.hint(fmt.Errorf("%w: %s/%s has a wrong checksum", ErrDamaged, dir, completeName))
	}
	zxid := proto.Zxid(binary.BigEndian.Uint64(mark[20:]))
	for _, d := range []string{dir, s.opt.ImageDir} { // the process that made the mark may have died since
		if err := s.fs.SyncDir(d); err != nil {
			return err
		}
	}
	if err := s.replaceLog(dir, hard, zxid); err != nil {
		return err
	}
	if err := s.fs.RemoveAll(s.imageDir()); err != nil {
		return err
	}
	if err := s.fs.Rename(dir, s.imageDir()); err != nil {
		return err
	}
	if err := s.fs.SyncDir(s.opt.ImageDir); err != nil {
		return err
	}
	return s.tidyInstall()
}

// tidyInstall removes the mark of an image that is in its place.
func (s *Store) tidyInstall() error {
	err := s.fs.Remove(filepath.Join(s.imageDir(), completeName))
	if err == nil || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// replaceLog makes a segment that says where the new image is, and removes all others.
func (s *Store) replaceLog(dir string, hard HardState, zxid proto.Zxid) error {
	stamp, err := s.stampOf(dir)
	if err != nil {
		return err
	}
	s.stamp, s.hard = stamp, hard
	seqs, err := s.segments()
	if err != nil {
		return err
	}
	if n := len(seqs); n > 0 {
		s.seq = max(s.seq, seqs[n-1])
	}
	seg, err := s.createSegment(s.seq+1, hard, &zxid, 0)
	if err != nil {
		return err
	}
	seg.close(s.log)
	s.seq++
	for _, seq := range seqs {
		if err := s.deleteSegment(filepath.Join(s.opt.LogDir, segmentName(seq))); err != nil {
			return err
		}
	}
	return s.fs.SyncDir(s.opt.LogDir)
}

// stampOf reads the mark of what belongs together from an image.
func (s *Store) stampOf(dir string) (stamp [16]byte, err error) {
	stor, err := openStorage(s.fs, dir, s.log, &s.fail, storageOptions{})
	if err != nil {
		return stamp, err
	}
	db, err := leveldb.Open(stor, imageOptions())
	if err != nil {
		return stamp, damaged(dir, err)
	}
	b, err := db.Get([]byte{keyFormat}, nil)
	if err = errors.Join(err, db.Close()); err != nil || len(b) != 24 {
		return stamp, fmt.Errorf("%w: %s has no format record", ErrDamaged, dir)
	}
	copy(stamp[:], b[8:])
	return stamp, nil
}
