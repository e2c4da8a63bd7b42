package sim

import (
	"fmt"
	"math/rand/v2"

	"github.com/zkd-project/zkd/daemon/ensemble"
	"github.com/zkd-project/zkd/daemon/tree"
)

// Options shape a run; everything else follows from the seed.
type Options struct {
	Trace bool // keep what happened
	Local bool // the runs begin with local sessions
}

// Report is what a run found.
type Report struct {
	Seed      uint64
	Shape     string
	Err       error // the first violation; nil if there is none
	Trace     []string
	Committed int // transactions
	Acked     int // writes that clients know to be done
	Reads     int // whose answers were compared
	Events    int // of watches
	Leaders   int // leaderships that came to serve
	Crashes   int
	Snaps     int // snapshots sent
	Damages   int // of disks
	Healed    int // servers that vote again
	Expired   int // sessions
	Steps     int
}

// event is something that happens at a time; equal times go in the order of seq.
type event struct {
	at  int64 // microseconds
	seq int
	do  func()
}

func (e *event) before(o *event) bool { return e.at < o.at || e.at == o.at && e.seq < o.seq }

// queue is a heap of events.
type queue []event

func (q *queue) push(e event) {
	h := append(*q, e)
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !e.before(&h[up]) {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = e
	*q = h
}

func (q *queue) pop() event {
	h := *q
	first, n := h[0], len(h)-1
	e := h[n]
	h[n] = event{}
	h = h[:n]
	for i := 0; n > 0; {
		down := 2*i + 1
		if down+1 < n && h[down+1].before(&h[down]) {
			down++
		}
		if down >= n || !h[down].before(&e) {
			h[i] = e
			break
		}
		h[i] = h[down]
		i = down
	}
	*q = h
	return first
}

// maxServers is one more than the largest id of a server.
const maxServers = 12

// world is one run.
type world struct {
	opt     Options
	shape   shape
	rnd     *rand.Rand
	now     int64 // microseconds
	seq     int
	events  queue
	config  *ensemble.Config
	servers []*server
	clients []*client
	cut     [maxServers][maxServers]bool // who cannot reach whom
	reign   *server                      // who led before a short reign
	report  *Report
	history history
	healing bool
	healed  int64 // when the faults ended
	done    bool
	// installs remembers from which image a tree on its way to an install was loaded.
	installs map[*tree.Tree]map[string][]byte
}

const start = 1_000_000 // the clock's first microsecond; no instant of a run is 0

// Run runs one ensemble.
func Run(seed uint64, opt Options) *Report {
	w := &world{
		opt: opt, rnd: rand.New(rand.NewPCG(seed, 0x5deece66d)), now: start, report: &Report{Seed: seed},
		installs: make(map[*tree.Tree]map[string][]byte),
	}
	w.shape = newShape(w)
	w.report.Shape = w.shape.String()
	w.trace("%v", w.shape)
	w.config = w.shape.members()
	w.history = newHistory(w)
	for i := range w.config.Members {
		s := newServer(w, w.config.Members[i].ID)
		w.servers = append(w.servers, s)
		w.after(w.between(0, 100_000), s.boot)
	}
	if w.shape.foreign {
		w.foreignHistory()
	}
	for i := range w.shape.clients {
		c := newClient(w, i)
		w.clients = append(w.clients, c)
		w.after(w.between(0, 500_000), c.connect)
	}
	w.after(w.between(100_000, 500_000), w.fault)
	w.run(start + w.shape.faulty)
	w.heal()
	w.run(w.healed + quiet)
	if w.report.Err == nil && !w.done {
		w.violated("%s, long after the faults have ended", w.unfinished())
	}
	w.report.Committed = len(w.history.order)
	return w.report
}

func (w *world) run(until int64) {
	for len(w.events) > 0 && w.report.Err == nil && !w.done && w.events[0].at <= until {
		e := w.events.pop()
		w.now = max(w.now, e.at)
		w.report.Steps++
		e.do()
	}
	if !w.done {
		w.now = max(w.now, until)
	}
}

// after has something happen in a number of microseconds.
func (w *world) after(us int64, do func()) {
	w.seq++
	w.events.push(event{w.now + us, w.seq, do})
}

func (w *world) between(lo, hi int64) int64 { return lo + w.rnd.Int64N(hi-lo+1) }

func (w *world) chance(percent int) bool { return w.rnd.IntN(100) < percent }

func (w *world) server(id int64) *server { return w.servers[id-1] }

func (w *world) trace(format string, args ...any) {
	if w.opt.Trace {
		at := float64(w.now-start) / 1000
		w.report.Trace = append(w.report.Trace, fmt.Sprintf("%9.3f ", at)+fmt.Sprintf(format, args...))
	}
}

// violated ends the run.
func (w *world) violated(format string, args ...any) {
	if w.report.Err == nil {
		w.report.Err = fmt.Errorf(format, args...)
		w.trace("VIOLATED: %v", w.report.Err)
	}
}

// reaches says whether packets from a come to b.
func (w *world) reaches(a, b int64) bool { return !w.cut[a][b] }

// meet says whether packets go both ways.
func (w *world) meet(a, b int64) bool { return !w.cut[a][b] && !w.cut[b][a] }

// String sums a report up.
func (r *Report) String() string {
	s := fmt.Sprintf("seed %d: %s; %s", r.Seed, r.Shape, r.Counts())
	if r.Err != nil {
		s += fmt.Sprintf("\nviolated: %v", r.Err)
	}
	return s
}

// Counts tells how much happened.
func (r *Report) Counts() string {
	return fmt.Sprintf("%d steps, %d leaders, %d crashes, %d snapshots, %d transactions, %d acknowledged, %d reads, "+
		"%d events, %d expired, %d damaged, %d healed",
		r.Steps, r.Leaders, r.Crashes, r.Snaps, r.Committed, r.Acked, r.Reads, r.Events,
		r.Expired, r.Damages, r.Healed)
}

// Add adds what happened in another run.
func (r *Report) Add(o *Report) {
	r.Committed, r.Acked = r.Committed+o.Committed, r.Acked+o.Acked
	r.Reads, r.Events = r.Reads+o.Reads, r.Events+o.Events
	r.Leaders, r.Crashes, r.Snaps = r.Leaders+o.Leaders, r.Crashes+o.Crashes, r.Snaps+o.Snaps
	r.Damages, r.Healed = r.Damages+o.Damages, r.Healed+o.Healed
	r.Expired, r.Steps = r.Expired+o.Expired, r.Steps+o.Steps
}
