package replica_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zab"
)

// fakeAuth knows the scheme "digest" with the password "pw", and no other.
type fakeAuth struct{ enforce bool }

func (a *fakeAuth) Authenticate(scheme string, data []byte, _ proto.ID) ([]proto.ID, proto.ErrCode) {
	user, password, _ := strings.Cut(string(data), ":")
	if scheme != "digest" || password != "pw" {
		return nil, proto.ErrAuthFailed
	}
	return []proto.ID{{Scheme: "digest", ID: user + ":hash"}}, proto.ErrOK
}

func (*fakeAuth) User(id proto.ID) string { return strings.TrimSuffix(id.ID, ":hash") }

func (a *fakeAuth) Satisfied(ids []proto.ID) bool {
	for _, id := range ids {
		if id.Scheme == "digest" {
			return true
		}
	}
	return !a.enforce
}

func (*fakeAuth) Matches(have, want proto.ID) bool { return have == want }
func (*fakeAuth) Valid(id proto.ID) bool           { return id.Scheme == "digest" }
func (*fakeAuth) Authenticated(scheme string) bool { return scheme == "digest" }

// world runs one replica from a script. Its log is a list of batches that become
// durable when the script says so.
type world struct {
	t     *testing.T
	auth  *fakeAuth
	r     *replica.Replica
	now   replica.Now
	conns map[string]*replica.Conn
	log   []zab.Write
	out   strings.Builder
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, auth: new(fakeAuth), conns: make(map[string]*replica.Conn)}
	w.now = replica.Now{Wall: 1_000_000, Mono: 5_000}
	w.start(tree.New(tree.Options{Match: w.auth, ExtendedTypes: true}))
	return w
}

func (w *world) start(t *tree.Tree) {
	w.r = replica.New(replica.Config{
		ServerID: 1, TickTime: 2000, MinTimeout: 4000, MaxTimeout: 40000,
		ReapInterval: 60_000, ReapPerMinute: 10_000, Auth: w.auth,
	}, w.now, t, zab.Recovered{})
}

func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/alone", func(t *testing.T, path string) {
		w := newWorld(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			w.out.Reset()
			for line := range strings.Lines(d.Input) {
				w.line(strings.Fields(line))
			}
			if d.Cmd != "quiet" {
				w.effects()
			}
			return w.out.String()
		})
	})
}

// line runs one line: a word for the world, or a connection's name and its request.
func (w *world) line(f []string) {
	switch f[0] {
	case "tick":
		for ms := proto.Millis(w.number(f[1])); ms > 0; ms -= 500 {
			w.pass(min(ms, 500))
		}
	case "pause": // nothing runs, and then the clock is looked at before anything else
		w.pass(proto.Millis(w.number(f[1])))
	case "sleep": // nothing runs, and then something else comes first
		w.now.Wall += proto.Millis(w.number(f[1]))
		w.now.Mono += proto.Millis(w.number(f[1]))
	case "durable":
		w.durable()
	case "restart":
		w.conns, w.log = make(map[string]*replica.Conn), nil
		w.start(w.r.Tree())
	case "status":
		s := w.r.Status()
		fmt.Fprintf(&w.out, "zxid %v proposed %v sessions %d connections %d outstanding %d\n",
			s.Zxid, s.Proposed, s.Sessions, s.Connections, s.Outstanding)
	case "enforce":
		w.auth.enforce = true
	default:
		w.request(f)
	}
}

func (w *world) pass(ms proto.Millis) {
	w.now.Wall += ms
	w.now.Mono += ms
	w.r.Tick(w.now)
}

// durable reports every batch that was handed out.
func (w *world) durable() {
	w.effects()
	for len(w.log) > 0 {
		pos := w.log[0].Pos
		w.log = w.log[1:]
		w.r.Durable(w.now, pos)
	}
}

// effects prints what the replica wants done.
func (w *world) effects() {
	var e replica.Effects
	w.r.Effects(&e)
	w.log = append(w.log, e.Writes...)
	for _, c := range e.Conns {
		w.conn(c)
	}
}

// conn prints what the replica has for a connection.
func (w *world) conn(c *replica.Conn) {
	name := c.Owner.(string)
	w.frames(name, c)
	if c.Abort || c.Close {
		fmt.Fprintf(&w.out, "%s: closed\n", name)
		w.r.Disconnect(c)
		if w.conns[name] == c {
			delete(w.conns, name)
		}
	}
}

func (w *world) frames(name string, c *replica.Conn) {
	b := c.Out.B
	if len(c.Out.Refs) > 0 {
		w.t.Fatal("scripts have no large values")
	}
	for len(b) > 0 {
		d := jute.NewDecoder(b)
		frame := d.Buffer()
		b = d.Rest()
		w.frame(name, frame)
	}
	c.Out.Reset()
}

