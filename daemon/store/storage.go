package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
	ldberrors "github.com/syndtr/goleveldb/leveldb/errors"
	"github.com/syndtr/goleveldb/leveldb/storage"
)

// dirStorage is LevelDB's storage on one directory. It adds what LevelDB leaves out:
// directories are synced, a sync that fails ends the store, missing journals and damage
// in the middle of a journal are found, and a torn end is cut.
type dirStorage struct {
	fs   FS
	dir  string
	log  logrus.FieldLogger
	fail *sticky
	opts storageOptions

	full atomic.Bool // a call has failed for want of space

	mu   sync.Mutex
	seal seal
}

// reworded gives an error of LevelDB back what it left out: it says of some errors only what
// their text was. Want of space is the one that is overcome.
func (s *dirStorage) reworded(err error) error {
	if err == nil || noSpace(err) || ldberrors.IsCorrupted(err) || !s.full.Swap(false) {
		return err
	}
	return fmt.Errorf("%w: %w", syscall.ENOSPC, err)
}

type storageOptions struct {
	reserve  int64 // journals are extended ahead by so many bytes
	readOnly bool
	pace     *pace // nil where writing must not wait
	loose    bool  // journals end where the first bad chunk is, whatever is behind it
}

const (
	tmpSuffix  = ".tmp"
	flushEvery = 256 << 10
)

// openStorage looks at a directory and checks that nothing sealed is missing.
func openStorage(fsys FS, dir string, log logrus.FieldLogger, fail *sticky, o storageOptions) (*dirStorage, error) {
	s := &dirStorage{fs: fsys, dir: dir, log: log, fail: fail, opts: o}
	if !o.readOnly { // one that is trimmed meanwhile must not come back
		if err := fsys.MkdirAll(dir); err != nil {
			return nil, err
		}
	}
	names, err := fsys.List(dir)
	if err != nil {
		return nil, err
	}
	if s.seal, err = readSeal(fsys, dir, names); err != nil {
		return nil, err
	}
	if s.seal.manifest == noManifest && !hasDatabase(names) && !o.readOnly {
		if err := s.sweep(names); err != nil {
			return nil, err
		}
	}
	return s, s.seal.check(dir, names)
}

