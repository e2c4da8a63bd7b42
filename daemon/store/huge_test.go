package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
)

// wordsOf makes a batch of txns of different sizes, zxids from on.
func wordsOf(from proto.Zxid, sizes ...int) *proto.LogBatch {
	b := new(proto.LogBatch)
	for i, size := range sizes {
		b.AddBytes(from+proto.Zxid(i), txnOf(from+proto.Zxid(i), size))
	}
	return b
}

// sizesAre checks that the log holds txns of these sizes from zxid 1 on, read in both ways.
func sizesAre(t *testing.T, s *Store, sizes ...int) {
	t.Helper()
	check := func(how string, read func(proto.Zxid, func(proto.Zxid, []byte) error) error) {
		t.Helper()
		next := 0
		err := read(0, func(z proto.Zxid, txn []byte) error {
			if next == len(sizes) || int(z) != next+1 || string(txn) != string(txnOf(z, sizes[next])) {
				return fmt.Errorf("%v has %d bytes, or is not the one that was appended", z, len(txn))
			}
			next++
			return nil
		})
		if err != nil || next != len(sizes) {
			t.Fatalf("%s: %d of %d txns: %v", how, next, len(sizes), err)
		}
	}
	check("replay", s.Replay)
	check("read", func(after proto.Zxid, f func(proto.Zxid, []byte) error) error {
		return s.ReadLog(after, proto.Zxid(len(sizes)), f)
	})
}

// TestHugeTxn appends txns that are longer than a segment: each gets one of its own, which LevelDB
// does not write a second time, into a table.
func TestHugeTxn(t *testing.T) {
	const small, huge = 300, 40 << 20
	dir := t.TempDir()
	o := Options{ImageDir: dir, LogDir: dir}
	s := openTest(t, o)
	sizesAre(t, s)
	sizes := []int{huge} // the first one finds a segment that says up to where older ones count
	if err := s.Append(wordsOf(1, huge)); err != nil {
		t.Fatal(err)
	}
	for range 40 { // up to where the next segment is made ahead
		sizes = append(sizes, small, 256<<10)
		if err := s.Append(wordsOf(proto.Zxid(len(sizes)-1), sizes[len(sizes)-2:]...)); err != nil {
			t.Fatal(err)
		}
	}
	sizes = append(sizes, small, huge, small)
	if err := s.Append(wordsOf(proto.Zxid(len(sizes)-2), small, huge, small)); err != nil {
		t.Fatal(err)
	}
	tables, _ := filepath.Glob(filepath.Join(dir, "log-*", "*.ldb"))
	if len(tables) > 0 {
		t.Errorf("LevelDB has written %v", tables)
	}
	if cap(s.buf) > keepGroup {
		t.Errorf("%d bytes are kept", cap(s.buf))
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openTest(t, o)
		sizesAre(t, s, sizes...)
	}
	s.Close()
}

// roomFS has room for files of so many bytes in all; it counts what is asked for ahead.
type roomFS struct {
	OS
	room atomic.Int64
}

func (f *roomFS) Create(name string) (File, error) {
	file, err := f.OS.Create(name)
	return &roomFile{File: file, fs: f}, err
}

type roomFile struct {
	File
	fs *roomFS
}

func (f *roomFile) Reserve(off, size int64) error {
	if size > f.fs.room.Load() {
		return syscall.ENOSPC
	}
	return f.File.Reserve(off, size)
}

// TestNoRoomForHugeTxn has a huge txn find a full disk: nothing of it is written, however often it
// is tried, and it is appended when there is space. What was cut off before stays cut off.
func TestNoRoomForHugeTxn(t *testing.T) {
	const segment, huge = 16 << 10, 200 << 10
	dir := t.TempDir()
	fs := new(roomFS)
	fs.room.Store(1 << 30)
	o := Options{ImageDir: dir, LogDir: dir, FS: fs, SegmentBytes: segment}
	s := openTest(t, o)
	sizesAre(t, s)
	err := errors.Join(s.Append(wordsOf(1, 300, 300, 300)), s.TruncateAfter(1))
	if err != nil {
		t.Fatal(err)
	}
	fs.room.Store(huge / 2)
	batch := wordsOf(2, huge, 300)
	usage := func() (n int64) {
		_, n = s.Usage()
		return n
	}
	before := usage()
	for range 20 {
		if err := s.Append(batch); !errors.Is(err, ErrNoSpace) {
			t.Fatalf("on a full disk: %v", err)
		}
	}
	if now := usage(); now > before+segment {
		t.Errorf("the log has grown by %d bytes", now-before)
	}
	if segs, _ := filepath.Glob(filepath.Join(dir, "log-*")); len(segs) > 4 {
		t.Errorf("left behind: %s", strings.Join(segs, " "))
	}
	fs.room.Store(1 << 30)
	if err := s.Append(batch); err != nil {
		t.Fatal(err)
	}
	for range 3 { // the second start sees what the first one has tidied away
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openTest(t, o)
		sizesAre(t, s, 300, huge, 300)
	}
	s.Close()
}

// TestCutSurvivesFullDisk fills the disk just after the end of the log was cut off: the segment
// that says so is given up for another one, and what was cut off must not come back.
func TestCutSurvivesFullDisk(t *testing.T) {
	dir := t.TempDir()
	fs := new(fullFS)
	o := Options{ImageDir: dir, LogDir: dir, FS: fs, NoReserve: true}
	s := openTest(t, o)
	sizesAre(t, s)
	if err := errors.Join(s.Append(wordsOf(1, 300, 300, 300)), s.TruncateAfter(1)); err != nil {
		t.Fatal(err)
	}
	fs.full.Store(true)
	batch := wordsOf(2, 400, 300)
	if err := s.Append(batch); !errors.Is(err, ErrNoSpace) {
		t.Fatalf("on a full disk: %v", err)
	}
	fs.full.Store(false)
	if err := s.Append(batch); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openTest(t, o)
		sizesAre(t, s, 300, 400, 300)
	}
	s.Close()
}
