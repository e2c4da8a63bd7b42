package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
)

func importTest(o Options, zxid proto.Zxid) error {
	return Import(o, Content{
		Zxid: zxid, Hard: HardState{7, 6},
		Fill: func(b *ImageBatch, flush func() error) error {
			putImage(b, zxid)
			return flush()
		},
		Check: checkImage,
	})
}

// TestCrashesOfImports crashes in an import, and in one that follows it: what is left is
// refused, or it is whole, or there is nothing.
func TestCrashesOfImports(t *testing.T) {
	f := newCrashFS()
	f.MkdirAll("/data/image")
	f.MkdirAll("/data/log")
	f.SyncDir("/")
	f.SyncDir("/data")
	outcomes := make(map[string]int)
	crashes(t, f, 3, func(left *crashFS) error {
		o := crashOptions(left)
		data, err := HasData(o)
		if err != nil {
			return err
		}
		half, err := (&Store{opt: o, fs: left}).isHalf()
		if err != nil {
			return err
		}
		if !data && !half {
			outcomes["nothing"]++
			return nil
		}
		st, err := found(o)
		switch {
		case errors.Is(err, ErrForeign) && strings.Contains(err.Error(), "was not finished"):
			if outcomes["refused"]++; outcomes["refused"]%10 != 1 {
				return nil
			}
			if err := importTest(o, 77); err != nil {
				return fmt.Errorf("it cannot be done again: %w", err)
			}
			if st, err = found(o); err != nil || st.image != 77 {
				return fmt.Errorf("done again: %+v, %w", st, err)
			}
			return nil
		case err != nil:
			return err
		case st.hard != HardState{7, 6} || st.image != 50 || len(st.log) > 0:
			return fmt.Errorf("half an import can be opened: %+v", st)
		}
		outcomes["whole"]++
		return nil
	})
	if err := importTest(crashOptions(f), 50); err != nil {
		t.Fatal(err)
	}
	f.each = nil
	if st, err := found(crashOptions(f)); err != nil || st.image != 50 {
		t.Errorf("%+v, %v", st, err)
	}
	if outcomes["refused"] == 0 || outcomes["whole"] == 0 && !testing.Short() {
		t.Errorf("%v", outcomes)
	}
}

func TestImportRefused(t *testing.T) {
	dir := t.TempDir()
	o := Options{ImageDir: filepath.Join(dir, "image"), LogDir: filepath.Join(dir, "log"), SegmentBytes: 8 << 10, Log: quiet()}
	s := openTest(t, o)
	if err := importTest(o, 5); !errors.Is(err, ErrInUse) {
		t.Errorf("beside a server: %v", err)
	}
	s.Close()
	if err := importTest(o, 5); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("over data: %v", err)
	}
}

// changed lists what differs between two states of a file system.
func changed(t *testing.T, f *crashFS, do func()) []string {
	t.Helper()
	var calls []string
	f.each = func(op, name string) { calls = append(calls, op+" "+name) }
	do()
	f.each = nil
	return calls
}

// TestReadOnly opens to read: all is there, and nothing is changed, not even a torn end.
func TestReadOnly(t *testing.T) {
	f := newCrashFS()
	o := crashOptions(f)
	o.ReadOnly = true
	if _, err := Open(o); !errors.Is(err, ErrForeign) {
		t.Errorf("nothing is there: %v", err)
	}
	o.ReadOnly = false
	s := openTest(t, o)
	b := s.NewImageBatch()
	putImage(b, 20)
	if err := errors.Join(s.Replay(0, nil), s.Append(batchOf(1, 60, 300)), s.WriteImage(b, 20), s.Close()); err != nil {
		t.Fatal(err)
	}
	o.ReadOnly = true
	calls := changed(t, f, func() {
		st, err := found(o)
		if want := (state{image: 20, log: span(21, 60)}); err != nil || !st.equal(want) {
			t.Errorf("%+v, %v", st, err)
		}
		s, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(checkImage(s), s.Close()); err != nil {
			t.Error(err)
		}
	})
	if len(calls) > 0 {
		t.Errorf("it changed %q", calls)
	}
}

// TestEachLogged reads a log whose end was cut twice, and without the image.
func TestEachLogged(t *testing.T) {
	f := newCrashFS()
	o := crashOptions(f)
	o.KeepBytes = 1 << 20
	s := openTest(t, o)
	err := errors.Join(s.Replay(0, nil), s.Append(batchOf(1, 60, 300)), s.TruncateAfter(37),
		s.Append(batchOf(epoch2+1, epoch2+30, 300)), s.TruncateAfter(epoch2+20),
		s.Append(batchOf(epoch2*2+1, epoch2*2+30, 300)), s.WriteImage(s.NewImageBatch(), epoch2*2+30), s.Close())
	if err != nil {
		t.Fatal(err)
	}
	var got []proto.Zxid
	err = EachLogged(Options{LogDir: o.LogDir, FS: f, Log: quiet()}, func(z proto.Zxid, txn []byte) error {
		if string(txn) != string(txnOf(z, 300)) {
			return fmt.Errorf("%v has another txn's content", z)
		}
		got = append(got, z)
		return nil
	})
	want := slices.Concat(span(1, 37), span(epoch2+1, epoch2+20), span(epoch2*2+1, epoch2*2+30))
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("read %v: %v", got, err)
	}
	if err := EachLogged(Options{LogDir: o.ImageDir, FS: f, Log: quiet()}, nil); !errors.Is(err, ErrForeign) {
		t.Errorf("no log: %v", err)
	}
}

// tableFS lets no table be made before it is opened.
type tableFS struct {
	OS
	open chan struct{}
}

func (f *tableFS) Create(name string) (File, error) {
	if strings.HasSuffix(name, ".ldb") {
		<-f.open
	}
	return f.OS.Create(name)
}

// TestReadTwoJournals reads an image whose last table has not been made: two journals are left.
func TestReadTwoJournals(t *testing.T) {
	dir, left := t.TempDir(), t.TempDir()
	f := &tableFS{open: make(chan struct{})}
	s := openTest(t, Options{ImageDir: dir, LogDir: dir, FS: f, Log: quiet()})
	if err := errors.Join(s.Replay(0, nil), s.Append(batchOf(1, 60, 300))); err != nil {
		t.Fatal(err)
	}
	value := make([]byte, 1<<20)
	for z := range proto.Zxid(2) {
		b := s.NewImageBatch()
		for i := range byte(5) {
			b.Put([]byte{'n', byte(z), i}, value)
		}
		if err := s.WriteImage(b, 20+z); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(left, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	close(f.open)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if logs, err := filepath.Glob(filepath.Join(left, "image", "*.log")); err != nil || len(logs) != 2 {
		t.Fatalf("the journals are %v, %v", logs, err)
	}
	before, err := filepath.Glob(filepath.Join(left, "image", "*"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(Options{ImageDir: left, LogDir: left, ReadOnly: true, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = r.LoadImage(2, func(_, v []byte) error {
		n += len(v)
		return nil
	})
	if err := errors.Join(err, r.Close()); err != nil || n != 10<<20 || r.ImageZxid() != 21 {
		t.Errorf("%d bytes at %v: %v", n, r.ImageZxid(), err)
	}
	if after, err := filepath.Glob(filepath.Join(left, "image", "*")); err != nil || !slices.Equal(before, after) {
		t.Errorf("it changed %v to %v, %v", before, after, err)
	}
}