// sweep removes what the making of a database left that was interrupted before anything
// could be written to it.
func (s *dirStorage) sweep(names []string) error {
	for _, name := range names {
		if _, ok := parseName(name); ok {
			if err := s.fs.Remove(filepath.Join(s.dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *dirStorage) path(fd storage.FileDesc) string { return filepath.Join(s.dir, fileName(fd)) }

func fileName(fd storage.FileDesc) string {
	switch fd.Type {
	case storage.TypeManifest:
		return fmt.Sprintf("MANIFEST-%06d", fd.Num)
	case storage.TypeJournal:
		return fmt.Sprintf("%06d.log", fd.Num)
	case storage.TypeTable:
		return fmt.Sprintf("%06d.ldb", fd.Num)
	}
	return fmt.Sprintf("%06d%s", fd.Num, tmpSuffix)
}

func parseName(name string) (fd storage.FileDesc, ok bool) {
	for _, f := range []struct {
		format string
		typ    storage.FileType
	}{
		{"MANIFEST-%d", storage.TypeManifest}, {"%d.log", storage.TypeJournal},
		{"%d.ldb", storage.TypeTable}, {"%d" + tmpSuffix, storage.TypeTemp},
	} {
		fd = storage.FileDesc{Type: f.typ}
		if n, err := fmt.Sscanf(name, f.format, &fd.Num); err == nil && n == 1 && fileName(fd) == name {
			return fd, true
		}
	}
	return storage.FileDesc{}, false
}

// checked passes on an error of a call that changes the directory: all but a full disk
// make the store unusable.
func (s *dirStorage) checked(err error) error {
	if noSpace(err) && !errors.Is(err, errPlaced) {
		s.full.Store(true)
		return err
	}
	if err == nil {
		return nil
	}
	return s.fail.set(fmt.Errorf("%s: %w", s.dir, err))
}

type nopLocker struct{}

// Unlock does nothing.
func (nopLocker) Unlock() {}

// Lock does nothing: the store holds a lock on the whole directory.
func (s *dirStorage) Lock() (storage.Locker, error) { return nopLocker{}, nil }

// Log passes on LevelDB's own messages.
func (s *dirStorage) Log(str string) { s.log.WithField("dir", s.dir).Trace(str) }

// SetMeta makes a manifest the current one.
func (s *dirStorage) SetMeta(fd storage.FileDesc) error {
	return s.reseal(func(l *seal) {
		if l.manifest != fd.Num {
			l.manifest, l.synced = fd.Num, l.pending[fd.Num]
		}
	})
}

// GetMeta finds the current manifest.
func (s *dirStorage) GetMeta() (storage.FileDesc, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seal.manifest == noManifest {
		return storage.FileDesc{}, os.ErrNotExist
	}
	return storage.FileDesc{Type: storage.TypeManifest, Num: s.seal.manifest}, nil
}

// reseal changes the seal and makes it durable.
func (s *dirStorage) reseal(change func(*seal)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.seal.clone()
	change(&next)
	if err := next.write(s.fs, s.dir); err != nil {
		return s.checked(err)
	}
	s.seal = next
	return nil
}

// List names the files of some types.
func (s *dirStorage) List(ft storage.FileType) ([]storage.FileDesc, error) {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return nil, err
	}
	var fds []storage.FileDesc
	for _, name := range names {
		if fd, ok := parseName(name); ok && fd.Type&ft != 0 {
			fds = append(fds, fd)
		}
	}
	return fds, nil
}

// Open opens a file for reading. Of a journal or manifest it shows the whole records
// only, if what follows them may be cut.
func (s *dirStorage) Open(fd storage.FileDesc) (storage.Reader, error) {
	f, err := s.fs.Open(s.path(fd))
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err == nil && fd.Type&(storage.TypeJournal|storage.TypeManifest) != 0 {
		size, err = s.wholeRecords(fd, f, size)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &reader{f, io.NewSectionReader(f, 0, size)}, nil
}

// wholeRecords judges the end of a journal or manifest.
func (s *dirStorage) wholeRecords(fd storage.FileDesc, f File, size int64) (int64, error) {
	e, err := scanJournal(f, size)
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	synced := s.seal.syncedLength(fd)
	s.mu.Unlock()
	if e.after && e.valid >= synced && s.opts.loose && fd.Type == storage.TypeJournal {
		s.log.WithFields(logrus.Fields{"file": s.path(fd), "kept": e.valid, "cut": e.size - e.valid}).
			Warn("what was not forced to the disk is there in part only, and is cut; forceSync was no")
		return e.valid, nil
	}
	if e.after || e.valid < synced {
		return 0, fmt.Errorf("%w: %s is broken at byte %d, in front of data that was on the disk",
			ErrDamaged, s.path(fd), e.valid)
	}
	if e.torn() {
		s.log.WithFields(logrus.Fields{"file": s.path(fd), "kept": e.valid, "cut": e.size - e.valid}).
			Warn("the last write to the file was not finished; it was never acknowledged and is cut")
	}
	return e.valid, nil
}

type reader struct {
	f File
	*io.SectionReader
}

// Close closes the file.
func (r *reader) Close() error { return r.f.Close() }

// Create makes a file. A journal is sealed before anything can be written to it.
func (s *dirStorage) Create(fd storage.FileDesc) (storage.Writer, error) {
	if s.opts.readOnly {
		return nil, errors.New("store: the segment is only read")
	}
	f, err := s.fs.Create(s.path(fd))
	if err == nil {
		err = s.fs.SyncDir(s.dir)
	}
	if err != nil {
		return nil, s.checked(err)
	}
	if fd.Type == storage.TypeJournal {
		if err := s.reseal(func(l *seal) { l.journals[fd.Num] = true }); err != nil {
			f.Close()
			return nil, err
		}
	}
	return &writer{s: s, fd: fd, f: f}, nil
}

// Remove deletes a file.
func (s *dirStorage) Remove(fd storage.FileDesc) error {
	if err := s.fail.get(); err != nil {
		return err // LevelDB tidies up after an error, but nothing is known for sure any more
	}
	if fd.Type == storage.TypeJournal {
		if err := s.reseal(func(l *seal) { delete(l.journals, fd.Num) }); err != nil {
			return err
		}
	}
	return s.checked(s.fs.Remove(s.path(fd)))
}

// Rename moves a file.
func (s *dirStorage) Rename(from, to storage.FileDesc) error {
	err := s.fs.Rename(s.path(from), s.path(to))
	if err == nil {
		err = s.fs.SyncDir(s.dir)
	}
	return s.checked(err)
}

// Close does nothing: files are closed by who opened them.
func (s *dirStorage) Close() error { return nil }

// writer is a file that LevelDB writes.
type writer struct {
	s        *dirStorage
	fd       storage.FileDesc
	f        File
	size     int64 // written
	synced   int64 // of it
	reserved int64
	flushed  int64
}

// Write appends.
func (w *writer) Write(b []byte) (int, error) {
	if err := w.s.fail.get(); err != nil {
		return 0, err
	}
	if step := w.s.opts.reserve; w.fd.Type == storage.TypeJournal && step > 0 && w.size+int64(len(b)) > w.reserved {
		room := max(step, int64(len(b)))
		w.reserved = w.size + room // or a part of it, which Close gives back
		if err := w.f.Reserve(w.size, room); err != nil {
			return 0, w.s.checked(err)
		}
	}
	n, err := w.f.Write(b)
	w.size += int64(n)
	if err != nil {
		return n, w.s.checked(err)
	}
	if w.size-w.flushed >= flushEvery {
		start := time.Now()
		if err := w.f.Flush(w.flushed, w.size-w.flushed); err != nil {
			// As final as that of a Sync, which would not be told of it again.
			return n, w.s.fail.set(fmt.Errorf("write %s: %w", w.s.path(w.fd), err))
		}
		w.flushed = w.size
		w.s.opts.pace.pause(time.Since(start))
	}
	return n, nil
}

// Sync makes the file durable. Its failure is final: what the kernel dropped is unknown.
func (w *writer) Sync() error {
	if err := w.s.fail.get(); err != nil {
		return err
	}
	if err := w.f.Sync(); err != nil {
		return w.s.fail.set(fmt.Errorf("sync %s: %w", w.s.path(w.fd), err))
	}
	w.synced = w.size
	if w.fd.Type != storage.TypeManifest {
		return nil
	}
	return w.s.reseal(func(l *seal) {
		l.pending[w.fd.Num] = w.size
		if l.manifest == w.fd.Num {
			l.synced = w.size
		}
	})
}

// Close closes the file, and gives back what was reserved and not used. LevelDB does not
// sync a journal that it has filled, but for a while the journal is all there is.
func (w *writer) Close() error {
	if w.size > w.synced && w.s.fail.get() == nil {
		if err := w.Sync(); err != nil {
			return errors.Join(err, w.f.Close())
		}
	}
	if w.reserved > w.size && w.s.fail.get() == nil {
		if err := w.f.Truncate(w.size); err != nil {
			return w.s.checked(err)
		}
	}
	return w.f.Close()
}
