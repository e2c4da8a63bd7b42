//go:build interop

package interop

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// on makes a server on its own, on a data directory; kind is as in newCluster.
func on(t *testing.T, kind, data string, flags ...string) *process {
	t.Helper()
	dir, port := t.TempDir(), freePort(t)
	file := filepath.Join(dir, "zoo.cfg")
	text := fmt.Appendf(nil, commonConfig+"snapCount=400\nskipACL=yes\n", data, port)
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, name: kind, addr: fmt.Sprintf("127.0.0.1:%d", port), log: filepath.Join(dir, "log")}
	p.make = func() *exec.Cmd { return exec.Command(os.Getenv("ZKD_BINARY"), "run", "-c", file) }
	forgetful.Store(p.addr, kind == "debian")
	if kind != "zkd" {
		args := append([]string{"-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", dir + ":" + javaLib(t, kind),
			"-Dzookeeper.extendedTypesEnabled=true", "-Dznode.container.checkIntervalMs=100000000", "-Dzookeeper.skipACL=yes",
			"-Dzookeeper.preAllocSize=256"}, flags...)
		p.make = func() *exec.Cmd {
			return exec.Command("java", append(args, "org.apache.zookeeper.server.ZooKeeperServerMain", file)...)
		}
	}
	t.Cleanup(func() {
		if p.cmd != nil && p.cmd.ProcessState == nil {
			p.kill()
		}
	})
	return p
}

// fill has a server do random requests; the sessions stay.
func fill(t *testing.T, p *process, seed uint64, requests int) []*session {
	t.Helper()
	s := &side{p: p, sessions: make([]*session, slots), names: make(map[proto.SessionID]string)}
	for i := range slots {
		s.open(t, i, fmt.Sprint(i))
	}
	g := &generator{r: rand.New(rand.NewPCG(seed, 1))}
	for range requests {
		slot := g.r.IntN(slots)
		xid, op, frame := g.next()
		if op == proto.OpCloseSession && g.r.IntN(3) > 0 {
			continue
		}
		if op == proto.OpCheck { // no server of Apache's can start on a log that has one: ZOOKEEPER-2623
			continue
		}
		s.sessions[slot].ops[xid] = op
		s.sessions[slot].send(frame)
		s.sessions[slot].ping()
		s.lines(nil, slot)
		if s.sessions[slot].closed {
			s.open(t, slot, "")
		}
	}
	for i := range s.sessions { // each has something to keep
		got := s.own(i)
		if s.sessions[i].closed { // Apache's server may end a connection a moment after the answer to the last request
			s.open(t, i, "")
			got = s.own(i)
		}
		if !strings.Contains(strings.Join(got, ""), "err 0") {
			t.Fatalf("%s: %q", p.name, got)
		}
	}
	return s.sessions
}

// own has a session create an ephemeral znode.
func (s *side) own(slot int) []string {
	c, xid := s.sessions[slot], int32(1<<20+slot)
	b := jute.AppendBuffer(header(xid, proto.OpCreate, fmt.Sprintf("/mine%d-", slot)), []byte("mine"))
	c.ops[xid] = proto.OpCreate
	c.send(jute.AppendInt(proto.AppendACLs(b, proto.OpenACLUnsafe), 3))
	c.ping()
	return s.lines(nil, slot)
}

// fetch sends a request and returns the body of the reply.
func (s *session) fetch(t *testing.T, frame []byte) (jute.Decoder, proto.ErrCode) {
	t.Helper()
	s.send(frame)
	b, err := s.frame()
	if err != nil {
		t.Fatal(err)
	}
	d := jute.NewDecoder(b)
	d.Int()
	d.Long()
	code := proto.ErrCode(d.Int())
	return d, code
}

