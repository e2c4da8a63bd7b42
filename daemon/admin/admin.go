package admin

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/zkd-project/zkd/daemon/ensemble"
	"github.com/zkd-project/zkd/daemon/meter"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
)

// Info is what does not change while a server runs.
type Info struct {
	Version string // "3.9.5-zkd-…, built on …"

	ClientPort        int
	DataDir           string
	DataLogDir        string
	TickTime          int
	MaxClientCnxns    int
	MinSessionTimeout int
	MaxSessionTimeout int
	Backlog           int
	Settings          [][2]string // that are not defaults, without secrets

	// What follows is of a server in an ensemble.
	Ensemble  *ensemble.Config // nil for a server on its own
	ServerID  int64
	InitLimit int
	SyncLimit int

	LocalSessions bool
	Backups       Backups
}

// member is the server's own line of the ensemble.
func (i *Info) member() *ensemble.Member {
	if i.Ensemble != nil {
		for k := range i.Ensemble.Members {
			if m := &i.Ensemble.Members[k]; m.ID == i.ServerID {
				return m
			}
		}
	}
	return nil
}

// Process is what the words tell of the process.
type Process struct {
	Uptime      time.Duration
	OpenFiles   int64
	MaxFiles    int64
	Environment [][2]string // of the word envi, in order
}

// Learner is a leader's connection to another server.
type Learner struct {
	Addr   string
	Since  int64 // unix time in milliseconds
	Queued int64 // bytes that wait to be sent
}

// Backend is where the answers come from.
type Backend interface {
	Info() Info
	Process() Process
	// Ask runs a question on the replica, which no input is stepped meanwhile.
	Ask(func(*replica.Replica))
	// Peer is a connection's address as "/ip:port" and its unsent output in replies.
	Peer(c *replica.Conn) (addr string, queued int64)
	// Usage is the size of the image's and the log's directory in bytes.
	Usage() (image, log int64)
	// Metrics are those of the parts around the replica.
	Metrics() []Metric
	// Image is the zxid of the image on disk and when it was written, in seconds since 1970.
	Image() (zxid proto.Zxid, at int64)
	// Learners are the connections of a leader, by server id.
	Learners() map[int64]Learner
	// Authenticate answers who a client at peer proves to be; peer is not valid for a local one.
	Authenticate(scheme string, data []byte, peer netip.Addr) ([]proto.ID, proto.ErrCode)
	// Backup makes a backup for somebody, while the server goes on.
	Backup(ctx context.Context, who string) (Backup, error)
	// Restore replaces all data by a snapshot of size bytes, or of -1 if that is not known, for somebody. An error
	// means that nothing has changed, or that the server fails.
	Restore(ctx context.Context, snapshot io.Reader, size int64, who string) (Restored, error)
	// Alive tells what stands still, if anything does.
	Alive() error
	// Now is the time.
	Now() replica.Now
}

// Words answers four-letter words. It is safe for concurrent use.
type Words struct {
	backend Backend
	allowed atomic.Pointer[[]string]
	trace   atomic.Int64
	backups turn

	restores    turn
	restoreTime restoreTime
}

// defaultTrace is Apache's trace mask.
const defaultTrace = 306

// New makes an answerer for the words that are allowed; "*" allows all.
func New(b Backend, allowed []string) *Words {
	w := &Words{backend: b}
	w.trace.Store(defaultTrace)
	w.Allow(allowed)
	return w
}

// Allow changes which words are answered.
func (w *Words) Allow(allowed []string) { w.allowed.Store(&allowed) }

// words is the table. A word that is not in it is no four-letter word.
var words = map[string]func(*Words, *strings.Builder, []byte){
	"ruok": func(_ *Words, b *strings.Builder, _ []byte) { b.WriteString("imok") },
	"isro": (*Words).readOnly,
	"gtmk": func(w *Words, b *strings.Builder, _ []byte) { fmt.Fprint(b, w.trace.Load()) },
	"stmk": (*Words).setTrace,
	"srvr": func(w *Words, b *strings.Builder, _ []byte) { w.srvr(b, false) },
	"stat": func(w *Words, b *strings.Builder, _ []byte) { w.srvr(b, true) },
	"cons": (*Words).cons,
	"crst": (*Words).resetConns,
	"srst": (*Words).resetServer,
	"conf": (*Words).conf,
	"dirs": (*Words).dirs,
	"dump": (*Words).dump,
	"envi": (*Words).envi,
	"wchs": (*Words).watchSummary,
	"wchc": (*Words).watchesByConn,
	"wchp": (*Words).watchesByPath,
	"mntr": (*Words).monitor,
	"hash": (*Words).hash,
}