func (w *world) frame(name string, frame []byte) {
	d := jute.NewDecoder(frame)
	if len(frame) == 36 || len(frame) == 37 {
		var res proto.ConnectResponse
		if res.Decode(frame) == nil && res.Timeout%1000 == 0 {
			fmt.Fprintf(&w.out, "%s: session %v timeout %d", name, res.Session, res.Timeout)
			if res.ReadOnly {
				w.out.WriteString(" read-only")
			}
			w.out.WriteByte('\n')
			return
		}
	}
	xid, zxid, code := d.Int(), proto.Zxid(d.Long()), proto.ErrCode(d.Int())
	if xid == proto.XidNotification {
		typ, state, path := proto.EventType(d.Int()), d.Int(), d.Buffer()
		fmt.Fprintf(&w.out, "%s: event %v %s zxid %v state %d\n", name, typ, path, zxid, state)
		return
	}
	fmt.Fprintf(&w.out, "%s: xid %d zxid %v %v", name, xid, zxid, code)
	if rest := d.Rest(); len(rest) > 0 {
		fmt.Fprintf(&w.out, " %q", trim(rest))
	}
	w.out.WriteByte('\n')
}

func trim(b []byte) string {
	const most = 40
	if len(b) > most {
		return string(b[:most]) + "..."
	}
	return string(b)
}

func (w *world) number(s string) int64 {
	n, err := strconv.ParseInt(s, 0, 64)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// request sends one request, "NAME VERB ARG...", or opens or drops a connection.
func (w *world) request(f []string) {
	name, verb, args := f[0], f[1], f[2:]
	if verb == "connect" {
		w.connect(name, args)
		return
	}
	c := w.conns[name]
	if c == nil {
		w.t.Fatalf("no connection %q", name)
	}
	switch verb {
	case "drop":
		w.r.Disconnect(c)
		delete(w.conns, name)
	case "raw":
		w.r.Input(w.now, c, []byte(strings.Join(args, " ")))
	default:
		w.r.Input(w.now, c, w.encode(verb, args))
	}
}

// connect opens a connection: NAME connect [ro] [timeout [session [password-of]]].
func (w *world) connect(name string, args []string) {
	c := &replica.Conn{Owner: name, IDs: []proto.ID{{Scheme: "ip", ID: "127.0.0.1"}}}
	w.conns[name] = c
	w.r.Connect(w.now, c)
	req := proto.ConnectRequest{Timeout: 10000, HasReadOnly: true}
	if len(args) > 0 && args[0] == "ro" {
		req.ReadOnly, args = true, args[1:]
	}
	if len(args) > 0 {
		req.Timeout = int32(w.number(args[0]))
	}
	if len(args) > 1 {
		req.Session = proto.SessionID(w.number(args[1]))
		p := req.Session.Password()
		req.Password = p[:]
	}
	if len(args) > 2 && args[2] == "wrong" {
		req.Password = []byte("wrong password!!")
	}
	if len(args) > 2 && strings.HasPrefix(args[2], "seen=") {
		req.LastZxidSeen = proto.Zxid(w.number(args[2][5:]))
	}
	w.r.Input(w.now, c, req.Append(nil))
}

// encode builds a request frame from "VERB XID ARG...".
func (w *world) encode(verb string, args []string) []byte {
	xid := int32(w.number(args[0]))
	args = append(args[1:], "", "")
	head := func(op proto.Op) []byte { return jute.AppendInt(jute.AppendInt(nil, xid), int32(op)) }
	path := func(op proto.Op) []byte { return jute.AppendString(head(op), args[0]) }
	switch verb {
	case "create", "create-ephemeral":
		b := jute.AppendString(path(proto.OpCreate), args[1])
		b = proto.AppendACLs(b, proto.OpenACLUnsafe)
		flags := proto.FlagPersistent
		if verb == "create-ephemeral" {
			flags = proto.FlagEphemeral
		}
		return jute.AppendInt(b, flags)
	case "create-container":
		b := jute.AppendString(path(proto.OpCreateContainer), args[1])
		return jute.AppendInt(proto.AppendACLs(b, proto.OpenACLUnsafe), proto.FlagContainer)
	case "multi": // of creates, each PATH or PATH! for an ephemeral
		b := head(proto.OpMulti)
		for _, path := range args {
			if path == "" {
				break
			}
			flags := proto.FlagPersistent
			if path[len(path)-1] == '!' {
				path, flags = path[:len(path)-1], proto.FlagEphemeral
			}
			b = jute.AppendInt(jute.AppendBool(jute.AppendInt(b, int32(proto.OpCreate)), false), -1)
			b = proto.AppendACLs(jute.AppendString(jute.AppendString(b, path), "x"), proto.OpenACLUnsafe)
			b = jute.AppendInt(b, flags)
		}
		return jute.AppendInt(jute.AppendBool(jute.AppendInt(b, int32(proto.OpError)), true), -1)
	case "set":
		return jute.AppendInt(jute.AppendString(path(proto.OpSetData), args[1]), -1)
	case "delete":
		return jute.AppendInt(path(proto.OpDelete), -1)
	case "get", "get-watch":
		return jute.AppendBool(path(proto.OpGetData), verb == "get-watch")
	case "exists", "exists-watch":
		return jute.AppendBool(path(proto.OpExists), verb == "exists-watch")
	case "sync":
		return path(proto.OpSync)
	case "ping":
		return head(proto.OpPing)
	case "close":
		return head(proto.OpCloseSession)
	case "whoami":
		return head(proto.OpWhoAmI)
	case "auth":
		b := jute.AppendInt(head(proto.OpAuth), 0)
		return jute.AppendString(jute.AppendString(b, args[0]), args[1])
	case "sasl":
		return jute.AppendString(head(proto.OpSASL), "")
	case "op":
		return head(proto.Op(w.number(args[0])))
	}
	w.t.Fatalf("unknown verb %q", verb)
	return nil
}
