package store

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// crashFS is a file system in memory that forgets at a crash what was not forced to the
// disk: of a file's unsynced bytes it keeps any 512-byte sectors, and any length; of the
// unsynced changes of a directory it keeps the first few.
type crashFS struct {
	mu    sync.Mutex
	root  *crashDir
	calls int
	loose []string // files that were closed without being on the disk
	// each is called before every call that changes something, under mu.
	each func(op, name string)
}

type crashDir struct {
	live, durable map[string]any // *crashDir or *crashFile
	pending       []crashChange  // of durable, oldest first
}

// crashChange are entries that change together; nil removes.
type crashChange map[string]any

type crashFile struct {
	data   []byte
	synced []byte
}

func newCrashDir() *crashDir {
	return &crashDir{live: make(map[string]any), durable: make(map[string]any)}
}

func newCrashFS() *crashFS { return &crashFS{root: newCrashDir()} }

func (d *crashDir) change(c crashChange) {
	apply(d.live, c)
	d.pending = append(d.pending, c)
}

func apply(entries map[string]any, c crashChange) {
	for name, node := range c {
		if node == nil {
			delete(entries, name)
		} else {
			entries[name] = node
		}
	}
}

// crash is the file system as it may be after a crash now; mu is held.
func (f *crashFS) crash(r *rand.Rand) *crashFS { return &crashFS{root: f.root.crash(r)} }

func (d *crashDir) crash(r *rand.Rand) *crashDir {
	kept := maps.Clone(d.durable)
	for _, c := range d.pending[:r.IntN(len(d.pending)+1)] {
		apply(kept, c)
	}
	after := newCrashDir()
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		switch node := kept[name].(type) {
		case *crashDir:
			after.live[name] = node.crash(r)
		case *crashFile:
			b := node.crash(r)
			after.live[name] = &crashFile{data: b, synced: bytes.Clone(b)}
		}
	}
	after.durable = maps.Clone(after.live)
	return after
}

// kill is the file system as it is after only the process has died now: everything is
// there to be read, and what was not forced to the disk still is not; mu is held.
func (f *crashFS) kill() *crashFS {
	return &crashFS{root: f.root.copy(make(map[any]any))}
}

// copy copies a directory; known holds the copies of what was met before.
func (d *crashDir) copy(known map[any]any) *crashDir {
	if c, ok := known[d]; ok {
		return c.(*crashDir)
	}
	c := newCrashDir()
	known[d] = c
	entries := func(to, from map[string]any) {
		for name, node := range from {
			switch node := node.(type) {
			case *crashDir:
				to[name] = node.copy(known)
			case *crashFile:
				if known[node] == nil {
					known[node] = &crashFile{data: bytes.Clone(node.data), synced: bytes.Clone(node.synced)}
				}
				to[name] = known[node]
			default:
				to[name] = nil
			}
		}
	}
	entries(c.live, d.live)
	entries(c.durable, d.durable)
	for _, change := range d.pending {
		copied := make(crashChange)
		entries(copied, change)
		c.pending = append(c.pending, copied)
	}
	return c
}

func (n *crashFile) crash(r *rand.Rand) []byte {
	const sector = 512
	size := len(n.data)
	switch r.IntN(3) {
	case 0:
		size = len(n.synced)
	case 1:
		lo, hi := min(len(n.synced), size), max(len(n.synced), size)
		size = lo + r.IntN(hi-lo+1)
	}
	b := make([]byte, size)
	copy(b, n.synced)
	whole := r.IntN(2) == 0
	for at := 0; at < min(size, len(n.data)); at += sector {
		if whole || r.IntN(2) == 0 {
			copy(b[at:min(at+sector, size)], n.data[at:])
		}
	}
	return b
}

func (f *crashFS) changing(op, name string) {
	f.calls++
	if f.each != nil {
		f.each(op, name)
	}
}

func absent(op, name string) error { return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist} }

// parts are the names on the way to a directory; the root has none.
func parts(dir string) iter.Seq[string] {
	return strings.FieldsFuncSeq(dir, func(c rune) bool { return c == '/' })
}

// dir finds a directory.
func (f *crashFS) dir(name string) (*crashDir, error) {
	d := f.root
	for part := range parts(name) {
		next, ok := d.live[part].(*crashDir)
		if !ok {
			return nil, absent("find", name)
		}
		d = next
	}
	return d, nil
}

func (f *crashFS) file(name string) (d *crashDir, base string, file *crashFile, err error) {
	if d, err = f.dir(filepath.Dir(name)); err != nil {
		return nil, "", nil, err
	}
	base = filepath.Base(name)
	file, _ = d.live[base].(*crashFile)
	return d, base, file, nil
}

