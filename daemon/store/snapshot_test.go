package store

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
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

// TestLogIsReplacedWhileRead: that a log gives way to another one is no damage either.
func TestLogIsReplacedWhileRead(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Options{ImageDir: dir, LogDir: dir, SegmentBytes: 8 << 10})
	defer s.Close()
	if err := s.Replay(0, nil); err != nil {
		t.Fatal(err)
	}
	last := proto.Zxid(0)
	for ; len(s.old) == 0; last++ {
		if err := s.Append(batchOf(last+1, last+1, 300)); err != nil {
			t.Fatal(err)
		}
	}
	err := s.ReadLog(0, last, func(z proto.Zxid, _ []byte) error {
		if z == 1 {
			return install(epoch2)(s)
		}
		return nil
	})
	if !errors.Is(err, ErrLogTrimmed) {
		t.Errorf("reading up to %v, and the newest segment is gone: %v", last, err)
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

// TestSnapshotsWhileReplaced reads an image all the time while it gives way to others: readers get all records of one
// image, or are told.
func TestSnapshotsWhileReplaced(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Options{ImageDir: dir, LogDir: dir})
	if err := s.Replay(0, func(proto.Zxid, []byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	const records = 2000
	put := func(b *ImageBatch, value string) {
		for i := range records {
			b.Put([]byte{'n', 0, 0, byte(i >> 8), byte(i)}, []byte(value))
		}
	}
	replace := func(zxid proto.Zxid) error {
		n, err := s.Install()
		if err != nil {
			return err
		}
		b := s.NewImageBatch()
		put(b, fmt.Sprint(int64(zxid)))
		return errors.Join(n.Write(b), n.Commit(zxid))
	}
	if err := replace(epoch2); err != nil {
		t.Fatal(err)
	}
	read := func() (whole bool, err error) {
		n, err := s.SnapshotImage()
		if err != nil {
			return false, err
		}
		defer n.Release()
		at, err := n.Zxid()
		if err != nil {
			return false, err
		}
		got := 0
		err = n.Read(func(_, value []byte) error {
			if got++; string(value) != fmt.Sprint(int64(at)) {
				return fmt.Errorf("%s in the image at %v", value, at)
			}
			return nil
		})
		if err == nil && got != records {
			err = fmt.Errorf("%d records", got)
		}
		return err == nil, err
	}
	var readers sync.WaitGroup
	var whole, told atomic.Int64
	halt := make(chan struct{})
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-halt:
					return
				default:
				}
				switch ok, err := read(); {
				case ok:
					whole.Add(1)
				case errors.Is(err, ErrReplaced):
					told.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	for i := proto.Zxid(2); i < 40 && !t.Failed(); i++ {
		if err := replace(epoch2 * i); err != nil {
			t.Fatal(err)
		}
	}
	close(halt)
	readers.Wait()
	if whole.Load() == 0 || told.Load() == 0 {
		t.Errorf("%d readers got an image, and %d were told", whole.Load(), told.Load())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
