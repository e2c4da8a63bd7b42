//go:build interop

package interop

import (
	"bufio"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// create asks for a znode and returns the reply's zxid and code.
func (s *session) create(t *testing.T, path string, flags int32) (proto.Zxid, proto.ErrCode) {
	t.Helper()
	b := jute.AppendBuffer(header(1, proto.OpCreate, path), []byte("x"))
	return s.ask(t, jute.AppendInt(proto.AppendACLs(b, proto.OpenACLUnsafe), flags))
}

func (s *session) ask(t *testing.T, frame []byte) (proto.Zxid, proto.ErrCode) {
	t.Helper()
	s.send(frame)
	f, err := s.frame()
	if err != nil {
		t.Fatal(err)
	}
	d := jute.NewDecoder(f)
	d.Int()
	return proto.Zxid(d.Long()), proto.ErrCode(d.Int())
}

// end closes the session.
func (s *session) end(t *testing.T) {
	t.Helper()
	s.ask(t, jute.AppendInt(jute.AppendInt(nil, 9), int32(proto.OpCloseSession)))
}

func mustDial(t *testing.T, p *process, id proto.SessionID, passwd []byte) *session {
	t.Helper()
	s, err := dial(p.addr, 10000, id, passwd)
	if err != nil {
		t.Fatalf("%s (%s): %v", p.name, p.addr, err)
	}
	t.Cleanup(func() { s.c.Close() })
	return s
}

// value is one of mntr's.
func (p *process) value(name string) string {
	for line := range strings.Lines(p.word("mntr")) {
		if v, ok := strings.CutPrefix(line, "zk_"+name+"\t"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// TestLocalSessions has local sessions write, become global and be refused on ensembles of
// zkd's and Apache's servers. The second and the third server are started first, so that
// one of them leads.
func TestLocalSessions(t *testing.T) {
	for _, c := range []struct{ kinds, upgrade string }{
		{"zkd java java", "true"}, {"zkd java java", "false"}, {"java zkd zkd", "true"}, {"java zkd zkd", "false"},
		{"zkd debian debian", "true"}, {"debian zkd zkd", "true"},
	} {
		t.Run(c.kinds+" "+c.upgrade, func(t *testing.T) {
			e := newCluster(t, strings.Fields(c.kinds)...)
			e.configure("localSessionsEnabled=true\nlocalSessionsUpgradingEnabled=" + c.upgrade + "\n")
			e.servers[1].launch()
			e.servers[2].launch()
			e.leader()
			e.servers[0].launch()
			e.awaitAll()
			for i, p := range e.servers {
				e.localSession(p, e.servers[(i+1)%3], c.upgrade == "true")
			}
		})
	}
}

func (c *cluster) localSession(p, other *process, upgrade bool) {
	t := c.t
	t.Helper()
	s := mustDial(t, p, 0, nil)
	dir := "/" + p.addr
	z1, code := s.create(t, dir, 0)
	if code != proto.ErrOK {
		t.Fatalf("%s (%s): a local session's write gets %v", p.name, p.mode(), code)
	}
	mustDial(t, p, 0, nil).end(t)
	if z2, code := s.create(t, dir+"/a", 0); code != proto.ErrOK || z2 != z1+1 {
		t.Fatalf("%s (%s): a local session took a transaction, or %v", p.name, p.mode(), code)
	}
	if p.value("local_sessions") != "1" || p.value("global_sessions") != "0" {
		t.Errorf("%s (%s): %s local and %s global sessions", p.name, p.mode(), p.value("local_sessions"), p.value("global_sessions"))
	}
	if r := mustDial(t, other, s.id, s.passwd); r.id != 0 {
		t.Errorf("%s takes the local session of %s", other.name, p.name)
	}
	_, code = s.create(t, dir+"/e", proto.FlagEphemeral)
	if !upgrade {
		if code != proto.ErrEphemeralOnLocalSession {
			t.Errorf("%s (%s): an ephemeral on a local session gets %v", p.name, p.mode(), code)
		}
		s.end(t)
		return
	}
	if code != proto.ErrOK {
		t.Fatalf("%s (%s): an ephemeral on a local session gets %v", p.name, p.mode(), code)
	}
	r := mustDial(t, other, s.id, s.passwd)
	if r.id != s.id {
		t.Fatalf("%s (%s) does not take a session that has become global on %s (%s)", other.name, other.mode(), p.name, p.mode())
	}
	if _, code := r.create(t, dir+"/f", proto.FlagEphemeral); code != proto.ErrOK {
		t.Errorf("%s (%s): an ephemeral of a session that came here gets %v", other.name, other.mode(), code)
	}
	r.end(t)
	r = mustDial(t, other, 0, nil)
	defer r.end(t)
	for _, path := range []string{dir + "/e", dir + "/f"} {
		if _, code := r.ask(t, jute.AppendBool(header(1, proto.OpExists, path), false)); code != proto.ErrNoNode {
			t.Errorf("%s is there after its session was closed: %v", path, code)
		}
	}
}

// TestReadOnly has kazoo and Apache's client read from a server that has lost its quorum,
// and write again when there is one.
func TestReadOnly(t *testing.T) {
	c := newCluster(t, "zkd", "zkd", "zkd")
	c.configure("readonlymode.enabled=true\n")
	c.start()
	s := mustDial(t, c.servers[0], 0, nil)
	if _, code := s.create(t, "/a", 0); code != proto.ErrOK {
		t.Fatal(code)
	}
	c.servers[1].kill()
	c.servers[2].kill()
	hosts := c.servers[0].addr + "," + c.servers[1].addr + "," + c.servers[2].addr
	clients := []*exec.Cmd{
		exec.Command("python3", "python/readonly.py", hosts),
		exec.Command("java", "-cp", javaLib(t, "java"), "java/ReadOnly.java", hosts),
	}
	said, errs := make([]*bufio.Reader, 2), make([]strings.Builder, 2)
	for i, cmd := range clients {
		out, err := cmd.StdoutPipe()
		cmd.Stderr = &errs[i]
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		said[i] = bufio.NewReader(out)
	}
	for i, r := range said {
		if line, err := r.ReadString('\n'); line != "reading\n" {
			t.Errorf("%v said %q: %v", clients[i].Args, line, err)
		}
	}
	if got := c.servers[0].word("isro"); got != "ro" {
		t.Errorf("isro: %q", got)
	}
	c.servers[1].launch()
	c.servers[2].launch()
	for i, r := range said {
		rest, _ := io.ReadAll(r)
		if err := clients[i].Wait(); err != nil || string(rest) != "all well\n" {
			t.Errorf("%v said %q: %v\n%s", clients[i].Args, rest, err, errs[i].String())
		}
	}
	c.awaitAll()
}
