package tree

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// script runs commands against a tree, in the manner of Apache's command line.
type script struct {
	t      *Tree
	opt    Options
	c      Caller
	zxid   proto.Zxid
	queue  []proto.Txn // prepared and not applied
	ops    []modelReq  // of the multi that is being written
	inside bool        // of a multi
	out    strings.Builder
	image  map[string]string
}

func newScript() *script {
	s := &script{opt: Options{Match: openMatcher{}, ExtendedTypes: true}, c: Caller{Session: 1, Watcher: 1}}
	s.t = New(s.opt)
	return s
}

// TestScripts runs testdata: "run" applies each write at once, "prepare" leaves it
// for "apply".
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		s := newScript()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.out.Reset()
			switch d.Cmd {
			case "new":
				s.reset(d)
			case "run", "prepare":
				for line := range strings.Lines(d.Input) {
					s.line(strings.Fields(line), d.Cmd == "run")
				}
				s.endMulti(d.Cmd == "run")
			case "apply":
				for len(s.queue) > 0 {
					s.apply()
				}
			case "image":
				s.reload(t)
			default:
				t.Fatalf("unknown command %s", d.Cmd)
			}
			if err := s.t.check(); err != nil {
				t.Fatal(err)
			}
			return s.out.String()
		})
	})
}

func (s *script) reset(d *datadriven.TestData) {
	s.opt = Options{Match: openMatcher{}, ExtendedTypes: !d.HasArg("no-extended"), Emulate353: d.HasArg("emulate353"),
		EnforceQuota: d.HasArg("enforce-quota"), SkipACL: d.HasArg("skip-acl")}
	if d.HasArg("never-used") {
		s.opt.ContainerMaxNeverUsed = 5000
	}
	s.t, s.zxid, s.queue, s.c = New(s.opt), 0, nil, Caller{Session: 1, Watcher: 1}
}

// reload replaces the tree by one loaded from its image.
func (s *script) reload(t *testing.T) {
	if s.image == nil {
		s.image = make(map[string]string)
	}
	s.t.Cut(&mapSink{s.image})
	for !s.t.Drain(3) {
	}
	l := NewLoader(s.opt)
	for k, v := range s.image {
		if err := l.Put([]byte(k), []byte(v)); err != nil {
			t.Fatal(err)
		}
	}
	before, digest := dumpTree(s.t), s.t.Digest()
	loaded, err := l.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if dumpTree(loaded) != before || loaded.Digest() != digest {
		t.Fatalf("loaded\n%sand not\n%s", dumpTree(loaded), before)
	}
	s.t = loaded
	n := loaded.Counts()
	fmt.Fprintf(&s.out, "%d znodes, %d ephemerals, %d bytes, %d sessions, %d reapable\n",
		n.Znodes, n.Ephemerals, n.DataBytes, n.Sessions, n.Reapable)
}

func (s *script) line(f []string, apply bool) {
	if len(f) == 0 || f[0][0] == '#' {
		return
	}
	if f[0] == "+" {
		s.inside = true
		s.ops = append(s.ops, scriptReq(f[1:]))
		return
	}
	s.endMulti(apply)
	if f[0] == "multi" {
		s.inside = true
		return
	}
	if s.context(f) || s.read(f) {
		return
	}
	req := scriptReq(f).encode()
	scriptRaw(&req, f)
	s.write(&req, apply)
}

func (s *script) endMulti(apply bool) {
	if s.inside {
		req := modelReq{op: proto.OpMulti, ops: s.ops}.encode()
		s.inside, s.ops = false, nil
		s.write(&req, apply)
	}
}

// context sets who asks: "session 2", "watcher 3", "as digest:alice:x ip:10.0.0.1".
func (s *script) context(f []string) bool {
	switch f[0] {
	case "session":
		s.c.Session = proto.SessionID(number(f[1]))
	case "watcher":
		s.c.Watcher = WatcherID(number(f[1]))
	case "dropwatcher":
		s.t.DropWatcher(WatcherID(number(f[1])))
	case "as":
		s.c.IDs = nil
		for _, id := range f[1:] {
			scheme, text, _ := strings.Cut(id, ":")
			s.c.IDs = append(s.c.IDs, proto.ID{Scheme: scheme, ID: text})
		}
	case "zxid":
		s.zxid = proto.Zxid(number(f[1]))
	default:
		return false
	}
	return true
}

