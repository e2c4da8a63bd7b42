package store

import (
	"os"
	"path/filepath"
	"testing"
)

// A big file goes little by little, and is gone in the end; so is a directory of them.
func TestRemoveBigFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "segment")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, 3*shrinkStep+5), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	kept := filepath.Join(t.TempDir(), "backup") // the same file by another name
	if err := os.Link(filepath.Join(dir, "c"), kept); err != nil {
		t.Fatal(err)
	}
	if err := (OS{}).Remove(filepath.Join(dir, "c")); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(kept); err != nil || st.Size() != 3*shrinkStep+5 {
		t.Fatalf("a file that has another name: %v, %v", st, err)
	}
	if err := (OS{}).Remove(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "a")); !os.IsNotExist(err) {
		t.Fatalf("a file that was removed: %v", err)
	}
	if err := (OS{}).RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Fatalf("a directory that was removed: %v", err)
	}
	if err := (OS{}).Remove(filepath.Join(dir, "a")); !os.IsNotExist(err) {
		t.Fatalf("a file that is not there: %v", err)
	}
	if err := (OS{}).RemoveAll(dir); err != nil {
		t.Fatalf("a directory that is not there: %v", err)
	}
}
