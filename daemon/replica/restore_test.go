package replica_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/ensemble"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zab"
)

// run has clients do things, and says what came of it.
func (w *world) run(lines ...string) string {
	w.out.Reset()
	for _, line := range lines {
		w.line(strings.Fields(line))
	}
	w.durable()
	w.effects()
	return w.out.String()
}

// restorable is a tree with some sessions and znodes, as a snapshot at a zxid.
func (w *world) restorable(of proto.Zxid, sessions ...proto.SessionID) *tree.Tree {
	w.t.Helper()
	t := tree.New(tree.Options{Match: w.auth, ExtendedTypes: true})
	var res tree.Result
	zxid := of - proto.Zxid(len(sessions)) - 1
	apply := func(txn proto.Txn) {
		zxid++
		txn.Zxid = zxid
		if t.Apply(&txn, &res); res.Err != proto.ErrOK {
			w.t.Fatal(res.Err)
		}
	}
	for _, s := range sessions {
		apply(proto.Txn{TxnHeader: proto.TxnHeader{Type: proto.OpCreateSession, Session: s}, Timeout: 10000})
	}
	apply(proto.Txn{
		TxnHeader: proto.TxnHeader{Type: proto.OpCreate}, Path: []byte("/then"), ACL: proto.AppendACLs(nil, proto.OpenACLUnsafe),
		ParentCversion: 1,
	})
	t.Advance(w.r.RestorePoint(of))
	return t
}

// restore replaces everything, as an adapter would.
func (w *world) restore(t *tree.Tree, of proto.Zxid) string {
	w.t.Helper()
	w.out.Reset()
	if !w.r.Pause(w.now) {
		w.t.Fatal("it does not pause")
	}
	w.durable()
	if !w.r.Rests() {
		w.t.Fatal("it does not rest")
	}
	w.r.Restore(w.now, t, of)
	w.durable()
	w.effects()
	return w.out.String()
}

const sessionB = proto.SessionID(0x10000f424000099)

// TestRestoredSessions has clients come back after a restore: who has seen no more than the snapshot holds
// goes on, any other begins anew, and zxids do not go back.
func TestRestoredSessions(t *testing.T) {
	w := newWorld(t)
	w.run("a connect", "b connect")
	a, b := w.conns["a"].Session(), w.conns["b"].Session()
	w.run("a create 1 /x 1", "b create-ephemeral 1 /e 1", "a set 2 /x 2") // zxids 3, 4 and 5
	snapshot := w.restorable(3, a, b)
	if got := w.restore(snapshot, 3); !strings.Contains(got, "a: closed") || !strings.Contains(got, "b: closed") {
		t.Errorf("%s", got)
	}
	if w.r.Tree() != snapshot || !w.r.Serving() {
		t.Fatal("it serves something else")
	}
	const start = proto.Zxid(1 << 32)
	if s := w.r.Status(); s.Zxid != start || s.Sessions != 2 {
		t.Errorf("%+v", s)
	}
	expired := "session 0x0 timeout 0"
	if got := w.run(fmt.Sprintf("a connect 10000 %d seen=3", a)); !strings.Contains(got, a.String()) {
		t.Errorf("who has seen what the snapshot holds: %s", got)
	}
	if got := w.run(fmt.Sprintf("b connect 10000 %d seen=4", b)); !strings.Contains(got, expired) {
		t.Errorf("who has seen more: %s", got)
	}
	if s := w.r.Status(); s.Zxid != start+1 || s.Sessions != 1 {
		t.Errorf("the session of who has seen more: %+v", s)
	}
	if got := w.run("c connect 10000 0 seen=5"); strings.Contains(got, expired) || !strings.Contains(got, "session") {
		t.Errorf("a new session of who has seen more: %s", got)
	}
	if got := w.run("a get 7 /x"); !strings.Contains(got, "xid 7") || strings.Contains(got, "\"2") {
		t.Errorf("%s", got)
	}
	if got := w.run("a create 8 /new 1"); !strings.Contains(got, fmt.Sprint("zxid ", start+3)) {
		t.Errorf("%s", got)
	}
	w.run("a drop")
	if got := w.run(fmt.Sprintf("a connect 10000 %d seen=%d", a, int64(start+3))); !strings.Contains(got, a.String()) {
		t.Errorf("who has seen what came after the restore: %s", got)
	}
}