// Answer is the text that a word is answered with; known is false if it is none. arg is
// what follows stmk.
func (w *Words) Answer(word string, arg []byte) (text []byte, known bool) {
	f, ok := words[word]
	if !ok {
		return nil, false
	}
	allowed := *w.allowed.Load()
	if word != "srvr" && !slices.Contains(allowed, word) && !slices.Contains(allowed, "*") {
		return []byte(word + " is not executed because it is not in the whitelist.\n"), true
	}
	serving := true
	w.backend.Ask(func(r *replica.Replica) { serving = r.Serving() || r.Welcomes() })
	var b strings.Builder
	switch {
	case serving || strings.Contains(idleWords, word):
	case word == "isro":
		return []byte("null"), true
	default:
		b.WriteString(notServing + "\n")
		if !strings.Contains(frankWords, word) {
			return []byte(b.String()), true
		}
	}
	f(w, &b, arg)
	return []byte(b.String()), true
}

// notServing is Apache's text for a server without a quorum.
const notServing = "This ZooKeeper instance is not currently serving requests"

func (w *Words) status() (s replica.Status) {
	w.backend.Ask(func(r *replica.Replica) { s = r.Status() })
	return s
}

// readOnly tells a client whether this server is the one to go to.
func (w *Words) readOnly(b *strings.Builder, _ []byte) {
	switch s := w.status(); {
	case s.ReadOnly:
		b.WriteString("ro")
	case !s.Welcomes: // it leads, and leaves clients to the others
		b.WriteString("null")
	default:
		b.WriteString("rw")
	}
}

func (w *Words) setTrace(b *strings.Builder, arg []byte) {
	if len(arg) == 8 {
		w.trace.Store(int64(binary.BigEndian.Uint64(arg)))
	}
	fmt.Fprint(b, w.trace.Load())
}

func (w *Words) resetConns(b *strings.Builder, _ []byte) {
	w.backend.Ask(func(r *replica.Replica) { r.VisitConns((*replica.Conn).ResetStats) })
	b.WriteString("Connection stats reset.\n")
}

func (w *Words) resetServer(b *strings.Builder, _ []byte) {
	w.backend.Ask((*replica.Replica).ResetStats)
	b.WriteString("Server stats reset.\n")
}

// srvr also answers stat, which lists the connections.
func (w *Words) srvr(b *strings.Builder, clients bool) {
	fmt.Fprintf(b, "Zookeeper version: %s\n", w.backend.Info().Version)
	if w.status().ReadOnly {
		b.WriteString("READ-ONLY mode; serving only read-only clients\n")
	}
	if clients {
		b.WriteString("Clients:\n")
		w.backend.Ask(func(r *replica.Replica) {
			r.VisitConns(func(c *replica.Conn) { w.brief(b, c) })
		})
		b.WriteByte('\n')
	}
	var s replica.Status
	var sizes meter.Size
	nodes := 0
	w.backend.Ask(func(r *replica.Replica) {
		s, nodes, sizes = r.Status(), r.Tree().Counts().Znodes, r.Meters().ProposalSize
	})
	fmt.Fprintf(b, "Latency min/avg/max: %d/%s/%d\n", s.MinLatency, average(int64(s.Latency), s.Replies), s.MaxLatency)
	fmt.Fprintf(b, "Received: %d\nSent: %d\nConnections: %d\nOutstanding: %d\n",
		s.Received, s.Sent, s.Connections, s.Outstanding)
	fmt.Fprintf(b, "Zxid: %v\nMode: %s\nNode count: %d\n", s.Zxid, Mode(&s), nodes+1)
	if Mode(&s) == "leader" {
		last, least, greatest := sizes.Values()
		fmt.Fprintf(b, "Proposal sizes last/min/max: %d/%d/%d\n", last, least, greatest)
	}
}

