package tree

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// encode turns a request of the model into one of the tree.
func (r modelReq) encode() proto.Request {
	req := proto.Request{
		Op: r.op, Path: []byte(r.path), Data: r.data, Flags: r.flags, TTL: -1, Version: r.version, Mode: r.version,
		ACL: proto.AppendACLs(nil, r.acl),
	}
	if r.flags == proto.FlagTTL && r.op == proto.OpCreate && r.ttl > 0 {
		req.Op = proto.OpCreateTTL
	}
	if req.Op == proto.OpCreateTTL {
		req.TTL = r.ttl
	}
	if r.op == proto.OpMulti {
		req.Ops = encodeMulti(r.ops)
	}
	return req
}

func encodeMulti(ops []modelReq) []byte {
	var b []byte
	for _, r := range ops {
		op := r.encode()
		b = appendMultiHeader(b, op.Op, false, -1)
		b = jute.AppendBuffer(b, op.Path)
		switch op.Op {
		case proto.OpCreate, proto.OpCreate2, proto.OpCreateContainer, proto.OpCreateTTL:
			b = append(jute.AppendBuffer(b, op.Data), op.ACL...)
			b = jute.AppendInt(b, op.Flags)
			if op.Op == proto.OpCreateTTL {
				b = jute.AppendLong(b, op.TTL)
			}
		case proto.OpSetData:
			b = jute.AppendInt(jute.AppendBuffer(b, op.Data), op.Version)
		case proto.OpDelete, proto.OpCheck:
			b = jute.AppendInt(b, op.Version)
		}
	}
	return appendMultiHeader(b, proto.OpError, true, -1)
}

// machine runs the tree and the model side by side. What is prepared is applied later.
type machine struct {
	tree    *Tree
	ahead   *model // with everything that is prepared
	now     *model // with everything that is applied
	zxid    proto.Zxid
	pending []pendingWrite
	log     [][]byte // every transaction

	sink   *mapSink
	frozen string // the model at the cut
	image  map[string]string
}

type pendingWrite struct {
	h   proto.TxnHeader
	ids []proto.ID
	req modelReq
	txn []byte
}

// mapSink keeps an image.
type mapSink struct{ records map[string]string }

func (s *mapSink) Put(key, value []byte) { s.records[string(key)] = string(value) }
func (s *mapSink) Delete(key []byte)     { delete(s.records, string(key)) }

var (
	alice     = proto.ID{Scheme: "digest", ID: "alice:x"}
	machIDs   = [][]proto.ID{nil, {alice}, {{Scheme: "super"}}}
	machPaths = []string{"/a", "/b", "/a/a", "/a/b", "/a/a/a", "/b/a", "/b/b", "/zookeeper/x", "/zookeeper"}
	machACLs  = [][]proto.ACL{
		proto.OpenACLUnsafe, proto.OpenACLUnsafe, {{Perms: proto.PermAll, ID: alice}},
		{{Perms: proto.PermRead, ID: proto.ID{Scheme: "world", ID: "anyone"}}, {Perms: proto.PermCreate, ID: alice}},
	}
)

func newMachine() *machine {
	return &machine{
		tree: New(Options{Match: openMatcher{}, ExtendedTypes: true}), ahead: newModel(), now: newModel(),
		image: make(map[string]string),
	}
}

// anyReq draws a request with one path.
func (m *machine) anyReq(t *rapid.T) modelReq {
	r := modelReq{path: rapid.SampledFrom(machPaths).Draw(t, "path"), version: -1}
	if rapid.IntRange(0, 3).Draw(t, "versioned") == 0 {
		r.version = rapid.Int32Range(0, 3).Draw(t, "version")
	}
	size := rapid.SampledFrom([]int{-1, 0, 1, 7, 100, 110, 5000}).Draw(t, "size")
	if size >= 0 {
		r.data = bytes.Repeat([]byte{byte(m.zxid)}, size)
	}
	r.acl = rapid.SampledFrom(machACLs).Draw(t, "acl")
	switch rapid.IntRange(0, 9).Draw(t, "op") {
	case 0, 1, 2, 3:
		r.op = proto.OpCreate
		r.flags = rapid.SampledFrom([]int32{0, 0, 0, 1, 1, 2, 3, 5}).Draw(t, "flags")
		r.ttl = 1000
	case 4, 5:
		r.op = proto.OpDelete
	case 6, 7:
		r.op = proto.OpSetData
	case 8:
		r.op = proto.OpSetACL
	case 9:
		r.op = proto.OpCheck
	}
	return r
}