// everything is all that clients can see of a server: znodes with every field, and whose the
// ephemerals are.
func everything(t *testing.T, p *process) string {
	t.Helper()
	s, err := dial(p.addr, 60000, 0, nil)
	if err != nil || s.id == 0 {
		t.Fatalf("%s: %v", p.name, err)
	}
	defer s.c.Close()
	defer s.send(jute.AppendInt(jute.AppendInt(nil, 9), int32(proto.OpCloseSession)))
	var lines []string
	for todo := []string{"/"}; len(todo) > 0; {
		path := todo[0]
		todo = todo[1:]
		d, code := s.fetch(t, jute.AppendBool(header(1, proto.OpGetData, path), false))
		if code != 0 {
			t.Fatalf("%s: %q: %v", p.name, path, code)
		}
		line := fmt.Sprintf("%q %s", path, text(d.Buffer()))
		if stat := proto.DecodeStat(&d); strings.HasSuffix(path, "/zookeeper_stats") {
			line = fmt.Sprintf("%q", path) // Apache's server counts anew at its start, and does not always get what it had
		} else {
			line += fmt.Sprintf(" %+v", stat)
		}
		d, _ = s.fetch(t, header(2, proto.OpGetACL, path))
		acls, _ := proto.DecodeACLs(&d)
		lines = append(lines, fmt.Sprint(line, acls))
		d, _ = s.fetch(t, jute.AppendBool(header(3, proto.OpGetChildren, path), false))
		for n := d.Count(4); n > 0; n-- {
			todo = append(todo, strings.TrimSuffix(path, "/")+"/"+string(d.Buffer()))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// same compares what two servers have.
func same(t *testing.T, what, want, got string) {
	t.Helper()
	if want == got {
		return
	}
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for _, line := range a {
		if !slices.Contains(b, line) {
			t.Errorf("%s: missing: %s", what, line)
		}
	}
	for _, line := range b {
		if !slices.Contains(a, line) {
			t.Errorf("%s: too much: %s", what, line)
		}
	}
}

// zkctlOn runs import or export for a zkd with these directories.
func zkctlOn(t *testing.T, data string, args ...string) (out string, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "zoo.cfg")
	os.WriteFile(file, fmt.Appendf(nil, "dataDir=%s\nclientPort=0\nextendedTypesEnabled=true\n", data), 0o644)
	binary := filepath.Join(filepath.Dir(os.Getenv("ZKD_BINARY")), "zkctl")
	b, err := exec.Command(binary, append(args, "-c", file)...).CombinedOutput()
	return string(b), err
}

// resumes checks that a session goes on, and that its end removes what it owns.
func resumes(t *testing.T, p *process, s *session, end bool) {
	t.Helper()
	c, err := dial(p.addr, 100_000_000, s.id, s.passwd)
	if err != nil || c.id != s.id {
		t.Fatalf("%s: session %v does not go on: %v", p.name, s.id, err)
	}
	defer c.c.Close()
	d, code := c.fetch(t, header(1, proto.OpGetEphemerals, "/"))
	if own := list(&d); code != 0 || !strings.Contains(own, "/mine") {
		t.Errorf("%s: session %v has %s, %v", p.name, s.id, own, code)
	}
	if end {
		c.fetch(t, jute.AppendInt(jute.AppendInt(nil, 2), int32(proto.OpCloseSession)))
		if all := everything(t, p); strings.Contains(all, fmt.Sprintf("EphemeralOwner:%v ", s.id)) {
			t.Errorf("%s: session %v has ended, and its ephemerals are there", p.name, s.id)
		}
	}
}

// TestMove moves a data directory from Apache's server to zkd, and back to two releases.
func TestMove(t *testing.T) {
	for i, kind := range []struct {
		name, flag string
		harm       func(t *testing.T, dir string)
	}{
		{"java", "", nil}, {"debian", "", nil}, {"java", "gz", nil}, {"java", "snappy", nil}, {"debian", "snappy", nil},
		{"java", "", tornSnapshot}, {"debian", "gz", tornSnapshot}, {"java", "", tornLog}, {"debian", "", tornLog},
	} {
		name := kind.name + kind.flag
		if kind.harm != nil {
			name += "-harmed"
		}
		t.Run(name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "apache")
			apache := on(t, kind.name, data, "-Dzookeeper.snapshot.compression.method="+kind.flag)
			apache.start()
			sessions := fill(t, apache, uint64(i+1), count("OPS", 2000))
			want := everything(t, apache)
			mine := filepath.Join(t.TempDir(), "zkd")
			if out, err := zkctlOn(t, mine, "import", "--from", data); err == nil || !strings.Contains(out, "stop that server first") {
				t.Errorf("import beside the server: %v, %s", err, out)
			}
			if kind.harm == nil {
				apache.signal(syscall.SIGTERM)
			} else {
				apache.kill()
				kind.harm(t, data)
			}
			if out, err := exec.Command(os.Getenv("ZKD_BINARY"), "run", "-c", configOf(t, data)).CombinedOutput(); err == nil ||
				err.(*exec.ExitError).ExitCode() != 3 || !strings.Contains(string(out), "zkctl import --from "+data) {
				t.Errorf("zkd on Apache's data: %v, %s", err, out)
			}
			out, err := zkctlOn(t, mine, "import", "--from", data)
			if err != nil {
				t.Fatalf("import: %v\n%s", err, out)
			}
			t.Log(out)
			if kind.harm != nil { // what Apache's server makes of it counts
				copied := filepath.Join(t.TempDir(), "copy")
				os.CopyFS(copied, os.DirFS(data))
				again := on(t, kind.name, copied)
				again.start()
				want = everything(t, again)
				again.kill()
			}
			zkd := on(t, "zkd", mine)
			zkd.start()
			same(t, "imported", want, everything(t, zkd))
			for _, s := range sessions[:3] {
				resumes(t, zkd, s, false)
			}
			zkd.signal(syscall.SIGTERM)
			for j, release := range []string{"java", "debian"} {
				back := filepath.Join(t.TempDir(), "back")
				if out, err := zkctlOn(t, mine, "export", "--to", back, "--compress="+[]string{"", "gz", "snappy"}[(i+j)%3]); err != nil {
					t.Fatalf("export: %v\n%s", err, out)
				}
				p := on(t, release, back)
				p.start()
				same(t, "exported to "+release, want, everything(t, p))
				resumes(t, p, sessions[1], true)
				p.signal(syscall.SIGTERM)
			}
		})
	}
}

