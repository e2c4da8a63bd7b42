package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestChanged tells what takes effect on a reload from what needs a restart.
func TestChanged(t *testing.T) {
	dir := t.TempDir()
	load := func(text, id string) *Config {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "myid"), []byte(id), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(write(t, "dataDir="+dir+"\nserver.1=a:1:2\n"+text))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	const others = "server.2=b:1:2\nserver.3=c:1:2\n"
	before := load(others, "1")
	for _, c := range []struct{ name, text, id, live, restart string }{
		{"nothing", others, "1", "", ""},
		{"a limit", others + "maxClientCnxns=5\n", "1", "maxClientCnxns", ""},
		{"a tick", others + "tickTime=5\n", "1", "", "tickTime"},
		{"another's address", "server.2=b:1:2\nserver.3=d:1:2\n", "1", "server.N", ""},
		{"another's ports", "server.2=b:1:2\nserver.3=c:8:9\n", "1", "server.N", ""},
		{"a server more", others + "server.4=d:1:2\n", "1", "", "server.N"},
		{"another server", "server.2=b:1:2\nserver.4=c:1:2\n", "1", "", "server.N"},
		{"another's role", "server.2=b:1:2\nserver.3=c:1:2:observer\n", "1", "", "server.N"},
		{"groups", others + "group.1=1:2:3\n", "1", "", "server.N"},
		{"its own id", others, "2", "", "myid"},
	} {
		var live, restart []string
		for _, k := range Changed(before, load(c.text, c.id)) {
			if k.Reload {
				live = append(live, k.Name)
			} else {
				restart = append(restart, k.Name)
			}
		}
		if strings.Join(live, " ") != c.live || strings.Join(restart, " ") != c.restart {
			t.Errorf("%s: live %v, after a restart %v", c.name, live, restart)
		}
	}
	own := load("server.2=b:1:2\nserver.3=c:1:2\n", "2")
	moved := load("server.2=e:1:2\nserver.3=c:1:2\n", "2")
	if Readdressed(own.Ensemble, moved) {
		t.Error("a server's own address changes while it runs")
	}
}
