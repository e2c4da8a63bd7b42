//go:build interop

package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// cluster is an ensemble of processes on loopback; each is zkd or Java.
type cluster struct {
	t       *testing.T
	servers []*process
	dirs    []string
	ports   [][3]int // client, quorum, election
	tick    int      // tickTime
	lan     *lan     // nil: all are on loopback
	shape   shape
}

// shape is how an ensemble differs from the usual one.
type shape struct {
	addresses func(i int) []string // of server i; its host's alone if nil
	observers int                  // the last ones
	more      string               // lines of configuration
}

// host is the address of server i.
func (c *cluster) host(i int) string {
	if c.lan == nil {
		return "127.0.0.1"
	}
	return c.lan.host(i)
}

// command is what runs on the machine of server i.
func (c *cluster) command(i int, name string, args ...string) *exec.Cmd {
	if c.lan != nil {
		name, args = "ip", append([]string{"netns", "exec", c.lan.names[i], name}, args...)
	}
	return exec.Command(name, args...)
}

// newCluster makes an ensemble, which is not started; kinds are "zkd" or "java".
func newCluster(t *testing.T, kinds ...string) *cluster { return newShaped(t, shape{}, kinds...) }

func newShaped(t *testing.T, s shape, kinds ...string) *cluster {
	c := &cluster{t: t, tick: 2000, shape: s}
	c.found(kinds)
	return c
}

// newNetwork makes an ensemble of which each server is a machine in a network.
func newNetwork(t *testing.T, kinds ...string) *cluster {
	c := &cluster{t: t, tick: 500, lan: newLAN(t, len(kinds))}
	c.found(kinds)
	return c
}

func (c *cluster) found(kinds []string) {
	t := c.t
	t.Helper()
	for range kinds {
		c.dirs = append(c.dirs, t.TempDir())
		c.ports = append(c.ports, [3]int{freePort(t), freePort(t), freePort(t)})
	}
	for i, kind := range kinds {
		c.servers = append(c.servers, nil)
		c.become(i, kind)
	}
	t.Cleanup(func() {
		for _, p := range c.servers {
			if p.cmd != nil && p.cmd.ProcessState == nil {
				p.kill()
			}
		}
		if t.Failed() {
			c.keep()
			for i, p := range c.servers {
				b, _ := os.ReadFile(p.log)
				lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(string(b)), "\n"), func(line string) bool {
					return strings.HasPrefix(line, "SLF4J") || strings.HasPrefix(line, "log4j")
				})
				t.Logf("server %d, %s, ended its log with\n%s", i+1, p.name, strings.Join(lines[max(0, len(lines)-25):], "\n"))
			}
		}
	})
}

// keep copies what the servers have on their disks, if KEEP says where to.
func (c *cluster) keep() {
	to := os.Getenv("KEEP")
	if to == "" {
		return
	}
	for i, dir := range c.dirs {
		kept := filepath.Join(to, fmt.Sprintf("%s-%d", filepath.Base(filepath.Dir(dir)), i+1))
		if err := os.CopyFS(kept, os.DirFS(dir)); err != nil {
			c.t.Log(err)
		}
		c.t.Logf("the files of server %d are in %s", i+1, kept)
	}
}

// configure gives all servers, none of which runs, further settings.
func (c *cluster) configure(more string) {
	c.shape.more = more
	for i, p := range c.servers {
		c.become(i, p.name)
	}
}

