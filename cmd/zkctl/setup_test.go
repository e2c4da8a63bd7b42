package main

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/config"
	"github.com/zkd-project/zkd/daemon/proto"
)

// TestInitOfServerWithData: what servers have written on their own cannot be put together.
func TestInitOfServerWithData(t *testing.T) {
	addr := serve(t)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "zoo.cfg")
	text := "dataDir=" + dir + "\nclientPort=" + port + "\nclientPortAddress=127.0.0.1\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file+".d", 0o700); err != nil {
		t.Fatal(err)
	}
	servers := []string{"--config", file, "--server", "1=zk1", "--server", "2=zk2", "--server", "3=zk3"}
	list := filepath.Join(file+".d", "ensemble.cfg")
	try := func(more ...string) error {
		_ = os.Remove(list)
		_, err := zkctl("", "", append(append([]string{"init"}, servers...), more...)...)
		return err
	}
	if err := try("--id", "1"); err != nil {
		t.Errorf("nobody has made anything: %v", err)
	}
	expect(t, addr, "[zookeeper]\n", "ls", "/")
	if err := try("--id", "1"); err != nil {
		t.Errorf("somebody has looked: %v", err)
	}
	expect(t, addr, "Created /a\n", "create", "/a")
	if err := try("--id", "1"); err == nil || !strings.Contains(err.Error(), "--keep-data") {
		t.Errorf("there is a znode: %v", err)
	}
	if _, err := os.Stat(list); !os.IsNotExist(err) {
		t.Error("a list was written")
	}
	if err := try("--id", "1", "--keep-data"); err != nil {
		t.Errorf("it is to be kept: %v", err)
	}
}

// TestInitOfStoppedServer: the data of a server that does not run count, too.
func TestInitOfStoppedServer(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "zoo.cfg")
	text := "dataDir=" + dir + "/data\ndataLogDir=" + dir + "/log\nclientPort=0\nclientPortAddress=127.0.0.1\n" +
		"DigestAuthenticationProvider.superDigest=cred:digest\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{file + ".d", dir + "/data"} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	list := filepath.Join(file+".d", "ensemble.cfg")
	try := func(more ...string) error {
		_ = os.Remove(list)
		args := []string{"init", "--config", file, "--id", "1", "--server", "1=zk1", "--server", "2=zk2", "--server", "3=zk3"}
		_, err := zkctl("", "", append(args, more...)...)
		return err
	}
	if err := try(); err != nil {
		t.Errorf("there are no data: %v", err)
	}
	_ = os.Remove(list)
	znode := func(path string) {
		t.Helper()
		cfg, err := config.LoadBeside(file)
		if err != nil {
			t.Fatal(err)
		}
		addr, stop := serveConfig(t, cfg)
		defer stop()
		if path != "" {
			expect(t, addr, "Created "+path+"\n", "create", path)
		}
	}
	znode("")
	if err := try(); err != nil {
		t.Errorf("nobody has made anything: %v", err)
	}
	_ = os.Remove(list)
	znode("/a")
	if err := try(); err == nil || !strings.Contains(err.Error(), "--keep-data") || !strings.Contains(err.Error(), dir+"/log") {
		t.Errorf("there is a znode: %v", err)
	}
	if err := try("--keep-data"); err != nil {
		t.Errorf("it is to be kept: %v", err)
	}
	more := "server.1=zk1:2888:3888\nserver.2=zk2:2888:3888\nserver.3=zk3:2888:3888\n"
	if err := os.WriteFile(list, []byte(more), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"init", "--force", "--config", file, "--id", "2", "--server", "1=zk1", "--server", "2=zk2"}
	if _, err := zkctl("", "", args...); err != nil {
		t.Errorf("it is one of an ensemble: %v", err)
	}
}

