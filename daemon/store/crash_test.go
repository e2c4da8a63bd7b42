package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
)

// crashes has the machine crash before every stride-th call that changes the disk, and
// once more while it recovers from that, and gives what is left to check.
func crashes(t *testing.T, f *crashFS, seed uint64, check func(*crashFS) error) {
	t.Helper()
	stride := 5
	if testing.Short() {
		stride = 23
	}
	r := rand.New(rand.NewPCG(seed, 1))
	f.each = func(op, name string) {
		if (f.calls+int(seed))%stride != 0 || t.Failed() {
			return
		}
		at := fmt.Sprintf("seed %d, call %d, before %s of %s", seed, f.calls, op, name)
		left := f.crash(r)
		again := left.crash(r)
		if err := check(left); err != nil {
			t.Errorf("%s: %v", at, err)
		}
		second := 1 + r.IntN(80)
		again.each = func(op, name string) {
			if again.calls == second {
				if err := check(again.crash(r)); err != nil {
					t.Errorf("%s; then call %d, before %s of %s: %v", at, second, op, name, err)
				}
			}
		}
		if err := check(again); err != nil {
			t.Errorf("%s: %v", at, err)
		}
	}
}

func crashOptions(f *crashFS) Options {
	return Options{
		ImageDir: "/data/image", LogDir: "/data/log", SegmentBytes: 8 << 10, KeepBytes: 16 << 10,
		FS: f, Log: quiet(),
	}
}

// endsBetween opens what a crash left: the image must be at least where it is known to have been, and
// the log must go on behind it without a hole, to an end from low to high.
func endsBetween(o Options, low, high, image int64) error {
	s, err := Open(o)
	if err != nil {
		return err
	}
	defer s.Close()
	next := s.ImageZxid() + 1
	if next <= proto.Zxid(image) {
		return fmt.Errorf("the image is at %v, but was at %v", next-1, image)
	}
	err = s.Replay(s.ImageZxid(), func(z proto.Zxid, txn []byte) error {
		if z != next || string(txn) != string(txnOf(z, 300)) {
			return fmt.Errorf("%v instead of %v", z, next)
		}
		next++
		return nil
	})
	if last := int64(next - 1); err == nil && (last < low || last > high) {
		err = fmt.Errorf("the log ends at %d, not between %d and %d", last, low, high)
	}
	return errors.Join(err, checkImage(s))
}