// Mode is Apache's word for what a server is. One that has chosen a leader and is not yet
// synchronized with it does not serve, and still counts as looking for one.
func Mode(s *replica.Status) string {
	switch {
	case s.Solo:
		return "standalone"
	case s.ReadOnly:
		return "read-only"
	case !s.Serving:
	case s.Role == proto.Leading:
		return "leader"
	case s.Role == proto.Following:
		return "follower"
	case s.Role == proto.Observing:
		return "observer"
	}
	return "looking"
}

// idleWords are answered also while there is no quorum.
const idleWords = "ruok gtmk stmk conf envi srst"

// frankWords then say how the server is, below the line that says that it does not serve:
// Apache's servers leave it at the line.
const frankWords = "srvr stat mntr"

// average prints a quotient as Apache does: at most four decimals, at least one.
func average(sum, count int64) string {
	if count == 0 {
		return "0.0"
	}
	text := strconv.FormatFloat(float64(sum)/float64(count), 'f', 4, 64)
	text = strings.TrimRight(text, "0")
	if strings.HasSuffix(text, ".") {
		text += "0"
	}
	return text
}

func (w *Words) brief(b *strings.Builder, c *replica.Conn) {
	addr, queued := w.backend.Peer(c)
	fmt.Fprintf(b, " %s[%s](queued=%d,recved=%d,sent=%d)\n", addr, interest(c), queued, c.Stats.Received, c.Stats.Sent)
}

// interest is what Apache shows of its selector: 1 for a connection that is read.
func interest(c *replica.Conn) string {
	if c.Open() {
		return "1"
	}
	return "0"
}

func (w *Words) cons(b *strings.Builder, _ []byte) {
	w.backend.Ask(func(r *replica.Replica) {
		r.VisitConns(func(c *replica.Conn) {
			if c.Session() == 0 {
				w.brief(b, c)
				return
			}
			w.full(b, c)
		})
	})
	b.WriteByte('\n')
}

func (w *Words) full(b *strings.Builder, c *replica.Conn) {
	addr, queued := w.backend.Peer(c)
	s := &c.Stats
	fmt.Fprintf(b, " %s[%s](queued=%d,recved=%d,sent=%d,sid=%v,lop=%s,est=%d,to=%d,", addr, interest(c), queued,
		s.Received, s.Sent, c.Session(), s.LastOp.Short(), s.Established, c.Timeout())
	if s.HasCxid {
		fmt.Fprintf(b, "lcxid=0x%x,", uint32(s.LastCxid))
	}
	avg := int64(0)
	if s.Replies > 0 {
		avg = int64(s.Latency) / s.Replies
	}
	fmt.Fprintf(b, "lzxid=%v,lresp=%d,llat=%d,minlat=%d,avglat=%d,maxlat=%d)\n",
		s.LastZxid, s.LastResponse, s.LastLatency, s.MinLatency, avg, s.MaxLatency)
}

func (w *Words) conf(b *strings.Builder, _ []byte) {
	i := w.backend.Info()
	image, log := w.backend.Usage()
	fmt.Fprintf(b, "clientPort=%d\nsecureClientPort=-1\ndataDir=%s\ndataDirSize=%d\ndataLogDir=%s\ndataLogSize=%d\n",
		i.ClientPort, i.DataDir, image, i.DataLogDir, log)
	fmt.Fprintf(b, "tickTime=%d\nmaxClientCnxns=%d\nminSessionTimeout=%d\nmaxSessionTimeout=%d\n",
		i.TickTime, i.MaxClientCnxns, i.MinSessionTimeout, i.MaxSessionTimeout)
	fmt.Fprintf(b, "clientPortListenBacklog=%d\nserverId=%d\n", i.Backlog, i.ServerID)
	m := i.member()
	if m == nil {
		return
	}
	kind := 0
	if m.Observer {
		kind = 1
	}
	a := m.Addresses[0]
	fmt.Fprintf(b, "initLimit=%d\nsyncLimit=%d\nelectionAlg=3\nelectionPort=%d\nquorumPort=%d\npeerType=%d\n",
		i.InitLimit, i.SyncLimit, a.Election, a.Quorum, kind)
	fmt.Fprintf(b, "membership: \n%v", i.Ensemble)
}