// TestInitPutsBack: where the new list will not do, everything is as it was.
func TestInitPutsBack(t *testing.T) {
	dir := t.TempDir()
	file, myid := filepath.Join(dir, "zoo.cfg"), filepath.Join(dir, "myid")
	list := filepath.Join(file+".d", "ensemble.cfg")
	if err := os.Mkdir(file+".d", 0o700); err != nil {
		t.Fatal(err)
	}
	const old = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\n"
	for _, test := range []struct{ name, list, id string }{
		{"nothing was there", "", ""}, {"an id was there", "", "2\n"}, {"both were there", old, "3\n"},
	} {
		for path, text := range map[string]string{file: "dataDir=" + dir + "\nclientPort=1\n", list: test.list, myid: test.id} {
			err := os.Remove(path)
			if text != "" {
				err = os.WriteFile(path, []byte(text), 0o600)
			}
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
		_, err := zkctl("", "", "init", "--config", file, "--force", "--id", "2", "--server", "1=a", "--server", "2=b:1:x")
		if err == nil || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("%s: %v", test.name, err)
		}
		for path, want := range map[string]string{list: test.list, myid: test.id} {
			if got, err := os.ReadFile(path); string(got) != want || want == "" && err == nil {
				t.Errorf("%s: %s holds %q, %v", test.name, path, got, err)
			}
		}
	}
}

// TestInitMakesDirectories: the directories for what it writes need not be there.
func TestInitMakesDirectories(t *testing.T) {
	dir := t.TempDir()
	file, data := filepath.Join(dir, "zoo.cfg"), filepath.Join(dir, "data")
	if err := os.WriteFile(file, []byte("dataDir="+data+"\nclientPort=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fails(t, "nothing was changed", "init", "-c", file, "--id", "2", "--server", "1=a", "--server", "2=b:1:x")
	fails(t, "add --server 4=HOST", "init", "-c", file, "--id", "4", "--server", "1=a", "--server", "2=b")
	for _, path := range []string{file + ".d", data} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s was left: %v", path, err)
		}
	}
	works(t, "init", "-c", file, "--id", "2", "--server", "1=a", "--server", "2=b")
	for path, mode := range map[string]os.FileMode{file + ".d": 0o755, data: 0o750} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, st, err)
		}
	}
	if id, _ := os.ReadFile(filepath.Join(data, "myid")); string(id) != "2\n" {
		t.Errorf("myid %q", id)
	}
	if err := os.WriteFile(file, []byte("dataDir="+dir+"/no/data\nclientPort=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fails(t, "make it for the user zkd", "init", "-c", file, "--id", "2", "--server", "1=a", "--server", "2=b", "--force")
}

func TestExplain(t *testing.T) {
	for want, err := range map[string]error{
		"without a quorum": &pathError{"/a", io.EOF}, "run it as root": &os.PathError{Op: "open", Err: os.ErrPermission},
		"Node does not exist: /a": &pathError{"/a", proto.ErrNoNode}, "other": errors.New("other"),
	} {
		if got := explain(err); !strings.Contains(got, want) {
			t.Errorf("%v: %q", err, got)
		}
	}
}

// TestInitTellsOfNames: a name that leads to this machine alone, as installers of Debian write it
// into /etc/hosts, makes a server that the others do not reach.
func TestInitTellsOfNames(t *testing.T) {
	for _, c := range []struct {
		name, own, other, want string
	}{
		{"loopback", "localhost", "192.0.2.7", "localhost is 127.0.0.1 here, where the other servers cannot reach it"},
		{"a trial on one machine", "localhost:1:2", "127.0.0.1:3:4", ""},
		{"an address of another machine", "192.0.2.9", "192.0.2.7", "192.0.2.9 is no address of this machine"},
		{"no such name", "none.invalid", "192.0.2.7", "none.invalid: "},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "zoo.cfg")
		if err := os.WriteFile(file, []byte("dataDir="+dir+"/data\nclientPort=0\nclientPortAddress=127.0.0.1\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := zkctl("", "", "init", "-c", file, "--id", "1", "--server", "1="+c.own, "--server", "2="+c.other)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		_, note, found := strings.Cut(out, "Note: ")
		if found != (c.want != "") || !strings.HasPrefix(strings.ReplaceAll(note, "::1", "127.0.0.1"), c.want) {
			t.Errorf("%s: %s", c.name, out)
		}
	}
}
