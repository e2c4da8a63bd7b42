package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/iterator"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/zkd-project/zkd/daemon/proto"
)

// Snapshot is the image as it was at some moment, whatever is written afterwards.
type Snapshot struct {
	s     *Store
	image *image
	snap  *leveldb.Snapshot
}

// SnapshotImage takes a snapshot of the image. It reads nothing and so takes no time, whatever the
// image holds. Until the snapshot is released, the log behind it is kept.
func (s *Store) SnapshotImage() (*Snapshot, error) {
	s.mu.Lock()
	m := s.image
	n := &Snapshot{s: s, image: m}
	if m != nil && m.db != nil {
		if s.held == nil {
			s.held = make(map[*Snapshot]proto.Zxid)
		}
		s.held[n] = s.status.ImageZxid
	}
	s.mu.Unlock()
	if m == nil || m.db == nil {
		return nil, ErrReplaced
	}
	err := m.readers.do(func() (err error) {
		n.snap, err = m.db.GetSnapshot()
		return err
	})
	if err != nil {
		n.letLogGo()
		return nil, damaged(s.imageDir(), err)
	}
	return n, nil
}

// Zxid is the position in history at which the image was.
func (n *Snapshot) Zxid() (proto.Zxid, error) {
	z, err := n.get([]byte{keyZxid})
	if err == nil && len(z) != 8 {
		err = leveldb.ErrNotFound
	}
	switch {
	case errors.Is(err, leveldb.ErrNotFound):
		return 0, fmt.Errorf("%w: %s does not tell its zxid", ErrDamaged, n.s.imageDir())
	case err != nil:
		return 0, replaced(damaged(n.s.imageDir(), err))
	}
	return proto.Zxid(binary.BigEndian.Uint64(z)), nil
}

// Release lets go of the snapshot. It may be called again, and while the snapshot is being read.
func (n *Snapshot) Release() {
	n.snap.Release()
	n.letLogGo()
}

func (n *Snapshot) letLogGo() {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	delete(n.s.held, n)
}

// Read calls f for every record. key and value are good during the call.
func (n *Snapshot) Read(f func(key, value []byte) error) error {
	return n.read([]byte{keyRecord}, f)
}

// ReadKind calls f for every record whose key begins with a byte, in the order of the keys. key and
// value are good during the call.
func (n *Snapshot) ReadKind(kind byte, f func(key, value []byte) error) error {
	return n.read([]byte{keyRecord, kind}, f)
}

func (n *Snapshot) read(prefix []byte, f func(key, value []byte) error) error {
	r := util.BytesPrefix(prefix)
	it, err := n.image.readers.begin(func() iterator.Iterator { return n.snap.NewIterator(r, nil) })
	if err != nil {
		return err
	}
	defer n.image.readers.end(it)
	var failed error // of f
	err = n.image.readers.each(it, func(key, value []byte) error {
		failed = f(key[1:], value)
		return failed
	})
	if failed != nil {
		return failed
	}
	return replaced(damaged(n.s.imageDir(), err))
}

// get reads one key.
func (n *Snapshot) get(key []byte) (value []byte, err error) {
	err = n.image.readers.do(func() error {
		value, err = n.snap.Get(key, nil)
		return err
	})
	return value, err
}

// Get is the value of a record, or nil if there is none.
func (n *Snapshot) Get(key []byte) ([]byte, error) {
	v, err := n.get(append([]byte{keyRecord}, key...))
	if errors.Is(err, leveldb.ErrNotFound) {
		return nil, nil
	}
	return v, replaced(damaged(n.s.imageDir(), err))
}

// replaced is err, or ErrReplaced where the image was closed.
func replaced(err error) error {
	if errors.Is(err, leveldb.ErrClosed) || errors.Is(err, leveldb.ErrSnapshotReleased) {
		return ErrReplaced
	}
	return err
}
