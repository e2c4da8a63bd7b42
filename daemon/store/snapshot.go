package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/syndtr/goleveldb/leveldb"

	"github.com/zkd-project/zkd/daemon/proto"
)

// Snapshot is the image as it was at some moment, whatever is written afterwards.
type Snapshot struct {
	Zxid proto.Zxid
	dir  string
	snap *leveldb.Snapshot
}

// SnapshotImage takes a snapshot of the image. It takes no time, whatever the image holds,
// and should be released.
func (s *Store) SnapshotImage() (*Snapshot, error) {
	s.mu.Lock()
	m := s.image
	s.mu.Unlock()
	if m == nil || m.db == nil {
		return nil, ErrReplaced
	}
	snap, err := m.db.GetSnapshot()
	if err != nil {
		return nil, damaged(s.imageDir(), err)
	}
	z, err := snap.Get([]byte{keyZxid}, nil)
	if err != nil || len(z) != 8 {
		snap.Release()
		return nil, fmt.Errorf("%w: %s does not tell its zxid", ErrDamaged, s.imageDir())
	}
	return &Snapshot{proto.Zxid(binary.BigEndian.Uint64(z)), s.imageDir(), snap}, nil
}

// Release lets go of the snapshot.
func (n *Snapshot) Release() { n.snap.Release() }

// Read calls f for every record. key and value are good during the call.
func (n *Snapshot) Read(f func(key, value []byte) error) error {
	err := readRange(n.snap, n.dir, []byte{keyRecord}, []byte{keyRecord + 1}, f)
	if errors.Is(err, leveldb.ErrClosed) || errors.Is(err, leveldb.ErrSnapshotReleased) {
		return ErrReplaced
	}
	return err
}
