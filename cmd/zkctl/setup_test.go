package main

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
