package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/zkd-project/zkd/daemon/ensemble"
	"github.com/zkd-project/zkd/daemon/meter"
)

// all are pages with everything on them.
var all = Pages{Metrics: true, Runtime: true, Health: true, Commands: "/commands"}

// shortDir is a directory for sockets, whose paths must be short.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "zkd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// fetcher serves pages on a local socket and gets them from there.
func fetcher(t *testing.T, w *Words, p Pages) func(path string) (int, string) {
	t.Helper()
	path := filepath.Join(shortDir(t), "s")
	log := logrus.New()
	log.SetOutput(io.Discard)
	ports := w.Listen([]Port{{Network: "unix", Address: path, Pages: p, Idle: time.Minute}}, log)
	t.Cleanup(ports.Close)
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}
	return func(path string) (int, string) {
		t.Helper()
		r, err := client.Get("http://local" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(b)
	}
}

func TestMetricsPage(t *testing.T) {
	b := newBackend(t)
	b.open()
	get := fetcher(t, New(b, nil), all)
	status, page := get("/metrics")
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, page)
	}
	for _, line := range []string{
		"znode_count 5", "global_sessions 1", "# TYPE bytes_received_count counter", "op_count_create_session 1",
		"updatelatency_count 1", `updatelatency{quantile="0.99"} 0`, "election_time_count 0",
		`zkd_role{role="standalone"} 1`, `zkd_role{role="leader"} 0`, "go_goroutines ",
	} {
		if !strings.Contains(page, line) {
			t.Errorf("no %q", line)
		}
	}
}

func TestHealth(t *testing.T) {
	b := newBackend(t)
	get := fetcher(t, New(b, nil), all)
	if status, page := get("/livez"); status != http.StatusOK || page != "ok\n" {
		t.Errorf("alive: %d %q", status, page)
	}
	if status, page := get("/readyz"); status != http.StatusOK || page != "standalone\n" {
		t.Errorf("ready: %d %q", status, page)
	}
	b.still = errors.New("no step for a while")
	for _, path := range []string{"/livez", "/readyz"} {
		if status, page := get(path); status != http.StatusServiceUnavailable || page != "no step for a while\n" {
			t.Errorf("%s of one that stands still: %d %q", path, status, page)
		}
	}
}

func TestCommands(t *testing.T) {
	b := newBackend(t)
	b.open()
	get := fetcher(t, New(b, nil), all)
	for _, c := range [][2]string{
		{"configuration", `"client_port":2181`}, {"conf", `"command":"configuration"`}, {"connections", `"session_timeout":10000`},
		{"connection_stat_reset", `"error":null`}, {"dirs", `"datadir_size":10`}, {"env", `"host.name":"h"`},
		{"gtmk", `"command":"get_trace_mask"`}, {"hash", `"digests":[]`}, {"isro", `"read_only":false`},
		{"lsnp", `"zxid":"7"`}, {"lead", `"error":"server is not initialized"`}, {"mntr", `"cnt_updatelatency":1`},
		{"obsr", `"synced_observers":0`}, {"ruok", `"command":"ruok"`}, {"stats", `"num_alive_client_connections":1`},
		{"set_trace_mask?traceMask=5", `"tracemask":5`}, {"stmk?traceMask=x", "requires long traceMask argument, got x"},
		{"stat_reset", `"command":"stat_reset"`}, {"voting_view", `"current_config":{}`},
		{"watch_summary", `"num_total_watches":0`}, {"wchc", `"session_id_to_watched_paths":{}`},
		{"wchp", `"path_to_session_ids":{}`}, {"zabstate", `"zabstate":""`}, {"dump", `"session_id_to_ephemeral_paths":{}`},
		{"nothing", `"error":"Unknown command: nothing"`},
	} {
		name, want := c[0], c[1]
		status, page := get("/commands/" + name)
		var value map[string]any
		if err := json.Unmarshal([]byte(page), &value); err != nil || status != http.StatusOK {
			t.Errorf("%s: %d %v %s", name, status, err, page)
		}
		if tight := strings.NewReplacer(": ", ":", "\n", "", "  ", "").Replace(page); !strings.Contains(
			strings.ReplaceAll(tight, "Unknown command:", "Unknown command: "), want) {
			t.Errorf("%s: no %s in %s", name, want, page)
		}
		if _, ok := value["error"]; !ok || value["command"] == nil {
			t.Errorf("%s: no error or command in %s", name, page)
		}
	}
	if status, page := get("/commands"); status != http.StatusOK || !strings.HasPrefix(page,
		"<a href=\"/commands/configuration\">configuration</a>\n<br/>\n<a href=\"/commands/connection_stat_reset\">") {
		t.Errorf("the list: %d %s", status, page)
	}
	if status, _ := get("/other"); status != http.StatusNotFound {
		t.Errorf("another path: %d", status)
	}
}

