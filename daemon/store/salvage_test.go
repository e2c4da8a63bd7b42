package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
)

// imaged makes a store with a log up to 60 and an image, and closes it.
func imaged(t *testing.T, image proto.Zxid) (dir string, o Options) {
	t.Helper()
	dir = t.TempDir()
	o = Options{ImageDir: dir, LogDir: dir, SegmentBytes: 8 << 10, KeepBytes: 1 << 20, NoReserve: true, Log: quiet()}
	s := openTest(t, o)
	replayed(t, s, 1, 0, 300)
	for z := proto.Zxid(1); z <= 60; z += 5 {
		if err := s.Append(batchOf(z, z+4, 300)); err != nil {
			t.Fatal(err)
		}
	}
	b := s.NewImageBatch()
	b.Put([]byte("n0001"), []byte("image"))
	if image > 0 {
		if err := s.WriteImage(b, image); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, o
}

// journals are the files with groups, oldest first, and the groups in them.
func journals(t *testing.T, dir string) (paths []string, held [][]group) {
	t.Helper()
	for _, name := range files(t, dir) {
		if strings.HasPrefix(name, "log-") && strings.HasSuffix(name, ".log") {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if groups := groupsIn(b); len(groups) > 0 {
				paths, held = append(paths, name), append(held, groups)
			}
		}
	}
	if len(paths) < 3 {
		t.Fatalf("there are %d segments", len(paths))
	}
	return paths, held
}

// groupsIn are the groups that are whole in a journal.
func groupsIn(b []byte) []group {
	m := new(remains)
	s := &Store{fs: memFS{b: b}, log: quiet()}
	if _, err := s.readJournal("", m); err != nil {
		panic(err)
	}
	return m.groups
}

// memFS has one file.
type memFS struct {
	OS
	b []byte
}

func (f memFS) Open(string) (File, error) { return memFile{r: bytes.NewReader(f.b)}, nil }

type memFile struct {
	File
	r *bytes.Reader
}

func (f memFile) ReadAt(b []byte, off int64) (int, error) { return f.r.ReadAt(b, off) }
func (f memFile) Size() (int64, error)                    { return f.r.Size(), nil }
func (f memFile) Close() error                            { return nil }

func flip(t *testing.T, path string, at int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 1 << (at % 8)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// lossAccepted opens a store with loss accepted, and as usual, and appends to it: all three
// times it is the same.
func lossAccepted(o Options) (last proto.Zxid, err error) {
	o.AcceptLoss = true
	if last, err = reopen(o); err != nil {
		return last, fmt.Errorf("with loss accepted: %w", err)
	}
	o.AcceptLoss = false
	if again, err := reopen(o); err != nil || again != last {
		return last, fmt.Errorf("up to %v, then up to %v: %w", last, again, err)
	}
	s, err := Open(o)
	if err != nil {
		return last, err
	}
	skip := func(proto.Zxid, []byte) error { return nil }
	err = errors.Join(s.Replay(0, skip), s.Append(batchOf(last+1, last+9, 300)), s.Close())
	if err != nil {
		return last, err
	}
	if more, err := reopen(o); err != nil || more != last+9 {
		return last, fmt.Errorf("up to %v, with 9 more up to %v: %w", last, more, err)
	}
	return last, nil
}

// TestAcceptLossOfFlips flips bits all over the log, with the image at its end, inside its
// newest segment, and before that. With loss accepted a damaged store always opens, with
// everything in front of the damage, and everything behind it if the image holds what is lost.
func TestAcceptLossOfFlips(t *testing.T) {
	step, images := 401, []proto.Zxid{60, 58, 50, 31, 20, 0}
	if testing.Short() {
		step, images = 4001, []proto.Zxid{60, 50, 0}
	}
	for _, image := range images {
		dir, o := imaged(t, image)
		recovered := 0
		for _, name := range files(t, dir) {
			if !strings.HasPrefix(name, "log-") {
				continue
			}
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			for at := 0; at < len(b); at += step {
				work := copyTree(t, dir)
				o.ImageDir, o.LogDir = work, work
				flip(t, filepath.Join(work, name), at)
				if _, err := reopen(o); !errors.Is(err, ErrDamaged) {
					continue
				}
				recovered++
				flipped, err := os.ReadFile(filepath.Join(work, name))
				if err != nil {
					t.Fatal(err)
				}
				least := max(image, firstLost(b, flipped, image)-1)
				if last, err := lossAccepted(o); err != nil || last < least || last > 60 {
					t.Errorf("image at %v, %s, byte %d: up to %v and not %v: %v", image, name, at, last, least, err)
				}
				os.RemoveAll(work)
			}
		}
		if recovered == 0 {
			t.Errorf("image at %v: no damage was found", image)
		}
	}
}

// firstLost is the first txn of the first group that is not whole any more and that the image
// does not hold, or what comes after all of them.
func firstLost(whole, broken []byte, image proto.Zxid) proto.Zxid {
	left := groupsIn(broken)
	for _, g := range groupsIn(whole) {
		if g.last > image && !slices.ContainsFunc(left, func(l group) bool { return l.first == g.first }) {
			return g.first
		}
	}
	return 61
}

// TestAcceptLossWithoutLog loses segments altogether, and all of them.
func TestAcceptLossWithoutLog(t *testing.T) {
	images := []proto.Zxid{60, 50, 20}
	if testing.Short() {
		images = images[1:2]
	}
	for _, image := range images {
		dir, o := imaged(t, image)
		names, held := journals(t, dir)
		for i := range names {
			for _, lose := range []string{names[i], filepath.Dir(names[i]), filepath.Join(filepath.Dir(names[i]), sealName)} {
				work := copyTree(t, dir)
				o.ImageDir, o.LogDir = work, work
				if err := os.RemoveAll(filepath.Join(work, lose)); err != nil {
					t.Fatal(err)
				}
				if _, err := reopen(o); err == nil && lose != filepath.Dir(names[len(names)-1]) {
					continue // it is not needed
				}
				least := held[i][0].prev.zxid
				if strings.HasSuffix(lose, sealName) {
					least = 60
				}
				if last, err := lossAccepted(o); err != nil || last < max(image, least) {
					t.Errorf("image at %v, without %s: up to %v: %v", image, lose, last, err)
				}
			}
		}
		for _, name := range files(t, dir) {
			if strings.HasPrefix(name, "log-") {
				os.RemoveAll(filepath.Join(dir, filepath.Dir(name)))
			}
		}
		o.ImageDir, o.LogDir = dir, dir
		if _, err := reopen(o); !errors.Is(err, ErrDamaged) {
			t.Errorf("image at %v, without a log: %v", image, err)
		}
		if last, err := lossAccepted(o); err != nil || last != image {
			t.Errorf("image at %v, without a log: up to %v: %v", image, last, err)
		}
	}
}

// TestOldRotIsLeftAlone damages an old segment, which a start never reads, and the newest one.
func TestOldRotIsLeftAlone(t *testing.T) {
	dir, o := imaged(t, 50)
	names, held := journals(t, dir)
	flip(t, filepath.Join(dir, names[0]), 3000)
	if last, err := reopen(o); err != nil || last != 60 {
		t.Fatalf("a segment that is not needed is damaged: up to %v, %v", last, err)
	}
	newest := len(names) - 1
	st, err := os.Stat(filepath.Join(dir, names[newest]))
	if err != nil {
		t.Fatal(err)
	}
	flip(t, filepath.Join(dir, names[newest]), int(st.Size())/2)
	if last, err := lossAccepted(o); err != nil || last < held[newest][0].prev.zxid {
		t.Fatalf("up to %v, %v", last, err)
	}
	for _, name := range names[:newest-1] {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("an old segment is gone: %v", err)
		}
	}
}

// TestAcceptLossBringsNothingBack destroys a segment that had cut off the end of older ones.
func TestAcceptLossBringsNothingBack(t *testing.T) {
	for _, c := range []struct {
		name string
		hard HardState
		cut  bool
		lost int // bytes of its journal
		want proto.Zxid
	}{
		{"all of it", HardState{1, 1}, true, 1 << 20, 20},
		{"its beginning", HardState{1, 1}, true, 1, epoch2 + 9},
		{"all of one that cut off nothing", HardState{1, 1}, false, 1 << 20, 20},
		{"all of one of a server on its own", HardState{}, false, 1 << 20, 60},
	} {
		dir := t.TempDir()
		o := Options{ImageDir: dir, LogDir: dir, SegmentBytes: 1 << 20, NoReserve: true, Log: quiet()}
		s := openTest(t, o)
		b := s.NewImageBatch()
		err := errors.Join(s.Replay(0, nil), s.SetHardState(c.hard), s.Append(batchOf(1, 20, 300)),
			s.WriteImage(b, 20), s.Append(batchOf(21, 60, 300)))
		if c.cut {
			err = errors.Join(err, s.TruncateAfter(40))
		} else {
			s.closeCurrent()
		}
		if err = errors.Join(err, s.Append(batchOf(epoch2+1, epoch2+9, 300)), s.Close()); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, segmentName(2), "000001.log")
		broken, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range min(c.lost, len(broken)) {
			broken[i] ^= 0xff
		}
		if c.lost == 1 { // both copies of what it begins with
			second := bytes.Index(broken[100:], []byte("zkd1")) + 100
			broken[second] ^= 1
		}
		if err := os.WriteFile(path, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(o); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s is lost and nobody noticed: %v", c.name, err)
		}
		o.AcceptLoss = true
		if s, err = Open(o); err != nil {
			t.Fatal(err)
		}
		if got := s.LastLogged(); got != c.want {
			t.Errorf("%s is lost: the log ends at %v and not %v", c.name, got, c.want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRecoveryKeepsOldCuts damages a segment that had cut off the end of an older one, which is
// not needed and stays: what was cut off is sent to nobody.
func TestRecoveryKeepsOldCuts(t *testing.T) {
	for _, beginning := range []bool{false, true} {
		dir := t.TempDir()
		o := Options{ImageDir: dir, LogDir: dir, NoReserve: true, Log: quiet()}
		s := openTest(t, o)
		err := errors.Join(s.Replay(0, nil), s.SetHardState(HardState{1, 1}), s.Append(batchOf(1, 60, 300)),
			s.TruncateAfter(40), s.Append(batchOf(epoch2+1, epoch2+9, 300)), s.Append(batchOf(epoch2+10, epoch2+20, 300)),
			s.Append(batchOf(epoch2+21, epoch2+30, 300)), s.WriteImage(s.NewImageBatch(), epoch2+25), s.Close())
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, segmentName(2), "000001.log")
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if beginning {
			flip(t, path, 40)
			flip(t, path, bytes.LastIndex(b, []byte("zkd1")))
		}
		flip(t, path, bytes.Index(b, []byte("txn 8589934597 ")))
		o.AcceptLoss = true
		if s, err = Open(o); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, segmentName(1))); err != nil || s.LastLogged() != epoch2+30 {
			t.Errorf("up to %v, %v", s.LastLogged(), err)
		}
		if err := s.Replay(epoch2+25, func(proto.Zxid, []byte) error { return nil }); err != nil {
			t.Fatal(err)
		}
		for z := proto.Zxid(41); z <= 60; z++ {
			if s.HasLogged(z) {
				t.Errorf("%v was cut off and is in the log", z)
			}
		}
		err = s.ReadLog(35, epoch2+30, func(zxid proto.Zxid, _ []byte) error {
			if zxid > 40 && zxid <= 60 {
				t.Errorf("%v was cut off and is sent", zxid)
			}
			return nil
		})
		if !errors.Is(err, ErrLogTrimmed) || s.HasLogged(35) || !s.HasLogged(epoch2+26) {
			t.Errorf("in the log: %v %v; %v", s.HasLogged(35), s.HasLogged(epoch2+26), err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