func (w *Words) dirs(b *strings.Builder, _ []byte) {
	image, log := w.backend.Usage()
	fmt.Fprintf(b, "datadir_size: %d\nlogdir_size: %d\n", image, log)
}

func (w *Words) envi(b *strings.Builder, _ []byte) {
	b.WriteString("Environment:\nzookeeper.version=" + w.backend.Info().Version + "\n")
	for _, e := range w.backend.Process().Environment {
		fmt.Fprintf(b, "%s=%s\n", e[0], e[1])
	}
}

func (w *Words) hash(b *strings.Builder, _ []byte) {
	w.backend.Ask(func(r *replica.Replica) {
		for _, d := range r.Tree().Digests() {
			fmt.Fprintf(b, "%x: %d\n", uint64(d.Zxid), d.Digest)
		}
	})
}

// javaDate is how Java prints an instant.
const javaDate = "Mon Jan 02 15:04:05 MST 2006"

// dump lists sessions by the time at which they expire, ephemerals and connections.
func (w *Words) dump(b *strings.Builder, _ []byte) {
	now := w.backend.Now()
	at := func(mono proto.Millis) string {
		return time.UnixMilli(int64(now.Wall + mono - now.Mono)).Format(javaDate)
	}
	w.backend.Ask(func(r *replica.Replica) {
		conns := make(map[proto.Millis][]string)
		connected := 0
		expires := make(map[proto.SessionID]proto.Millis)
		r.VisitConns(func(c *replica.Conn) {
			connected++
			addr, _ := w.backend.Peer(c)
			e := expires[c.Session()]
			conns[e] = append(conns[e], fmt.Sprintf("\tip: %s sessionId: %v", addr, c.Session()))
		})
		b.WriteString("SessionTracker dump:\n")
		w.sessions(b, r, expires, at)
		w.ephemerals(b, r)
		b.WriteString("Connections dump:\n")
		writeSets(b, "Connections Sets", conns, connected, at)
	})
}

// sessions lists the sessions, and notes in expires when they expire.
func (w *Words) sessions(b *strings.Builder, r *replica.Replica, expires map[proto.SessionID]proto.Millis,
	at func(proto.Millis) string) {
	status := r.Status()
	leads, global := status.Solo || status.Role == proto.Leading, "Session Sets"
	buckets := map[bool]map[proto.Millis][]string{true: {}, false: {}}
	var known strings.Builder
	r.VisitSessions(func(s replica.Session) {
		expires[s.ID] = s.Expiry
		buckets[s.Local][s.Expiry] = append(buckets[s.Local][s.Expiry], "\t"+s.ID.String())
		if !s.Local {
			fmt.Fprintf(&known, "%v\t%dms\n", s.ID, s.Timeout)
		}
	})
	if w.backend.Info().LocalSessions || status.Local > 0 {
		writeSets(b, "Local Session Sets", buckets[true], status.Local, at)
		global = "Global Session Sets"
	}
	if leads {
		writeSets(b, global, buckets[false], status.Sessions, at)
		return
	}
	fmt.Fprintf(b, "Global Sessions(%d):\n%s", status.Sessions, known.String())
}

func writeSets(b *strings.Builder, name string, sets map[proto.Millis][]string, all int, at func(proto.Millis) string) {
	fmt.Fprintf(b, "%s (%d)/(%d):\n", name, len(sets), all)
	times := make([]proto.Millis, 0, len(sets))
	for t := range sets {
		times = append(times, t)
	}
	slices.Sort(times)
	for _, t := range times {
		fmt.Fprintf(b, "%d expire at %s:\n%s\n", len(sets[t]), at(t), strings.Join(sets[t], "\n"))
	}
}

func (w *Words) ephemerals(b *strings.Builder, r *replica.Replica) {
	var owners []proto.SessionID
	r.Tree().VisitEphemerals(func(s proto.SessionID, _ int) { owners = append(owners, s) })
	slices.Sort(owners)
	fmt.Fprintf(b, "ephemeral nodes dump:\nSessions with Ephemerals (%d):\n", len(owners))
	for _, s := range owners {
		fmt.Fprintf(b, "%v:\n", s)
		r.Tree().EphemeralsOf(s, func(path []byte) { fmt.Fprintf(b, "\t%s\n", path) })
	}
}