// prepare draws a write and prepares it.
func (m *machine) prepare(t *rapid.T) {
	r := m.anyReq(t)
	switch kind := rapid.IntRange(0, 9).Draw(t, "kind"); {
	case kind == 0:
		r = modelReq{op: proto.OpCloseSession}
	case kind == 1:
		r = modelReq{op: proto.OpCreateSession, version: 4000}
	case kind <= 4 || r.op == proto.OpCheck:
		ops := []modelReq{}
		for range rapid.IntRange(0, 4).Draw(t, "ops") {
			if op := m.anyReq(t); op.op != proto.OpSetACL { // not allowed there
				ops = append(ops, op)
			}
		}
		r = modelReq{op: proto.OpMulti, ops: ops}
	}
	m.write(t, r)
}

func (m *machine) write(t *rapid.T, r modelReq) {
	m.zxid++
	w := pendingWrite{
		h: proto.TxnHeader{
			Session: proto.SessionID(rapid.Int64Range(1, 3).Draw(t, "session")), Zxid: m.zxid,
			Time: proto.Millis(1000 + m.zxid),
		},
		ids: rapid.SampledFrom(machIDs).Draw(t, "ids"), req: r,
	}
	req := r.encode()
	var txn proto.Txn
	m.tree.Prepare(w.h, &Caller{IDs: w.ids}, &req, &txn)
	want := m.ahead.do(w.h, w.ids, r)
	m.ahead.events = nil
	if got := txn.Err; got != want.code || (txn.Type == proto.OpError) != (want.code != proto.ErrOK) {
		t.Fatalf("%v %s: prepared %v with %v, want %v", r.op, r.path, txn.Type, got, want.code)
	}
	if want.code == proto.ErrOK && string(txn.Path) != want.path {
		t.Fatalf("%v %s: prepared for %s, want %s", r.op, r.path, txn.Path, want.path)
	}
	w.txn = txn.Append(nil)
	m.pending = append(m.pending, w)
	m.log = append(m.log, w.txn)
}

// apply applies the first pending write and compares its outcome.
func (m *machine) apply(t *rapid.T) {
	if len(m.pending) == 0 {
		t.Skip("nothing to apply")
	}
	w := m.pending[0]
	m.pending = m.pending[1:]
	var txn proto.Txn
	var res Result
	if err := txn.Decode(w.txn); err != nil {
		t.Fatal(err)
	}
	m.now.events = nil
	want := m.now.do(w.h, w.ids, w.req)
	m.tree.Apply(&txn, &res)
	m.compareResult(t, w, &res, want)
	m.compareEvents(t, w.req.op == proto.OpCloseSession)
	if rapid.IntRange(0, 4).Draw(t, "again") == 0 { // once more changes nothing
		m.tree.Apply(&txn, &res)
		m.tree.ClearEvents()
	}
	m.compareState(t)
}

func (m *machine) compareResult(t *rapid.T, w pendingWrite, res *Result, want modelResult) {
	if res.Err != want.code || len(res.Ops) != len(want.ops) {
		t.Fatalf("%v: applied with %v and %d results, want %v and %d", w.h.Zxid, res.Err, len(res.Ops), want.code,
			len(want.ops))
	}
	for i := range want.ops {
		if res.Ops[i].Err != want.ops[i].code || res.Ops[i].Stat != want.ops[i].stat {
			t.Fatalf("%v: operation %d: %+v, want %+v", w.h.Zxid, i, res.Ops[i], want.ops[i])
		}
	}
	if want.code == proto.ErrOK && res.Stat != want.stat {
		t.Fatalf("%v: stat %+v, want %+v", w.h.Zxid, res.Stat, want.stat)
	}
}

// compareEvents compares what each watcher is told, in order.
func (m *machine) compareEvents(t *rapid.T, anyOrder bool) {
	got, want := make(map[string][]string), make(map[string][]string)
	for _, ev := range m.tree.Events() {
		for _, w := range ev.Watchers {
			key := fmt.Sprint(w)
			got[key] = append(got[key], fmt.Sprintf("%v %s", ev.Type, ev.Path))
		}
	}
	m.tree.ClearEvents()
	for _, ev := range m.now.events {
		w, text, _ := strings.Cut(ev, ": ")
		want[w] = append(want[w], text)
	}
	if anyOrder {
		for _, side := range []map[string][]string{got, want} {
			for _, list := range side {
				slices.Sort(list)
			}
		}
	}
	if !maps.EqualFunc(got, want, slices.Equal) {
		t.Fatalf("events %v, want %v", got, want)
	}
}

// dump is the whole state as text.
func (m *model) dump() string {
	var b strings.Builder
	for _, p := range slices.Sorted(maps.Keys(m.nodes)) {
		n := m.nodes[p]
		fmt.Fprintf(&b, "%s %+v %q %v %v\n", p, m.stat(p), n.data, n.data == nil, n.acl)
	}
	for _, s := range slices.Sorted(maps.Keys(m.sessions)) {
		fmt.Fprintf(&b, "session %v %d\n", s, m.sessions[s])
	}
	return b.String()
}

