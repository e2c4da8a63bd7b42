package store

import (
	"errors"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
)

// TestSnapshotOfAReplacedImage: that an image gives way to another one is no damage.
func TestSnapshotOfAReplacedImage(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Options{ImageDir: dir, LogDir: dir})
	defer s.Close()
	b := s.NewImageBatch()
	b.Put([]byte("n0001"), []byte("old"))
	err := errors.Join(s.Replay(0, func(proto.Zxid, []byte) error { return nil }), s.Append(batchOf(1, 1, 300)), s.WriteImage(b, 1))
	if err != nil {
		t.Fatal(err)
	}
	read := func(n *Snapshot) (records int, err error) {
		err = n.Read(func(_, _ []byte) error { records++; return nil })
		return records, err
	}
	n, err := s.SnapshotImage()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Release()
	if records, err := read(n); records != 1 || err != nil {
		t.Fatalf("%d records, %v", records, err)
	}
	if err := install(epoch2)(s); err != nil {
		t.Fatal(err)
	}
	if records, err := read(n); !errors.Is(err, ErrReplaced) || errors.Is(err, ErrDamaged) {
		t.Errorf("%d records of the old image, %v", records, err)
	}
}

// TestLogIsHeldWithinBounds: who reads a snapshot of the image gets the log behind it, but not without end.
func TestLogIsHeldWithinBounds(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Options{ImageDir: dir, LogDir: dir, SegmentBytes: 32 << 10, KeepBytes: 1, HoldBytes: 128 << 10})
	defer s.Close()
	if err := s.Replay(0, func(proto.Zxid, []byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	last := proto.Zxid(0)
	grow := func(txns int) {
		t.Helper()
		for range txns {
			last++
			b := s.NewImageBatch()
			b.Put([]byte("n0001"), []byte("x"))
			if err := errors.Join(s.Append(batchOf(last, last, 8<<10)), s.WriteImage(b, last)); err != nil {
				t.Fatal(err)
			}
		}
	}
	held := func() bool {
		return s.ReadLog(10, last, func(proto.Zxid, []byte) error { return nil }) == nil
	}
	grow(10)
	n, err := s.SnapshotImage()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Release()
	if grow(10); !held() {
		t.Error("the log is not held")
	}
	if grow(20); held() {
		t.Error("the log is held without end")
	}
}