// become makes server i one of a kind, on its own directory.
func (c *cluster) become(i int, kind string) {
	dir := filepath.Join(c.dirs[i], kind)
	data := filepath.Join(dir, "data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		c.t.Fatal(err)
	}
	config := fmt.Appendf(nil, commonConfig+"tickTime=%d\nclientPortAddress=%s\ninitLimit=10\nsyncLimit=5\ncommitLogCount=500\n",
		data, c.ports[i][0], c.tick, c.host(i))
	for j, p := range c.ports {
		addresses := []string{c.host(j)}
		if c.shape.addresses != nil {
			addresses = c.shape.addresses(j)
		}
		for k, a := range addresses {
			addresses[k] = fmt.Sprintf("%s:%d:%d", a, p[1], p[2])
		}
		role := ""
		if j >= len(c.ports)-c.shape.observers {
			role = ":observer"
		}
		config = fmt.Appendf(config, "server.%d=%s%s\n", j+1, strings.Join(addresses, "|"), role)
	}
	if i >= len(c.ports)-c.shape.observers {
		config = append(config, "peerType=observer\n"...)
	}
	config = append(config, c.shape.more...)
	file := filepath.Join(dir, "zoo.cfg")
	os.WriteFile(file, config, 0o644)
	os.WriteFile(filepath.Join(data, "myid"), fmt.Appendf(nil, "%d\n", i+1), 0o644)
	p := &process{t: c.t, name: kind, addr: fmt.Sprintf("%s:%d", c.host(i), c.ports[i][0]), log: filepath.Join(dir, "log")}
	if c.lan != nil {
		p.addr = c.lan.names[len(c.ports)] + "@" + p.addr
	}
	p.make = func() *exec.Cmd { return c.command(i, os.Getenv("ZKD_BINARY"), "run", "-c", file) }
	forgetful.Store(p.addr, kind == "debian")
	if kind != "zkd" {
		lib := javaLib(c.t, kind)
		p.make = func() *exec.Cmd {
			return c.command(i, "java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", dir+":"+lib,
				"-Dzookeeper.extendedTypesEnabled=true", "-Dznode.container.checkIntervalMs=100000000",
				"-Dzookeeper.4lw.commands.whitelist=*", fmt.Sprintf("-Dzookeeper.multiAddress.enabled=%v", c.shape.more == severalAddresses), "-Dorg.slf4j.simpleLogger.showDateTime=true", "org.apache.zookeeper.server.quorum.QuorumPeerMain", file)
		}
	}
	c.servers[i] = p
}

// javaLib is the class path of a release of Apache's: "java" is 3.9, "old" 3.5, "debian"
// what Debian has.
func javaLib(t *testing.T, kind string) string {
	if kind == "debian" {
		const dir = "/usr/share/java/" // zookeeper.jar names most of what it needs, and opening all jars takes seconds
		return dir + "slf4j-simple.jar:" + dir + "zookeeper.jar:" + dir + "log4j-1.2.jar:" + dir + "netty-codec.jar:" + dir + "netty-resolver.jar"
	}
	name := map[string]string{"java": "ZKD_JAVA_LIB", "old": "ZKD_JAVA_OLD"}[kind]
	lib := os.Getenv(name)
	if lib == "" {
		t.Fatalf("%s must name a directory with the jars of ZooKeeper; run.sh makes it", name)
	}
	return lib + "/*"
}

// launch starts a server without waiting for an answer.
func (p *process) launch() {
	p.t.Helper()
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		p.t.Fatal(err)
	}
	defer out.Close()
	p.cmd = p.make()
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

func (c *cluster) start() {
	for _, p := range c.servers {
		p.launch()
	}
	c.awaitAll()
}

// mode is what a server says of its role; it is empty for one that does not serve.
func (p *process) mode() string {
	mode := p.role()
	if mode == "looking" {
		return ""
	}
	return mode
}

// role is what a server says of itself, "looking" included, which Apache's do not say.
func (p *process) role() string {
	for line := range strings.Lines(p.word("srvr")) {
		if mode, ok := strings.CutPrefix(line, "Mode: "); ok {
			return strings.TrimSpace(mode)
		}
	}
	return ""
}

// awaitAll waits until every server that runs serves.
func (c *cluster) awaitAll() {
	c.t.Helper()
	for i, p := range c.servers {
		c.await(i, func() bool { m := p.mode(); return m == "leader" || m == "follower" || m == "observer" })
	}
}

