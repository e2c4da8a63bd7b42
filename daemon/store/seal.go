package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/syndtr/goleveldb/leveldb/storage"
)

// seal is a small file that tells what must be in a LevelDB directory: the current
// manifest and how much of it was synced, and the journals that are needed. LevelDB
// itself misses neither a journal nor the end of a manifest.
type seal struct {
	manifest int64
	synced   int64
	journals map[int64]bool
	pending  map[int64]int64 // synced lengths of manifests, by number
}

const (
	noManifest = -1
	sealName   = "SEAL"
	sealMagic  = 0x7a6b6453 // "zkdS"
)

func (l *seal) clone() seal {
	c := seal{l.manifest, l.synced, make(map[int64]bool), make(map[int64]int64)}
	for n := range l.journals {
		c.journals[n] = true
	}
	for n, size := range l.pending {
		c.pending[n] = size
	}
	return c
}

func (l *seal) syncedLength(fd storage.FileDesc) int64 {
	if fd.Type == storage.TypeManifest && fd.Num == l.manifest {
		return l.synced
	}
	return 0
}

// write replaces the seal file.
func (l *seal) write(fsys FS, dir string) error {
	be := binary.BigEndian
	b := be.AppendUint32(nil, sealMagic)
	b = be.AppendUint64(b, uint64(l.manifest))
	b = be.AppendUint64(b, uint64(l.synced))
	journals := make([]int64, 0, len(l.journals))
	for n := range l.journals {
		journals = append(journals, n)
	}
	slices.Sort(journals)
	b = be.AppendUint32(b, uint32(len(journals)))
	for _, n := range journals {
		b = be.AppendUint64(b, uint64(n))
	}
	b = be.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return writeFile(fsys, filepath.Join(dir, sealName), b)
}

// writeFile replaces a small file at once.
func writeFile(fsys FS, name string, b []byte) error {
	f, err := fsys.Create(name + tmpSuffix)
	if err != nil {
		return err
	}
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err = fsys.Rename(name+tmpSuffix, name); err == nil {
		err = fsys.SyncDir(filepath.Dir(name))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errPlaced, err)
	}
	return nil
}

// errPlaced says that it is unknown whether a new file is in the old one's place.
var errPlaced = errors.New("store: a file was perhaps replaced")

// maxSmall is more than any small file holds.
const maxSmall = 1 << 20

func readFile(fsys FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSmall))
}

// readSeal reads the seal of a directory; a directory without LevelDB files needs none.
func readSeal(fsys FS, dir string, names []string) (seal, error) {
	l := seal{manifest: noManifest, journals: make(map[int64]bool), pending: make(map[int64]int64)}
	name := filepath.Join(dir, sealName)
	b, err := readFile(fsys, name)
	switch {
	case os.IsNotExist(err) && !hasDatabase(names):
		return l, nil
	case os.IsNotExist(err):
		return l, fmt.Errorf("%w: %s is missing, but there are database files beside it", ErrDamaged, name)
	case err != nil:
		return l, err
	}
	if !l.decode(b) {
		return l, fmt.Errorf("%w: %s has a wrong checksum or length", ErrDamaged, name)
	}
	return l, nil
}

// hasDatabase says whether one of the files is part of a database that was in use. What
// a first start leaves when it is interrupted is not: no manifest was made current.
func hasDatabase(names []string) bool {
	for _, name := range names {
		if fd, ok := parseName(name); ok && fd.Type&(storage.TypeTable|storage.TypeJournal) != 0 {
			return true
		}
	}
	return false
}

func (l *seal) decode(b []byte) bool {
	const fixed = 4 + 8 + 8 + 4 + 4
	be := binary.BigEndian
	if len(b) < fixed || be.Uint32(b) != sealMagic {
		return false
	}
	body := b[:len(b)-4]
	if crc32.Checksum(body, castagnoli) != be.Uint32(b[len(body):]) {
		return false
	}
	l.manifest, l.synced = int64(be.Uint64(b[4:])), int64(be.Uint64(b[12:]))
	count := int(be.Uint32(b[20:]))
	if len(b) != fixed+8*count {
		return false
	}
	for i := range count {
		l.journals[int64(be.Uint64(b[24+8*i:]))] = true
	}
	return true
}

// check says which sealed file is missing.
func (l *seal) check(dir string, names []string) error {
	missing := func(fd storage.FileDesc) error {
		if slices.Contains(names, fileName(fd)) {
			return nil
		}
		return fmt.Errorf("%w: %s is missing", ErrDamaged, filepath.Join(dir, fileName(fd)))
	}
	if l.manifest != noManifest {
		if err := missing(storage.FileDesc{Type: storage.TypeManifest, Num: l.manifest}); err != nil {
			return err
		}
	}
	for n := range l.journals {
		if err := missing(storage.FileDesc{Type: storage.TypeJournal, Num: n}); err != nil {
			return err
		}
	}
	return nil
}
