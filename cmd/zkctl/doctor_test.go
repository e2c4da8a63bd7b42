package main

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/config"
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
		{"a secret of the service", base + "DigestAuthenticationProvider.superDigest=cred:digest\n", false,
			"ok", "configuration", "can be read"},
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

// TestDoctorSandbox: the unit has to let the service write to a disk of its own.
func TestDoctorSandbox(t *testing.T) {
	top := t.TempDir()
	disk, link := filepath.Join(top, "disk"), filepath.Join(top, "link")
	if err := errors.Join(os.Mkdir(disk, 0o700), os.Symlink(disk, link)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, file, data, log, show, want string }{
		{"the state directory", "zoo.cfg", "/var/lib/zkd", "/var/lib/zkd", "ReadWritePaths=\n", "ok"},
		{"below it", "zoo.cfg", "/var/lib/zkd/data", "/var/lib/zkd/data", "ReadWritePaths=\n", "ok"},
		{"beside it", "zoo.cfg", "/var/lib/zkd2", "/var/lib/zkd2", "ReadWritePaths=\n", "warning dataDir"},
		{"a disk of its own", "zoo.cfg", "/var/lib/zkd", disk, "ReadWritePaths=\n", "ok warning dataLogDir"},
		{"given to it", "zoo.cfg", "/var/lib/zkd", disk + "/log", "ReadWritePaths=/other -" + disk + "\n", "ok ok"},
		{"through a link", "zoo.cfg", "/var/lib/zkd", link, "ReadWritePaths=" + disk + "\n", "ok ok"},
		{"an instance", "two.cfg", "/var/lib/zkd", "/var/lib/zkd", "ReadWritePaths=\n", "warning dataDir"},
		{"no sandbox", "zoo.cfg", disk, disk, "ProtectSystem=no\n", ""},
	} {
		d := &doctor{cfg: &config.Config{DataDir: c.data, DataLogDir: c.log}}
		d.sandbox("/etc/zkd/"+c.file, func(name string, args ...string) (string, error) {
			state := map[string]string{"zkd": "zkd", "zkd@two": "zkd-two"}[args[1]]
			return "ProtectSystem=strict\nStateDirectory=" + state + "\n" + c.show, nil
		})
		var got []string
		for _, f := range d.list {
			got = append(got, f.Level)
			if f.Level == "warning" {
				got = append(got, strings.Fields(f.Text)[0])
				if !strings.Contains(f.Fix, "ReadWritePaths="+c.log) {
					t.Errorf("%s: %s", c.name, f.Fix)
				}
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q and not %q", c.name, got, c.want)
		}
	}
	d := &doctor{cfg: &config.Config{DataDir: disk, DataLogDir: disk}}
	d.sandbox("/etc/zkd/zoo.cfg", func(string, ...string) (string, error) { return "", exec.ErrNotFound })
	if len(d.list) > 0 {
		t.Errorf("without systemd: %v", d.list)
	}
}
