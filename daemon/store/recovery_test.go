package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
)

// damagedStore is one of which the newest segment with groups is damaged in the middle, and
// what recovery makes of it.
func damagedStore(t *testing.T, image proto.Zxid, lose string) (dir string, want proto.Zxid) {
	t.Helper()
	dir, o := imaged(t, image)
	names, _ := journals(t, dir)
	switch lose {
	case "half":
		path := filepath.Join(dir, names[1])
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		flip(t, path, int(st.Size())/2)
	case "journal":
		if err := os.Remove(filepath.Join(dir, names[len(names)-1])); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := reopen(o); !errors.Is(err, ErrDamaged) {
		t.Fatalf("the damage is not found: %v", err)
	}
	o.ImageDir = copyTree(t, dir)
	o.LogDir = o.ImageDir
	want, err := lossAccepted(o)
	if err != nil {
		t.Fatal(err)
	}
	return dir, want
}

var damages = []struct {
	image proto.Zxid
	lose  string
}{{0, "half"}, {10, "half"}, {58, "journal"}, {60, "journal"}, {20, "journal"}}

// TestFaultsOfRecovery has each call of a recovery fail in turn: the store is then as damaged
// as before, or as it is after a recovery without a fault; the same command finishes it.
func TestFaultsOfRecovery(t *testing.T) {
	step := 1
	if testing.Short() {
		step = 13
	}
	for _, d := range damages {
		dir, want := damagedStore(t, d.image, d.lose)
		for _, fault := range []error{syscall.ENOSPC, syscall.EIO} {
			for at, calls := 1, 1; at <= calls; at += step {
				work := copyTree(t, dir)
				fs := &everyFS{faultFS: faultFS{err: fault, at: at, lasts: fault == syscall.ENOSPC}}
				o := Options{
					ImageDir: work, LogDir: work, SegmentBytes: 8 << 10, KeepBytes: 1 << 20, Log: quiet(),
					FS: fs, AcceptLoss: true,
				}
				if s, err := Open(o); err == nil {
					err = s.Close()
					if err != nil {
						t.Error(err)
					}
				}
				calls = max(calls, fs.calls)
				o.FS, o.AcceptLoss = nil, false
				at := fmt.Sprintf("image at %v, %s lost, %v at call %d, %s", d.image, d.lose, fault, at, fs.met)
				if last, err := reopen(o); !errors.Is(err, ErrDamaged) && (err != nil || last != want) {
					t.Errorf("%s: up to %v and not %v: %v", at, last, want, err)
				}
				if last, err := lossAccepted(o); err != nil || last != want {
					t.Errorf("%s: then up to %v and not %v: %v", at, last, want, err)
				}
				os.RemoveAll(work)
			}
		}
	}
}

// everyFS fails every kind of call that changes something.
type everyFS struct {
	faultFS
	met string
}

func (f *everyFS) turn(op, name string) error {
	err := f.check()
	if err != nil && f.met == "" {
		f.met = op + " " + name
	}
	return err
}

func (f *everyFS) MkdirAll(dir string) error {
	if err := f.turn("mkdir", dir); err != nil {
		return err
	}
	return f.OS.MkdirAll(dir)
}

func (f *everyFS) Remove(name string) error {
	if err := f.turn("remove", name); err != nil {
		return err
	}
	return f.OS.Remove(name)
}

func (f *everyFS) RemoveAll(dir string) error {
	if err := f.turn("remove all", dir); err != nil {
		return err
	}
	return f.OS.RemoveAll(dir)
}

// TestReadsThatFailInRecovery has the disk not give back what it holds: what it gives back is
// kept, and the image always.
func TestReadsThatFailInRecovery(t *testing.T) {
	dir, want := damagedStore(t, 20, "half")
	step := 2
	if testing.Short() {
		step = 9
	}
	for at, calls := 1, 1; at <= calls; at += step {
		work := copyTree(t, dir)
		fs := &readFS{faultFS{err: syscall.EIO, at: at}}
		o := Options{ImageDir: work, LogDir: work, SegmentBytes: 8 << 10, KeepBytes: 1 << 20, Log: quiet(),
			FS: fs, AcceptLoss: true}
		if s, err := Open(o); err == nil {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		calls = max(calls, fs.calls)
		o.FS = nil
		if last, err := lossAccepted(o); err != nil || last < 20 || last > want {
			t.Errorf("read %d failed: up to %v of %v: %v", at, last, want, err)
		}
	}
}

// readFS fails reads.
type readFS struct{ faultFS }

func (f *readFS) Open(name string) (File, error) {
	file, err := f.OS.Open(name)
	return &unreadFile{file, f}, err
}

func (f *readFS) Create(name string) (File, error) { return f.OS.Create(name) }
func (f *readFS) Rename(from, to string) error     { return f.OS.Rename(from, to) }
func (f *readFS) SyncDir(dir string) error         { return f.OS.SyncDir(dir) }

type unreadFile struct {
	File
	fs *readFS
}

func (f *unreadFile) ReadAt(b []byte, off int64) (int, error) {
	if err := f.fs.check(); err != nil {
		return 0, err
	}
	return f.File.ReadAt(b, off)
}

// TestCrashesOfRecovery crashes at any call of a recovery that changes the disk.
func TestCrashesOfRecovery(t *testing.T) {
	seeds := uint64(3)
	if testing.Short() {
		seeds = 1
	}
	for _, d := range damages {
		dir, want := damagedStore(t, d.image, d.lose)
		for seed := range seeds {
			f := newCrashFS()
			load(t, f, dir)
			o := crashOptions(f)
			o.KeepBytes, o.AcceptLoss = 1<<20, true
			crashes(t, f, seed, func(left *crashFS) error {
				now := crashOptions(left)
				now.KeepBytes = 1 << 20
				if last, err := reopen(now); !errors.Is(err, ErrDamaged) && (err != nil || last != want) {
					return fmt.Errorf("up to %v and not %v: %w", last, want, err)
				}
				now.AcceptLoss = true
				if last, err := reopen(now); err != nil || last != want {
					return fmt.Errorf("then up to %v and not %v: %w", last, want, err)
				}
				now.AcceptLoss = false
				last, err := reopen(now)
				if err != nil || last != want {
					err = fmt.Errorf("at last up to %v and not %v: %w", last, want, err)
				}
				return err
			})
			if last, err := reopen(o); err != nil || last != want {
				t.Errorf("up to %v and not %v: %v", last, want, err)
			}
		}
	}
}

// load copies a store from the disk.
func load(t *testing.T, f *crashFS, dir string) {
	t.Helper()
	for _, name := range files(t, dir) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join("/data/image", name)
		if strings.HasPrefix(name, "log-") {
			to = filepath.Join("/data/log", name)
		}
		if err := f.MkdirAll(filepath.Dir(to)); err != nil {
			t.Fatal(err)
		}
		file, err := f.Create(to)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.Write(b); err != nil {
			t.Fatal(err)
		}
		err = errors.Join(file.Sync(), file.Close(), f.SyncDir(filepath.Dir(to)))
		for _, d := range []string{"/data/log", "/data/image", "/data", "/"} {
			if e := f.SyncDir(d); e != nil && !errors.Is(e, os.ErrNotExist) {
				err = errors.Join(err, e)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
