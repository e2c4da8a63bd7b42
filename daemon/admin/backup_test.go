package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/tree"
)

// fakeBackup is a text as a backup. A write of it waits for gate, and fails at the end with err.
type fakeBackup struct {
	text string
	gate chan struct{}
	err  error
}

func (f *fakeBackup) Zxid() proto.Zxid { return 0x10a }

func (f *fakeBackup) WriteTo(w io.Writer) (int64, error) {
	if w == io.Discard {
		return int64(len(f.text)), nil
	}
	if f.gate != nil {
		<-f.gate
	}
	half := len(f.text)
	if f.err != nil {
		half /= 2
	}
	n, err := io.WriteString(w, f.text[:half])
	return int64(n), errors.Join(err, f.err)
}

// lock gives the root to the user "root" with the password "secret".
func (b *backend) lock(t *testing.T) {
	t.Helper()
	list := []proto.ACL{
		{Perms: proto.PermAll, ID: proto.ID{Scheme: "digest", ID: b.auth.DigestID("root:secret")}},
		{Perms: proto.PermRead | proto.PermAdmin, ID: proto.ID{Scheme: "digest", ID: b.auth.DigestID("reader:x")}},
	}
	var res tree.Result
	b.r.Tree().Apply(&proto.Txn{
		TxnHeader: proto.TxnHeader{Zxid: 1, Type: proto.OpSetACL}, Path: []byte("/"), ACL: proto.AppendACLs(nil, list),
		Version: 1,
	}, &res)
	if res.Err != proto.ErrOK {
		t.Fatal(res.Err)
	}
}

// asked is an answer.
type asked struct {
	*http.Response
	text string
	err  error // of reading the body
}

// why is the field error of an answer in JSON.
func (a *asked) why() string {
	var o struct{ Command, Error string }
	if json.Unmarshal([]byte(a.text), &o) != nil {
		return "no JSON: " + a.text
	}
	return o.Error
}

// site serves a backend's pages; asking gives credentials, "" for none.
func site(t *testing.T, b *backend) func(method, path, credentials string) *asked {
	t.Helper()
	s := httptest.NewServer(New(b, nil).Handler(all))
	t.Cleanup(s.Close)
	return func(method, path, credentials string) *asked {
		t.Helper()
		r, err := http.NewRequestWithContext(context.Background(), method, s.URL+"/commands/"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if credentials != "" {
			r.Header.Set("Authorization", credentials)
		}
		answer, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		return &asked{answer, string(text), err}
	}
}

func withBackup(t *testing.T, f *fakeBackup) *backend {
	b := newBackend(t)
	b.lock(t)
	b.backups = Backups{Enabled: true, Restore: true}
	b.backup = func() (Backup, error) { return f, nil }
	b.restore = func(io.Reader, int64, string) (Restored, error) { return Restored{}, nil }
	return b
}

const right = "digest root:secret"

func TestSnapshotCommand(t *testing.T) {
	ask := site(t, withBackup(t, &fakeBackup{text: "the whole tree"}))
	for _, name := range []string{"snapshot", "snap", "snapshot?streaming=true", "snapshot?streaming=TRUE"} {
		a := ask("GET", name, right)
		if a.StatusCode != http.StatusOK || a.text != "the whole tree" || a.ContentLength != 14 ||
			a.Header.Get("Content-Type") != "application/octet-stream" || a.Header.Get("last_zxid") != "0x10a" ||
			a.Header.Get("snapshot_size") != "14" ||
			a.Header.Get("Content-Disposition") != `attachment; filename="snapshot.10a"` {
			t.Errorf("%s: %s %v %q", name, a.Status, a.Header, a.text)
		}
	}
	for _, method := range []string{"GET", "HEAD"} { // nothing is sent, and nothing is kept
		path := "snapshot"
		if method == "GET" {
			path += "?streaming=false"
		}
		a := ask(method, path, right)
		if a.StatusCode != http.StatusOK || a.Header.Get("last_zxid") != "0x10a" || a.Header.Get("snapshot_size") != "14" ||
			a.Header.Get("Content-Type") != "application/json" || method == "GET" && a.why() != "" {
			t.Errorf("%s %s: %s %v %q", method, path, a.Status, a.Header, a.text)
		}
	}
}

// TestWhoMayHaveASnapshot asks with all kinds of credentials.
func TestWhoMayHaveASnapshot(t *testing.T) {
	b := withBackup(t, &fakeBackup{text: "x"})
	ask := site(t, b)
	for _, c := range []struct {
		credentials, why string
		status           int
	}{
		{"", "Auth info is missing for the command", 401}, {"digest", "Not authenticated", 401},
		{"digest root:wrong", "Not authorized", 403}, {"digest reader:x", "Not authorized", 403},
		{"world anyone", "Not authenticated", 401}, {"basic cm9vdDpzZWNyZXQ=", "Not authenticated", 401},
		{"ip", "Not authorized", 403}, {right, "", 200},
	} {
		for _, way := range [][2]string{{"GET", "snapshot"}, {"HEAD", "snapshot"}, {"POST", "restore"}} {
			status, why := c.status, c.why
			a := ask(way[0], way[1], c.credentials)
			if a.StatusCode != status || status != 200 && way[0] != "HEAD" && a.why() != why {
				t.Errorf("%v with %q: %s %s", way, c.credentials, a.Status, a.text)
			}
		}
	}
}

func TestSnapshotIsLimited(t *testing.T) {
	gate := make(chan struct{})
	b := withBackup(t, &fakeBackup{text: "x", gate: gate})
	b.backups.Every = time.Hour
	ask := site(t, b)
	first := make(chan *asked)
	go func() { first <- ask("GET", "snapshot", right) }()
	for limit := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		a := ask("GET", "snapshot", "digest a:b") // is no backup, and does not count as one
		if a.StatusCode != http.StatusForbidden {
			t.Fatalf("with a wrong password: %s", a.Status)
		}
		if a = ask("GET", "metrics", right); a.StatusCode != http.StatusOK || time.Now().After(limit) {
			t.Fatal(a.Status)
		}
		if a = ask("POST", "snapshot", right); a.StatusCode != http.StatusMethodNotAllowed {
			t.Fatal(a.Status)
		}
		select {
		case a := <-first:
			t.Fatalf("it did not wait: %s", a.text)
		default:
		}
		if a = ask("GET", "snapshot", right); a.StatusCode == http.StatusTooManyRequests &&
			a.why() == "another snapshot is under way" {
			break
		}
	}
	close(gate)
	if a := <-first; a.StatusCode != http.StatusOK || a.text != "x" {
		t.Errorf("the first one: %s %q", a.Status, a.text)
	}
	a := ask("GET", "snapshot", right)
	if a.StatusCode != http.StatusTooManyRequests || !strings.Contains(a.why(), "admin.rateLimiterIntervalInMS=3600000") {
		t.Errorf("the next one: %s %s", a.Status, a.text)
	}
	b.backups.Every = 0
	if a = ask("GET", "snapshot", right); a.StatusCode != http.StatusOK {
		t.Errorf("without a limit: %s %s", a.Status, a.text)
	}
}

