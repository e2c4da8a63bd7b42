package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zkfile"
)

const java = "../../daemon/migrate/testdata/3.9.5"

// copyJava copies what a server of Apache's left.
func copyJava(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "java")
	if err := os.CopyFS(dir, os.DirFS(java)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// configured makes a configuration with directories of its own.
func configured(t *testing.T, more string) (file, dir string) {
	t.Helper()
	dir = t.TempDir()
	file = filepath.Join(dir, "zoo.cfg")
	text := fmt.Sprintf("dataDir=%s/data\ndataLogDir=%s/log\nclientPort=0\n%s\n", dir, dir, more)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, dir
}

// works runs a command that must not fail.
func works(t *testing.T, args ...string) string {
	t.Helper()
	out, err := zkctl("", "", args...)
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return out
}

// fails runs a command that must fail, with a text.
func fails(t *testing.T, want string, args ...string) {
	t.Helper()
	if out, err := zkctl("", "", args...); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%q: %v and not %q\n%s", args, err, want, out)
	}
}

// TestForgottenLogs has the data directory of a young server that has a dataLogDir beside it.
func TestForgottenLogs(t *testing.T) {
	from := t.TempDir()
	var b bytes.Buffer
	trailer := zkfile.Trailer{HasDigest: true, DigestVersion: 2, HasLast: true}
	if err := zkfile.WriteSnapshot(&b, trailer, tree.New(tree.Options{}).WriteBody); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(from, "snapshot.0"), b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	file, dir := configured(t, "")
	fails(t, "--log-from", "import", "--from", from, "-c", file)
	if _, err := os.Stat(filepath.Join(dir, "data")); !os.IsNotExist(err) {
		t.Errorf("something was written: %v", err)
	}
	works(t, "import", "--from", from, "--snapshot-only", "-c", file)
}

func TestMove(t *testing.T) {
	from := copyJava(t)
	os.WriteFile(filepath.Join(from, "myid"), []byte("4\n"), 0o600)
	plain, _ := configured(t, "")
	fails(t, "extendedTypesEnabled=true", "import", "--from", from, "-c", plain)
	fails(t, "required flag", "import", "-c", plain)
	file, dir := configured(t, "extendedTypesEnabled=yes")
	if out := works(t, "import", "--from", from, "-c", file); !strings.Contains(out, "zxid 0x8b, epoch 0, digest 0x") {
		t.Errorf("%s", out)
	}
	if id, _ := os.ReadFile(filepath.Join(dir, "data", "myid")); string(id) != "4\n" {
		t.Errorf("myid %q", id)
	}
	fails(t, "data already", "import", "--from", from, "-c", file)
	data := []string{"snapshot", filepath.Join(dir, "data"), "--log-dir", filepath.Join(dir, "log")}
	checked := works(t, append(data, "--verify")...)
	if !strings.Contains(checked, "whole: zxid 0x8b, 47 znodes, 0 sessions") {
		t.Errorf("%s", checked)
	}
	back := filepath.Join(dir, "back")
	var report struct {
		Snapshot string
		Znodes   int
	}
	if err := json.Unmarshal([]byte(works(t, "export", "--to", back, "-c", file, "--compress", "gz", "-o", "json")), &report); err != nil {
		t.Fatal(err)
	}
	if report.Znodes != 47 || report.Snapshot != filepath.Join(back, "version-2", "snapshot.8b.gz") {
		t.Errorf("%+v", report)
	}
	same := func(args ...string) string { // but for the digest's place
		out := works(t, args...)
		return out[:strings.LastIndex(out, "----")]
	}
	if a, b := same(append(data, "-d")...), same("snapshot", back, "-d"); a != b || !strings.Contains(a, "/box/in\n") {
		t.Errorf("zkd's\n%s\nApache's\n%s", a, b)
	}
	fails(t, "not empty", "export", "--to", back, "-c", file)
	fails(t, "no compression", "export", "--to", back, "-c", file, "--compress", "zip")
	os.MkdirAll(filepath.Join(dir, "six"), 0o700)
	os.WriteFile(filepath.Join(dir, "six", "myid"), []byte("6"), 0o600)
	fails(t, "this server is 4", "export", "--to", filepath.Join(dir, "six"), "-c", file)
	fails(t, "server 6", "import", "--from", filepath.Join(dir, "six"), "-c", file)
}

