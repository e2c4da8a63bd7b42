package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEverythingAtOnce: all that is wrong is told in one go, in the order of the lines.
func TestEverythingAtOnce(t *testing.T) {
	file := write(t, "server.1=zk1:2888\nticktime=1\nlogLevel=loud\ndataDir=/d\nclientPort=70000\n"+
		"maxSessionTimeout=soon\nminSessionTimeout=100000\nserver.2=zk2:x:y\nsslQuorum=true\nbad=\\u00\n"+
		"admin.commandURL=none\nenforceQuota=maybe\ngroup.1=1:2\nversion=zz\nauthProvider.1=com.example.X\n"+
		"secureClientPort=99\n", "tickTime=2s\nforceSync=no\n")
	_, err := Load(file)
	var w *Wrong
	if !errors.As(err, &w) || !errors.Is(err, ErrConfig) {
		t.Fatal(err)
	}
	var keys []string
	for _, line := range w.Report() {
		line = strings.ReplaceAll(line, file, "F")
		keys = append(keys, strings.Join(strings.SplitN(line, ":", 4)[:min(3, strings.Count(line, ":")+1)], ":"))
	}
	want := []string{"error: F:1", "warning: F:2", "error: F:3", "error: F:5", "error: F:6", "error: F:8", "error: F:9",
		"error: F:10", "error: F:11", "error: F:12", "error: F:14", "error: F:15", "warning: F:16",
		"error: F.d/a.cfg:1", "warning: F.d/a.cfg:2", "12 errors, 3 warnings"}
	if strings.Join(keys, "\n") != strings.Join(want, "\n") {
		t.Errorf("told is\n%s\nand not\n%s\n%s", strings.Join(keys, "\n"), strings.Join(want, "\n"), strings.Join(w.Report(), "\n"))
	}
}

// TestWarningsAreInOrder: those of all checks come in the order of the lines.
func TestWarningsAreInOrder(t *testing.T) {
	c, err := Load(write(t, "dataDir=/d\nskipACL=yes\n4lw.commands.whitelist=ruok,srvrr\nserver.x=a:1:2\nfoo\nsnapCount=1\n"+
		"secureClientPort=2281\nclientPort=2181\n"))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"cfg:2: skipACL", "srvrr is not a four-letter word; it has no effect; did you mean srvr?",
		"did you mean server.1", "cfg:5: foo", "cfg:6: snapCount", "clients that connect to port 2281 find nothing"} {
		if i >= len(c.Warnings) || !strings.Contains(c.Warnings[i], want) {
			t.Fatalf("warning %d is not %q: %q", i, want, c.Warnings)
		}
	}
}

// TestSettingsWithoutEffect are told of.
func TestSettingsWithoutEffect(t *testing.T) {
	c, err := Load(write(t, "dataDir=/d\nclientTcpKeepAlive=false\nDigestAuthenticationProvider.superDigest=super:x\n"+
		"DigestAuthenticationProvider.enabled=false\n= lost\n"))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		"cfg:2: clientTcpKeepAlive=false has no effect", "superDigest has no effect", "cfg:5: a value without the name of a setting",
	} {
		if i >= len(c.Warnings) || !strings.Contains(c.Warnings[i], want) {
			t.Fatalf("warning %d is not %q: %q", i, want, c.Warnings)
		}
	}
}

// TestProbe looks at what a configuration names on this machine.
func TestProbe(t *testing.T) {
	dir := ensembleDir(t, "1")
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	list := "server.1=203.0.113.7:2888:3888\nserver.2=127.0.0.1:2889:3889\nserver.3=127.0.0.1:2890:3890\n"
	for text, want := range map[string]string{
		"dataDir=" + dir + "\nclientPortAddress=127.0.0.1\n":                        "",
		"dataDir=" + dir + "/none\nclientPortAddress=\n":                            "",
		"dataDir=" + dir + "/none\ndatadir.autocreate=false\n":                      "cfg:1: dataDir: " + dir + "/none does not exist",
		"dataDir=" + dir + "\ndataLogDir=" + file + "\n":                            "cfg:2: dataLogDir: " + file + " is not a directory",
		"dataDir=" + dir + "\ndataLogDir=" + file + "/x\n":                          "cfg:2: dataLogDir: ",
		"clientPortAddress=203.0.113.7\ndataDir=" + dir + "\n":                      "cfg:1: clientPortAddress: 203.0.113.7 is not an address of this machine",
		"dataDir=" + dir + "\n" + list:                                              "cfg:2: server.1: 203.0.113.7 is not an address of this machine",
		"dataDir=" + dir + "\n" + list + "quorumListenOnAllIPs=true\n":              "",
		"dataDir=" + dir + "\nclientPortAddress=127.0.0.1\ndataLogDir=/proc/nope\n": "cfg:3: dataLogDir: ",
	} {
		c, err := Load(write(t, text))
		if err != nil {
			t.Fatal(err)
		}
		found := c.Probe()
		if want == "" && len(found) > 0 || want != "" && (len(found) != 1 || !strings.Contains(found[0], want)) {
			t.Errorf("%q: %q, and not %q", text, found, want)
		}
	}
}
