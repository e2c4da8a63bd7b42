package store

import (
	"errors"
	"sync"
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
