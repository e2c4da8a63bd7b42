package store

import (
	"os"
	"slices"
	"sync"

	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/storage"
)

// overlay is a directory that is only read, with what LevelDB writes on top of it in memory. LevelDB
// can be opened to be read only, but then it cannot read a database that has two journals.
type overlay struct {
	base storage.Storage
	mem  storage.Storage

	mu   sync.Mutex
	meta storage.FileDesc   // the current manifest, if it is in memory
	gone []storage.FileDesc // of base
}

func newOverlay(base storage.Storage) *overlay {
	return &overlay{base: base, mem: storage.NewMemStorage()}
}

// overlayOptions keep what is written small: nothing is compacted.
func overlayOptions() *opt.Options {
	o := installOptions()
	o.ErrorIfMissing = true
	o.CompactionTotalSize = 1 << 40
	return o
}

// Lock implements storage.Storage.
func (o *overlay) Lock() (storage.Locker, error) { return nopLocker{}, nil }

// Log implements storage.Storage.
func (o *overlay) Log(str string) { o.base.Log(str) }

// SetMeta implements storage.Storage.
func (o *overlay) SetMeta(fd storage.FileDesc) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.meta = fd
	return nil
}

// GetMeta implements storage.Storage.
func (o *overlay) GetMeta() (storage.FileDesc, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.meta.Zero() {
		return o.meta, nil
	}
	return o.base.GetMeta()
}

// List implements storage.Storage.
func (o *overlay) List(ft storage.FileType) ([]storage.FileDesc, error) {
	fds, err := o.base.List(ft)
	if err != nil {
		return nil, err
	}
	above, err := o.mem.List(ft)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return append(slices.DeleteFunc(fds, func(fd storage.FileDesc) bool {
		return slices.Contains(o.gone, fd) || slices.Contains(above, fd)
	}), above...), nil
}

// Open implements storage.Storage.
func (o *overlay) Open(fd storage.FileDesc) (storage.Reader, error) {
	if r, err := o.mem.Open(fd); err == nil {
		return r, nil
	}
	o.mu.Lock()
	gone := slices.Contains(o.gone, fd)
	o.mu.Unlock()
	if gone {
		return nil, os.ErrNotExist
	}
	return o.base.Open(fd)
}

// Create implements storage.Storage.
func (o *overlay) Create(fd storage.FileDesc) (storage.Writer, error) { return o.mem.Create(fd) }

// Remove implements storage.Storage.
func (o *overlay) Remove(fd storage.FileDesc) error {
	if o.mem.Remove(fd) == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gone = append(o.gone, fd)
	return nil
}

// Rename implements storage.Storage.
func (o *overlay) Rename(from, to storage.FileDesc) error { return o.mem.Rename(from, to) }

// Close implements storage.Storage.
func (o *overlay) Close() error { return o.base.Close() }
