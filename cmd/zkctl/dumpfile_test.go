package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/config"
)

// TestDumpKeepsKinds goes from a snapshot of Apache's to a server, and reads what that has.
func TestDumpKeepsKinds(t *testing.T) {
	snapshot := filepath.Join(java, "version-2", "snapshot.7c")
	dump := works(t, "dump", "--from", snapshot, "/")
	for _, want := range []string{`{"path":"/box","mode":"container"}`, `"path":"/ttl","data":"t","mode":"ttl","ttl":`, "digest:"} {
		if !strings.Contains(dump, want) {
			t.Errorf("no %s in %s", want, dump)
		}
	}
	if out := works(t, "dump", "--from", snapshot, "/box"); strings.Count(out, "\n") != 2 || !strings.Contains(out, "/box/in") {
		t.Error(out)
	}
	fails(t, "node", "dump", "--from", snapshot, "/none")
	fails(t, "give one file", "dump", "--from", java, "/")
	file, dir := configured(t, "clientPortAddress=127.0.0.1\nextendedTypesEnabled=true")
	list := filepath.Join(dir, "dump")
	if err := os.WriteFile(list, []byte(dump), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	addr, stop := serveConfig(t, cfg)
	if out, err := zkctl(addr, "", "load", list); err != nil {
		t.Errorf("%s, %v", out, err)
	}
	stop()
	back := works(t, "dump", "--from", filepath.Join(dir, "data"), "--log-dir", filepath.Join(dir, "log"), "/")
	for line := range strings.Lines(dump) {
		if !strings.Contains(back, line) {
			t.Errorf("it lacks %s", line)
		}
	}
	if a, b := strings.Count(back, "\n"), strings.Count(dump, "\n"); a != b {
		t.Errorf("%d znodes and not %d", a, b)
	}
}

// TestLoadKinds has dumps that a server does not take, or nobody understands.
func TestLoadKinds(t *testing.T) {
	addr := serve(t)
	file := filepath.Join(t.TempDir(), "dump")
	for text, want := range map[string]string{
		`{"path":"/a","mode":"ttl","ttl":5000}`: "extendedTypesEnabled=true",
		`{"path":"/a","mode":"ttl"}`:            "1 to ",
		`{"path":"/a","ttl":5}`:                 "give mode ttl",
		`{"path":"/a","mode":"other"}`:          "give container or ttl",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := zkctl(addr, "", "load", file); err == nil || !strings.Contains(explain(err), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	_, err := zkctl(addr, "", "create", "-t", "5000", "/x")
	if err == nil || !strings.Contains(explain(err), "extendedTypesEnabled=true") {
		t.Error(err)
	}
}

// TestACLsOfDumps: an ACL must not come back as another one.
func TestACLsOfDumps(t *testing.T) {
	n := dumped{ACL: []string{"x509:CN=a:r,world:anyone:cdrwa", "x509:CN=b,O=c:r"}}
	acls, err := parseACLs(n.ACL)
	if got := formatACL(acls); err != nil || !slices.Equal(got, n.ACL) {
		t.Errorf("%q, %v", got, err)
	}
	addr := serve(t)
	expect(t, addr, "Created /a\n", "create", "/a", "1", "world:anyone:r,digest:bob:ikIaKsbtGweaHnb/jKn7OHqbunM=:cdrwa")
	if out, err := zkctl(addr, "", "dump", "/"); err == nil || !strings.Contains(explain(err), "--auth") {
		t.Errorf("without the right to see hashes: %s, %v", out, err)
	}
	expect(t, addr, `{"path":"/a","data":"1","acl":["world:anyone:r","digest:bob:ikIaKsbtGweaHnb/jKn7OHqbunM=:cdrwa"]}`+"\n",
		"--auth", "digest:bob:pw", "dump", "/")
}
