package store

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
)

// state is what a store is to hold.
type state struct {
	hard  HardState
	image proto.Zxid
	log   []proto.Zxid // above the image
}

func (a state) equal(b state) bool {
	return a.hard == b.hard && a.image == b.image && slices.Equal(a.log, b.log)
}

// found opens the store and reads what it holds above an image; it continues the log to see
// that it can be.
func found(o Options) (state, error) {
	o.Log = quiet()
	s, err := Open(o)
	if err != nil {
		return state{}, err
	}
	defer s.Close()
	st := state{hard: s.HardState(), image: s.ImageZxid()}
	err = s.Replay(s.ImageZxid(), func(z proto.Zxid, txn []byte) error {
		if string(txn) != string(txnOf(z, 300)) {
			return fmt.Errorf("%v has another txn's content", z)
		}
		st.log = append(st.log, z)
		return nil
	})
	return st, err
}

func span(from, to proto.Zxid) (all []proto.Zxid) {
	for z := from; z <= to; z++ {
		all = append(all, z)
	}
	return all
}

const epoch2 = proto.Zxid(2 << 32)

// steps are what an ensemble has a store do, each with what the store holds afterwards.
func steps() []struct {
	do   func(s *Store) error
	then state
} {
	append1 := func(from, to proto.Zxid) func(s *Store) error {
		return func(s *Store) error { return s.Append(batchOf(from, to, 300)) }
	}
	one, two := HardState{1, 1}, HardState{2, 1}
	three := HardState{3, 2}
	cut := span(1, 37)
	more := append(slices.Clone(cut), span(epoch2+1, epoch2+9)...)
	return []struct {
		do   func(s *Store) error
		then state
	}{
		{func(s *Store) error { return s.SetHardState(one) }, state{hard: one}},
		{append1(1, 20), state{one, 0, span(1, 20)}},
		{append1(21, 60), state{one, 0, span(1, 60)}},
		{func(s *Store) error { return s.SetHardState(two) }, state{two, 0, span(1, 60)}},
		{func(s *Store) error { return s.TruncateAfter(40) }, state{two, 0, span(1, 40)}},
		{func(s *Store) error { return s.TruncateAfter(37) }, state{two, 0, cut}},
		{append1(epoch2+1, epoch2+9), state{two, 0, more}},
		{func(s *Store) error { return s.SetHardState(three) }, state{three, 0, more}},
		{install(epoch2 * 2), state{three, epoch2 * 2, nil}},
		{append1(epoch2*2+1, epoch2*2+5), state{three, epoch2 * 2, span(epoch2*2+1, epoch2*2+5)}},
	}
}

func install(zxid proto.Zxid) func(s *Store) error {
	return func(s *Store) error {
		n, err := s.Install()
		if err != nil {
			return err
		}
		b := s.NewImageBatch()
		b.Put([]byte("n0009"), []byte("new"))
		if err := n.Write(b); err != nil {
			return err
		}
		return n.Commit(zxid)
	}
}

func TestEnsembleSteps(t *testing.T) {
	dir := t.TempDir()
	o := Options{ImageDir: dir, LogDir: dir, SegmentBytes: 8 << 10}
	for i, step := range steps() {
		s := openTest(t, o)
		if err := errors.Join(s.Replay(1<<60, nil), step.do(s), s.Close()); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		got, err := found(o)
		if err != nil || !got.equal(step.then) {
			t.Fatalf("step %d: %v, want %v: %v", i, got, step.then, err)
		}
	}
}

// TestEnsembleFaults has each call that changes the disk fail in turn, as a crash would
// have it. Afterwards the store holds what it held before the step that failed, or after it.
func TestEnsembleFaults(t *testing.T) {
	stride := 3
	if testing.Short() {
		stride = 11
	}
	for at := 1; ; at += stride {
		dir := t.TempDir()
		fs := &faultFS{err: syscall.EIO, at: at, lasts: true}
		o := Options{ImageDir: dir, LogDir: dir, SegmentBytes: 8 << 10, FS: fs, Log: quiet()}
		before, after := state{}, state{}
		if s, err := Open(o); err == nil {
			err = s.Replay(1<<60, nil)
			for _, step := range steps() {
				if err != nil {
					break
				}
				after = step.then
				if err = step.do(s); err == nil {
					before = after
				}
			}
			s.Close()
		}
		o.FS = nil
		got, err := found(o)
		partly := got.hard == after.hard && got.image == before.image && len(got.log) >= len(before.log) &&
			len(got.log) <= len(after.log) && slices.Equal(got.log, after.log[:len(got.log)])
		if err != nil || !got.equal(before) && !got.equal(after) && !partly {
			t.Fatalf("fault at call %d: %v, want %v or %v: %v", at, got, before, after, err)
		}
		if fs.calls < at {
			return
		}
	}
}

func TestTruncateRefused(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Options{ImageDir: dir, LogDir: dir})
	defer s.Close()
	if err := errors.Join(s.Replay(0, nil), s.Append(batchOf(1, 9, 300)), s.WriteImage(s.NewImageBatch(), 5)); err != nil {
		t.Fatal(err)
	}
	if err := s.TruncateAfter(4); !errors.Is(err, ErrImageAhead) {
		t.Errorf("below the image: %v", err)
	}
	if err := s.TruncateAfter(5); err != nil || s.LastLogged() != 5 {
		t.Errorf("at the image: %v, %v", s.LastLogged(), err)
	}
	if err := s.SetHardState(HardState{5, 5}); err != nil {
		t.Fatal(err)
	}
	if s.SetHardState(HardState{4, 4}) == nil {
		t.Error("the epochs can go back")
	}
}

func TestReadLog(t *testing.T) {
	dir := t.TempDir()
	o := Options{ImageDir: dir, LogDir: dir, SegmentBytes: 8 << 10, KeepBytes: 1}
	s := openTest(t, o)
	defer s.Close()
	if err := s.Replay(0, nil); err != nil {
		t.Fatal(err)
	}
	for z := proto.Zxid(1); z < 100; z += 3 {
		if err := s.Append(batchOf(z, z+2, 300)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.TruncateAfter(50); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(batchOf(epoch2+1, epoch2+30, 300)); err != nil {
		t.Fatal(err)
	}
	read := func(after, upTo proto.Zxid) (all []proto.Zxid, err error) {
		err = s.ReadLog(after, upTo, func(z proto.Zxid, txn []byte) error {
			if string(txn) != string(txnOf(z, 300)) {
				t.Errorf("%v has another txn's content", z)
			}
			all = append(all, z)
			return nil
		})
		return all, err
	}
	got, err := read(7, epoch2+20)
	if want := append(span(8, 50), span(epoch2+1, epoch2+20)...); err != nil || !slices.Equal(got, want) {
		t.Errorf("read %v: %v", got, err)
	}
	if got, err := read(7, 30); err != nil || !slices.Equal(got, span(8, 30)) {
		t.Errorf("read up to the middle %v: %v", got, err)
	}
	for z, want := range map[proto.Zxid]bool{1: true, 50: true, 51: false, epoch2 + 30: true, epoch2 + 31: false} {
		if s.HasLogged(z) != want {
			t.Errorf("has %v: %v", z, !want)
		}
	}
	if _, err := read(7, epoch2+31); !errors.Is(err, ErrLogTrimmed) {
		t.Errorf("beyond the end: %v", err)
	}
	if err := s.WriteImage(s.NewImageBatch(), epoch2+30); err != nil {
		t.Fatal(err)
	}
	if _, err := read(7, epoch2+20); !errors.Is(err, ErrLogTrimmed) {
		t.Errorf("after a trim: %v", err)
	}
}