// TestRestoreHoldsBack: who connects while the data are replaced waits, and is served from the new ones. What was
// under way before is in the old ones.
func TestRestoreHoldsBack(t *testing.T) {
	w := newWorld(t)
	w.run("a connect")
	w.out.Reset()
	w.line(strings.Fields("a create 1 /x 1"))
	w.effects()
	if !w.r.Pause(w.now) || w.r.Pause(w.now) {
		t.Fatal("it pauses once")
	}
	if w.r.Rests() || w.r.Serving() {
		t.Error("there is something under way")
	}
	w.line(strings.Fields("b connect"))
	w.pass(500)
	w.durable()
	if got := w.out.String(); !strings.Contains(got, "a: closed") || strings.Contains(got, "b:") {
		t.Errorf("%s", got)
	}
	if z := w.r.Tree().LastZxid(); z != 2 || !w.r.Rests() {
		t.Errorf("what was under way: at %v", z)
	}
	w.r.Restore(w.now, w.restorable(2), 2)
	w.effects()
	w.out.Reset()
	w.pass(10)
	w.effects()
	if got := w.out.String(); got != "" || w.r.Serving() {
		t.Errorf("before it is on the disk: %s", got)
	}
	w.run() // what replaces the data
	if got := w.run(); !strings.Contains(got, "b: session 0x1") {
		t.Errorf("%s", got)
	}
	if got := w.run("b get 1 /then", "b get 2 /x"); !strings.Contains(got, "xid 1 zxid 0x100000001 ok") ||
		!strings.Contains(got, "xid 2 zxid 0x100000001 no node") {
		t.Errorf("%s", got)
	}
}

// TestRestoreThatFails: the server goes on with what it has.
func TestRestoreThatFails(t *testing.T) {
	w := newWorld(t)
	w.run("a connect", "a create 1 /x 1")
	a := w.conns["a"].Session()
	w.r.Pause(w.now)
	w.durable()
	before := w.r.Tree()
	w.r.Restore(w.now, w.restorable(2), 2)
	w.effects()
	pos := w.log[0].Pos
	w.log = nil
	w.r.Resume(w.now)
	w.r.Durable(w.now, pos)
	if w.r.Tree() != before || !w.r.Serving() {
		t.Fatal("it does not go on")
	}
	if got := w.run(fmt.Sprintf("a connect 10000 %d seen=2", a)); !strings.Contains(got, a.String()) {
		t.Errorf("%s", got)
	}
	if got := w.run("a set 2 /x 2"); !strings.Contains(got, "xid 2 zxid 0x3 ok") {
		t.Errorf("%s", got)
	}
}

// TestSnapshotOfAnotherHistory is one that is ahead and has sessions in common: what the two have in common
// beyond that nobody knows, and so everybody begins anew.
func TestSnapshotOfAnotherHistory(t *testing.T) {
	for _, shared := range []bool{false, true} {
		w := newWorld(t)
		w.run("a connect", "a create 1 /x 1")
		a := w.conns["a"].Session()
		s := sessionB
		if shared {
			s = a
		}
		w.restore(w.restorable(1<<32+40, s), 1<<32+40)
		got := w.run(fmt.Sprintf("b connect 10000 %d seen=1", s))
		if expired := strings.Contains(got, "session 0x0"); expired != shared {
			t.Errorf("shared %v: %s", shared, got)
		}
		if z := w.r.Status().Zxid.Epoch(); z != 2 {
			t.Errorf("epoch %d", z)
		}
	}
}

// TestRestoreTwice undoes a restore, and what came after one.
func TestRestoreTwice(t *testing.T) {
	w := newWorld(t)
	w.run("a connect")
	a := w.conns["a"].Session()
	w.run("a create 1 /x 1", "a create 2 /y 1") // 2 and 3
	w.restore(w.restorable(2, a), 2)
	w.run("c connect", "c create 1 /z 1") // 0x100000001 and 2
	w.restore(w.restorable(1<<32+1, a), 1<<32+1)
	for seen, expired := range map[int64]bool{
		2: false, 3: true, 1<<32 - 1: true, 1<<32 + 1: false, 1<<32 + 2: true,
	} {
		if proto.Undone(w.r.Rifts(), proto.Zxid(seen)) != expired {
			t.Errorf("%#x: %v", seen, !expired)
		}
	}
	w.restore(w.restorable(1, a), 1)
	want := []proto.Rift{{After: 1, Before: 3 << 32}}
	if got := w.r.Rifts(); len(got) != 1 || got[0] != want[0] {
		t.Errorf("%v", got)
	}
}

// TestNoPauseInAnEnsemble: one member must never be restored on its own, not even where it is the only one.
func TestNoPauseInAnEnsemble(t *testing.T) {
	list, err := ensemble.ParseText("server.1=h1:2888:3888\n")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.r = replica.New(replica.Config{
		ServerID: 1, TickTime: 2000, MinTimeout: 4000, MaxTimeout: 40000,
		Zab: zab.Config{ID: 1, Ensemble: list, TickTime: 2000, InitLimit: 5, SyncLimit: 5},
	}, w.now, tree.New(tree.Options{}), zab.Recovered{Suffix: new(proto.LogBatch)})
	for range 100 {
		if w.pass(100); w.r.Pause(w.now) {
			t.Fatal("it pauses")
		}
		w.durable()
	}
	if !w.r.Serving() {
		t.Error("it does not serve")
	}
}
