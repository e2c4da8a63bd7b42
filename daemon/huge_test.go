package daemon

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/sirupsen/logrus"

	"github.com/zkd-project/zkd/daemon/auth"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/server"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/tree"
)

// connectBig is connect for a client that sends and takes up to so many bytes.
func connectBig(t *testing.T, addr string, longest int) *zk.Conn {
	t.Helper()
	c, events, err := zk.Connect([]string{addr}, 2*time.Minute, zk.WithLogInfo(false), zk.WithLogger(silent{}),
		zk.WithMaxBufferSize(longest), zk.WithMaxConnBufferSize(longest))
	if err != nil {
		t.Fatal(err)
	}
	for e := range events {
		if e.State == zk.StateHasSession {
			break
		}
	}
	return c
}

// agree checks that the servers, all of which have stopped, have the same tree.
func (e *trio) agree() {
	e.t.Helper()
	var zxid proto.Zxid
	var digest uint64
	schemes, err := auth.New(auth.Options{})
	if err != nil {
		e.t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	for i, dir := range e.dirs {
		st, err := store.Open(store.Options{ImageDir: dir, LogDir: dir, Log: log})
		if err != nil {
			e.t.Fatal(err)
		}
		t, err := server.Recover(st, tree.Options{Match: schemes}, log, nil, nil)
		if err != nil {
			e.t.Fatal(err)
		}
		if err = st.Close(); err != nil {
			e.t.Error(err)
		}
		if i == 0 {
			zxid, digest = t.LastZxid(), t.Digest()
		} else if t.LastZxid() != zxid || t.Digest() != digest {
			e.t.Errorf("server %d is at %v with digest %x; the first one is at %v with %x",
				i+1, t.LastZxid(), t.Digest(), zxid, digest)
		}
	}
	debug.FreeOSMemory()
}

// steady checks that nobody has looked for a leader since looked told how often each one had.
func (e *trio) steady(before [3]int) {
	e.t.Helper()
	for i := range e.logs {
		if n := strings.Count(e.logs[i].String(), "Looking for a leader"); n != before[i] {
			e.t.Errorf("server %d has looked for a leader %d times", i+1, n-before[i])
		}
	}
}

func (e *trio) looked() (n [3]int) {
	for i := range e.logs {
		n[i] = strings.Count(e.logs[i].String(), "Looking for a leader")
	}
	return n
}

// TestSessionWithHugeEphemerals closes a session whose ephemerals have more bytes in their names
// than any transaction may have: all servers delete them, and go on.
func TestSessionWithHugeEphemerals(t *testing.T) {
	const many, length = 44, 1_000_000
	e := newTrio(t)
	for i := range 3 {
		e.start(i)
	}
	leader := e.leader(0, 1, 2)
	before := e.looked()
	all := zk.WorldACL(zk.PermAll)
	c := connect(t, e.addr((leader+1)%3))
	defer c.Close()
	if _, err := c.Create("/e", nil, 0, all); err != nil {
		t.Fatal(err)
	}
	owner := connect(t, e.addr((leader+2)%3))
	for i := range many {
		if _, err := owner.Create(fmt.Sprintf("/e/%02d%s", i, strings.Repeat("x", length)), nil, zk.FlagEphemeral, all); err != nil {
			t.Fatalf("create %d: %v", i, err)
		}
	}
	owner.Close()
	for i := range 3 {
		c := connect(t, e.addr(i))
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			_, err := c.Sync("/")
			_, stat, err2 := c.Exists("/e")
			if err == nil && err2 == nil && stat.NumChildren == 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("server %d still has ephemerals: %v, %v", i+1, err, err2)
			}
		}
		if _, err := c.Create(fmt.Sprintf("/after%d", i), nil, 0, all); err != nil {
			t.Fatalf("afterwards, at server %d: %v", i+1, err)
		}
		c.Close()
	}
	e.steady(before)
	for i := range 3 {
		e.halt(i)
	}
	e.agree()
}

// TestHugeData writes a znode of 40 MiB where jute.maxbuffer allows it, also while one server is
// away, which then gets it out of the log, and as a snapshot when its disk was emptied. It is
// no matter that this server allows less.
func TestHugeData(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a minute with the race detector")
	}
	const longest, size = 64 << 20, 40 << 20
	e := newTrio(t)
	const patient = "syncLimit=240\nmaxSessionTimeout=120000\n" // a slow machine takes its time with so much
	e.more = fmt.Sprintf("jute.maxbuffer=%d\n", longest) + patient
	for i := range 3 {
		e.start(i)
	}
	leader := e.leader(0, 1, 2)
	away := (leader + 1) % 3
	before := e.looked()
	c := connectBig(t, e.addr((leader+2)%3), longest)
	defer c.Close()
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i >> 9)
	}
	if _, err := c.Create("/big", nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	set := func(mark byte) {
		t.Helper()
		data[0], data[size-1] = mark, mark
		if _, err := c.Set("/big", data, -1); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
	}
	check := func(i int) {
		t.Helper()
		c := connectBig(t, e.addr(i), longest)
		defer c.Close()
		if _, err := c.Sync("/"); err != nil {
			t.Fatal(err)
		}
		got, _, err := c.Get("/big")
		if err != nil || string(got) != string(data) {
			t.Fatalf("server %d has %d bytes: %v", i+1, len(got), err)
		}
	}
	set(1)
	for i := range 3 {
		check(i)
	}
	e.steady(before)
	e.halt(away)
	set(2)
	for range 5 { // the memory of what others lack holds less than one of these
		if _, err := c.Set("/zookeeper/quota", nil, -1); err != nil {
			t.Fatal(err)
		}
	}
	e.more = patient // its own clients may not write that, but others' may
	e.start(away)
	e.await(away)
	check(away)
	if strings.Contains(e.logs[away].String(), "Received a snapshot") {
		t.Error("it got a snapshot instead of what it lacked of the log")
	}
	set(4)
	check(away)
	e.halt(away)
	files, _ := filepath.Glob(filepath.Join(e.dirs[away], "*"))
	for _, f := range files {
		if err := os.RemoveAll(f); err != nil {
			t.Fatal(err)
		}
	}
	set(3)
	e.start(away)
	e.await(away)
	check(away)
	if !strings.Contains(e.logs[away].String(), "Received a snapshot") {
		t.Error("it got no snapshot")
	}
	for i := range 3 {
		e.halt(i)
	}
	e.agree()
}

// TestAnnouncedPacket has a stranger who has said to be a learner announce the longest packet that
// there can be, where jute.maxbuffer is large: memory is taken for what comes.
func TestAnnouncedPacket(t *testing.T) {
	e := newTrio(t)
	e.more = "jute.maxbuffer=1073741824\n"
	for i := range 3 {
		e.start(i)
	}
	leader := e.leader(0, 1, 2)
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	before := mem.TotalAlloc
	var conns []net.Conn
	for k := range 20 {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", e.ports[leader][1]))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		b := greeting(proto.PacketObserverInfo, int64(100+k), proto.LearnerVersion)
		b = append(b, oversized()...)
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	time.Sleep(300 * time.Millisecond)
	if runtime.ReadMemStats(&mem); mem.TotalAlloc-before > 256<<20 {
		t.Errorf("%d connections took %d MiB", len(conns), (mem.TotalAlloc-before)>>20)
	}
	for i := range 3 {
		e.halt(i)
	}
}