func configOf(t *testing.T, data string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "zoo.cfg")
	os.WriteFile(file, fmt.Appendf(nil, "dataDir=%s\nclientPort=%d\n", data, freePort(t)), 0o644)
	return file
}

// newestOf is the newest file of a kind in a data directory.
func newestOf(t *testing.T, data, pattern string) string {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(data, "version-2", pattern))
	if len(files) == 0 {
		t.Fatalf("no %s in %s", pattern, data)
	}
	zxid := func(name string) (z int64) {
		fmt.Sscanf(strings.Split(filepath.Base(name), ".")[1], "%x", &z)
		return z
	}
	return slices.MaxFunc(files, func(a, b string) int { return int(zxid(a) - zxid(b)) })
}

// tornSnapshot leaves the newest snapshot unfinished.
func tornSnapshot(t *testing.T, data string) {
	t.Helper()
	file := newestOf(t, data, "snapshot.*")
	st, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	os.Truncate(file, st.Size()/2)
}

// tornLog leaves the last record of the newest log unfinished.
func tornLog(t *testing.T, data string) {
	t.Helper()
	file := newestOf(t, data, "log.*")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	os.Truncate(file, int64(len(strings.TrimRight(string(b), "\x00"))-7))
}

// TestMixedMove moves the directories of an ensemble, one while the others go on, and then the
// rest, and back.
func TestMixedMove(t *testing.T) {
	c := newCluster(t, "java", "debian", "java")
	// serve waits for all: to start three Java servers takes long on a machine that has other work.
	serve := func() {
		t.Helper()
		for deadline := time.Now().Add(4 * time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
			if !slices.ContainsFunc(c.servers, func(p *process) bool { return p.mode() == "" }) {
				break
			}
		}
		c.awaitAll()
		c.agree()
	}
	for _, p := range c.servers {
		p.launch()
	}
	serve()
	c.put(0, "a", 300)
	dirOf := func(i int) string { return filepath.Join(c.dirs[i], c.servers[i].name, "data") }
	move := func(i int, kind string) {
		t.Helper()
		from := dirOf(i)
		c.servers[i].signal(syscall.SIGTERM)
		c.become(i, kind)
		zkd, args := dirOf(i), []string{"import", "--from", from}
		if kind != "zkd" {
			os.RemoveAll(filepath.Join(dirOf(i), "version-2"))
			zkd, args = from, []string{"export", "--to", dirOf(i)}
		}
		if out, err := zkctlOn(t, zkd, args...); err != nil {
			t.Fatalf("server %d to %s: %v\n%s", i+1, kind, err, out)
		}
	}
	move(2, "zkd")
	time.Sleep(time.Second) // it may have led
	c.await(0, func() bool { m := c.servers[0].mode(); return m == "leader" || m == "follower" })
	c.put(0, "while", 50)
	c.servers[2].launch() // what it lacks comes from the others
	serve()
	move(0, "zkd")
	move(1, "zkd")
	c.servers[2].signal(syscall.SIGTERM)
	for _, p := range c.servers {
		p.launch()
	}
	serve()
	c.put(1, "b", 300)
	want := c.dump(c.servers[0])
	if !strings.Contains(want, "650 children") && !strings.Contains(want, "651 children") {
		t.Errorf("%.200s", want)
	}
	for i, kind := range []string{"debian", "java", "debian"} {
		move(i, kind)
	}
	for _, p := range c.servers {
		p.launch()
	}
	serve()
	if got := c.dump(c.servers[2]); got != want {
		t.Errorf("it was\n%.300s\nand is\n%.300s", want, got)
	}
}
