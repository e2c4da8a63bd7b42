package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
)

// Backup is what was committed at one zxid, in the form of a snapshot's file.
type Backup interface {
	io.WriterTo
	Zxid() proto.Zxid
}

// Backups says what the commands snapshot and restore may do.
type Backups struct {
	Enabled bool
	Restore bool          // the command restore is not switched off
	Every   time.Duration // at most one of each is begun in it
}

// turn lets one of a command in at a time, and now and then.
type turn struct {
	mu      sync.Mutex
	running bool
	began   time.Time // the last one that counts

	limited, failed atomic.Int64
}

// begin lets one in. Source: Commands.java, SnapshotCommand and RestoreCommand.
func (t *turn) begin(command string, every time.Duration) *refusal {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	switch {
	case t.running:
		t.limited.Add(1)
		return refuse(http.StatusTooManyRequests, "another %s is under way", command)
	case !t.began.IsZero() && now.Sub(t.began) < every:
		t.limited.Add(1)
		return refuse(http.StatusTooManyRequests,
			"the last %s began %d s ago, and admin.rateLimiterIntervalInMS=%d allows one in %d s",
			command, now.Sub(t.began)/time.Second, every.Milliseconds(), every/time.Second)
	}
	t.running, t.began = true, now
	return nil
}

func (t *turn) end() {
	t.mu.Lock()
	t.running = false
	t.mu.Unlock()
}

// void ends one that does not count: the next one may begin at once.
func (t *turn) void() {
	t.mu.Lock()
	t.running, t.began = false, time.Time{}
	t.mu.Unlock()
}

// stallTime is how long a client may take for what is written to it at a time.
const stallTime = 30 * time.Second

// refusal is an answer to a command that is not carried out.
type refusal struct {
	status int
	text   string
}

func refuse(status int, format string, args ...any) *refusal {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

// answer writes a command's answer in Apache's form.
func answer(out http.ResponseWriter, status int, command string, text any) {
	b, err := json.MarshalIndent(object{{"command", command}, {"error", text}}, "", "  ")
	if err != nil {
		http.Error(out, err.Error(), http.StatusInternalServerError)
		return
	}
	out.Header().Set("Content-Type", "application/json")
	out.WriteHeader(status)
	_, _ = out.Write(append(b, '\n')) // a client that has gone is its own business
}

// authorize refuses who has not every permission on the root. Source: Commands.java, runCommand.
func (w *Words) authorize(r *http.Request) (who string, no *refusal) {
	if s := w.status(); !s.Serving && !s.ReadOnly {
		return "", refuse(http.StatusServiceUnavailable, "%s", notServing)
	}
	header := r.Header.Get("Authorization")
	if header == "" {
		return "", refuse(http.StatusUnauthorized, "Auth info is missing for the command")
	}
	scheme, data, _ := strings.Cut(header, " ")
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	from := r.RemoteAddr
	if err != nil {
		from = "the local socket"
	}
	proves := scheme != "ip" && data != "" || scheme == "ip" && err == nil
	ids, code := []proto.ID(nil), proto.ErrAuthFailed
	if proves {
		ids, code = w.backend.Authenticate(scheme, []byte(data), peer.Addr())
	}
	if code != proto.ErrOK || len(ids) == 0 {
		return "", refuse(http.StatusUnauthorized, "Not authenticated")
	}
	owns := false
	w.backend.Ask(func(r *replica.Replica) { owns = r.Tree().OwnsRoot(ids) })
	if !owns {
		return "", refuse(http.StatusForbidden, "Not authorized")
	}
	last := ids[len(ids)-1] // in front of it may be the superuser
	if scheme == "digest" {
		last.ID, _, _ = strings.Cut(last.ID, ":") // without the hash
	}
	return scheme + ":" + last.ID + " at " + from, nil
}

// snapshot sends what is committed as a file of Apache's. With streaming=false, or HEAD, it tells
// how it would be: a file that is kept on this server would fill its disk.
func (w *Words) snapshot(out http.ResponseWriter, r *http.Request) {
	const name = "snapshot"
	who, no := w.authorize(r)
	may := w.backend.Info().Backups
	if no == nil && !may.Enabled {
		no = refuse(http.StatusServiceUnavailable, "the command is switched off: admin.snapshot.enabled=false")
	}
	if no == nil {
		no = w.backups.begin(name, may.Every)
	}
	if no != nil {
		answer(out, no.status, name, no.text)
		return
	}
	defer w.backups.end()
	stream := r.Method != http.MethodHead
	if q := r.URL.Query(); q.Has("streaming") {
		stream = stream && strings.EqualFold(q.Get("streaming"), "true")
	}
	b, err := w.backend.Backup(r.Context(), who)
	size := int64(0)
	if err == nil {
		size, err = b.WriteTo(io.Discard)
	}
	slow := &patient{out, http.NewResponseController(out)}
	slow.wait() // it may have taken long
	if err != nil {
		if r.Context().Err() == nil { // nobody has gone away
			w.backups.failed.Add(1)
		}
		answer(out, http.StatusInternalServerError, name, err.Error())
		return
	}
	h := out.Header()
	h["last_zxid"] = []string{b.Zxid().String()} // in Apache's spelling
	h["snapshot_size"] = []string{strconv.FormatInt(size, 10)}
	if !stream {
		answer(out, http.StatusOK, name, nil)
		return
	}
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.FormatInt(size, 10))
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="snapshot.%x"`, uint64(b.Zxid())))
	if _, err := b.WriteTo(slow); err != nil {
		w.backups.failed.Add(1)
		panic(http.ErrAbortHandler) // so that the client sees that the file is not whole
	}
}

// patient gives a client a while for each part.
type patient struct {
	out     http.ResponseWriter
	control *http.ResponseController
}

// wait begins a new while. It fails only for a connection that is gone, as the next write does.
func (p *patient) wait() { _ = p.control.SetWriteDeadline(time.Now().Add(stallTime)) }

// Write implements io.Writer.
func (p *patient) Write(b []byte) (int, error) {
	p.wait()
	return p.out.Write(b)
}
