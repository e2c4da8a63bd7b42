package daemon

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/zkd-project/zkd/daemon/config"
)

// trio is an ensemble of three servers in this process.
type trio struct {
	t     *testing.T
	dirs  [3]string
	ports [3][3]int // client, quorum, election
	admin [3]int    // ports of the commands by HTTP, 0 for none
	roles [3]string // ":observer", if it is one
	stop  [3]func() error
	logs  [3]logText
	hosts func(i int) string // of server i's ports for servers; 127.0.0.1 if nil
	more  string             // lines of configuration
}

// logText keeps a server's log.
type logText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *logText) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *logText) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// freePort finds a port below those that the kernel gives to outgoing connections.
func freePort(t *testing.T) int {
	t.Helper()
	for range 200 {
		port := 15000 + rand.IntN(15000)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

func newTrio(t *testing.T) *trio {
	e := &trio{t: t}
	for i := range e.dirs {
		e.dirs[i] = t.TempDir()
		e.ports[i] = [3]int{freePort(t), freePort(t), freePort(t)}
	}
	t.Cleanup(func() {
		for i := range e.logs {
			if t.Failed() {
				t.Logf("server %d:\n%s", i+1, e.logs[i].String())
			}
		}
	})
	return e
}

func (e *trio) addr(i int) string { return fmt.Sprintf("127.0.0.1:%d", e.ports[i][0]) }

func (e *trio) host(i int) string {
	if e.hosts == nil {
		return "127.0.0.1"
	}
	return e.hosts(i)
}

// start starts a server; it need not have a quorum yet.
func (e *trio) start(i int) {
	e.t.Helper()
	text := fmt.Sprintf("dataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\ntickTime=500\n"+
		"commitLogCount=500\n4lw.commands.whitelist=*\n", e.dirs[i], e.ports[i][0])
	for j, p := range e.ports {
		text += fmt.Sprintf("server.%d=%s:%d:%d%s\n", j+1, e.host(j), p[1], p[2], e.roles[j])
	}
	if e.admin[i] != 0 {
		text += fmt.Sprintf("admin.serverPort=%d\nadmin.serverAddress=127.0.0.1\n"+
			"metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\n"+
			"metricsProvider.httpHost=127.0.0.1\nmetricsProvider.httpPort=%[1]d\n", e.admin[i])
	}
	text += e.more
	file := filepath.Join(e.t.TempDir(), "zoo.cfg")
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			e.t.Fatal(err)
		}
	}
	write(file, text)
	write(filepath.Join(e.dirs[i], "myid"), fmt.Sprintln(i+1))
	cfg, err := config.Load(file)
	if err != nil {
		e.t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(&e.logs[i])
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- Run(ctx, cfg, log, func([]net.Addr) { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		cancel()
		e.t.Fatal(err)
	}
	e.stop[i] = func() error { cancel(); return <-done }
}

func (e *trio) halt(i int) {
	e.t.Helper()
	if err := e.stop[i](); err != nil {
		e.t.Error(err)
	}
}

// word asks a server a four-letter word.
func (e *trio) word(i int, word string) string {
	conn, err := net.Dial("tcp", e.addr(i))
	if err != nil {
		return ""
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(word)); err != nil {
		return ""
	}
	b, _ := io.ReadAll(conn)
	return string(b)
}

// mode is what a server says of its role.
func (e *trio) mode(i int) string {
	_, mode, _ := strings.Cut(e.word(i, "srvr"), "Mode: ")
	mode, _, _ = strings.Cut(mode, "\n")
	if mode == "looking" { // that is none yet
		return ""
	}
	return mode
}

// await waits until a server serves, and returns its role.
func (e *trio) await(i int) string {
	e.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if m := e.mode(i); m != "" {
			return m
		}
	}
	e.t.Fatalf("server %d does not come to serve", i+1)
	return ""
}

// leader waits until all that run serve, and returns who leads.
func (e *trio) leader(running ...int) int {
	e.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		leader := -1
		for _, i := range running {
			if e.await(i) == "leader" {
				leader = i
			}
		}
		if leader >= 0 { // none is seen if another one took over between the questions
			return leader
		}
	}
	e.t.Fatal("nobody leads")
	return -1
}

// TestEnsemble has three servers elect a leader, replicate, lose the leader, and take back
// one that lacks a little, one that lacks much, and one that lacks everything.
func TestEnsemble(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreAnyFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"))
	e := newTrio(t)
	for i := range 3 {
		e.start(i)
	}
	leader := e.leader(0, 1, 2)
	all := zk.WorldACL(zk.PermAll)
	total := 0
	write := func(at, n int) {
		t.Helper()
		c := connect(t, e.addr(at))
		defer c.Close()
		for range n {
			total++
			if _, err := c.Create(fmt.Sprintf("/n%d", total), []byte("data"), 0, all); err != nil {
				t.Fatalf("create %d through server %d: %v", total, at+1, err)
			}
		}
	}
	check := func(at int) {
		t.Helper()
		c := connect(t, e.addr(at))
		defer c.Close()
		if _, err := c.Sync("/"); err != nil {
			t.Fatal(err)
		}
		children, _, err := c.Children("/")
		if err != nil || len(children) != total+1 {
			t.Fatalf("server %d has %d of %d znodes: %v", at+1, len(children)-1, total, err)
		}
	}
	for i := range 3 {
		write(i, 20)
	}
	e.halt(leader)
	a, b := (leader+1)%3, (leader+2)%3
	next := e.leader(a, b)
	write(a, 20)
	write(b, 20)
	e.start(leader) // lacks a little: DIFF
	e.await(leader)
	check(leader)
	e.halt(leader)
	write(next, 800) // more than is kept in memory
	e.start(leader)  // lacks much: from the log, or SNAP
	e.await(leader)
	check(leader)
	e.halt(leader)
	if err := os.RemoveAll(e.dirs[leader]); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(e.dirs[leader], 0o700); err != nil {
		t.Fatal(err)
	}
	e.start(leader) // lacks everything
	e.await(leader)
	for i := range 3 {
		check(i)
		write(i, 5)
	}
	c := connect(t, e.addr(leader))
	if text, _, err := c.Get("/zookeeper/config"); err != nil || !strings.Contains(string(text), "server.3=127.0.0.1:") {
		t.Errorf("/zookeeper/config: %q, %v", text, err)
	}
	c.Close()
	e.halt(next)
	e.leader(leader, (3-leader-next+3)%3)
	write(leader, 5)
	check(leader)
	for i := range 3 {
		if i != next {
			e.halt(i)
		}
	}
}
