package store

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
)

// faultFS fails calls that change the disk: the one whose turn it is and, if it lasts,
// all that follow.
type faultFS struct {
	OS
	mu    sync.Mutex
	err   error
	at    int // the call that fails
	lasts bool
	calls int
}

func (f *faultFS) check() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.err != nil && (f.calls == f.at || (f.lasts && f.calls > f.at)) {
		return f.err
	}
	return nil
}

func (f *faultFS) heal() {
	f.mu.Lock()
	f.err = nil
	f.mu.Unlock()
}

func (f *faultFS) Create(name string) (File, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	file, err := f.OS.Create(name)
	return &faultFile{file, f}, err
}

func (f *faultFS) Rename(from, to string) error {
	if err := f.check(); err != nil {
		return err
	}
	return f.OS.Rename(from, to)
}

func (f *faultFS) SyncDir(dir string) error {
	if err := f.check(); err != nil {
		return err
	}
	return f.OS.SyncDir(dir)
}

type faultFile struct {
	File
	fs *faultFS
}

func (f *faultFile) Write(b []byte) (int, error) {
	if err := f.fs.check(); err != nil {
		n, _ := f.File.Write(b[:len(b)/2]) // a torn write
		return n, err
	}
	return f.File.Write(b)
}

func (f *faultFile) Sync() error {
	if err := f.fs.check(); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *faultFile) Reserve(off, size int64) error {
	if err := f.fs.check(); err != nil {
		return err
	}
	return f.File.Reserve(off, size)
}

// work appends txns and writes images until something fails, and returns the zxid up to
// which everything was acknowledged.
func work(s *Store, from, to proto.Zxid, retry func()) (acked proto.Zxid, err error) {
	b := s.NewImageBatch()
	acked = from - 1
	for z := from; z <= to; z += 4 {
		batch := batchOf(z, z+3, 300)
		err = s.Append(batch)
		for tries := 0; errors.Is(err, ErrNoSpace) && tries < 5; tries++ {
			retry()
			err = s.Append(batch)
		}
		if err != nil {
			return acked, err
		}
		acked = z + 3
		if z%20 == 1 {
			b.Put([]byte("n0001"), []byte{byte(z)})
			err = s.WriteImage(b, acked)
			for tries := 0; errors.Is(err, ErrNoSpace) && tries < 5; tries++ {
				retry()
				err = s.WriteImage(b, acked)
			}
			if err != nil {
				return acked, err
			}
		}
	}
	return acked, nil
}

// faultEvery runs the workload with a fault at each call in turn. check is told how it
// ended; afterwards all that was acknowledged must be there on a healthy disk.
func faultEvery(t *testing.T, fault error, lasts bool, check func(at int, err error)) {
	step := 1
	if testing.Short() {
		step = 7
	}
	for at := 1; ; at += step {
		dir := t.TempDir()
		fs := &faultFS{err: fault, at: at, lasts: lasts}
		o := Options{ImageDir: dir, LogDir: dir, SegmentBytes: 8 << 10, KeepBytes: 16 << 10, FS: fs, Log: quiet()}
		acked := proto.Zxid(0)
		s, err := Open(o)
		if err == nil {
			if err = s.Replay(0, func(proto.Zxid, []byte) error { return nil }); err == nil {
				acked, err = work(s, 1, 80, fs.heal)
			}
			s.Close()
			check(at, err)
		}
		o.FS = nil
		last, err := reopen(o)
		if err != nil || last < acked {
			t.Fatalf("fault at call %d: %v was acknowledged, afterwards the log ends at %v: %v", at, acked, last, err)
		}
		if fs.calls < at {
			return // the workload makes no more calls than that
		}
	}
}

func TestInputOutputErrorsAreFatal(t *testing.T) {
	for _, lasts := range []bool{false, true} {
		faultEvery(t, syscall.EIO, lasts, func(at int, err error) {
			if err != nil && !errors.Is(err, ErrDoubtful) && !errors.Is(err, syscall.EIO) {
				t.Errorf("fault at call %d: %v", at, err)
			}
		})
	}
}

func TestFullDiskIsOvercome(t *testing.T) {
	faultEvery(t, syscall.ENOSPC, true, func(at int, err error) {
		if err != nil && !errors.Is(err, ErrDoubtful) { // a sync that failed is final
			t.Errorf("fault at call %d: %v", at, err)
		}
	})
}

// flushFS fails to flush, once, because the disk is full: what was written is in memory
// all the same, where the next process finds it.
type flushFS struct {
	OS
	failed bool
}

func (f *flushFS) Create(name string) (File, error) {
	file, err := f.OS.Create(name)
	return &flushFile{file, f}, err
}

type flushFile struct {
	File
	fs *flushFS
}

func (f *flushFile) Flush(off, size int64) error {
	if !f.fs.failed {
		f.fs.failed = true
		return syscall.ENOSPC
	}
	return f.File.Flush(off, size)
}

