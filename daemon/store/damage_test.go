package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
)

// filled makes a store with an image at 20 and a log up to 60, and closes it.
func filled(t *testing.T) (dir string, o Options) {
	t.Helper()
	dir = t.TempDir()
	o = Options{ImageDir: dir, LogDir: dir, SegmentBytes: 8 << 10, KeepBytes: 1 << 20, NoReserve: true}
	s := openTest(t, o)
	replayed(t, s, 1, 0, 300)
	b := s.NewImageBatch()
	for z := proto.Zxid(1); z <= 60; z += 5 {
		if err := s.Append(batchOf(z, z+4, 300)); err != nil {
			t.Fatal(err)
		}
		if z == 16 {
			b.Put([]byte("n0001"), []byte("image"))
			if err := s.WriteImage(b, 20); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, o
}

// reopen opens a store and reads all of it.
func reopen(o Options) (last proto.Zxid, err error) {
	o.Log = quiet()
	s, err := Open(o)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	if err := s.LoadImage(2, func(_, _ []byte) error { return nil }); err != nil {
		return 0, err
	}
	next := s.ImageZxid() + 1
	err = s.Replay(s.ImageZxid(), func(z proto.Zxid, txn []byte) error {
		if z != next || string(txn) != string(txnOf(z, 300)) {
			return errors.New("a txn is wrong or missing, and nobody noticed")
		}
		next++
		return nil
	})
	return next - 1, err
}

func copyTree(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && d.Name() != "LOCK" {
			rel, _ := filepath.Rel(dir, path)
			names = append(names, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestBitFlips flips bits all over every file. Either the damage is found, or everything
// is there; or, in the last group that was ever written, it cannot be told from a write
// that was not finished.
func TestBitFlips(t *testing.T) {
	dir, o := filled(t)
	step := 97
	if testing.Short() {
		step = 997
	}
	found, whole, torn := 0, 0, 0
	for _, name := range files(t, dir) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(b); at += step {
			work := copyTree(t, dir)
			flipped := append([]byte(nil), b...)
			flipped[at] ^= 1 << (at % 8)
			if err := os.WriteFile(filepath.Join(work, name), flipped, 0o600); err != nil {
				t.Fatal(err)
			}
			o.ImageDir, o.LogDir = work, work
			last, err := reopen(o)
			switch {
			case errors.Is(err, ErrDamaged) || errors.Is(err, ErrForeign):
				found++
			case err != nil:
				t.Errorf("%s, bit %d of byte %d: %v", name, at%8, at, err)
			case last == 60:
				whole++
			case last == 55 && strings.HasSuffix(name, ".log"):
				torn++
			default:
				t.Errorf("%s, bit %d of byte %d: the log ends at %v and nobody noticed", name, at%8, at, last)
			}
			os.RemoveAll(work)
		}
	}
	t.Logf("%d flips found, %d harmless, %d in the last write", found, whole, torn)
	if found == 0 {
		t.Error("no flip was found")
	}
}

func TestMissingFiles(t *testing.T) {
	dir, o := filled(t)
	for _, name := range files(t, dir) {
		work := copyTree(t, dir)
		if err := os.Remove(filepath.Join(work, name)); err != nil {
			t.Fatal(err)
		}
		o.ImageDir, o.LogDir = work, work
		last, err := reopen(o)
		if err == nil && last != 60 {
			t.Errorf("without %s the log ends at %v and nobody noticed", name, last)
		}
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

// TestTornTail cuts the newest journal at every length: what is left is a prefix.
func TestTornTail(t *testing.T) {
	dir, o := filled(t)
	var newest string
	for _, name := range files(t, dir) {
		if strings.HasPrefix(name, "log-") && strings.HasSuffix(name, ".log") {
			if st, err := os.Stat(filepath.Join(dir, name)); err == nil && st.Size() > 100 {
				newest = name
			}
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, newest))
	if err != nil {
		t.Fatal(err)
	}
	for size := len(b); size >= 0; size -= 61 {
		work := copyTree(t, dir)
		if err := os.Truncate(filepath.Join(work, newest), int64(size)); err != nil {
			t.Fatal(err)
		}
		o.ImageDir, o.LogDir = work, work
		last, err := reopen(o)
		if err != nil || last%5 != 0 || last < 20 {
			t.Errorf("cut to %d of %d bytes: up to %v, %v", size, len(b), last, err)
		}
		os.RemoveAll(work)
	}
}

func TestAcceptLoss(t *testing.T) {
	dir, o := filled(t)
	var logs []string
	for _, name := range files(t, dir) {
		if strings.HasPrefix(name, "log-") && strings.HasSuffix(name, ".log") {
			logs = append(logs, filepath.Join(dir, name))
		}
	}
	victim := logs[len(logs)-2]
	b, err := os.ReadFile(victim)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(victim, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := reopen(o); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "zkd recover") {
		t.Fatalf("damage in the middle: %v", err)
	}
	o.AcceptLoss = true
	first, err := reopen(o)
	if err != nil || first >= 60 || first < 20 {
		t.Fatalf("with loss accepted: up to %v, %v", first, err)
	}
	o.AcceptLoss = false
	if again, err := reopen(o); err != nil || again != first {
		t.Fatalf("afterwards: up to %v and not %v, %v", again, first, err)
	}
}

// TestLostSegmentIsNoticed breaks the only group of a segment that another start has made an
// old one: it looks like a write that was not finished, but there were later ones.
func TestLostSegmentIsNoticed(t *testing.T) {
	dir := t.TempDir()
	o := Options{ImageDir: dir, LogDir: dir, NoReserve: true}
	for _, b := range []*proto.LogBatch{batchOf(1, 20, 300), batchOf(21, 60, 300), new(proto.LogBatch)} {
		s := openTest(t, o)
		if err := errors.Join(s.Replay(1<<60, nil), s.Append(b), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	victim := filepath.Join(dir, segmentName(2), "000001.log")
	b, err := os.ReadFile(victim)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-20] ^= 1
	if err := os.WriteFile(victim, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if last, err := reopen(o); !errors.Is(err, ErrDamaged) {
		t.Fatalf("the log ends at %v and nobody noticed: %v", last, err)
	}
	o.AcceptLoss = true
	if last, err := reopen(o); err != nil || last != 20 {
		t.Fatalf("with loss accepted: up to %v, %v", last, err)
	}
	o.AcceptLoss = false
	if last, err := reopen(o); err != nil || last != 20 {
		t.Fatalf("afterwards: up to %v, %v", last, err)
	}
}
