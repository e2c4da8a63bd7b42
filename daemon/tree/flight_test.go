package tree

import (
	"fmt"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
)

// TestManyInFlight prepares thousands of writes before the first is applied, on few
// paths, and goes on preparing while they are applied.
func TestManyInFlight(t *testing.T) {
	d := newDriver()
	d.create("/q", nil)
	var queue [][]byte
	prepare := func(req *proto.Request) {
		d.zxid++
		d.t.Prepare(proto.TxnHeader{Session: 1, Zxid: d.zxid, Time: 5, Type: req.Op}, &d.c, req, &d.txn)
		if d.txn.Err != proto.ErrOK {
			t.Fatalf("%v %s: %v", req.Op, req.Path, d.txn.Err)
		}
		queue = append(queue, d.txn.Append(nil))
	}
	apply := func() {
		if err := d.txn.Decode(queue[0]); err != nil {
			t.Fatal(err)
		}
		queue = queue[1:]
		if d.t.Apply(&d.txn, &d.res); d.res.Err != proto.ErrOK {
			t.Fatal(d.res.Err)
		}
	}
	for i := range 6000 {
		n := fmt.Appendf(nil, "/q/n%d", i%1000)
		prepare(&proto.Request{Op: proto.OpCreate, Path: n, ACL: openACL, TTL: -1})
		prepare(&proto.Request{Op: proto.OpSetData, Path: n, Data: n, Version: 0})
		prepare(&proto.Request{Op: proto.OpDelete, Path: n, Version: 1})
		prepare(&proto.Request{Op: proto.OpCreate, Path: []byte("/q/s"), ACL: openACL, TTL: -1, Flags: proto.FlagSequential})
		for i > 3000 && len(queue) > 5000 {
			apply()
		}
	}
	for len(queue) > 0 {
		apply()
	}
	o := &d.t.overlay
	if len(o.byHash) != 0 || len(o.promises) != 0 || len(o.births) != 0 || len(o.pool) > maxPool {
		t.Errorf("the overlay still has %d changes and %d promises", len(o.byHash), len(o.promises))
	}
	if z, _ := d.t.Lookup("/q"); z.Stat.NumChildren != 6000 || z.Stat.Cversion != 2*12_000-6000 {
		t.Errorf("%+v", z.Stat)
	}
	if err := d.t.check(); err != nil {
		t.Error(err)
	}
}

// TestDirty counts what the image lacks, and nothing once it was cut and drained.
func TestDirty(t *testing.T) {
	d := newDriver()
	image := make(map[string]string)
	drain := func() {
		for !d.t.Drain(2) {
		}
	}
	d.t.Cut(&mapSink{image})
	drain()
	if records, size, txns := d.t.Dirty(); records != 0 || size != 0 || txns != 0 {
		t.Errorf("%d records, %d bytes, %d txns", records, size, txns)
	}
	d.create("/a", make([]byte, 1000))
	d.do(&proto.Request{Op: proto.OpCreateSession, Mode: 4000})
	if records, size, txns := d.t.Dirty(); records != 3 || size < 1000 || size > 1200 || txns != 2 {
		t.Errorf("%d records, %d bytes, %d txns", records, size, txns)
	}
	d.t.Cut(&mapSink{image})
	defer func() {
		if recover() == nil {
			t.Error("a cut can be opened while another one is")
		}
		drain()
	}()
	d.t.Cut(&mapSink{image})
}

// TestCutKeepsWhatGoes has everything that an open cut holds go before it is drained.
func TestCutKeepsWhatGoes(t *testing.T) {
	d := newDriver()
	d.c.Session = 8
	d.do(&proto.Request{Op: proto.OpCreateSession, Mode: 4000})
	own := proto.AppendACLs(nil, []proto.ACL{{Perms: 31, ID: proto.ID{Scheme: "digest", ID: "own:x"}}})
	if d.do(&proto.Request{Op: proto.OpCreate, Path: []byte("/own"), ACL: own, TTL: -1}) != proto.ErrOK {
		t.Fatal("refused")
	}
	d.create("/p", []byte("before"))
	want := dumpTree(d.t)
	image := make(map[string]string)
	d.t.Cut(&mapSink{image})
	d.c.IDs = []proto.ID{{Scheme: "super"}}
	d.do(&proto.Request{Op: proto.OpSetData, Path: []byte("/p"), Data: []byte("after"), Version: -1})
	d.do(&proto.Request{Op: proto.OpDelete, Path: []byte("/own"), Version: -1})
	d.do(&proto.Request{Op: proto.OpCloseSession})
	for i := range 3 * maxIdle { // until the list of /own is forgotten
		other := proto.AppendACLs(nil, []proto.ACL{{Perms: 31, ID: proto.ID{Scheme: "digest", ID: fmt.Sprintf("%d:x", i)}}})
		d.do(&proto.Request{Op: proto.OpSetACL, Path: []byte("/p"), ACL: other, Version: -1})
	}
	if _, ok := d.t.acls.ids[string(own)]; ok {
		t.Error("the list of /own is still there")
	}
	for !d.t.Drain(1) {
	}
	if got := dumpTree(load(t, image)); got != want {
		t.Errorf("the image is\n%sand should be\n%s", got, want)
	}
	want = dumpTree(d.t)
	d.t.Cut(&mapSink{image})
	for !d.t.Drain(1) {
	}
	if got := dumpTree(load(t, image)); got != want {
		t.Errorf("the next image is\n%sand should be\n%s", got, want)
	}
}

// TestCutBetweenTwoLists has a list go just before a cut, and another one come in its place
// while the cut is open: the cut holds neither.
func TestCutBetweenTwoLists(t *testing.T) {
	d := newDriver()
	d.c.IDs = []proto.ID{{Scheme: "super"}}
	d.create("/p", nil)
	image := make(map[string]string)
	next := 0
	set := func() {
		next++
		acl := proto.AppendACLs(nil, []proto.ACL{{Perms: 31, ID: proto.ID{Scheme: "digest", ID: fmt.Sprintf("%d:x", next)}}})
		if d.do(&proto.Request{Op: proto.OpSetACL, Path: []byte("/p"), ACL: acl, Version: -1}) != proto.ErrOK {
			t.Fatal("refused")
		}
	}
	for next < maxIdle+10 {
		set()
	}
	for range 5 {
		want := dumpTree(d.t)
		d.t.Cut(&mapSink{image})
		set()
		for !d.t.Drain(100) {
		}
		if got := dumpTree(load(t, image)); got != want {
			t.Errorf("the image is\n%sand should be\n%s", got, want)
		}
	}
}

// TestTurns has the round of an event start anew after very many.
func TestTurns(t *testing.T) {
	w := newWatches(new(cells))
	w.round()
	w.tell(3)
	w.turn = ^uint32(0)
	w.told[3] = 1
	w.round()
	if w.tell(3); len(w.waiting) != 2 {
		t.Errorf("%v", w.waiting)
	}
}