func dumpTree(t *Tree) string {
	lines := []string{}
	t.Walk("/", func(z Znode) {
		lines = append(lines, fmt.Sprintf("%s %+v %q %v %v\n", z.Path, z.Stat, z.Data, z.Data == nil, z.ACLs))
	})
	slices.SortFunc(lines, func(a, b string) int {
		pa, _, _ := strings.Cut(a, " ")
		pb, _, _ := strings.Cut(b, " ")
		return strings.Compare(pa, pb)
	})
	sessions := make(map[proto.SessionID]int32)
	t.Sessions(func(s proto.SessionID, timeout int32) { sessions[s] = timeout })
	for _, s := range slices.Sorted(maps.Keys(sessions)) {
		lines = append(lines, fmt.Sprintf("session %v %d\n", s, sessions[s]))
	}
	return strings.Join(lines, "")
}

func (m *machine) compareState(t *rapid.T) {
	if got, want := dumpTree(m.tree), m.now.dump(); got != want {
		t.Fatalf("the tree is\n%sand should be\n%s", got, want)
	}
	if err := m.tree.check(); err != nil {
		t.Fatal(err)
	}
}

// read draws a read, which may set a watch.
func (m *machine) read(t *rapid.T) {
	p := rapid.SampledFrom(machPaths).Draw(t, "path")
	c := Caller{Watcher: WatcherID(rapid.Uint32Range(1, 3).Draw(t, "watcher")), IDs: rapid.SampledFrom(machIDs).Draw(t, "ids")}
	req := proto.Request{
		Op:   rapid.SampledFrom([]proto.Op{proto.OpExists, proto.OpGetData, proto.OpGetChildren2}).Draw(t, "op"),
		Path: []byte(p), Watch: rapid.Bool().Draw(t, "watch"),
	}
	n, want := m.now.nodes[p], proto.ErrOK
	if n == nil {
		want = proto.ErrNoNode
	} else if !modelAllows(n.acl, proto.PermRead, c.IDs) {
		want = proto.ErrNoAuth
	}
	var out proto.Out
	if got := m.tree.Read(&c, &req, &out); got != want {
		t.Fatalf("%v %s: %v, want %v", req.Op, p, got, want)
	}
	if req.Watch && (want == proto.ErrOK || (want == proto.ErrNoNode && req.Op == proto.OpExists)) {
		if req.Op == proto.OpGetChildren2 {
			m.now.watch(m.now.child, p, c.Watcher, watchChild)
		} else {
			m.now.watch(m.now.data, p, c.Watcher, watchData)
		}
	}
	if want == proto.ErrOK {
		m.compareRead(t, &req, &out)
	}
}

func (m *machine) compareRead(t *rapid.T, req *proto.Request, out *proto.Out) {
	d := jute.NewDecoder(out.B)
	p := string(req.Path)
	switch req.Op {
	case proto.OpGetData:
		if got, want := d.Buffer(), m.now.nodes[p].data; !bytes.Equal(got, want) || (got == nil) != (want == nil) {
			t.Fatalf("data of %s: %q, want %q", p, got, want)
		}
	case proto.OpGetChildren2:
		names := []string{}
		for range d.Count(4) {
			names = append(names, string(d.Buffer()))
		}
		slices.Sort(names)
		if !slices.Equal(names, m.now.children(p)) {
			t.Fatalf("children of %s: %q, want %q", p, names, m.now.children(p))
		}
	}
	if got := proto.DecodeStat(&d); got != m.now.stat(p) || d.Err() != nil || len(d.Rest()) > 0 {
		t.Fatalf("stat of %s: %+v, want %+v (%v, %d bytes left)", p, got, m.now.stat(p), d.Err(), len(d.Rest()))
	}
}

// watch adds or removes persistent watches, or drops a watcher.
func (m *machine) watch(t *rapid.T) {
	p, w := rapid.SampledFrom(machPaths).Draw(t, "path"), WatcherID(rapid.Uint32Range(1, 3).Draw(t, "watcher"))
	c, req := Caller{Watcher: w}, proto.Request{Path: []byte(p)}
	var out proto.Out
	switch rapid.IntRange(0, 4).Draw(t, "op") {
	case 0, 1:
		req.Op, req.Mode = proto.OpAddWatch, rapid.Int32Range(0, 1).Draw(t, "mode")
		m.tree.Read(&c, &req, &out)
		if req.Mode == proto.AddWatchPersistent {
			m.now.watch(m.now.data, p, w, watchPersistent)
			m.now.watch(m.now.child, p, w, watchPersistent)
		} else {
			m.now.watch(m.now.data, p, w, watchRecursive)
		}
	case 2, 3:
		m.removeWatch(t, &c, &req)
	case 4:
		m.tree.DropWatcher(w)
		for _, table := range []map[string]map[WatcherID]watchModes{m.now.data, m.now.child} {
			for _, who := range table {
				delete(who, w)
			}
		}
	}
}

