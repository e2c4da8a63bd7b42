package tree

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// bytesOf reads hexadecimal digits with blanks between them.
func bytesOf(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDigestOfApache applies transactions that an Apache server wrote to its log, and
// compares the tree with the digests that they carry.
func TestDigestOfApache(t *testing.T) {
	tr := New(Options{Match: openMatcher{}, ExtendedTypes: true})
	if tr.Digest() != 0x51c6d660 {
		t.Fatalf("the digest of a fresh tree is %x", tr.Digest())
	}
	for _, text := range []string{
		`01000012dd830000 00000000 0000000100000001 000001a20305216f fffffff6 00002710 00000002 0000000051c6d660`,
		`01000012dd830000 00000001 0000000100000002 000001a203052193 00000001
		 00000002 2f61 00000005 68656c6c6f 00000001 0000001f 00000005 776f726c64 00000006 616e796f6e65
		 00 00000001 00000002 00000001dba9a243`,
		`01000012dd830000 00000002 0000000100000003 000001a2030521a5 ffffffff ffffff92`,
	} {
		var txn proto.Txn
		if err := txn.Decode(bytesOf(t, text)); err != nil {
			t.Fatal(err)
		}
		var res Result
		tr.Apply(&txn, &res)
		if txn.HasDigest && tr.Digest() != txn.Digest {
			t.Errorf("after %v the digest is %x, want %x", txn.Zxid, tr.Digest(), txn.Digest)
		}
	}
	if tr.Mismatches() != 0 || tr.LastZxid() != 0x100000003 {
		t.Errorf("%d mismatches at %v", tr.Mismatches(), tr.LastZxid())
	}
	txn := proto.Txn{TxnHeader: proto.TxnHeader{Zxid: 0x100000004, Type: proto.OpError}, HasDigest: true, Digest: 1}
	tr.Apply(&txn, new(Result))
	if tr.Mismatches() != 1 {
		t.Error("a wrong digest is not noticed")
	}
}

// TestDigests keeps the digest after each 128th zxid, the last 1024 of them.
func TestDigests(t *testing.T) {
	d := newDriver()
	d.create("/a", nil)
	req := proto.Request{Op: proto.OpSetData, Path: []byte("/a"), Data: []byte("x"), Version: -1}
	want := make(map[proto.Zxid]uint64)
	for d.zxid < 128*1100 {
		d.do(&req)
		if d.zxid%128 == 0 {
			want[d.zxid] = d.t.Digest()
		}
	}
	got := d.t.Digests()
	if len(got) != 1024 || got[0].Zxid != 128*77 || got[1023].Zxid != 128*1100 {
		t.Fatalf("%d digests from %v on", len(got), got[0].Zxid)
	}
	for _, e := range got {
		if e.Digest != want[e.Zxid] {
			t.Fatalf("at %v the digest was %x and not %x", e.Zxid, want[e.Zxid], e.Digest)
		}
	}
}

// TestReplyBodies compares the bytes of replies, those of multi with captured ones.
func TestReplyBodies(t *testing.T) {
	d := newDriver()
	for _, c := range []struct {
		op   proto.Op
		res  Result
		want string
	}{
		{proto.OpMulti, Result{}, "ffffffff 01 ffffffff"},
		{proto.OpMulti, Result{Ops: []Result{
			{Type: proto.OpError}, {Type: proto.OpError, Err: proto.ErrBadVersion},
			{Type: proto.OpError, Err: proto.ErrRuntimeInconsistency},
		}}, `ffffffff 00 00000000 00000000 ffffffff 00 ffffff99 ffffff99 ffffffff 00 fffffffe fffffffe
			ffffffff 01 ffffffff`},
		{proto.OpMulti, Result{Ops: []Result{
			{Type: proto.OpCreate, Path: []byte("/a")}, {Type: proto.OpDelete}, {Type: proto.OpCheck},
		}}, `00000001 00 00000000 00000002 2f61 00000002 00 00000000 0000000d 00 00000000 ffffffff 01 ffffffff`},
		{proto.OpCreate, Result{Path: []byte("/a")}, "00000002 2f61"},
		{proto.OpDelete, Result{Path: []byte("/a")}, ""},
		{proto.OpCheck, Result{Path: []byte("/a")}, ""},
		{proto.OpCloseSession, Result{}, ""},
	} {
		var out proto.Out
		c.res.AppendBody(c.op, &out)
		if want := bytesOf(t, c.want); !bytes.Equal(out.B, want) {
			t.Errorf("%v: %x, want %x", c.op, out.B, want)
		}
	}
	stat := proto.Stat{Czxid: 5, DataLength: 7}
	for op, before := range map[proto.Op]string{
		proto.OpSetData: "", proto.OpSetACL: "", proto.OpCreate2: "00000002 2f61", proto.OpCreateContainer: "00000002 2f61",
		proto.OpCreateTTL: "00000002 2f61",
	} {
		var out proto.Out
		(&Result{Path: []byte("/a"), Stat: stat}).AppendBody(op, &out)
		if want := stat.Append(bytesOf(t, before)); !bytes.Equal(out.B, want) {
			t.Errorf("%v: %x, want %x", op, out.B, want)
		}
	}
	for _, op := range []proto.Op{proto.OpCreate2, proto.OpCreateContainer, proto.OpCreateTTL} {
		var out proto.Out
		(&Result{Ops: []Result{{Type: op, Path: []byte("/a"), Stat: stat}}}).AppendBody(proto.OpMulti, &out)
		want := stat.Append(bytesOf(t, "0000000f 00 00000000 00000002 2f61"))
		if want = append(want, bytesOf(t, "ffffffff 01 ffffffff")...); !bytes.Equal(out.B, want) {
			t.Errorf("%v in a multi: %x, want %x", op, out.B, want)
		}
	}
	if code := d.t.Read(&d.c, &proto.Request{Op: proto.OpSync}, new(proto.Out)); code != proto.ErrUnimplemented {
		t.Errorf("sync as a read: %v", code)
	}
}

// TestCloseWithoutPaths applies the closing of a session as a leader of 3.5 has it.
func TestCloseWithoutPaths(t *testing.T) {
	d := newDriver()
	d.c.Session = 7
	d.do(&proto.Request{Op: proto.OpCreateSession, Mode: 4000})
	for i := range 40 {
		req := proto.Request{
			Op: proto.OpCreate, Path: fmt.Appendf(nil, "/e%d", i), ACL: openACL, TTL: -1, Flags: proto.FlagEphemeral,
		}
		if code := d.do(&req); code != proto.ErrOK {
			t.Fatal(code)
		}
	}
	owners := 0
	d.t.VisitEphemerals(func(s proto.SessionID, count int) {
		if owners++; s != 7 || count != 40 {
			t.Errorf("session %v has %d", s, count)
		}
	})
	txn := proto.Txn{TxnHeader: proto.TxnHeader{Session: 7, Zxid: 100, Time: 1, Type: proto.OpCloseSession}}
	d.t.Apply(&txn, &d.res)
	if n := d.t.Counts(); n.Ephemerals != 0 || n.Znodes != 4 || n.Sessions != 0 || owners != 1 {
		t.Errorf("%+v", n)
	}
	if err := d.t.check(); err != nil {
		t.Error(err)
	}
}

// TestNegativeSequence gives a number whose sign takes one of the ten columns.
func TestNegativeSequence(t *testing.T) {
	tr := New(Options{Match: openMatcher{}})
	for _, c := range []struct {
		n    int32
		want string
	}{{0, "/n0000000000"}, {7, "/n0000000007"}, {2147483647, "/n2147483647"}, {-5, "/n-000000005"},
		{-2147483648, "/n-2147483648"}} {
		if got := string(tr.numbered([]byte("/n"), c.n)); got != c.want {
			t.Errorf("%d: %s, want %s", c.n, got, c.want)
		}
	}
	for v, want := range map[int32]int32{0: 1, -1: 0, -2: 0, -3: -2, 2147483647: -2147483648} {
		if got := nextVersion(v); got != want {
			t.Errorf("the version after %d is %d, want %d", v, got, want)
		}
	}
}

// TestOwners tells kinds of znodes by their owners, as the settings say.
func TestOwners(t *testing.T) {
	plain, extended := New(Options{}), New(Options{ExtendedTypes: true})
	old := New(Options{ExtendedTypes: true, Emulate353: true})
	ttl := func(mask uint64) int64 { return int64(mask | 5000) }
	for _, c := range []struct {
		owner                int64
		plain, extended, old kind
	}{
		{0, kindPersistent, kindPersistent, kindPersistent},
		{1, kindEphemeral, kindEphemeral, kindEphemeral},
		{ownerContainer, kindContainer, kindContainer, kindContainer},
		{ttl(0xff << 56), kindEphemeral, kindTTL, kindTTL},
		{ttl(0x80 << 56), kindEphemeral, kindEphemeral, kindTTL},
		{ttl(0xfe << 56), kindEphemeral, kindEphemeral, kindTTL},
	} {
		if p, e, o := plain.kindOf(c.owner), extended.kindOf(c.owner), old.kindOf(c.owner); p != c.plain ||
			e != c.extended || o != c.old {
			t.Errorf("%x: %d %d %d, want %d %d %d", uint64(c.owner), p, e, o, c.plain, c.extended, c.old)
		}
	}
}

// TestIdleACLs has lists that nothing refers to dropped, but only those.
func TestIdleACLs(t *testing.T) {
	d := newDriver()
	d.create("/keep", nil)
	list := func(i int) []byte {
		return proto.AppendACLs(nil, []proto.ACL{{Perms: 31, ID: proto.ID{Scheme: "digest", ID: fmt.Sprintf("u%d:x", i)}}})
	}
	image := make(map[string]string)
	for i := range 5 * maxIdle {
		d.c.IDs = []proto.ID{{Scheme: "super"}}
		req := proto.Request{Op: proto.OpSetACL, Path: []byte("/keep"), ACL: list(i), Version: -1}
		if code := d.do(&req); code != proto.ErrOK {
			t.Fatal(code)
		}
		req = proto.Request{Op: proto.OpCreate, Path: []byte("/nosuch/x"), ACL: list(1_000_000 + i), TTL: -1}
		if code := d.do(&req); code != proto.ErrNoNode {
			t.Fatal(code)
		}
		if i%1000 == 0 {
			d.t.Cut(&mapSink{image})
			for !d.t.Drain(100) {
			}
		}
	}
	if n := d.t.acls.live; n > maxIdle+5 {
		t.Errorf("%d lists are kept", n)
	}
	if n := len(d.t.acls.raw); n > maxRaw {
		t.Errorf("%d requests are remembered", n)
	}
	if err := d.t.check(); err != nil {
		t.Fatal(err)
	}
	d.t.Cut(&mapSink{image})
	for !d.t.Drain(100) {
	}
	loaded := load(t, image)
	if z, ok := loaded.Lookup("/keep"); !ok || z.ACLs[0].ID.ID != fmt.Sprintf("u%d:x", 5*maxIdle-1) {
		t.Errorf("%v", z.ACLs)
	}
	if loaded.acls.live != d.t.acls.live {
		t.Errorf("%d lists are loaded, %d were there", loaded.acls.live, d.t.acls.live)
	}
}

// TestIdleACLsAreLight: a client that is refused everything must not fill the memory with lists.
func TestIdleACLsAreLight(t *testing.T) {
	d := newDriver()
	d.create("/keep", nil)
	for i := range 100 {
		long := make([]proto.ACL, 4000)
		for k := range long {
			long[k] = proto.ACL{Perms: 31, ID: proto.ID{Scheme: "digest", ID: fmt.Sprintf("%d-%d:x", i, k)}}
		}
		req := proto.Request{Op: proto.OpSetACL, Path: []byte("/nosuch"), ACL: proto.AppendACLs(nil, long), Version: -1}
		if code := d.do(&req); code != proto.ErrNoNode {
			t.Fatal(code)
		}
	}
	size := 0
	for encoded := range d.t.acls.ids {
		size += len(encoded)
	}
	if size > 2*maxWeight {
		t.Errorf("%d bytes of lists that nothing refers to", size)
	}
	if err := d.t.check(); err != nil {
		t.Fatal(err)
	}
}

// TestManyWatchers has many connections watch one path and many paths watched by one.
func TestManyWatchers(t *testing.T) {
	d := newDriver()
	d.create("/w", nil)
	const many = 10_000
	set := proto.Request{Op: proto.OpSetData, Path: []byte("/w"), Version: -1}
	watch := proto.Request{Op: proto.OpGetData, Path: []byte("/w"), Watch: true}
	var out proto.Out
	for w := range WatcherID(many) {
		out.Reset()
		d.t.Read(&Caller{Watcher: w}, &watch, &out)
	}
	for i := range many {
		out.Reset()
		exists := proto.Request{Op: proto.OpExists, Path: fmt.Appendf(nil, "/n%d", i), Watch: true}
		d.t.Read(&Caller{Watcher: many}, &exists, &out)
	}
	if conns, paths, total := d.t.WatchSummary(); conns != many+1 || paths != many+1 || total != 2*many {
		t.Errorf("%d connections, %d paths, %d watches", conns, paths, total)
	}
	for w := range WatcherID(many / 2) {
		d.t.DropWatcher(2 * w)
	}
	d.t.Prepare(proto.TxnHeader{Zxid: 9, Type: proto.OpSetData}, &d.c, &set, &d.txn)
	d.t.Apply(&d.txn, &d.res)
	if ev := d.t.Events(); len(ev) != 1 || len(ev[0].Watchers) != many/2 {
		t.Fatalf("%d events", len(ev))
	}
	d.t.ClearEvents()
	seen := 0
	d.t.Watched(func(path string, watchers []WatcherID) {
		if seen++; len(watchers) != 1 || watchers[0] != many || !strings.HasPrefix(path, "/n") {
			t.Errorf("%s: %v", path, watchers)
		}
	})
	if d.t.DropWatcher(many); seen != many || d.t.Counts().Watches != 0 {
		t.Errorf("%d paths were seen, %d watches are left", seen, d.t.Counts().Watches)
	}
	if left := d.t.watches.entries; left != many-sweepAtOnce {
		t.Errorf("%d of the dropped watches are still there", left)
	}
	if err := d.t.check(); err != nil {
		t.Error(err)
	}
	d.t.Watched(func(path string, _ []WatcherID) { t.Errorf("%s is watched", path) })
	// The id is somebody else's now, and what the one before watched goes bit by bit.
	d.zxid = 9
	d.create("/n7", nil)
	if ev := d.t.Events(); len(ev) > 0 {
		t.Errorf("%v", ev)
	}
	d.t.Read(&Caller{Watcher: many}, &watch, &out)
	for range many / sweepBit {
		d.do(&set)
	}
	if left := d.t.watches.entries; left != 0 || len(d.t.watches.gone) != 0 {
		t.Errorf("%d of the dropped watches are still there", left)
	}
	if err := d.t.check(); err != nil {
		t.Error(err)
	}
}

// TestChildrenList keeps the list of a large directory, and drops it on a change.
func TestChildrenList(t *testing.T) {
	d := newDriver()
	d.create("/d", nil)
	for i := range 5000 {
		d.create(fmt.Sprintf("/d/child-%05d", i), nil)
	}
	req := proto.Request{Op: proto.OpGetChildren, Path: []byte("/d")}
	list := func() ([]byte, int) {
		var out proto.Out
		if code := d.t.Read(&d.c, &req, &out); code != proto.ErrOK {
			t.Fatal(code)
		}
		return flat(&out), len(out.Refs)
	}
	first, refs := list()
	second, _ := list()
	if !bytes.Equal(first, second) || refs != 1 {
		t.Errorf("%d references", refs)
	}
	if count := jute.NewDecoder(first); count.Count(4) != 5000 {
		t.Error("not 5000 names")
	}
	d.do(&proto.Request{Op: proto.OpDelete, Path: []byte("/d/child-00077"), Version: -1})
	third, _ := list()
	if bytes.Contains(third, []byte("child-00077")) || len(third) != len(first)-15 {
		t.Error("the list is stale")
	}
	if !bytes.Contains(second, []byte("child-00077")) {
		t.Error("a list that was given out has changed")
	}
	if err := d.t.check(); err != nil {
		t.Error(err)
	}
}

// TestCountBelow counts a large subtree once and keeps the number.
func TestCountBelow(t *testing.T) {
	d := newDriver()
	d.create("/d", nil)
	d.create("/d/e", nil)
	for i := range 2 * minTally {
		d.create(fmt.Sprintf("/d/e/n%d", i), nil)
	}
	count := func(path string) int32 {
		var out proto.Out
		if code := d.t.Read(&d.c, &proto.Request{Op: proto.OpGetAllChildrenNumber, Path: []byte(path)}, &out); code != 0 {
			t.Fatal(code)
		}
		dec := jute.NewDecoder(out.B)
		return dec.Int()
	}
	if count("/d") != 2*minTally+1 || count("/d/e") != 2*minTally || len(d.t.tallies.byNode) != 2 {
		t.Errorf("%d and %d", count("/d"), count("/d/e"))
	}
	d.create("/d/e/new", nil)
	d.create("/d/new", nil)
	d.create("/other", nil)
	if count("/d") != 2*minTally+3 || count("/d/e") != 2*minTally+1 {
		t.Errorf("%d and %d", count("/d"), count("/d/e"))
	}
	for i := range 2 * minTally {
		d.do(&proto.Request{Op: proto.OpDelete, Path: fmt.Appendf(nil, "/d/e/n%d", i), Version: -1})
	}
	if count("/d") != 3 || count("/d/e") != 1 {
		t.Errorf("%d and %d", count("/d"), count("/d/e"))
	}
	if err := d.t.check(); err != nil {
		t.Error(err)
	}
}

// TestHotPathsDoNotAllocate keeps garbage off what clients do most.
func TestHotPathsDoNotAllocate(t *testing.T) {
	if invariants {
		t.Skip("the checks allocate")
	}
	d := newDriver()
	d.create("/a", make([]byte, 100))
	path := []byte("/a")
	var out proto.Out
	set := proto.Request{Op: proto.OpSetData, Path: path, Data: make([]byte, 100), Version: -1}
	create := proto.Request{Op: proto.OpCreate, Path: []byte("/a/b"), Data: make([]byte, 100), ACL: openACL, TTL: -1}
	remove := proto.Request{Op: proto.OpDelete, Path: []byte("/a/b"), Version: -1}
	watched := proto.Request{Op: proto.OpGetData, Path: path, Watch: true}
	run := func() {
		out.Reset()
		d.do(&create)
		d.t.Read(&d.c, &watched, &out)
		d.do(&set)
		d.do(&remove)
	}
	for range 100 {
		run()
	}
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestLookupAndWalk are what tools see.
// TestMultiReadIsBounded asks for far more than the request is long.
func TestMultiReadIsBounded(t *testing.T) {
	d := newDriver()
	for _, size := range []int{7 << 10, 100 << 10} {
		path := fmt.Sprintf("/n%d", size)
		d.create(path, make([]byte, size))
		var ops []byte
		for range 30_000 {
			ops = appendMultiHeader(ops, proto.OpGetData, false, -1)
			ops = jute.AppendBool(jute.AppendString(ops, path), false)
		}
		ops = appendMultiHeader(ops, proto.OpError, true, -1)
		var out proto.Out
		code := d.t.Read(&d.c, &proto.Request{Op: proto.OpMultiRead, Ops: ops}, &out)
		if code != proto.ErrMarshalling {
			t.Errorf("%d bytes, %v", out.Len(), code)
		}
		if cap(out.B) > 4*maxMultiRead {
			t.Errorf("%d bytes of memory were used", cap(out.B))
		}
	}
}

func TestLookupAndWalk(t *testing.T) {
	d := newDriver()
	d.create("/a", []byte("x"))
	d.create("/a/b", nil)
	if z, ok := d.t.Lookup("/a"); !ok || string(z.Data) != "x" || z.Stat.NumChildren != 1 || len(z.ACLs) != 1 {
		t.Errorf("%+v %v", z, ok)
	}
	if _, ok := d.t.Lookup("/b"); ok {
		t.Error("/b is there")
	}
	var paths []string
	d.t.Walk("/a", func(z Znode) { paths = append(paths, string(z.Path)) })
	if d.t.Walk("/none", func(Znode) { t.Error("called") }); fmt.Sprint(paths) != "[/a /a/b]" {
		t.Error(paths)
	}
	if timeout, ok := d.t.Session(5); ok || timeout != 0 {
		t.Error("a session")
	}
}
