package owner

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestGiveThroughLink: a data directory may be a link to another disk. It takes root to own files
// for somebody.
func TestGiveThroughLink(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	const uid = 12345
	top := t.TempDir()
	disk, dir, outside := filepath.Join(top, "disk"), filepath.Join(top, "data"), filepath.Join(top, "outside")
	err := errors.Join(os.Mkdir(disk, 0o700), os.Chown(disk, uid, uid), os.Symlink(disk, dir), os.Mkdir(outside, 0o700))
	if err != nil {
		t.Fatal(err)
	}
	list := Of("nobody", dir)
	inner := filepath.Join(disk, "image")
	err = errors.Join(os.Mkdir(inner, 0o700), os.WriteFile(filepath.Join(inner, "CURRENT"), nil, 0o600),
		os.Symlink(outside, filepath.Join(disk, "link")))
	if err != nil {
		t.Fatal(err)
	}
	if err := list.Give(); err != nil {
		t.Fatal(err)
	}
	owners := map[string]uint32{
		inner: uid, filepath.Join(inner, "CURRENT"): uid, filepath.Join(disk, "link"): uid, dir: 0, outside: 0,
	}
	for path, want := range owners {
		st, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := st.Sys().(*syscall.Stat_t).Uid; got != want {
			t.Errorf("%s belongs to %d and not to %d", path, got, want)
		}
	}
	if err := os.RemoveAll(disk); err != nil {
		t.Fatal(err)
	}
	if err := list.Give(); err != nil {
		t.Errorf("there is nothing any more: %v", err)
	}
}

// TestGiveNothingOutside: the service's user must not get a file of root's by giving it another name.
func TestGiveNothingOutside(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	const uid = 12345
	top := t.TempDir()
	dir, secret := filepath.Join(top, "data"), filepath.Join(top, "secret")
	err := errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, uid, uid), os.WriteFile(secret, nil, 0o600),
		os.Link(secret, filepath.Join(dir, "LOCK")))
	if err != nil {
		t.Fatal(err)
	}
	if err := Of("nobody", dir).Give(); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(secret)
	if err != nil {
		t.Fatal(err)
	}
	if got := st.Sys().(*syscall.Stat_t).Uid; got != 0 {
		t.Errorf("it belongs to %d", got)
	}
}
