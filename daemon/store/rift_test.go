package store

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
)

// restoreStep is an installation that undoes something, and what is undone afterwards.
type restoreStep struct {
	zxid  proto.Zxid
	rifts []proto.Rift
}

// restoreSteps are three restores, and then what a leader sends.
var restoreSteps = []restoreStep{
	{epoch2, []proto.Rift{{After: 10, Before: epoch2}}},
	{epoch2 * 2, []proto.Rift{{After: 10, Before: epoch2}, {After: epoch2 + 3, Before: epoch2 * 2}}},
	{epoch2 * 3, []proto.Rift{{After: 5, Before: epoch2 * 3}}},
	{epoch2 * 4, nil},
}

// do writes something before, and then installs an image with 40 records that tell its zxid.
func (r *restoreStep) do(s *Store) error {
	last := s.LastLogged()
	if err := s.Append(batchOf(last+1, last+20, 300)); err != nil {
		return err
	}
	n, err := s.Install()
	if err != nil {
		return err
	}
	n.Rifts = r.rifts
	b := s.NewImageBatch()
	putImage(b, r.zxid)
	if err := n.Write(b); err != nil {
		return err
	}
	if err := n.Commit(r.zxid); err != nil {
		return err
	}
	if !slices.Equal(s.Rifts(), r.rifts) {
		return fmt.Errorf("it says that %v was undone, not %v", s.Rifts(), r.rifts)
	}
	return nil
}

// foundRestored opens what is there and says which steps it may be after; -1 is none.
func foundRestored(o Options) (after int, err error) {
	o.Log = quiet()
	s, err := Open(o)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	image := s.ImageZxid()
	next := image + 1
	err = s.Replay(image, func(z proto.Zxid, txn []byte) error {
		if z != next || string(txn) != string(txnOf(z, 300)) {
			return fmt.Errorf("%v instead of %v", z, next)
		}
		next++
		return nil
	})
	if err := errors.Join(err, checkImage(s)); err != nil {
		return 0, err
	}
	for i, step := range restoreSteps {
		if step.zxid == image {
			if !slices.Equal(s.Rifts(), step.rifts) {
				return 0, fmt.Errorf("the image is at %v, and %v was undone", image, s.Rifts())
			}
			return i, nil
		}
	}
	if image != 0 || len(s.Rifts()) > 0 {
		return 0, fmt.Errorf("the image is at %v, and %v was undone", image, s.Rifts())
	}
	return -1, nil
}

// TestCrashesOfRestores has the machine crash while data are replaced: image, log, and what was undone are those of
// before, or the new ones.
func TestCrashesOfRestores(t *testing.T) {
	for seed := range uint64(2) {
		f := newCrashFS()
		var now, done atomic.Int64
		now.Store(-1)
		done.Store(-1)
		seen := make(map[int]int)
		crashes(t, f, seed, func(left *crashFS) error {
			got, err := foundRestored(crashOptions(left))
			if seen[got]++; err == nil && (int64(got) < done.Load() || int64(got) > now.Load()) {
				err = fmt.Errorf("it is after step %d, not after %d or %d", got, done.Load(), now.Load())
			}
			return err
		})
		s, err := Open(crashOptions(f))
		if err == nil {
			err = s.Replay(0, nil)
		}
		for i := range restoreSteps {
			now.Store(int64(i))
			if err == nil {
				err = restoreSteps[i].do(s)
			}
			done.Store(int64(i))
		}
		if err := errors.Join(err, s.Close()); err != nil {
			t.Fatal(err)
		}
		for i := range restoreSteps[1:] {
			if seen[i] == 0 && !testing.Short() {
				t.Errorf("seed %d: no crash left what there is after step %d", seed, i)
			}
		}
	}
}