// TestSnapshotThatBreaksOff must not look like a whole one.
func TestSnapshotThatBreaksOff(t *testing.T) {
	f := &fakeBackup{text: strings.Repeat("x", 1<<20), err: errors.New("the disk is gone")}
	b := withBackup(t, f)
	ask := site(t, b)
	if a := ask("GET", "snapshot", right); a.err == nil {
		t.Errorf("%s, %d bytes of %d, and no error", a.Status, len(a.text), a.ContentLength)
	}
	b.backup = func() (Backup, error) { return nil, errors.New("the log does not reach back so far") }
	if a := ask("GET", "snapshot", right); a.StatusCode != 500 || a.why() != "the log does not reach back so far" {
		t.Errorf("%s %s", a.Status, a.text)
	}
	b.backups.Enabled = false
	if a := ask("GET", "snapshot", right); a.StatusCode != 503 || !strings.Contains(a.why(), "admin.snapshot.enabled=false") {
		t.Errorf("switched off: %s %s", a.Status, a.text)
	}
	b.backups.Restore = false
	if a := ask("POST", "rest", right); a.StatusCode != 503 || !strings.Contains(a.why(), "admin.restore.enabled=false") {
		t.Errorf("switched off: %s %s", a.Status, a.text)
	}
}

func TestMethodsOfCommands(t *testing.T) {
	ask := site(t, withBackup(t, &fakeBackup{}))
	for _, c := range [][3]string{{"POST", "snapshot", "GET"}, {"GET", "restore", "POST"}, {"POST", "ruok", "GET"}} {
		if a := ask(c[0], c[1], right); a.StatusCode != http.StatusMethodNotAllowed || a.Header.Get("Allow") != c[2] {
			t.Errorf("%v: %s %v %s", c, a.Status, a.Header, a.text)
		}
	}
	if a := ask("POST", "nothing", ""); a.why() != "Unknown command: nothing" {
		t.Error(a.text)
	}
}

// TestNoSnapshotWithoutAQuorum: a script that does not look must not take an error for a backup.
func TestNoSnapshotWithoutAQuorum(t *testing.T) {
	b := withBackup(t, &fakeBackup{})
	b.r = looking(t, b)
	if a := site(t, b)("GET", "snapshot", right); a.StatusCode != 503 || a.why() != notServing {
		t.Errorf("%s %s", a.Status, a.text)
	}
}