// TestCrashesLoseNothing appends and writes images while the machine crashes all the time.
func TestCrashesLoseNothing(t *testing.T) {
	for seed := range uint64(2) {
		f := newCrashFS()
		var acked, asked, imaged atomic.Int64
		crashes(t, f, seed, func(left *crashFS) error {
			return endsBetween(crashOptions(left), acked.Load(), asked.Load(), imaged.Load())
		})
		o := crashOptions(f)
		s, err := Open(o)
		if err == nil {
			err = s.Replay(0, nil)
		}
		b := s.NewImageBatch()
		for z := proto.Zxid(1); z <= 120 && err == nil; z += 4 {
			asked.Store(int64(z + 3))
			err = s.Append(batchOf(z, z+3, 300))
			acked.Store(int64(z + 3))
			if err == nil && z%20 == 1 {
				putImage(b, z+1)
				err = s.WriteImage(b, z+1)
				imaged.Store(int64(z + 1))
			}
		}
		if err := errors.Join(err, s.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// putImage puts records into a batch that tell its zxid.
func putImage(b *ImageBatch, zxid proto.Zxid) {
	for i := range 40 {
		b.Put([]byte{'n', 0, 0, 0, byte(i)}, fmt.Appendf(nil, "%d", zxid))
	}
}

// checkImage checks that all records of the image are of one delta.
func checkImage(s *Store) error {
	want, n := fmt.Sprint(int64(s.ImageZxid())), 0
	err := s.LoadImage(1, func(key, value []byte) error {
		n++
		if string(value) != want {
			return fmt.Errorf("record %x of the image is of %s and not of %s", key, value, want)
		}
		return nil
	})
	if n != 40 && want != "0" {
		err = errors.Join(err, fmt.Errorf("the image has %d of 40 records", n))
	}
	return err
}

// TestCrashesOfEnsembleSteps crashes while epochs are set, the log is cut, and image and
// log are replaced: afterwards the store holds what it held before the step, or after it.
func TestCrashesOfEnsembleSteps(t *testing.T) {
	all := steps()
	for seed := range uint64(2) {
		f := newCrashFS()
		var now atomic.Int64
		crashes(t, f, seed, func(left *crashFS) error {
			before, after := state{}, all[now.Load()].then
			if i := now.Load(); i > 0 {
				before = all[i-1].then
			}
			got, err := found(crashOptions(left))
			if err != nil {
				return err
			}
			if !got.equal(before) && !got.equal(after) && !partOf(got, before, after) {
				return fmt.Errorf("found %v instead of %v or %v", got, before, after)
			}
			return nil
		})
		for i, step := range all {
			now.Store(int64(i))
			s, err := Open(crashOptions(f))
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(s.Replay(1<<60, nil), step.do(s), s.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestKillsThenCrashes has the process die while it works, and the machine some time later:
// what the next process found, it may have told others, so it must still be there then.
func TestKillsThenCrashes(t *testing.T) {
	all := steps()
	stride := 11
	if testing.Short() {
		stride = 41
	}
	r := rand.New(rand.NewPCG(3, 1))
	f := newCrashFS()
	before, after := state{}, state{}
	f.each = func(op, name string) {
		if f.calls%stride != 0 && op != "sync" || t.Failed() {
			return
		}
		at := fmt.Sprintf("call %d, before %s of %s", f.calls, op, name)
		killed, again := f.kill(), f.kill()
		told, err := found(crashOptions(killed))
		if err != nil {
			t.Errorf("%s: %v", at, err)
			return
		}
		if got, err := found(crashOptions(killed.crash(r))); err != nil || !got.equal(told) {
			t.Errorf("%s: found %v, and after a crash %v: %v", at, told, got, err)
		}
		second := 1 + r.IntN(80)
		again.each = func(op, name string) {
			if again.calls == second {
				got, err := found(crashOptions(again.crash(r)))
				if err != nil || !got.equal(before) && !got.equal(after) && !partOf(got, before, after) {
					t.Errorf("%s; then call %d, before %s of %s: %v instead of %v or %v: %v",
						at, second, op, name, got, before, after, err)
				}
			}
		}
		if _, err := found(crashOptions(again)); err != nil {
			t.Errorf("%s: %v", at, err)
		}
	}
	for i, step := range all {
		if after = step.then; i > 0 {
			before = all[i-1].then
		}
		s, err := Open(crashOptions(f))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Replay(1<<60, nil), step.do(s), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// partOf says whether a state is one of which a part of the txns are that a step appends.
func partOf(got, before, after state) bool {
	return got.hard == after.hard && got.image == before.image && before.image == after.image &&
		len(got.log) >= len(before.log) && len(got.log) <= len(after.log) &&
		slices.Equal(got.log, after.log[:len(got.log)])
}

// TestOrderOfAppend checks that an Append is a write and a sync of one file, and nothing
// else, and that the epochs are written and synced in the same way.
func TestOrderOfAppend(t *testing.T) {
	f := newCrashFS()
	o := crashOptions(f)
	o.NoReserve, o.SegmentBytes = true, 1<<20
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := errors.Join(s.Replay(0, nil), s.Append(batchOf(1, 1, 300))); err != nil {
		t.Fatal(err)
	}
	var ops []string
	f.each = func(op, name string) { ops = append(ops, op+" "+name) }
	if err := s.Append(batchOf(2, 9, 300)); err != nil {
		t.Fatal(err)
	}
	const want = "write /data/log/log-0000000001/000001.log sync /data/log/log-0000000001/000001.log"
	if got := strings.Join(ops, " "); got != want {
		t.Errorf("an Append does: %s", got)
	}
}

// TestLargeInstallSurvives crashes after a new image has been taken over that filled
// several of LevelDB's journals.
func TestLargeInstallSurvives(t *testing.T) {
	const batches, records = 40, 700
	value := make([]byte, 1000)
	for round := range uint64(3) {
		f := newCrashFS()
		s, err := Open(crashOptions(f))
		if err != nil {
			t.Fatal(err)
		}
		n, err := s.Install()
		if err != nil {
			t.Fatal(err)
		}
		b := s.NewImageBatch()
		for i := range batches {
			for j := range records {
				b.Put([]byte{'n', 0, 0, byte(i), byte(j), byte(j >> 8)}, value)
			}
			if err := n.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		if err := n.Commit(epoch2); err != nil {
			t.Fatal(err)
		}
		f.mu.Lock()
		if len(f.loose) > 0 {
			t.Errorf("closed, but not on the disk: %v", f.loose)
		}
		left := f.crash(rand.New(rand.NewPCG(round, 2)))
		f.mu.Unlock()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = Open(crashOptions(left)); err != nil {
			t.Fatal(err)
		}
		found := 0
		err = s.LoadImage(1, func(_, _ []byte) error { found++; return nil })
		if err = errors.Join(err, s.Close()); err != nil || found != batches*records {
			t.Errorf("%d of %d records are left: %v", found, batches*records, err)
		}
	}
}
