package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// FS is the file system below the store. OS is the real one; tests put a failing one in
// its place.
type FS interface {
	MkdirAll(dir string) error
	List(dir string) ([]string, error)
	Create(name string) (File, error) // truncates
	Open(name string) (File, error)   // to read
	Remove(name string) error
	RemoveAll(dir string) error
	Rename(from, to string) error
	SyncDir(dir string) error
	Lock(name string) (io.Closer, error)
}

// File is an open file.
type File interface {
	io.ReadWriteSeeker
	io.ReaderAt
	io.Closer
	Sync() error                   // data and what is needed to find it
	Reserve(off, size int64) error // make room ahead; may do nothing
	Flush(off, size int64) error   // start writing to the disk; may do nothing
	Size() (int64, error)
	Truncate(size int64) error
}

// OS is the operating system's file system.
type OS struct{}

// MkdirAll makes a directory and those above it.
func (OS) MkdirAll(dir string) error { return os.MkdirAll(dir, 0o750) }

// List names what is in a directory.
func (OS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// Create makes an empty file.
func (OS) Create(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o640)
	return osFile{f}, err
}

// Open opens a file for reading.
func (OS) Open(name string) (File, error) {
	f, err := os.Open(name)
	return osFile{f}, err
}

// Steps in which a big file is given back.
const (
	shrinkStep  = 1 << 20
	shrinkPause = 4 * time.Millisecond
)

// Remove deletes a file, a big one little by little: the file system's journal, which every
// Sync may have to wait for, would otherwise free all its blocks at once.
func (OS) Remove(name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return os.Remove(name)
	}
	defer f.Close()
	var st unix.Stat_t
	const links = 1 // with more, a backup has it, too
	if unix.Fstat(int(f.Fd()), &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Nlink == links {
		for size := st.Size - shrinkStep; size > 0; size -= shrinkStep {
			if err := f.Truncate(size); err != nil {
				break // it goes all the same
			}
			time.Sleep(shrinkPause)
		}
	}
	return os.Remove(name)
}

// RemoveAll deletes a directory with all that is in it.
func (o OS) RemoveAll(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return os.RemoveAll(dir)
	}
	for _, e := range entries {
		if e.Type().IsRegular() {
			if err := o.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return os.RemoveAll(dir)
}

// Rename moves a file.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// SyncDir makes a directory's entries durable.
func (OS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Lock takes an exclusive lock for as long as the process lives or until Close. The file
// tells the pid of the process that holds it.
func (OS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		pid, _ := io.ReadAll(io.LimitReader(f, 20))
		return nil, fmt.Errorf("%w: process %s holds %s; stop it, or give this server a directory of its own",
			ErrInUse, strings.TrimSpace(string(pid)), name)
	}
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
		if err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

type osFile struct{ *os.File }

// Sync makes the file's data durable, and its length where that has changed.
func (f osFile) Sync() error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return err
		}
	}
}

// Reserve extends the file by blocks that read as zeros, so that a later Sync need not
// write a new length. A file system that cannot do it does without.
func (f osFile) Reserve(off, size int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, off, size)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return err
	}
	return nil
}

// Flush starts to write a range to the disk and waits for what was started before, so
// that a big file never leaves much to do for somebody else's Sync.
func (f osFile) Flush(off, size int64) error {
	const flags = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE
	if err := unix.SyncFileRange(int(f.Fd()), off, size, flags); err != nil && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	return nil
}

// Size is the file's length in bytes.
func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// diskUsage adds up the sizes of the files below a directory.
func diskUsage(fsys FS, dir string) (total int64) {
	names, err := fsys.List(dir)
	if err != nil {
		return 0
	}
	for _, name := range names {
		f, err := fsys.Open(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		if size, err := f.Size(); err == nil {
			total += size
		}
		f.Close()
	}
	return total
}
