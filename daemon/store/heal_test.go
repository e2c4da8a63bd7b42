package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
)

// TestQuarantine damages a store, begins with an empty one, and damages that.
func TestQuarantine(t *testing.T) {
	dir, o := filled(t)
	o.Log = quiet()
	damage := func() {
		t.Helper()
		seal := filepath.Join(dir, "image", sealName)
		if err := os.WriteFile(seal, []byte("nothing like a seal"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := reopen(o); !errors.Is(err, ErrDamaged) {
			t.Fatalf("the damage is not found: %v", err)
		}
		if err := Quarantine(o, errors.New("a test")); err != nil {
			t.Fatal(err)
		}
	}
	open := func(healing bool, last proto.Zxid) *Store {
		t.Helper()
		s, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		if s.Healing() != healing || s.LastLogged() != last {
			t.Fatalf("healing %v, log up to %v", s.Healing(), s.LastLogged())
		}
		if err := s.Replay(0, func(proto.Zxid, []byte) error { return nil }); err != nil {
			t.Fatal(err)
		}
		return s
	}
	damage()
	s := open(true, 0)
	if _, err := os.Stat(filepath.Join(dir, asidePrefix+"log-0000000001")); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(batchOf(1, 3, 10)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	open(true, 3).Close() // half of the way back
	damage()
	if b, err := os.ReadFile(filepath.Join(dir, asidePrefix+"image", sealName)); err != nil || len(b) != 19 {
		t.Fatalf("what was damaged first is gone: %v", err)
	}
	s = open(true, 0)
	if err := errors.Join(s.Append(batchOf(1, 5, 10)), s.Healed(), s.Close()); err != nil {
		t.Fatal(err)
	}
	open(false, 5).Close()
	o.ImageDir, o.LogDir = t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(o.ImageDir, healName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open(true, 0).Close() // an operator's word for it
}

// TestCrashesOfQuarantine crashes while a store is moved aside, and while the new one comes
// to have everything again: none is ever empty that does not say so.
func TestCrashesOfQuarantine(t *testing.T) {
	const asked, healing, healed = 1, 2, 3
	for seed := range uint64(4) {
		f := newCrashFS()
		o := crashOptions(f)
		s, err := Open(o)
		if err == nil {
			err = errors.Join(s.Replay(0, nil), s.Append(batchOf(1, 40, 300)), s.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		var stage atomic.Int64
		stage.Store(asked)
		crashes(t, f, seed, func(left *crashFS) error {
			at := stage.Load()
			s, err := Open(crashOptions(left))
			if err != nil {
				return err
			}
			defer s.Close()
			switch last := s.LastLogged(); {
			case !s.Healing() && at == healing, s.Healing() && at == healed:
				return fmt.Errorf("healing is %v in stage %d", s.Healing(), at)
			case !s.Healing() && last != 40:
				return fmt.Errorf("it ends at %v and does not say that it lacks something", last)
			}
			return nil
		})
		err = Quarantine(o, errors.New("a test"))
		stage.Store(healing)
		if err == nil {
			s, err = Open(o)
		}
		if err != nil {
			t.Fatal(err)
		}
		err = errors.Join(s.Replay(0, nil), s.Append(batchOf(1, 40, 300)))
		stage.Store(asked)
		err = errors.Join(err, s.Healed())
		stage.Store(healed)
		if err = errors.Join(err, s.Close()); err != nil {
			t.Fatal(err)
		}
	}
}
