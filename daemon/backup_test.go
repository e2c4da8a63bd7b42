package daemon

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/zkd-project/zkd/daemon/migrate"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/tree"
)

// snapshotOf asks for a snapshot and writes it to a directory under the name that comes with it.
// It returns the file's path, or the status and reason of a refusal.
func snapshotOf(t *testing.T, port int, credentials, dir string) (file, why string) {
	t.Helper()
	defer http.DefaultClient.CloseIdleConnections()
	r, err := http.NewRequest("GET", fmt.Sprintf("http://127.0.0.1:%d/commands/snapshot?streaming=true", port), nil)
	if err != nil {
		t.Fatal(err)
	}
	if credentials != "" {
		r.Header.Set("Authorization", credentials)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK {
		var o struct{ Error string }
		if err := json.Unmarshal(text, &o); err != nil {
			t.Fatalf("%s: %s", answer.Status, text)
		}
		return "", fmt.Sprintf("%d %s", answer.StatusCode, o.Error)
	}
	_, names, err := mime.ParseMediaType(answer.Header.Get("Content-Disposition"))
	if err != nil {
		t.Fatal(err)
	}
	if size := answer.Header.Get("snapshot_size"); size != fmt.Sprint(len(text)) ||
		"0x"+strings.TrimPrefix(names["filename"], "snapshot.") != answer.Header.Get("last_zxid") {
		t.Errorf("%d bytes, and %v", len(text), answer.Header)
	}
	file = filepath.Join(dir, names["filename"])
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file, ""
}

// anyone is for trees that are only looked at.
type anyone struct{ tree.Matcher }

// read reads a snapshot, and compares its digest.
func read(t *testing.T, file string) *migrate.State {
	t.Helper()
	s, err := migrate.ReadSnapshot(file, migrate.Options{Tree: tree.Options{Match: anyone{}, ExtendedTypes: true}})
	if err != nil {
		t.Fatal(err)
	}
	if s.Digests != 1 || len(s.Notes) > 0 {
		t.Errorf("%s: %d digests were compared; %v", file, s.Digests, s.Notes)
	}
	return s
}

// writer creates znodes, one after the other, and counts those that are acknowledged.
type writer struct {
	acked atomic.Int64
	halt  chan struct{}
	ended sync.WaitGroup
}

func write(t *testing.T, c *zk.Conn, top string) *writer {
	w := &writer{halt: make(chan struct{})}
	w.ended.Go(func() {
		for i := int64(0); ; i++ {
			select {
			case <-w.halt:
				return
			default:
			}
			_, err := c.Create(fmt.Sprintf("%s/%06d", top, i), make([]byte, 200), 0, zk.WorldACL(zk.PermAll))
			if err != nil {
				t.Error(err)
				return
			}
			w.acked.Store(i + 1)
		}
	})
	return w
}

func (w *writer) stop() { close(w.halt); w.ended.Wait() }

const rootUser = "root:secret"

// owned makes znodes of all kinds and gives the root to rootUser.
func owned(t *testing.T, c *zk.Conn) {
	t.Helper()
	if err := c.AddAuth("digest", []byte(rootUser)); err != nil {
		t.Fatal(err)
	}
	mine := zk.DigestACL(zk.PermAll, "root", "secret")
	for path, flags := range map[string]int32{"/w": 0, "/mine": 0, "/gone": zk.FlagEphemeral, "/s": zk.FlagSequence} {
		acl := zk.WorldACL(zk.PermAll)
		if path == "/mine" {
			acl = mine
		}
		if _, err := c.Create(path, []byte("data of "+path), flags, acl); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.SetACL("/", append(mine, zk.WorldACL(zk.PermRead)...), -1); err != nil {
		t.Fatal(err)
	}
}

// TestBackup takes snapshots while a client writes. Each holds everything that was acknowledged
// before it was asked for, and nothing without what came before it. A server starts from one.
func TestBackup(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreAnyFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"))
	port := freePort(t)
	s := startWith(t, t.TempDir(),
		fmt.Sprintf("admin.serverPort=%d\nadmin.serverAddress=127.0.0.1\nadmin.rateLimiterIntervalInMS=0\n", port))
	c := connect(t, s.addr)
	owned(t, c)
	for credentials, want := range map[string]string{
		"": "401 Auth info is missing for the command", "digest root:wrong": "403 Not authorized",
		"ip": "403 Not authorized", "sasl root": "401 Not authenticated",
	} {
		if file, why := snapshotOf(t, port, credentials, t.TempDir()); why != want {
			t.Errorf("%q: %s %s", credentials, file, why)
		}
	}
	w := write(t, c, "/w")
	var last string
	for range 4 {
		for before := w.acked.Load(); w.acked.Load() < before+300 && !t.Failed(); {
			time.Sleep(time.Millisecond)
		}
		before := w.acked.Load()
		file, why := snapshotOf(t, port, "digest "+rootUser, t.TempDir())
		if why != "" {
			t.Fatal(why)
		}
		checkPrefix(t, file, before)
		last = file
	}
	w.stop()
	c.Close()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	startFrom(t, last)
}

// checkPrefix looks into a snapshot that was asked for after so many znodes below /w were there.
func checkPrefix(t *testing.T, file string, least int64) {
	t.Helper()
	got := map[string]bool{}
	read(t, file).Tree.Walk("/w", func(z tree.Znode) {
		if name, ok := strings.CutPrefix(string(z.Path), "/w/"); ok {
			got[name] = true
		}
	})
	for i, name := range slices.Sorted(maps.Keys(got)) {
		if name != fmt.Sprintf("%06d", i) {
			t.Fatalf("%s: the %dth znode is %s", file, i, name)
		}
	}
	if int64(len(got)) < least {
		t.Errorf("%s: %d znodes, but %d had been acknowledged", file, len(got), least)
	}
}

// startFrom imports a snapshot and starts a server on it.
func startFrom(t *testing.T, file string) {
	t.Helper()
	want := read(t, file)
	dir, log := t.TempDir(), logrus.New()
	log.SetOutput(io.Discard)
	report, err := migrate.Import(migrate.Dirs{Data: filepath.Dir(file)},
		store.Options{ImageDir: dir, LogDir: dir, Log: log},
		migrate.Options{Tree: tree.Options{Match: anyone{}}, NoLog: true}, func(*migrate.Report) error { return nil })
	if err != nil || report.Digest != want.Tree.Digest() || report.Zxid != want.Zxid || report.Compared != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	s := start(t, dir)
	defer s.stop()
	c := connect(t, s.addr)
	defer c.Close()
	if _, _, err := c.Get("/mine"); err != zk.ErrNoAuth {
		t.Errorf("what is protected is not: %v", err)
	}
	if err := c.AddAuth("digest", []byte(rootUser)); err != nil {
		t.Fatal(err)
	}
	if data, _, err := c.Get("/mine"); err != nil || string(data) != "data of /mine" {
		t.Errorf("%q, %v", data, err)
	}
	if path, err := c.Create("/s", nil, zk.FlagSequence, zk.WorldACL(zk.PermAll)); err != nil || path <= "/s0000000003" {
		t.Errorf("the next number is %s, %v", path, err)
	}
	if ok, st, err := c.Exists("/gone"); err != nil || !ok || st.EphemeralOwner == 0 {
		t.Errorf("the ephemeral, whose session may come back: %v %v %v", ok, st, err)
	}
}

// TestBackupsOfAnEnsemble takes one of each server: they are the same.
func TestBackupsOfAnEnsemble(t *testing.T) {
	e := newTrio(t)
	e.roles[2] = ":observer"
	e.more = "admin.rateLimiterIntervalInMS=0\n"
	for i := range 3 {
		e.admin[i] = freePort(t)
		e.start(i)
		defer e.halt(i)
	}
	for i := range 3 {
		e.await(i)
	}
	c := connect(t, e.addr(0))
	owned(t, c)
	w := write(t, c, "/w")
	for range 3 {
		for i := range 3 {
			file, why := snapshotOf(t, e.admin[i], "digest "+rootUser, t.TempDir())
			if why != "" {
				t.Fatalf("server %d: %s", i+1, why)
			}
			checkPrefix(t, file, 0)
		}
	}
	w.stop()
	defer c.Close()
	seen := map[string]int{}
	for limit := time.Now().Add(10 * time.Second); seen["all"] != 3 && time.Now().Before(limit); {
		clear(seen)
		for i := range 3 {
			file, why := snapshotOf(t, e.admin[i], "digest "+rootUser, t.TempDir())
			if why != "" {
				t.Fatalf("server %d: %s", i+1, why)
			}
			s := read(t, file)
			what := fmt.Sprintf("%v %#x %+v", s.Zxid, s.Tree.Digest(), s.Tree.Counts())
			if seen[what]++; seen[what] == 3 {
				seen["all"] = 3
			}
		}
	}
	if seen["all"] != 3 {
		t.Errorf("the servers' snapshots differ: %v", seen)
	}
}
