package store

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
)

// TestCrashesWithoutSync crashes while nothing is forced to the disk group by group: what was
// acknowledged may be gone, but only from the end, never below the image, and the store opens.
func TestCrashesWithoutSync(t *testing.T) {
	seeds := uint64(6)
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		f := newCrashFS()
		var asked, imaged, ended atomic.Int64
		crashes(t, f, seed, func(left *crashFS) error {
			o := crashOptions(left)
			o.NoSync = seed%2 == 0 // the next start may have another configuration
			return endsBetween(o, ended.Load(), asked.Load(), imaged.Load())
		})
		z := proto.Zxid(1)
		for range 2 { // the second time a log is there that ends somewhere
			o := crashOptions(f)
			o.NoSync = true
			s, err := Open(o)
			if err == nil {
				err = s.Replay(0, func(proto.Zxid, []byte) error { return nil })
			}
			b := s.NewImageBatch()
			for end := z + 60; z < end && err == nil; z += 4 {
				asked.Store(int64(z + 3))
				err = s.Append(batchOf(z, z+3, 300))
				if err == nil && z%20 == 1 {
					putImage(b, z+1)
					err = s.WriteImage(b, z+1)
					imaged.Store(int64(z + 1))
				}
			}
			if err == nil {
				err = s.TruncateAfter(z - 2)
				ended.Store(int64(z - 2))
				z--
			}
			if err := errors.Join(err, s.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestRotOfLooseLog damages a log that was not forced to the disk group by group in front of
// what the image, or a later segment, tells of.
func TestRotOfLooseLog(t *testing.T) {
	for image, want := range map[proto.Zxid]error{60: ErrDamaged, 20: nil} {
		dir := t.TempDir()
		o := Options{ImageDir: dir, LogDir: dir, NoReserve: true, NoSync: true, Log: quiet()}
		s := openTest(t, o)
		err := s.Replay(0, nil)
		for z := proto.Zxid(1); z <= 60; z += 5 {
			err = errors.Join(err, s.Append(batchOf(z, z+4, 300)))
		}
		if err = errors.Join(err, s.WriteImage(s.NewImageBatch(), image), s.Close()); err != nil {
			t.Fatal(err)
		}
		flip(t, dir+"/"+segmentName(1)+"/000001.log", 300*40)
		last, err := reopen(o)
		if !errors.Is(err, want) || err == nil && (last < 30 || last > 40) {
			t.Errorf("image at %v: up to %v, %v", image, last, err)
		}
		if last, err = lossAccepted(o); err != nil || last < image {
			t.Errorf("image at %v: with loss accepted up to %v, %v", image, last, err)
		}
	}
}

// TestFullLooseSegmentIsForced checks that what comes behind a segment is not written before
// the segment is on the disk.
func TestFullLooseSegmentIsForced(t *testing.T) {
	for range 20 {
		f := newCrashFS()
		o := crashOptions(f)
		o.NoSync, o.NoReserve = true, true
		s := openTest(t, o)
		if err := errors.Join(s.Replay(0, nil), s.Append(batchOf(1, 9, 300))); err != nil {
			t.Fatal(err)
		}
		s.closeCurrent()
		_, _, file, err := f.file("/data/log/" + segmentName(1) + "/000001.log")
		if err != nil {
			t.Fatal(err)
		}
		f.mu.Lock()
		forced := len(file.synced) == len(file.data)
		f.mu.Unlock()
		if err := errors.Join(s.Append(batchOf(10, 12, 300)), s.Close()); err != nil || !forced {
			t.Fatalf("the segment is on the disk: %v; %v", forced, err)
		}
	}
}