func (f *crashFS) MkdirAll(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.root
	for part := range parts(dir) {
		next, ok := d.live[part].(*crashDir)
		if !ok {
			f.changing("mkdir", dir)
			next = newCrashDir()
			d.change(crashChange{part: next})
		}
		d = next
	}
	return nil
}

func (f *crashFS) List(dir string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d, err := f.dir(dir)
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(d.live)), nil
}

func (f *crashFS) Create(name string) (File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d, base, file, err := f.file(name)
	if err != nil {
		return nil, err
	}
	f.changing("create", name)
	if file == nil {
		file = new(crashFile)
		d.change(crashChange{base: file})
	}
	file.data = nil
	return &crashHandle{fs: f, file: file, name: name}, nil
}

func (f *crashFS) Open(name string) (File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, _, file, err := f.file(name)
	if err == nil && file == nil {
		err = absent("open", name)
	}
	return &crashHandle{fs: f, file: file, name: name}, err
}

func (f *crashFS) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	d, base, file, err := f.file(name)
	if err == nil && file == nil {
		err = absent("remove", name)
	}
	if err != nil {
		return err
	}
	f.changing("remove", name)
	d.change(crashChange{base: nil})
	return nil
}

// RemoveAll removes file by file, as the real one does.
func (f *crashFS) RemoveAll(dir string) error {
	names, err := f.List(dir)
	if err != nil {
		return nil // there is nothing to remove
	}
	for _, name := range names {
		if err := f.Remove(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	parent, err := f.dir(filepath.Dir(dir))
	if err != nil {
		return err
	}
	f.changing("rmdir", dir)
	parent.change(crashChange{filepath.Base(dir): nil})
	return nil
}

func (f *crashFS) Rename(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if filepath.Dir(from) != filepath.Dir(to) {
		return fmt.Errorf("%s and %s are in two directories", from, to)
	}
	d, err := f.dir(filepath.Dir(from))
	if err != nil {
		return err
	}
	node, ok := d.live[filepath.Base(from)]
	if !ok {
		return absent("rename", from)
	}
	f.changing("rename", to)
	d.change(crashChange{filepath.Base(from): nil, filepath.Base(to): node})
	return nil
}

func (f *crashFS) SyncDir(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	d, err := f.dir(dir)
	if err != nil {
		return err
	}
	f.changing("syncdir", dir)
	for _, c := range d.pending {
		apply(d.durable, c)
	}
	d.pending = nil
	return nil
}

type unlocked struct{}

func (unlocked) Close() error { return nil }

func (f *crashFS) Lock(string) (io.Closer, error) { return unlocked{}, nil }

// crashHandle is an open file.
type crashHandle struct {
	fs   *crashFS
	file *crashFile
	name string
	pos  int64
}

func (h *crashHandle) Read(b []byte) (int, error) {
	n, err := h.ReadAt(b, h.pos)
	h.pos += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

func (h *crashHandle) ReadAt(b []byte, off int64) (int, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	return bytes.NewReader(h.file.data).ReadAt(b, off)
}

func (h *crashHandle) Seek(int64, int) (int64, error) { return 0, os.ErrInvalid }

func (h *crashHandle) Write(b []byte) (int, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	h.fs.changing("write", h.name)
	h.extend(h.pos + int64(len(b)))
	copy(h.file.data[h.pos:], b)
	h.pos += int64(len(b))
	return len(b), nil
}

func (h *crashHandle) extend(size int64) {
	if more := size - int64(len(h.file.data)); more > 0 {
		h.file.data = append(h.file.data, make([]byte, more)...)
	}
}

func (h *crashHandle) Sync() error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	h.fs.changing("sync", h.name)
	h.file.synced = bytes.Clone(h.file.data)
	return nil
}

func (h *crashHandle) Reserve(off, size int64) error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	h.fs.changing("reserve", h.name)
	h.extend(off + size)
	return nil
}

func (h *crashHandle) Flush(int64, int64) error { return nil }

func (h *crashHandle) Size() (int64, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	return int64(len(h.file.data)), nil
}

func (h *crashHandle) Truncate(size int64) error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	h.fs.changing("truncate", h.name)
	if size < int64(len(h.file.data)) {
		h.file.data = bytes.Clone(h.file.data[:size])
	}
	h.extend(size)
	return nil
}

func (h *crashHandle) Close() error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if !bytes.HasPrefix(h.file.synced, h.file.data) {
		h.fs.loose = append(h.fs.loose, h.name)
	}
	return nil
}
