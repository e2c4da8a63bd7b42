//go:build interop

package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

// TestRestoreBetweenBoth brings a snapshot that Apache's server sent into a zkd that runs, and one of that back.
func TestRestoreBetweenBoth(t *testing.T) {
	dir, err := os.MkdirTemp("", "zkd") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	ours := zkd(t)
	plain := ours.make
	ours.make = func() *exec.Cmd {
		cmd := plain()
		cmd.Env = append(os.Environ(), "ZKD_ADMIN_SOCKET="+socket)
		return cmd
	}
	ours.start()
	defer ours.kill()
	theirs := java(t)
	port := freePort(t)
	file := filepath.Join(filepath.Dir(theirs.log), "zoo.cfg")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	with := fmt.Sprintf("admin.enableServer=true\nadmin.serverPort=%d\nadmin.serverAddress=127.0.0.1\n", port)
	text = bytes.Replace(text, []byte("admin.enableServer=false\n"), []byte(with), 1)
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	bare := theirs.make
	theirs.make = func() *exec.Cmd { // with what its commands by HTTP need
		cmd := bare()
		i := slices.Index(cmd.Args, "-cp") + 1
		cmd.Args[i] += ":" + os.Getenv("ZKD_JAVA_ADMIN") + "/*"
		return cmd
	}
	theirs.start()
	defer theirs.kill()
	address := fmt.Sprintf("127.0.0.1:%d", port)
	for limit := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if probe, err := net.Dial("tcp", address); err == nil {
			probe.Close()
			break
		} else if time.Now().After(limit) {
			t.Fatal(err)
		}
	}

	c := reach(t, theirs.addr)
	defer c.Close()
	paths := fillKinds(t, c)
	snapshot, _ := overHTTP(t, "tcp", address, "GET", "snapshot", nil)
	answer, zxid := overHTTP(t, "unix", socket, "POST", "restore", snapshot)
	if zxid != 1<<32 {
		t.Fatalf("%s", answer)
	}
	there := reach(t, ours.addr)
	defer there.Close()
	sameZnodes(t, c, there, paths)
	if _, err := there.Create("/a/new", []byte("new"), 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}

	snapshot, _ = overHTTP(t, "unix", socket, "GET", "snapshot", nil)
	answer, zxid = overHTTP(t, "tcp", address, "POST", "restore", snapshot)
	if zxid>>32 != 1 {
		t.Fatalf("%s", answer)
	}
	again := reach(t, theirs.addr)
	defer again.Close()
	sameZnodes(t, there, again, append(paths, "/a/new"))
	if log, err := os.ReadFile(theirs.log); err != nil || strings.Contains(string(log), "Digests are not matching") {
		t.Errorf("%v: its log says\n%s", err, log)
	}
}

// fillKinds makes znodes of several kinds.
func fillKinds(t *testing.T, c *zk.Conn) (paths []string) {
	t.Helper()
	if err := c.AddAuth("digest", []byte("u:p")); err != nil {
		t.Fatal(err)
	}
	for _, z := range []struct {
		path  string
		flags int32
		acl   []zk.ACL
	}{
		{"/a", 0, zk.WorldACL(zk.PermAll)}, {"/a/mine", 0, zk.DigestACL(zk.PermAll, "u", "p")},
		{"/a/gone", zk.FlagEphemeral, zk.WorldACL(zk.PermAll)}, {"/a/n", zk.FlagSequence, zk.WorldACL(zk.PermAll)},
	} {
		path, err := c.Create(z.path, []byte(z.path), z.flags, z.acl)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	if _, err := c.CreateTTL("/a/ttl", nil, zk.FlagTTL, zk.WorldACL(zk.PermAll), 1e15); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		path := fmt.Sprintf("/a/many%d", i)
		if _, err := c.Create(path, make([]byte, i), 0, zk.WorldACL(zk.PermAll)); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	if _, err := c.Set("/a", []byte("changed"), 0); err != nil {
		t.Fatal(err)
	}
	return append(paths, "/a/ttl")
}

// sameZnodes compares data and Stat of znodes on two servers.
func sameZnodes(t *testing.T, a, b *zk.Conn, paths []string) {
	t.Helper()
	if _, _, err := b.Get("/a/mine"); err != zk.ErrNoAuth {
		t.Errorf("what is protected: %v", err)
	}
	if err := b.AddAuth("digest", []byte("u:p")); err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		data, want, err := a.Get(path)
		if err != nil {
			t.Fatal(err)
		}
		got, st, err := b.Get(path)
		if err != nil || string(got) != string(data) || *st != *want {
			t.Errorf("%s: %q %+v, and was %q %+v: %v", path, got, st, data, want, err)
		}
	}
}

// overHTTP asks a command, and returns the answer's body and the field last_zxid, if there is one.
func overHTTP(t *testing.T, network, address, method, command string, body []byte) (answer []byte, zxid int64) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}}
	r, err := http.NewRequest(method, "http://local/commands/"+command, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "digest u:p")
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s %s %v", method, command, response.Status, answer, err)
	}
	var o struct {
		LastZxid int64 `json:"last_zxid"`
	}
	if method == "POST" && json.Unmarshal(answer, &o) != nil {
		t.Fatalf("%s", answer)
	}
	return answer, o.LastZxid
}
