package replica_test

import (
	"testing"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// TestClientMovesToAnObserver: a client goes from a follower to one of that follower's observers. The leader
// cannot tell them apart, so the connection here ends before the leader is asked.
func TestClientMovesToAnObserver(t *testing.T) {
	g := newMember(t, newTestTree())
	leader := g.follow(1, 0)
	c, session := g.serve(leader, proto.MakeZxid(1, 1))
	l := g.observer(4)
	g.packet(l, proto.PacketRevalidate, -1, jute.AppendInt(jute.AppendLong(nil, int64(session)), 10_000))
	if c.Open() {
		t.Error("the connection takes more requests")
	}
}

// TestClientLeavesWhileItIsChecked: a client goes on to an observer before the leader has answered for its
// first connection, which must not come back with that answer.
func TestClientLeavesWhileItIsChecked(t *testing.T) {
	g := newMember(t, newTestTree())
	leader := g.follow(1, 0)
	_, id := g.serve(leader, proto.MakeZxid(1, 1))
	first := g.come(id)
	l := g.observer(4)
	g.packet(l, proto.PacketRevalidate, -1, jute.AppendInt(jute.AppendLong(nil, int64(id)), 10_000))
	valid := jute.AppendBool(jute.AppendLong(nil, int64(id)), true)
	g.packet(leader, proto.PacketRevalidate, -1, valid)
	g.packet(leader, proto.PacketRevalidate, -1, valid)
	if first.Open() || !first.Abort {
		t.Error("the first connection has the session, too")
	}
	if n := len(g.sent[l]); n == 0 || g.sent[l][n-1].Type != proto.PacketRevalidate {
		t.Error("the observer has no answer")
	}
}

// TestCloseGoesAtOnce: a client that has come back and closes its session need not wait for the answer,
// and nothing but the end of the session is taken for it.
func TestCloseGoesAtOnce(t *testing.T) {
	g := newMember(t, newTestTree())
	leader := g.follow(1, 0)
	const id = proto.SessionID(0x100000000000001)
	c := g.come(id)
	g.packet(leader, proto.PacketRevalidate, -1, jute.AppendBool(jute.AppendLong(nil, int64(id)), true))
	g.ask(c, 1, proto.OpCloseSession, nil)
	sent := g.sent[leader]
	if p := sent[len(sent)-1]; p.Type != proto.PacketRequest || proto.Op(jute.Int(p.Data[12:])) != proto.OpCloseSession {
		t.Fatalf("sent %v last", p.Type)
	}
	delete(g.out, c)
	header := proto.TxnHeader{Session: id, Cxid: 1, Zxid: proto.MakeZxid(1, 1), Type: proto.OpError}
	g.commit(leader, &proto.Txn{TxnHeader: header, Err: proto.ErrNoNode}) // of the former process
	if len(g.out[c]) > 0 || c.Close || c.Abort {
		t.Errorf("another request's reply was taken for the session's end: %q", g.out[c])
	}
	header.Zxid, header.Type = header.Zxid+1, proto.OpCloseSession
	g.commit(leader, &proto.Txn{TxnHeader: header})
	if !c.Close {
		t.Error("the connection is not closed with its session")
	}
}

// TestWritesWaitForASync: a connection that has come back to its session sends nothing on until a sync is
// answered, which is asked for once, and not before there is something to send. A client's own sync waits, too.
func TestWritesWaitForASync(t *testing.T) {
	g := newMember(t, newTestTree())
	leader := g.follow(1, 0)
	const id = proto.SessionID(0x100000000000001)
	c := g.come(id)
	g.packet(leader, proto.PacketRevalidate, -1, jute.AppendBool(jute.AppendLong(nil, int64(id)), true))
	sent := func() (ops []proto.Op) {
		for _, p := range g.sent[leader] {
			if p.Type == proto.PacketRequest {
				ops = append(ops, proto.Op(jute.Int(p.Data[12:])))
			}
		}
		return ops
	}
	wants := func(when string, want ...proto.Op) {
		t.Helper()
		got := sent()
		if len(got) != len(want) {
			t.Fatalf("%s: sent %v, want %v", when, got, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("%s: sent %v, want %v", when, got, want)
			}
		}
	}
	g.ask(c, 1, proto.OpExists, jute.AppendBool(jute.AppendString(nil, "/"), false))
	wants("after a read")
	g.ask(c, 2, proto.OpSync, jute.AppendString(nil, "/"))
	g.ask(c, 3, proto.OpCreate, createBody("/x"))
	g.ask(c, 4, proto.OpCreate, createBody("/y"))
	wants("after writes", proto.OpSync)
	g.packet(leader, proto.PacketSync, 0, nil)
	wants("after the answer", proto.OpSync, proto.OpSync, proto.OpCreate, proto.OpCreate)
	g.ask(c, 5, proto.OpCreate, createBody("/z"))
	wants("later", proto.OpSync, proto.OpSync, proto.OpCreate, proto.OpCreate, proto.OpCreate)
}

// TestUnsettledWhenTheLeaderGoes: what waits on a connection that has come back, of which it is not known
// whether the client is still there, is not sent to the next leader. One on which nothing waits stays.
func TestUnsettledWhenTheLeaderGoes(t *testing.T) {
	for _, waits := range []bool{true, false} {
		g := newMember(t, newTestTree())
		leader := g.follow(1, 0)
		_, id := g.serve(leader, proto.MakeZxid(1, 1))
		c := g.come(id)
		g.packet(leader, proto.PacketRevalidate, -1, jute.AppendBool(jute.AppendLong(nil, int64(id)), true))
		if waits {
			g.ask(c, 1, proto.OpCreate, createBody("/x"))
		}
		g.r.LinkDown(g.now, leader, "test")
		g.effects()
		h := proto.TxnHeader{Session: id, Cxid: 9, Zxid: proto.MakeZxid(1, 2), Type: proto.OpError} // before, or elsewhere
		txn := proto.Txn{TxnHeader: h, Err: proto.ErrNoNode}
		g.followWith(2, h.Zxid, txn.Append(nil))
		if c.Open() == waits {
			t.Errorf("with something that waits %v: open %v", waits, c.Open())
		}
	}
}

// TestReplyOfAnotherEpoch: what was sent to the leader of an epoch can have become a transaction of that epoch
// only. One of a later epoch, in which this server had no leader, is another connection's.
func TestReplyOfAnotherEpoch(t *testing.T) {
	for _, zxid := range []proto.Zxid{proto.MakeZxid(1, 2), proto.MakeZxid(2, 1)} {
		g := newMember(t, newTestTree())
		leader := g.follow(1, 0)
		c, id := g.serve(leader, proto.MakeZxid(1, 1))
		g.ask(c, 1, proto.OpCreate, createBody("/x"))
		g.r.LinkDown(g.now, leader, "test")
		g.effects()
		txn := proto.Txn{TxnHeader: proto.TxnHeader{Session: id, Cxid: 1, Zxid: zxid, Type: proto.OpError}, Err: proto.ErrNoNode}
		g.followWith(3, zxid, txn.Append(nil))
		if own := zxid.Epoch64() == 1; own != c.Open() || own != (len(g.out[c]) > 0) {
			t.Errorf("%v: open %v, replies %x", zxid, c.Open(), g.out[c])
		}
	}
}