func TestPagesThatAreNotServed(t *testing.T) {
	get := fetcher(t, New(newBackend(t), nil), Pages{Commands: "/c/"})
	for path, want := range map[string]int{"/metrics": 404, "/livez": 404, "/commands": 404, "/c": 200, "/c/ruok": 200} {
		if status, _ := get(path); status != want {
			t.Errorf("%s: %d", path, status)
		}
	}
}

func TestSocketOfAnother(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	first, err := listenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", st, err)
	}
	if first.Addr().String() != path {
		t.Errorf("the address is %v", first.Addr())
	}
	if _, err := listenUnix(path); !errors.Is(err, ErrSocket) {
		t.Errorf("a socket that is listened on: %v", err)
	}
	first.(*localListener).UnixListener.Close() // as a process that was killed leaves it
	second, err := listenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestDistributionsInWords(t *testing.T) {
	var d meter.Dist
	for _, v := range []int64{1, 2, 3} {
		d.Add(v)
	}
	var got []string
	for _, e := range (&Metric{Name: "readlatency", Kind: Advanced, Dist: &d}).entries(nil) {
		got = append(got, e.name)
	}
	want := "avg_readlatency min_readlatency max_readlatency cnt_readlatency sum_readlatency " +
		"p50_readlatency p95_readlatency p99_readlatency p999_readlatency"
	if strings.Join(got, " ") != want {
		t.Error(got)
	}
	list := (&Metric{Name: "n", Label: "key", Of: "app", Value: 4}).entries(nil)
	if len(list) != 1 || list[0].name != "app_n" || list[0].value != int64(4) {
		t.Error(list)
	}
}

func TestEnsembleInConf(t *testing.T) {
	b := &inEnsemble{newBackend(t)}
	w := New(b, []string{"*"})
	got, _ := w.Answer("conf", nil)
	want := "serverId=2\ninitLimit=10\nsyncLimit=5\nelectionAlg=3\nelectionPort=3889\nquorumPort=2889\npeerType=1\n" +
		"membership: \nserver.1=a:2888:3888:participant\nserver.2=b:2889:3889:observer\nversion=0"
	if !strings.HasSuffix(string(got), want) {
		t.Errorf("%s", got)
	}
	var view struct {
		Current map[string]any `json:"current_config"`
	}
	page, err := json.Marshal(w.Command("voting_view", nil))
	if err == nil {
		err = json.Unmarshal(page, &view)
	}
	if err != nil || len(view.Current) != 1 || view.Current["1"] == nil {
		t.Errorf("%v %s", err, page)
	}
}

// inEnsemble is a backend whose server is an observer.
type inEnsemble struct{ *backend }

func (b *inEnsemble) Info() Info {
	i := b.backend.Info()
	i.ServerID, i.InitLimit, i.SyncLimit = 2, 10, 5
	i.Ensemble = &ensemble.Config{Members: []ensemble.Member{
		{ID: 1, Addresses: []ensemble.Address{{Host: "a", Quorum: 2888, Election: 3888}}},
		{ID: 2, Addresses: []ensemble.Address{{Host: "b", Quorum: 2889, Election: 3889}}, Observer: true},
	}}
	return i
}