func number(text string) int64 {
	n, err := strconv.ParseInt(text, 0, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// text reads a word: "null" and "empty" are no data and data of no bytes.
func text(word string) []byte {
	switch {
	case word == "null":
		return nil
	case word == "empty":
		return []byte{}
	case strings.HasPrefix(word, "size="):
		return make([]byte, number(word[5:]))
	}
	b, err := strconv.Unquote(`"` + word + `"`)
	if err != nil {
		panic(err)
	}
	return []byte(b)
}

var scriptOps = map[string]proto.Op{
	"create": proto.OpCreate, "create2": proto.OpCreate2, "container": proto.OpCreateContainer,
	"ttl": proto.OpCreateTTL, "delete": proto.OpDelete, "set": proto.OpSetData, "setacl": proto.OpSetACL,
	"check": proto.OpCheck, "reap": proto.OpDeleteContainer, "close": proto.OpCloseSession,
	"opensession": proto.OpCreateSession, "getdata": proto.OpGetData, "getchildren": proto.OpGetChildren,
	"reconfig": proto.OpReconfig,
}

// scriptReq reads a request: its name, a path, data, and options.
func scriptReq(f []string) modelReq {
	r := modelReq{op: scriptOps[f[0]], version: -1, data: []byte{}, acl: proto.OpenACLUnsafe}
	if r.op == 0 {
		panic("no command " + f[0])
	}
	switch r.op {
	case proto.OpCreateContainer:
		r.flags = proto.FlagContainer
	case proto.OpCreateTTL:
		r.flags = proto.FlagTTL
	}
	words := 0
	for _, w := range f[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch {
		case key == "flags":
			r.flags = int32(number(value))
		case key == "ttl":
			r.ttl = number(value)
		case key == "version" || key == "timeout":
			r.version = int32(number(value))
		case key == "acl":
			r.acl = scriptACL(value)
		case w == "-e":
			r.flags |= proto.FlagEphemeral
		case w == "-s":
			r.flags |= proto.FlagSequential
		case words == 0:
			r.path = string(text(w))
			words++
		default:
			r.data = text(w)
		}
	}
	return r
}

// scriptACL reads "world:anyone:31,digest:alice:x:1"; the permissions come last.
func scriptACL(value string) (acls []proto.ACL) {
	switch value {
	case "":
		return []proto.ACL{}
	case "null":
		return nil
	}
	for _, e := range strings.Split(value, ",") {
		scheme, rest, _ := strings.Cut(e, ":")
		i := strings.LastIndexByte(rest, ':')
		acls = append(acls, proto.ACL{
			Perms: proto.Perms(number(rest[i+1:])), ID: proto.ID{Scheme: scheme, ID: rest[:max(i, 0)]},
		})
	}
	return acls
}

// scriptRaw sets what the model's requests do not have.
func scriptRaw(req *proto.Request, f []string) {
	if i := slices.Index(f, "nullid"); i > 0 { // an entry without id
		req.ACL = jute.AppendInt(jute.AppendInt(nil, 1), 31)
		req.ACL = jute.AppendInt(jute.AppendString(req.ACL, f[i+1]), -1)
	}
	if slices.Contains(f, "nullscheme") {
		req.ACL = jute.AppendString(jute.AppendInt(jute.AppendInt(jute.AppendInt(nil, 1), 31), -1), "x")
	}
}

func (s *script) write(req *proto.Request, apply bool) {
	s.zxid++
	h := proto.TxnHeader{Session: s.c.Session, Zxid: s.zxid, Time: proto.Millis(1000 + s.zxid)}
	var txn proto.Txn
	s.t.Prepare(h, &s.c, req, &txn)
	var decoded proto.Txn
	if err := decoded.Decode(txn.Append(nil)); err != nil {
		panic(err)
	}
	s.queue = append(s.queue, decoded)
	if apply {
		s.apply()
		return
	}
	fmt.Fprintf(&s.out, "%v %v", txn.Zxid, txn.Type)
	switch txn.Type {
	case proto.OpError:
		fmt.Fprintf(&s.out, ": %v", txn.Err)
	case proto.OpCloseSession:
		for _, p := range txn.Paths {
			fmt.Fprintf(&s.out, " %s", p)
		}
	case proto.OpMulti:
		for i := range txn.Ops {
			fmt.Fprintf(&s.out, "\n  %s", describe(&txn.Ops[i]))
		}
	default:
		s.out.WriteString(strings.TrimPrefix(describe(&txn), txn.Type.String()))
	}
	s.out.WriteByte('\n')
}

func describe(txn *proto.Txn) string {
	switch txn.Type {
	case proto.OpError:
		return fmt.Sprintf("error: %v", txn.Err)
	case proto.OpDelete, proto.OpDeleteContainer:
		return fmt.Sprintf("%v %s", txn.Type, txn.Path)
	case proto.OpSetData, proto.OpSetACL, proto.OpCheck:
		return fmt.Sprintf("%v %s version %d", txn.Type, txn.Path, txn.Version)
	}
	text := fmt.Sprintf("%v %s cversion %d", txn.Type, txn.Path, txn.ParentCversion)
	if txn.Ephemeral {
		text += " ephemeral"
	}
	if txn.TTL != 0 {
		text += fmt.Sprintf(" ttl %d", txn.TTL)
	}
	return text
}

// apply applies the oldest prepared transaction and prints the reply and the events.
func (s *script) apply() {
	txn := s.queue[0]
	s.queue = s.queue[1:]
	var res Result
	s.t.Apply(&txn, &res)
	fmt.Fprintf(&s.out, "%v ", txn.Zxid)
	s.result(&res)
	for _, r := range res.Ops {
		s.out.WriteString("  ")
		s.result(&r)
	}
	for _, ev := range s.t.Events() {
		slices.Sort(ev.Watchers)
		readable := ""
		if !s.t.Allowed(ev.ACL, proto.PermRead, nil) {
			readable = " not readable by all"
		}
		fmt.Fprintf(&s.out, "  -> %v %v %s%s\n", ev.Watchers, ev.Type, ev.Path, readable)
	}
	s.t.ClearEvents()
}

func (s *script) result(res *Result) {
	switch {
	case res.Err != proto.ErrOK:
		fmt.Fprintln(&s.out, res.Err)
	case res.Stat != (proto.Stat{}):
		fmt.Fprintf(&s.out, "%v %s %s\n", res.Type, res.Path, statText(res.Stat))
	default:
		fmt.Fprintln(&s.out, strings.TrimSpace(fmt.Sprintf("%v %s", res.Type, res.Path)))
	}
}

func statText(st proto.Stat) string {
	return fmt.Sprintf("c=%d m=%d p=%d ct=%d mt=%d v=%d cv=%d av=%d owner=%d len=%d kids=%d", st.Czxid, st.Mzxid,
		st.Pzxid, st.Ctime, st.Mtime, st.Version, st.Cversion, st.Aversion, st.EphemeralOwner, st.DataLength,
		st.NumChildren)
}
