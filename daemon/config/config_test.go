package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, text string, dropins ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "zoo.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, d := range dropins {
		if err := os.MkdirAll(file+".d", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(file+".d", string(rune('a'+i))+".cfg"), []byte(d), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

func TestProperties(t *testing.T) {
	entries, errs := parseProperties("f", []byte("# c\n! c\n a = b c \nd:e\nf g\nh=\\\n   i\nj\\=k=l\\u0041\\t.\n\nlast"))
	if errs != nil {
		t.Fatal(errs)
	}
	want := []entry{
		{"a", "b c", "f", 3}, {"d", "e", "f", 4}, {"f", "g", "f", 5}, {"h", "i", "f", 6}, {"j=k", "lA\t.", "f", 8}, {"last", "", "f", 10},
	}
	if len(entries) != len(want) {
		t.Fatalf("%v", entries)
	}
	for i := range want {
		if entries[i] != want[i] {
			t.Errorf("entry %d is %+v and not %+v", i, entries[i], want[i])
		}
	}
	entries, errs = parseProperties("f", []byte("a=\\u00\nb=c\nd=\\u0x00"))
	if len(entries) != 1 || len(errs) != 2 || !strings.Contains(errs[0].Error(), "f:1") || !strings.Contains(errs[1].Error(), "f:3") {
		t.Errorf("half a character: %v, %v", entries, errs)
	}
}

// TestDropInsThatCannotBeFound must not be passed over.
func TestDropInsThatCannotBeFound(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "zk[1]") // a pattern for some
	if err := os.MkdirAll(filepath.Join(dir, "zoo.cfg.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "zoo.cfg")
	for path, text := range map[string]string{file: "dataDir=/d\n", file + ".d/a.cfg": "maxCnxns=7\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if c, err := Load(file); err != nil || c.MaxCnxns != 7 {
		t.Errorf("%v", err)
	}
	if err := os.RemoveAll(file + ".d"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+".d", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file); !errors.Is(err, ErrConfig) {
		t.Errorf("a directory that is none: %v", err)
	}
}

func FuzzProperties(f *testing.F) {
	f.Add([]byte("a=b\\\n c\\u0041:\\"))
	f.Fuzz(func(t *testing.T, text []byte) {
		entries, errs := parseProperties("f", text)
		if errs == nil && len(entries) > len(text)+1 {
			t.Errorf("%d entries out of %d bytes", len(entries), len(text))
		}
	})
}

func TestLoad(t *testing.T) {
	t.Setenv("ZKD_MAXCNXNS", "7")
	file := write(t, "dataDir=/d\ntickTime=2000\ntickTime=1000\nclienPort=1\nsnapCount=5\nskipACL=yes\n"+
		"zookeeper.jute.maxbuffer=4096\nfoo.bar.baz.qux=1\n", "maxClientCnxns=5\n", "maxClientCnxns=6\n")
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if c.DataDir != "/d" || c.DataLogDir != "/d" || c.TickTime != 1000 || c.MinSessionTimeout != 2000 ||
		c.MaxSessionTimeout != 20000 || c.MaxClientCnxns != 6 || c.MaxCnxns != 7 || !c.SkipACL || c.MaxFrame != 4096 ||
		c.ClientPort != 2181 || !c.ForceSync {
		t.Errorf("%+v", c)
	}
	warnings := strings.Join(c.Warnings, "\n")
	for _, want := range []string{"replaces line 2", "did you mean clientPort?", "snapCount has no effect", "no ACL is checked", "foo.bar.baz.qux"} {
		if !strings.Contains(warnings, want) {
			t.Errorf("no warning says %q:\n%s", want, warnings)
		}
	}
}

func TestErrors(t *testing.T) {
	for text, want := range map[string]string{
		"tickTime=2000\n": "dataDir: is not set",
		"dataDir=/d\nDigestAuthenticationProvider.digestAlg=MD4\n":   `:2: DigestAuthenticationProvider.digestAlg: "MD4"`,
		"dataDir=/d\nDigestAuthenticationProvider.superDigest=a:b\n": "superDigest: it must begin with super:",
		"dataDir=/d\nclientPort=70000\n":                             ":2: clientPort: 70000 is out of range: give a number from 0 to 65535",
		"dataDir=/d\nserver.1=g\xfcnther:1:2\n":                      "is not UTF-8 text",
		"dataDir=/d\nenforceQuota=maybe\n":                           `:2: enforceQuota: "maybe" is neither true nor false`,
		"dataDir=/d\ntickTime=2s\n":                                  `:2: tickTime: "2s" is not a whole number: give milliseconds, e.g. 2000`,
		"dataDir=/d\ninitLimit=much\n":                               `:2: initLimit: "much" is not a whole number: give ticks, e.g. 10`,
		"dataDir=/d\nclientPort=http\n":                              `"http" is not a whole number: give a number, e.g. 2181`,
		"dataDir=/d\njute.maxbuffer=1m\n":                            `"1m" is not a whole number: give bytes, e.g. 1048575`,
		"dataDir=/d\nlogLevel=loud\n":                                `:2: logLevel: "loud" is no level; give one of trace, debug, info, warn, error`,
		"dataDir=/d\nminSessionTimeout=9\nmaxSessionTimeout=8":       ":2: minSessionTimeout: 9 is above maxSessionTimeout",
		"dataDir=/d\nserver.1=a:1:2\nserver.2=b:1:2\n":               "/d/myid",
		"dataDir=/d\nserver.1=a:1:2\nserver.2=a:1:3\n":               "servers 1 and 2 both have the address a:1",
		"dataDir=/d\nenforce.auth.enabled=true\n":                    "enforce.auth.schemes: must be set",
	} {
		_, err := Load(write(t, text))
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, and not %q", text, err, want)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none")); !errors.Is(err, ErrConfig) {
		t.Errorf("no file: %v", err)
	}
}

func TestExplain(t *testing.T) {
	if text, ok := Explain("tickTime"); !ok || !strings.Contains(text, "ZKD_TICKTIME") {
		t.Errorf("%v %s", ok, text)
	}
	if text, ok := Explain("ticktime"); ok || !strings.Contains(text, "tickTime") {
		t.Errorf("%v %s", ok, text)
	}
}

func TestDocumentsAreCurrent(t *testing.T) {
	for file, text := range map[string]string{
		"../../docs/CONFIG.md": Document(), "../../packaging/man/zoo.cfg.5": Page(),
	} {
		if b, err := os.ReadFile(file); err != nil || string(b) != text {
			t.Errorf("%s is not current: run make docs (%v)", file, err)
		}
	}
}

func TestKeysAreUnique(t *testing.T) {
	seen := make(map[string]bool)
	for _, k := range Table() {
		if seen[k.Name] {
			t.Errorf("%s has two rows", k.Name)
		}
		seen[k.Name] = true
	}
}
