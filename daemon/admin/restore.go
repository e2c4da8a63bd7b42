package admin

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/zkd-project/zkd/daemon/meter"
	"github.com/zkd-project/zkd/daemon/proto"
)

// Restored tells what a restore has done.
type Restored struct {
	Zxid     proto.Zxid // at which the server is now
	Snapshot proto.Zxid // of the snapshot
}

// Why there was no restore. Nothing has changed then.
var (
	ErrUnfit  = errors.New("the snapshot cannot be restored")
	ErrTooBig = errors.New("there is no room for the snapshot")
	ErrNotNow = errors.New("the server cannot be restored now")
)

// howOffline is what to do where a server cannot be restored while it runs.
const howOffline = "a server of an ensemble is not restored while it runs, as it would differ from the others: stop " +
	"all servers, run zkctl import --snapshot-only on each with the same snapshot, and start them " +
	"(OPERATIONS.md, \"Backup and restore\")"

// restoreTime is how long restores took, in ms.
type restoreTime struct {
	mu   sync.Mutex
	dist meter.Dist
}

func (t *restoreTime) add(d time.Duration) {
	t.mu.Lock()
	t.dist.Add(d.Milliseconds())
	t.mu.Unlock()
}

func (t *restoreTime) get() *meter.Dist {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.dist
	return &d
}

// restore replaces all data by the snapshot in the request's body. Only what has been done counts for the limit:
// who sent a damaged file may send another one at once.
func (w *Words) restore(out http.ResponseWriter, r *http.Request) {
	const name = "restore"
	who, no := w.authorize(r)
	may := w.backend.Info()
	switch {
	case no != nil:
	case !may.Backups.Restore:
		no = refuse(http.StatusServiceUnavailable, "the command is switched off: admin.restore.enabled=false")
	case may.Ensemble != nil:
		no = refuse(http.StatusConflict, howOffline)
	default:
		no = w.restores.begin(name, may.Backups.Every)
	}
	if no != nil {
		answer(out, no.status, name, no.text)
		return
	}
	start := time.Now()
	control := http.NewResponseController(out)
	done, err := w.backend.Restore(r.Context(), &patientReader{r.Body, control}, r.ContentLength, who)
	_ = control.SetReadDeadline(time.Time{})                // a connection that is gone is its own business
	_ = control.SetWriteDeadline(time.Now().Add(stallTime)) // the upload may have taken longer
	if err != nil {
		w.restores.void()
		w.restores.failed.Add(1)
		answer(out, statusOf(err), name, err.Error())
		return
	}
	w.restores.end()
	w.restoreTime.add(time.Since(start))
	b, err := json.MarshalIndent(object{
		{"last_zxid", int64(done.Zxid)}, {"snapshot_zxid", int64(done.Snapshot)}, {"command", name}, {"error", nil},
	}, "", "  ")
	if err != nil {
		http.Error(out, err.Error(), http.StatusInternalServerError)
		return
	}
	out.Header().Set("Content-Type", "application/json")
	_, _ = out.Write(append(b, '\n')) // a client that has gone is its own business
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, ErrUnfit):
		return http.StatusBadRequest
	case errors.Is(err, ErrTooBig):
		return http.StatusInsufficientStorage
	case errors.Is(err, ErrNotNow):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// patientReader gives a client a while for each part.
type patientReader struct {
	in      io.Reader
	control *http.ResponseController
}

// Read implements io.Reader.
func (p *patientReader) Read(b []byte) (int, error) {
	if err := p.control.SetReadDeadline(time.Now().Add(stallTime)); err != nil {
		return 0, err
	}
	return p.in.Read(b)
}