// TestFlushErrorsAreFatal has the kernel tell of a lost page when a flush is begun: a later
// sync would not tell of it again.
func TestFlushErrorsAreFatal(t *testing.T) {
	dir := t.TempDir()
	o := Options{ImageDir: dir, LogDir: dir, FS: new(flushFS), Log: quiet(), NoReserve: true}
	s := openTest(t, o)
	batch := batchOf(1, 1, 600<<10)
	if err := errors.Join(s.Replay(0, nil), s.Append(batch)); !errors.Is(err, ErrDoubtful) || errors.Is(err, ErrNoSpace) {
		t.Errorf("the flush failed, but Append tells: %v", err)
	}
	if err := s.Append(batch); !errors.Is(err, ErrDoubtful) {
		t.Errorf("afterwards: %v", err)
	}
	s.Close()
	o.FS = nil
	s = openTest(t, o)
	defer s.Close()
	if last := s.LastLogged(); last > 1 {
		t.Errorf("the log ends at %v", last)
	}
}

// commitFS fails once to make the mark of a complete new image durable.
type commitFS struct {
	OS
	fail bool
}

func (f *commitFS) SyncDir(dir string) error {
	if f.fail && filepath.Base(dir) == "image-new" {
		if _, err := os.Stat(filepath.Join(dir, completeName)); err == nil {
			f.fail = false
			return syscall.ENOSPC
		}
	}
	return f.OS.SyncDir(dir)
}

// TestDoubtfulInstallEndsTheStore fails where it is not known whether the new image has
// replaced the old one: nothing may be appended that the next start would throw away.
func TestDoubtfulInstallEndsTheStore(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Options{ImageDir: dir, LogDir: dir, FS: &commitFS{fail: true}, Log: quiet()})
	defer s.Close()
	if err := errors.Join(s.Replay(0, nil), s.Append(batchOf(1, 9, 300))); err != nil {
		t.Fatal(err)
	}
	if err := install(epoch2)(s); !errors.Is(err, ErrDoubtful) || errors.Is(err, ErrNoSpace) {
		t.Errorf("the install tells: %v", err)
	}
	if err := s.Append(batchOf(10, 12, 300)); !errors.Is(err, ErrDoubtful) {
		t.Errorf("afterwards: %v", err)
	}
}

// fullFS refuses every write while it is full.
type fullFS struct {
	OS
	full atomic.Bool
}

func (f *fullFS) Create(name string) (File, error) {
	file, err := f.OS.Create(name)
	return &fullFile{file, f}, err
}

type fullFile struct {
	File
	fs *fullFS
}

func (f *fullFile) Write(b []byte) (int, error) {
	if f.fs.full.Load() {
		return 0, syscall.ENOSPC
	}
	return f.File.Write(b)
}

func (f *fullFile) Reserve(off, size int64) error {
	if f.fs.full.Load() {
		return syscall.ENOSPC
	}
	return f.File.Reserve(off, size)
}

// TestDiskThatStaysFull tries again and again, also what begins with a new database: it is
// never more than a full disk.
func TestDiskThatStaysFull(t *testing.T) {
	dir := t.TempDir()
	fs := new(fullFS)
	o := Options{ImageDir: dir, LogDir: dir, FS: fs, Log: quiet(), SegmentBytes: 8 << 10}
	s := openTest(t, o)
	if err := errors.Join(s.Replay(0, nil), s.Append(batchOf(1, 9, 300))); err != nil {
		t.Fatal(err)
	}
	b := s.NewImageBatch()
	b.Put([]byte("n0001"), []byte("image"))
	fs.full.Store(true)
	for try := range 4 {
		if err := s.Append(batchOf(10, 60, 300)); !errors.Is(err, ErrNoSpace) || errors.Is(err, ErrDoubtful) {
			t.Errorf("try %d to append: %v", try, err)
		}
		if err := s.WriteImage(b, 9); !errors.Is(err, ErrNoSpace) || errors.Is(err, ErrDoubtful) {
			t.Errorf("try %d to write the image: %v", try, err)
		}
		if err := install(epoch2)(s); !errors.Is(err, ErrNoSpace) || errors.Is(err, ErrDoubtful) {
			t.Errorf("try %d to install: %v", try, err)
		}
	}
	fs.full.Store(false)
	if err := errors.Join(s.Append(batchOf(10, 60, 300)), s.WriteImage(b, 9), s.Close()); err != nil {
		t.Fatal(err)
	}
	if last, err := reopen(o); err != nil || last != 60 {
		t.Errorf("afterwards: up to %v, %v", last, err)
	}
}

// TestStartOnAFullDisk opens an empty directory, and one with data, without space.
func TestStartOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	fs := new(fullFS)
	o := Options{ImageDir: dir, LogDir: dir, FS: fs, Log: quiet(), SegmentBytes: 8 << 10}
	want := proto.Zxid(0)
	for range 2 {
		fs.full.Store(true)
		for try := range 3 {
			s, err := Open(o)
			if err == nil {
				s.Close()
			}
			if !errors.Is(err, ErrNoSpace) || errors.Is(err, ErrDoubtful) {
				t.Errorf("try %d to open: %v", try, err)
			}
		}
		fs.full.Store(false)
		s := openTest(t, o)
		skip := func(proto.Zxid, []byte) error { return nil }
		if err := errors.Join(s.Replay(0, skip), s.Append(batchOf(want+1, want+40, 300))); err != nil {
			t.Fatal(err)
		}
		want += 40
		if s.LastLogged() != want {
			t.Errorf("up to %v, not %v", s.LastLogged(), want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