// TestOwners has root write into somebody else's directories.
func TestOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		return // who is not root owns what he makes
	}
	const uid = 54321
	file, dir := configured(t, "extendedTypesEnabled=true")
	back := filepath.Join(dir, "back")
	for _, d := range []string{"data", "log", "back"} {
		os.Mkdir(filepath.Join(dir, d), 0o700)
		os.Chown(filepath.Join(dir, d), uid, uid)
	}
	works(t, "import", "--from", copyJava(t), "-c", file)
	works(t, "export", "--to", back, "-c", file)
	n := 0
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if st, err := d.Info(); err == nil && path != dir && path != file {
			if n++; st.Sys().(*syscall.Stat_t).Uid != uid {
				t.Errorf("%s belongs to %d", path, st.Sys().(*syscall.Stat_t).Uid)
			}
		}
		return err
	})
	if n < 12 {
		t.Errorf("%d files", n)
	}
}

func TestShowLog(t *testing.T) {
	dir := copyJava(t)
	log := filepath.Join(dir, "version-2", "log.7e")
	lines := strings.Split(works(t, "log", log), "\n")
	if len(lines) != 15 || !strings.Contains(lines[2], "closeSession") {
		t.Fatalf("%d lines, %q", len(lines), lines)
	}
	out := works(t, "log", "-d", dir)
	for _, want := range []string{
		` create path=/a/m8 data="data 8" acl=world:anyone:cdrwa parentCversion=35 digest=0x`, " createSession timeout=10000 digest=",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	var txn map[string]any
	first, _, _ := strings.Cut(works(t, "log", log, "-o", "json", "-d"), "\n")
	if err := json.Unmarshal([]byte(first), &txn); err != nil || txn["zxid"] != "0x7e" {
		t.Errorf("%v, %v", txn, err)
	}
	if out := works(t, "log", "--verify", dir); !strings.Contains(out, "log.7e: 14 txns, 0x7e to 0x8b\n") {
		t.Errorf("%s", out)
	}
	fails(t, "neither of Apache's nor of zkd's", "log", t.TempDir())
	fails(t, "does not begin with ZKLG", "log", filepath.Join(dir, "version-2", "snapshot.7c"))
}

// TestMendLog breaks a log in several ways.
func TestMendLog(t *testing.T) {
	dir := copyJava(t)
	log := filepath.Join(dir, "version-2", "log.7e")
	whole, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	ends := []int{16} // of the records
	for at := 16; whole[at+11] != 0; {
		at += 12 + int(whole[at+11]) + 1
		ends = append(ends, at)
	}
	broken := bytes.Clone(whole)
	broken[ends[2]] ^= 1             // of the third record the checksum
	clear(broken[ends[5]:ends[6]])   // the sixth is gone
	broken[ends[len(ends)-1]-1] ^= 1 // the last one has no end
	os.WriteFile(log, broken, 0o600)
	fails(t, "2 places are damaged", "log", log)
	out, _ := zkctl("", "", "log", "--verify", log)
	for _, want := range []string{": 11 txns, 0x7e to 0x8a; txns between", "wrong checksum", "damaged at byte", "was not finished"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	if out := works(t, "log", "--recover", log); !strings.Contains(out, "2 places were damaged") {
		t.Errorf("%s", out)
	}
	if out := works(t, "log", "--verify", log+".fixed"); !strings.Contains(out, ": 12 txns, 0x7e to 0x8a; txns between 0x82 and 0x84") {
		t.Errorf("%s", out)
	}
	fails(t, "exists", "log", "--recover", log)
	fails(t, "next whole one", "import", "--from", dir, "-c", configFile(t))
	os.WriteFile(log, whole[:ends[3]+20], 0o600)
	if out := works(t, "import", "--from", dir, "-c", configFile(t)); !strings.Contains(out, "zxid 0x80") {
		t.Errorf("%s", out)
	}
}

func configFile(t *testing.T) string {
	t.Helper()
	file, _ := configured(t, "extendedTypesEnabled=true")
	return file
}

func TestShowSnapshot(t *testing.T) {
	dir := copyJava(t)
	if out := works(t, "snapshot", "--stats", "--depth", "2", dir); !strings.Contains(out, "/box/in            1       0") {
		t.Errorf("%s", out)
	}
	out := works(t, "snapshot", "-o", "json", "-d", filepath.Join(dir, "version-2", "snapshot.7c"))
	if want := `{"path":"/box/in","acl":["world:anyone:cdrwa"],`; !strings.Contains(out, want) || strings.Count(out, "\n") != 43+1+1 {
		t.Errorf("no %q in\n%s", want, out)
	}
	newest := filepath.Join(dir, "version-2", "snapshot.7c")
	b, _ := os.ReadFile(newest)
	b[300] ^= 1
	os.WriteFile(newest, b, 0o600)
	fails(t, "checksum", "snapshot", "--verify", newest)
	if out := works(t, "snapshot", "--verify", dir); !strings.Contains(out, "snapshot.6c: whole") {
		t.Errorf("%s", out)
	}
	fails(t, "no snapshot", "snapshot", t.TempDir())
}
