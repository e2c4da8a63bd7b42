package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
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

// TestBitFlipsInEpochs flips bits all over the log's files after the epochs were set last:
// they never go back unnoticed.
func TestBitFlipsInEpochs(t *testing.T) {
	f := newCrashFS()
	o := crashOptions(f)
	o.NoReserve = true
	s := openTest(t, o)
	want := HardState{7, 6}
	err := errors.Join(s.Replay(0, nil), s.SetHardState(HardState{6, 6}), s.Append(batchOf(1, 3, 300)),
		s.SetHardState(want), s.Close())
	if err != nil {
		t.Fatal(err)
	}
	d, err := f.dir("/data/log/log-0000000001")
	if err != nil {
		t.Fatal(err)
	}
	whole, refused, step := 0, 0, 7
	if testing.Short() {
		step = 61
	}
	for name, node := range d.live {
		b := node.(*crashFile).data
		for bit := 0; bit < 8*len(b); bit += step {
			work := f.crash(rand.New(rand.NewPCG(1, 1)))
			d, _ := work.dir("/data/log/log-0000000001")
			flipped := bytes.Clone(b)
			flipped[bit/8] ^= 1 << (bit % 8)
			d.live[name] = &crashFile{data: flipped, synced: flipped}
			got, err := found(crashOptions(work))
			switch {
			case errors.Is(err, ErrDamaged) && strings.Contains(err.Error(), "/data/log/log-0000000001"):
				refused++
			case errors.Is(err, ErrForeign):
				refused++
			case err != nil || got.hard != want:
				t.Fatalf("%s, bit %d of %d: %v, %v", name, bit, 8*len(b), got, err)
			default:
				whole++
			}
		}
	}
	t.Logf("%d flips refused, %d without effect", refused, whole)
}

// TestCutsOutliveRestarts cuts the log and goes on in a new epoch, and reads what is behind
// the image after a restart: what was cut off is not there any more.
func TestCutsOutliveRestarts(t *testing.T) {
	f := newCrashFS()
	o := crashOptions(f)
	o.KeepBytes = 1 << 20
	s := openTest(t, o)
	err := errors.Join(s.Replay(0, nil), s.Append(batchOf(1, 60, 300)), s.TruncateAfter(37),
		s.Append(batchOf(epoch2+1, epoch2+30, 300)), s.TruncateAfter(epoch2+20),
		s.Append(batchOf(epoch2*2+1, epoch2*2+30, 300)), s.WriteImage(s.NewImageBatch(), epoch2*2+30))
	for range 2 {
		if err == nil {
			err = errors.Join(s.Close())
			s = openTest(t, o)
			err = errors.Join(err, s.Replay(s.ImageZxid(), nil))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for z, want := range map[proto.Zxid]bool{
		20: true, 37: true, 38: false, 60: false, epoch2 + 20: true, epoch2 + 21: false, epoch2*2 + 30: true,
	} {
		if s.HasLogged(z) != want {
			t.Errorf("has %v: %v", z, !want)
		}
	}
	var got []proto.Zxid
	err = s.ReadLog(30, epoch2*2+5, func(z proto.Zxid, _ []byte) error { got = append(got, z); return nil })
	want := append(append(span(31, 37), span(epoch2+1, epoch2+20)...), span(epoch2*2+1, epoch2*2+5)...)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("read %v: %v", got, err)
	}
}

// TestHolesAreRefused appends where txns of an epoch are missing, and where they are not.
func TestHolesAreRefused(t *testing.T) {
	s := openTest(t, crashOptions(newCrashFS()))
	defer s.Close()
	if err := errors.Join(s.Replay(0, nil), s.Append(batchOf(1, 5, 300))); err != nil {
		t.Fatal(err)
	}
	hole := batchOf(6, 7, 300)
	hole.AddBytes(9, txnOf(9, 300))
	for _, b := range []*proto.LogBatch{batchOf(7, 7, 300), hole} {
		if err := s.Append(b); err == nil || s.LastLogged() != 5 {
			t.Errorf("a batch from %v to %v was appended after 5: %v", b.First(), b.Last(), err)
		}
	}
	next := batchOf(6, 6, 300)
	next.AddBytes(epoch2+1, txnOf(epoch2+1, 300))
	if err := errors.Join(s.Append(next), s.Append(batchOf(epoch2*2+1, epoch2*2+2, 300))); err != nil {
		t.Error(err)
	}
	if err := s.WriteImage(s.NewImageBatch(), epoch2*2+3); err == nil {
		t.Error("the image was written ahead of the log")
	}
}

// TestImageBehindTheLog has the log hold more than what is committed: the image is written
// up to there, trims only what it covers, and the rest can still be cut off.
func TestImageBehindTheLog(t *testing.T) {
	f := newCrashFS()
	o := crashOptions(f)
	o.KeepBytes = 1
	s := openTest(t, o)
	if err := s.Replay(0, nil); err != nil {
		t.Fatal(err)
	}
	b := s.NewImageBatch()
	for z := proto.Zxid(1); z < 200; z += 4 {
		if err := s.Append(batchOf(z, z+3, 300)); err != nil {
			t.Fatal(err)
		}
		if z%16 == 1 && z > 80 {
			putImage(b, z-80)
			if err := s.WriteImage(b, z-80); err != nil {
				t.Fatal(err)
			}
		}
	}
	image := s.ImageZxid()
	for cut := range 2 {
		want := []proto.Zxid{200, image + 3}[cut]
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := found(o)
		if err != nil || got.image != image || !slices.Equal(got.log, span(image+1, want)) {
			t.Fatalf("found %v, want an image at %v and a log up to %v: %v", got, image, want, err)
		}
		s = openTest(t, o)
		if err := errors.Join(s.Replay(1<<60, nil), checkImage(s), s.TruncateAfter(image+3)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
