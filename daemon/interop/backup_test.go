//go:build interop

package interop

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

// TestBackupInApache has Apache's server start on a snapshot that zkd sent while it ran.
func TestBackupInApache(t *testing.T) {
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
	c := reach(t, ours.addr)
	defer c.Close()
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
		if _, err := c.Create(z.path, []byte(z.path), z.flags, z.acl); err != nil {
			t.Fatal(err)
		}
	}
	theirs := java(t)
	files := filepath.Join(filepath.Dir(theirs.log), "data", "version-2")
	if err := os.MkdirAll(files, 0o755); err != nil {
		t.Fatal(err)
	}
	zxid, body := backup(t, socket)
	if err := os.WriteFile(filepath.Join(files, "snapshot."+zxid), body, 0o644); err != nil {
		t.Fatal(err)
	}
	theirs.start()
	defer theirs.kill()
	if log, err := os.ReadFile(theirs.log); err != nil || !strings.Contains(string(log), "highest zxid is 0x"+zxid) ||
		strings.Contains(string(log), "Digests are not matching") {
		t.Errorf("%v: its log says\n%s", err, log)
	}
	there := reach(t, theirs.addr)
	defer there.Close()
	if _, _, err := there.Get("/a/mine"); err != zk.ErrNoAuth {
		t.Errorf("what is protected: %v", err)
	}
	if err := there.AddAuth("digest", []byte("u:p")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/a", "/a/mine", "/a/gone", "/a/n0000000002"} {
		data, want, err := c.Get(path)
		if err != nil {
			t.Fatal(err)
		}
		got, st, err := there.Get(path)
		if err != nil || string(got) != string(data) || *st != *want {
			t.Errorf("%s: %q %+v, and was %q %+v: %v", path, got, st, data, want, err)
		}
	}
}

// backup asks for a snapshot.
func backup(t *testing.T, socket string) (zxid string, body []byte) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	r, err := http.NewRequest("GET", "http://local/commands/snapshot", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "digest u:p")
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s %s %v", answer.Status, body, err)
	}
	return strings.TrimPrefix(answer.Header.Get("last_zxid"), "0x"), body
}

func reach(t *testing.T, addr string) *zk.Conn {
	t.Helper()
	c, events, err := zk.Connect([]string{addr}, 30*time.Second, zk.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	for e := range events {
		if e.State == zk.StateHasSession {
			break
		}
	}
	return c
}
