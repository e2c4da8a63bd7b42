package migrate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/store"
)

// TestExportWhileHealing exports what a server holds that has forgotten what it acknowledged.
func TestExportWhileHealing(t *testing.T) {
	top := t.TempDir()
	from := storeOf(top)
	if _, err := Import(Dirs{Data: javaDirs(t)[0]}, from, opt, anything); err != nil {
		t.Fatal(err)
	}
	export := func() (string, error) {
		to := t.TempDir()
		_, err := Export(from, Target{Dirs: Dirs{Data: to}}, opt)
		names, lerr := os.ReadDir(to)
		return fmt.Sprint(names), errors.Join(err, lerr)
	}
	refused := func(when string) {
		t.Helper()
		made, err := export()
		if err == nil || !strings.Contains(err.Error(), "HEALING") || made != "[]" {
			t.Errorf("%s: %v, and made %s", when, err, made)
		}
	}
	mark := filepath.Join(from.ImageDir, "HEALING")
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused("half of the way back")
	if err := os.Remove(mark); err != nil {
		t.Fatal(err)
	}
	if made, err := export(); err != nil || made == "[]" {
		t.Errorf("healed: %v, and made %s", err, made)
	}
	if err := store.Quarantine(from, errors.New("a test")); err != nil {
		t.Fatal(err)
	}
	refused("to be moved aside")
	st, err := store.Open(from)
	if err = errors.Join(err, st.Close()); err != nil {
		t.Fatal(err)
	}
	refused("moved aside")
}
