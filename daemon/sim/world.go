package sim

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/zkd-project/zkd/daemon/ensemble"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/tree"
)

// Options shape a run.
type Options struct {
	Servers   int          // participants
	Observers int          // servers that do not vote
	Clients   int          // each with a session of its own
	Faulty    proto.Millis // how long there are faults
	Quiet     proto.Millis // how long the ensemble has to recover from them
	Local     bool         // sessions begin as local ones
	Trace     bool         // keep what happened
}

// Report is what a run found.
type Report struct {
	Seed      uint64
	Err       error // the first violation; nil if there is none
	Trace     []string
	Committed int // transactions
	Acked     int // writes that clients know to be done
	Leaders   int // leaderships that came to serve
	Crashes   int
	Snaps     int // snapshots sent
	Steps     int
}

// event is something that happens at a time; equal times go in the order of seq.
type event struct {
	at  int64 // microseconds
	seq int
	do  func()
}

type queue []event

// Len implements heap.Interface.
func (q queue) Len() int { return len(q) }

// Less implements heap.Interface.
func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}

// Swap implements heap.Interface.
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *queue) Push(e any) { *q = append(*q, e.(event)) }

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// world is one run.
type world struct {
	opt     Options
	rnd     *rand.Rand
	now     int64 // microseconds
	seq     int
	events  queue
	config  *ensemble.Config
	servers []*server
	clients []*client
	cut     map[[2]int64]bool // who cannot reach whom
	report  *Report

	digests map[proto.Zxid]seen // by position of the tree
	leaders map[int64]int64     // by epoch
	healing bool
	// installs remembers from which image a tree on its way to an install was loaded.
	installs map[*tree.Tree]map[string][]byte
}

type seen struct {
	digest uint64
	server int64
}

const start = 1_000_000 // the clock's first microsecond; no instant of a run is 0

// Run runs one ensemble.
func Run(seed uint64, opt Options) *Report {
	w := &world{
		opt: opt, rnd: rand.New(rand.NewPCG(seed, 0x5deece66d)), now: start, report: &Report{Seed: seed},
		cut: make(map[[2]int64]bool), digests: make(map[proto.Zxid]seen), leaders: make(map[int64]int64),
		installs: make(map[*tree.Tree]map[string][]byte),
	}
	w.config = members(opt)
	for i := range w.config.Members {
		s := newServer(w, w.config.Members[i].ID)
		w.servers = append(w.servers, s)
		w.after(w.between(0, 300_000), s.boot)
	}
	for i := range opt.Clients {
		c := &client{w: w, id: i}
		w.clients = append(w.clients, c)
		w.after(w.between(0, 1_000_000), c.connect)
	}
	w.after(w.between(200_000, 1_000_000), w.fault)
	w.run(start + int64(opt.Faulty)*1000)
	w.heal()
	w.run(start + int64(opt.Faulty+opt.Quiet)*1000)
	if w.report.Err == nil {
		w.finish()
	}
	return w.report
}

func members(opt Options) *ensemble.Config {
	var list []ensemble.Setting
	for i := range opt.Servers + opt.Observers {
		role := "participant"
		if i >= opt.Servers {
			role = "observer"
		}
		id := strconv.Itoa(i + 1)
		list = append(list, ensemble.Setting{Key: "server." + id, Value: "host" + id + ":2888:3888:" + role})
	}
	c, err := ensemble.Parse(list)
	if err != nil {
		panic(err)
	}
	return c
}

func (w *world) run(until int64) {
	for len(w.events) > 0 && w.report.Err == nil && w.events[0].at <= until {
		e := heap.Pop(&w.events).(event)
		w.now = max(w.now, e.at)
		w.report.Steps++
		e.do()
	}
	w.now = max(w.now, until)
}

// after has something happen in a number of microseconds.
func (w *world) after(us int64, do func()) {
	w.seq++
	heap.Push(&w.events, event{w.now + us, w.seq, do})
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
func (w *world) reaches(a, b int64) bool { return !w.cut[[2]int64{a, b}] }

// check looks at a server after a step.
func (w *world) check(s *server) {
	t := s.r.Tree()
	zxid, digest := t.LastZxid(), t.Digest()
	if had, ok := w.digests[zxid]; !ok {
		w.digests[zxid] = seen{digest, s.id}
	} else if had.digest != digest {
		w.violated("servers %d and %d are both at %v, with different trees", had.server, s.id, zxid)
	}
	st := s.r.Status()
	if st.Serving && st.Role == proto.Leading {
		switch id, known := w.leaders[st.Quorum.Epoch]; {
		case !known:
			w.leaders[st.Quorum.Epoch] = s.id
			w.report.Leaders++
		case id != s.id:
			w.violated("servers %d and %d both lead epoch %d", id, s.id, st.Quorum.Epoch)
		}
	}
}

// finish checks that everybody serves, agrees and knows everything that was acknowledged.
func (w *world) finish() {
	var first *server
	for _, s := range w.servers {
		if s.r == nil || !s.r.Status().Serving {
			w.violated("server %d does not serve, long after the faults have ended", s.id)
			return
		}
		if first == nil {
			first = s
		}
		a, b := first.r.Tree(), s.r.Tree()
		if a.LastZxid() != b.LastZxid() || a.Digest() != b.Digest() {
			w.violated("servers %d and %d end at %v and %v", first.id, s.id, a.LastZxid(), b.LastZxid())
			return
		}
	}
	w.checkOwners(first.r.Tree())
	for _, c := range w.clients {
		for _, path := range c.acked {
			if !exists(first.r.Tree(), path) {
				w.violated("client %d was told that %s was created, and it is not there", c.id, path)
				return
			}
		}
		w.report.Acked += len(c.acked)
	}
	w.report.Committed = len(w.digests)
}

// checkOwners checks that no ephemeral belongs to a session that is no more.
func (w *world) checkOwners(t *tree.Tree) {
	known := make(map[proto.SessionID]bool)
	t.Sessions(func(id proto.SessionID, _ int32) { known[id] = true })
	t.VisitEphemerals(func(s proto.SessionID, _ int) {
		if !known[s] {
			w.violated("session %v has ephemerals and is none", s)
		}
	})
}

// String sums a report up.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d steps, %d leaders, %d crashes, %d snapshots, %d positions, %d acknowledged",
		r.Seed, r.Steps, r.Leaders, r.Crashes, r.Snaps, r.Committed, r.Acked)
	if r.Err != nil {
		fmt.Fprintf(&b, "\nviolated: %v", r.Err)
	}
	return b.String()
}
