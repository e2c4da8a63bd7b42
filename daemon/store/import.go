package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/zkd-project/zkd/daemon/proto"
)

// importName is a file that is there while an import runs, and after one that failed: what
// is beside it is not whole, and no server may start on it.
const importName = "IMPORT"

// Content is what an import fills a store with.
type Content struct {
	Zxid proto.Zxid // at which the image is
	Hard HardState
	// Fill puts the image's records into b, which flush writes and empties.
	Fill func(b *ImageBatch, flush func() error) error
	// Check reads what was written, before a server may use it.
	Check func(s *Store) error
}

// Import fills directories that hold no data. If it fails, or is interrupted, Open refuses
// them until another Import has succeeded.
func Import(o Options, c Content) (err error) {
	o.setDefaults()
	s := &Store{opt: o, fs: o.FS, log: o.Log}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.lockDirs(); err != nil {
		return err
	}
	if err := s.importable(); err != nil {
		return err
	}
	if err := writeFile(s.fs, s.importMark(), nil); err != nil {
		return err
	}
	if err := s.clear(); err != nil {
		return err
	}
	if err := s.fill(c); err != nil {
		return err
	}
	if err := s.fs.Remove(s.importMark()); err != nil {
		return err
	}
	return s.fs.SyncDir(s.opt.ImageDir)
}

// Importable says whether Import would accept the directories.
func Importable(o Options) error {
	o.setDefaults()
	s := &Store{opt: o, fs: o.FS, log: o.Log}
	return s.importable()
}

func (s *Store) importable() error {
	half, err := s.isHalf()
	if err != nil {
		return err
	}
	found, err := HasData(s.opt)
	if err != nil {
		return err
	}
	if found && !half {
		return fmt.Errorf("%w in %s; give the server an empty dataDir and dataLogDir, or move them away",
			ErrNotEmpty, s.opt.ImageDir)
	}
	return nil
}

func (s *Store) fill(c Content) error {
	if err := s.openToWrite(); err != nil {
		return err
	}
	s.hard = c.Hard
	n, err := s.Install()
	if err != nil {
		return err
	}
	b := s.NewImageBatch()
	if err := c.Fill(b, func() error { return n.Write(b) }); err != nil {
		n.Abort()
		return err
	}
	if err := n.Commit(c.Zxid); err != nil {
		return err
	}
	return c.Check(s)
}

func (s *Store) importMark() string { return filepath.Join(s.opt.ImageDir, importName) }

func (s *Store) isHalf() (bool, error) {
	f, err := s.fs.Open(s.importMark())
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		f.Close()
	}
	return true, err
}

// refuseHalf refuses what an import has not finished.
func (s *Store) refuseHalf() error {
	half, err := s.isHalf()
	if err != nil || !half {
		return err
	}
	return fmt.Errorf("%w: an import into %s was not finished; run 'zkctl import' again, or start empty after "+
		"deleting %s and what else is there", ErrForeign, s.opt.ImageDir, s.importMark())
}

// clear removes what an earlier import left.
func (s *Store) clear() error {
	for _, dir := range []string{s.imageDir(), s.newImageDir()} {
		if err := s.fs.RemoveAll(dir); err != nil {
			return err
		}
	}
	seqs, err := s.segments()
	for _, seq := range seqs {
		err = errors.Join(err, s.fs.RemoveAll(filepath.Join(s.opt.LogDir, segmentName(seq))))
	}
	return err
}

// HasData says whether there are an image or a log in the directories, whole or not.
func HasData(o Options) (bool, error) {
	o.setDefaults()
	for _, dir := range []string{o.ImageDir, o.LogDir} {
		names, err := o.FS.List(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return false, err
		}
		for _, name := range names {
			_, segment := parseSegment(strings.TrimPrefix(name, gonePrefix))
			if segment || name == "image" || name == "image-new" {
				return true, nil
			}
		}
	}
	return false, nil
}

// openToRead opens image and log and leaves them as they are.
func (s *Store) openToRead() error {
	found, err := HasData(s.opt)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("%w: %s and %s hold no data of zkd's", ErrForeign, s.opt.ImageDir, s.opt.LogDir)
	}
	if err := s.lockDirs(); err != nil {
		return err
	}
	if err := s.refuseHalf(); err != nil {
		return err
	}
	if _, err := readFile(s.fs, filepath.Join(s.newImageDir(), completeName)); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %s is to replace the image; 'zkd recover' does it", ErrDamaged, s.newImageDir())
	}
	if err := s.openImage(); err != nil {
		return err
	}
	if err := s.readLog(); err != nil {
		return err
	}
	s.status.LastLogged, s.status.ImageZxid = s.end.zxid, s.image.zxid
	return nil
}

// EachLogged calls f for every txn that counts in the segments of a log directory, oldest
// first. It needs no image.
func EachLogged(o Options, f func(zxid proto.Zxid, txn []byte) error) (err error) {
	o.ReadOnly = true
	o.setDefaults()
	o.ImageDir = o.LogDir
	s := &Store{opt: o, fs: o.FS, log: o.Log}
	seqs, err := s.segments()
	if err != nil {
		return err
	}
	if len(seqs) == 0 {
		return fmt.Errorf("%w: %s holds no log of zkd's", ErrForeign, o.LogDir)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.lockDirs(); err != nil {
		return err
	}
	limits, limit := make([]proto.Zxid, len(seqs)), noLimit
	for i := len(seqs) - 1; i >= 0; i-- {
		limits[i] = limit
		seg, err := s.startOf(seqs[i])
		if err != nil {
			return err
		}
		if seg.isCut {
			limit = min(limit, seg.cut)
		}
		seg.close(s.log)
	}
	for i, seq := range seqs {
		seg, err := s.startOf(seq)
		if err != nil {
			return err
		}
		if seg.db == nil {
			continue
		}
		seg.limit = limits[i]
		s.read = append(s.read, seg)
		if err := s.Replay(-1, f); err != nil {
			return err
		}
	}
	return nil
}

// startOf opens a segment and reads what stands in front of its groups.
func (s *Store) startOf(seq uint64) (*segment, error) {
	if s.unfinished(seq) {
		return new(segment), nil
	}
	seg, err := s.openSegment(seq)
	if err != nil {
		return nil, err
	}
	return seg, seg.readStart()
}