func (c *cluster) await(i int, ok func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	c.t.Fatalf("server %d (%s) does not come to serve", i+1, c.servers[i].name)
}

func (c *cluster) leader() int {
	for range 1500 {
		for i, p := range c.servers {
			if p.mode() == "leader" {
				return i
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	c.t.Fatal("nobody leads")
	return 0
}

// writer creates one znode after the other, through any server, with one session.
type writer struct {
	c     *cluster
	id    int
	first int // the server that it begins with
	stop  atomic.Bool
	done  sync.WaitGroup

	mu      sync.Mutex
	acked   []string
	last    time.Time     // of the last answer
	longest time.Duration // between two answers, since it was reset
	moves   int
	err     error
}

func (c *cluster) write(n int) []*writer {
	var all []*writer
	for i := range n {
		w := &writer{c: c, id: i, first: i % len(c.servers), last: time.Now()}
		w.done.Go(w.run)
		all = append(all, w)
	}
	return all
}

func (w *writer) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

func (w *writer) run() {
	var id proto.SessionID
	var passwd []byte
	at, n, maybe := w.first, 0, false
	for !w.stop.Load() {
		s, err := dial(w.c.servers[at%len(w.c.servers)].addr, 10000, id, passwd)
		if err == nil && s.id == 0 && id != 0 {
			w.fail("session %v has expired", id)
			return
		}
		if err != nil || s.id == 0 {
			at++
			time.Sleep(2 * time.Millisecond)
			continue
		}
		id, passwd = s.id, s.passwd
		for xid := int32(1); !w.stop.Load(); xid++ {
			path := fmt.Sprintf("/w%d-%d", w.id, n)
			b := jute.AppendBuffer(header(xid, proto.OpCreate, path), []byte("x"))
			s.send(jute.AppendInt(proto.AppendACLs(b, proto.OpenACLUnsafe), 0))
			f, err := s.frame()
			if err != nil {
				maybe = true
				break
			}
			d := jute.NewDecoder(f)
			got, _, code := d.Int(), d.Long(), proto.ErrCode(d.Int())
			if got != xid || code != proto.ErrOK && !(maybe && code == proto.ErrNodeExists) {
				w.fail("create of %s: reply %d for %d: %v", path, got, xid, code)
				return
			}
			maybe = false
			n++
			w.answered(path)
		}
		s.c.Close()
		at++
		w.mu.Lock()
		w.moves++
		w.mu.Unlock()
	}
}

func (w *writer) answered(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.longest = max(w.longest, now.Sub(w.last))
	w.acked, w.last = append(w.acked, path), now
}

// reset begins to measure the longest gap anew.
func (w *writer) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.longest = 0
}

// progress waits until a writer has got an answer that is later than since, and returns
// the longest gap.
func (w *writer) progress(since time.Time) time.Duration {
	for range 6000 {
		w.mu.Lock()
		last, longest, err := w.last, w.longest, w.err
		w.mu.Unlock()
		if err != nil {
			w.c.t.Fatal(err)
		}
		if last.After(since) {
			return longest
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.c.t.Fatalf("writer %d gets no answer", w.id)
	return 0
}

// finish stops the writers and checks that every server holds what they were told.
func (c *cluster) finish(writers []*writer) {
	c.t.Helper()
	for _, w := range writers {
		w.stop.Store(true)
	}
	total := 0
	for _, w := range writers {
		w.done.Wait()
		if w.err != nil {
			c.t.Fatal(w.err)
		}
		total += len(w.acked)
	}
	for i, p := range c.servers {
		missing := c.missing(p, writers)
		if len(missing) > 0 && p.hasHole() {
			c.t.Logf("server %d (%s) lacks %d of %d znodes that were acknowledged: ZOOKEEPER-4409", i+1, p.name, len(missing), total)
			continue
		}
		if len(missing) > 0 {
			other := c.servers[(i+1)%len(c.servers)]
			c.t.Fatalf("server %d (%s) lacks %d of %d znodes that were acknowledged, the first is %s, of %v, the last %s, of %v", i+1,
				p.name, len(missing), total, missing[0], c.madeAt(other, missing[0]), missing[len(missing)-1], c.madeAt(other, missing[len(missing)-1]))
		}
	}
	c.t.Logf("%d writes were acknowledged, and every server has them", total)
}

// missing asks a server, after a sync, for everything that was acknowledged.
func (c *cluster) missing(p *process, writers []*writer) (missing []string) {
	c.t.Helper()
	s := c.reader(p)
	defer s.c.Close()
	for _, w := range writers {
		for _, path := range w.acked {
			if code, _ := s.ask(jute.AppendBool(header(2, proto.OpExists, path), false)); code != proto.ErrOK {
				missing = append(missing, path)
			}
		}
	}
	return missing
}

// hasHole says whether a server of Apache's has run into its defect 4409: when the leader
// goes, its log's thread may end before it has written what the server goes on with, and
// the next start does not find it.
func (p *process) hasHole() bool {
	return p.name != "zkd" && p.says("Severe unrecoverable error, from thread : SyncThread") > 0
}

// threads are the stacks of a server of Apache's, for the message of a failure.
func (p *process) threads() string {
	if p.name == "zkd" {
		return ""
	}
	out, _ := exec.Command("jstack", fmt.Sprint(p.cmd.Process.Pid)).CombinedOutput()
	return "; its threads:\n" + string(out)
}

// madeAt is the transaction that made a znode, as a server knows it.
func (c *cluster) madeAt(p *process, path string) proto.Zxid {
	s := c.reader(p)
	defer s.c.Close()
	if code, d := s.ask(jute.AppendBool(header(2, proto.OpExists, path), false)); code == proto.ErrOK {
		return proto.DecodeStat(&d).Czxid
	}
	return 0
}

// TestEnsembleLosesItsLeader kills the leader again and again under writes.
func TestEnsembleLosesItsLeader(t *testing.T) {
	c := newCluster(t, "zkd", "zkd", "zkd")
	c.loseLeaders(syscall.SIGKILL, count("KILLS", 6))
}

// TestEnsembleLeaderStops has the leader end in good order again and again under writes.
func TestEnsembleLeaderStops(t *testing.T) {
	c := newCluster(t, "zkd", "zkd", "zkd")
	c.loseLeaders(syscall.SIGTERM, count("KILLS", 6))
}

func (c *cluster) loseLeaders(sig syscall.Signal, rounds int) {
	c.start()
	writers := c.write(6)
	var gaps []time.Duration
	for range rounds {
		time.Sleep(300 * time.Millisecond)
		leader := c.leader()
		for _, w := range writers {
			w.reset()
		}
		began := time.Now()
		c.servers[leader].signal(sig)
		gap := time.Duration(1 << 62)
		for _, w := range writers {
			gap = min(gap, w.progress(began.Add(20*time.Millisecond)))
		}
		gaps = append(gaps, gap)
		time.Sleep(200 * time.Millisecond)
		c.servers[leader].launch()
		c.awaitAll()
	}
	c.finish(writers)
	c.t.Logf("%v of the leader: the median of the shortest gaps in the writes of a client is %v, %v", sig, median(gaps), gaps)
}

// TestEnsembleLosesFollowers kills followers, one after the other, and lets them catch up.
func TestEnsembleLosesFollowers(t *testing.T) {
	c := newCluster(t, "zkd", "zkd", "zkd")
	c.start()
	writers := c.write(6)
	for i := range count("KILLS", 6) {
		time.Sleep(200 * time.Millisecond)
		victim := (c.leader() + 1 + i%2) % 3
		began := time.Now()
		c.servers[victim].kill()
		for _, w := range writers {
			w.progress(began.Add(50 * time.Millisecond))
		}
		c.servers[victim].launch()
		c.awaitAll()
	}
	c.finish(writers)
}
