package main

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// examined is what doctor finds with a configuration.
func examined(t *testing.T, text string) ([]finding, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "zoo.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, failed := zkctl("", "", "--timeout", "2s", "-o", "json", "doctor", "--config", file)
	var list []finding
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return list, failed
}

func (f finding) is(level, topic, text string) bool {
	return f.Level == level && f.Topic == topic && strings.Contains(f.Text, text)
}

func TestDoctor(t *testing.T) {
	addr := serve(t)
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	base := "dataDir=" + t.TempDir() + "\nclientPort=" + port + "\nclientPortAddress=" + host + "\n"
	data := strings.TrimPrefix(strings.Split(base, "\n")[0], "dataDir=")
	if err := os.WriteFile(filepath.Join(data, "myid"), []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, free, _ := net.SplitHostPort(closed.Addr().String())
	closed.Close()
	for _, c := range []struct {
		name, text string
		fails      bool
		level      string
		topic      string
		finds      string
	}{
		{"one server", base, false, "ok", "servers", "standalone"},
		{"its clock", base, false, "ok", "clocks", "agrees"},
		{"its disk", base, false, "ok", "disk", "left"},
		{"a wrong value", base + "tickTime=fast\n", true, "error", "configuration", "zoo.cfg:4: tickTime"},
		{"no directory", strings.Replace(base, data, data+"/none", 1), true, "error", "disk", "no such file"},
		{"no server", strings.Replace(base, "clientPort="+port, "clientPort="+free, 1), true, "error", "servers", "refused"},
		{"names", base + "server.1=127.0.0.1:1:2\nserver.2=no.such.host.invalid:1:2\n", true, "error", "names", "server.2"},
		{"ports", base + "server.1=127.0.0.1:1:2\nserver.2=127.0.0.1:3:" + free + "\n", false, "warning", "ports", "nothing listens"},
		{"an even number", base + "server.1=127.0.0.1:1:2\nserver.2=127.0.0.1:3:" + free + "\n", false, "warning", "ensemble", "2 servers"},
		{"another machine's name", base + "server.1=192.0.2.1:1:2\nserver.2=127.0.0.1:3:" + free + "\n",
			true, "error", "names", "no address of this machine"},
	} {
		list, err := examined(t, c.text)
		found := false
		for _, f := range list {
			found = found || f.is(c.level, c.topic, c.finds)
		}
		if !found || (err != nil) != c.fails {
			t.Errorf("%s: %v: %+v", c.name, err, list)
		}
	}
}
