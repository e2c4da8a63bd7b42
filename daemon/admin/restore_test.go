package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/zkd-project/zkd/daemon/ensemble"
)

// poster serves a backend's pages and posts snapshots to them.
func poster(t *testing.T, b *backend) (post func(body string) *asked, w *Words) {
	t.Helper()
	w = New(b, nil)
	s := httptest.NewServer(w.Handler(all))
	t.Cleanup(s.Close)
	return func(body string) *asked {
		t.Helper()
		r, err := http.NewRequest("POST", s.URL+"/commands/restore", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", right)
		answer, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		return &asked{answer, string(text), err}
	}, w
}

func TestRestoreCommand(t *testing.T) {
	b := withBackup(t, &fakeBackup{})
	b.backups.Every = time.Hour
	post, w := poster(t, b)
	got, fails, sent := "", error(nil), strings.Repeat("snapshot ", 100_000)
	b.restore = func(in io.Reader, size int64, who string) (Restored, error) {
		text, err := io.ReadAll(in)
		got = fmt.Sprintf("%d bytes of %d for %s", len(text), size, strings.Split(who, ":")[1])
		return Restored{Zxid: 5 << 32, Snapshot: 7}, errors.Join(err, fails)
	}
	for status, err := range map[int]error{ // none of them counts
		400: fmt.Errorf("%w: it ends too early", ErrUnfit), 507: ErrTooBig, 503: ErrNotNow, 500: errors.New("the disk is gone"),
	} {
		fails = err
		if a := post(sent); a.StatusCode != status || a.why() != err.Error() {
			t.Errorf("%v: %s %s", err, a.Status, a.text)
		}
	}
	fails = nil
	a := post(sent)
	var o struct {
		LastZxid     int64 `json:"last_zxid"`
		SnapshotZxid int64 `json:"snapshot_zxid"`
		Command      string
		Error        *string
	}
	if err := json.Unmarshal([]byte(a.text), &o); err != nil || a.StatusCode != 200 || o.LastZxid != 5<<32 ||
		o.SnapshotZxid != 7 || o.Command != "restore" || o.Error != nil || a.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%v: %s %v %s", err, a.Status, a.Header, a.text)
	}
	if want := fmt.Sprintf("%d bytes of %d for root at 127.0.0.1", len(sent), len(sent)); got != want {
		t.Errorf("%s, not %s", got, want)
	}
	if a := post(sent); a.StatusCode != 429 || !strings.HasPrefix(a.why(), "the last restore began 0 s ago") {
		t.Errorf("the next one: %s %s", a.Status, a.text)
	}
	metrics := map[string]float64{}
	for _, m := range w.gather().list {
		metrics[m.Name] = m.Value
		if m.Dist != nil {
			metrics[m.Name] = float64(m.Dist.Count)
		}
	}
	for name, want := range map[string]float64{
		"restore_error_count": 4, "restore_rate_limited_count": 1, "restore_time": 1, "snapshot_rate_limited_count": 0,
	} {
		if v, ok := metrics[name]; !ok || v != want {
			t.Errorf("%s is %v", name, v)
		}
	}
	b.backups.Every = 0
	if a := post(sent); a.StatusCode != 200 {
		t.Errorf("without a limit: %s %s", a.Status, a.text)
	}
}

// TestNoRestoreInAnEnsemble: one member alone must never be given other data.
func TestNoRestoreInAnEnsemble(t *testing.T) {
	b := withBackup(t, &fakeBackup{})
	list, err := ensemble.ParseText("server.1=h1:2888:3888\nserver.2=h2:2888:3888\n")
	if err != nil {
		t.Fatal(err)
	}
	b.list = list
	b.restore = func(io.Reader, int64, string) (Restored, error) {
		t.Error("it was restored")
		return Restored{}, nil
	}
	post, _ := poster(t, b)
	if a := post("x"); a.StatusCode != 409 || !strings.Contains(a.why(), "zkctl import --snapshot-only") {
		t.Errorf("%s %s", a.Status, a.text)
	}
}

// TestOneRestoreAtATime also tells that the rest is served meanwhile.
func TestOneRestoreAtATime(t *testing.T) {
	b := withBackup(t, &fakeBackup{text: "x"})
	post, _ := poster(t, b)
	began, gate := make(chan struct{}), make(chan struct{})
	b.restore = func(io.Reader, int64, string) (Restored, error) {
		close(began)
		<-gate
		return Restored{}, nil
	}
	first := make(chan *asked)
	go func() { first <- post("x") }()
	<-began
	if a := post("x"); a.StatusCode != 429 || a.why() != "another restore is under way" {
		t.Errorf("%s %s", a.Status, a.text)
	}
	if a := site(t, b)("GET", "snapshot", right); a.StatusCode != 200 {
		t.Errorf("a backup: %s %s", a.Status, a.text)
	}
	close(gate)
	if a := <-first; a.StatusCode != 200 {
		t.Errorf("%s %s", a.Status, a.text)
	}
}