func (m *machine) removeWatch(t *rapid.T, c *Caller, req *proto.Request) {
	p := string(req.Path)
	req.Mode = rapid.Int32Range(1, 5).Draw(t, "type")
	data := map[int32]watchModes{2: watchData, 3: allModes, 4: watchPersistent, 5: watchRecursive}[req.Mode]
	child := map[int32]watchModes{1: watchChild, 3: allModes, 4: watchPersistent}[req.Mode]
	want := proto.ErrNoWatcher
	if m.now.data[p][c.Watcher]&data != 0 || m.now.child[p][c.Watcher]&child != 0 {
		want = proto.ErrOK
	}
	for _, req.Op = range []proto.Op{proto.OpCheckWatches, proto.OpRemoveWatches} {
		if got := m.tree.Read(c, req, new(proto.Out)); got != want {
			t.Fatalf("%v %d on %s: %v, want %v", req.Op, req.Mode, p, got, want)
		}
	}
	for i, table := range []map[string]map[WatcherID]watchModes{m.now.data, m.now.child} {
		modes := []watchModes{data, child}[i]
		if left := table[p][c.Watcher] &^ modes; left != 0 {
			table[p][c.Watcher] = left
		} else {
			delete(table[p], c.Watcher)
		}
	}
}

// cut opens a cut, or drains some of the open one; at its end the image must be the
// tree as it was at the cut.
func (m *machine) cut(t *rapid.T) {
	if m.sink == nil {
		m.sink, m.frozen = &mapSink{m.image}, m.now.dump()
		if z := m.tree.Cut(m.sink); z != m.tree.LastZxid() {
			t.Fatalf("cut at %v, want %v", z, m.tree.LastZxid())
		}
		return
	}
	if m.tree.Drain(rapid.IntRange(1, 5).Draw(t, "records")) {
		m.sink = nil
		m.loads(t)
	}
}

func (m *machine) loads(t *rapid.T) *Tree {
	l := NewLoader(m.tree.opt)
	for k, v := range m.image {
		if err := l.Put([]byte(k), []byte(v)); err != nil {
			t.Fatal(err)
		}
	}
	loaded, err := l.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if got := dumpTree(loaded); got != m.frozen {
		t.Fatalf("the image is\n%sand should be\n%s", got, m.frozen)
	}
	if err := loaded.check(); err != nil {
		t.Fatal(err)
	}
	return loaded
}

// restart replaces the tree by its image and the log behind it; what was prepared and
// not applied is prepared again, as its transactions are known.
func (m *machine) restart(t *rapid.T) {
	if m.sink != nil || len(m.image) == 0 {
		t.Skip("no image")
	}
	loaded := m.loads(t)
	var txn proto.Txn
	var res Result
	applied := m.log[:len(m.log)-len(m.pending)]
	for _, b := range applied {
		if err := txn.Decode(b); err != nil {
			t.Fatal(err)
		}
		if txn.Zxid > loaded.LastZxid() {
			loaded.Apply(&txn, &res)
		}
	}
	if got := dumpTree(loaded); got != m.now.dump() {
		t.Fatalf("after a restart the tree is\n%sand should be\n%s", got, m.now.dump())
	}
	if loaded.Digest() != m.tree.Digest() {
		t.Fatalf("after a restart the digest is %x, and was %x", loaded.Digest(), m.tree.Digest())
	}
}

// TestModel compares the tree with the model under random requests, some in flight.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine()
		t.Repeat(map[string]func(*rapid.T){
			"prepare": m.prepare, "prepareToo": m.prepare, "apply": m.apply, "applyToo": m.apply,
			"read": m.read, "watch": m.watch, "cut": m.cut, "restart": m.restart,
		})
		for len(m.pending) > 0 {
			m.apply(t)
		}
	})
}

// TestReplay applies the end of a history a second time, as happens after a snapshot
// that was taken while transactions were applied.
func TestReplay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine()
		for range rapid.IntRange(1, 25).Draw(t, "writes") {
			m.prepare(t)
			m.apply(t)
		}
		digest := m.tree.Digest()
		for _, b := range m.log[rapid.IntRange(0, len(m.log)-1).Draw(t, "from"):] {
			var txn proto.Txn
			if err := txn.Decode(b); err != nil {
				t.Fatal(err)
			}
			m.tree.Apply(&txn, new(Result))
			m.tree.ClearEvents()
		}
		m.compareState(t)
		if m.tree.Digest() != digest {
			t.Fatalf("the digest is %x and was %x", m.tree.Digest(), digest)
		}
	})
}
