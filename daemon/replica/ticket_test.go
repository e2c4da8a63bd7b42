package replica_test

import (
	"testing"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
	"github.com/zkd-project/zkd/daemon/zab"
)

// Scripts for faults that Apache's servers had, by the numbers of their tickets; see
// docs/robustness.md.

// TestNoCheckOnItsOwn: a check outside of a multi would become a transaction that no
// server reads back. Whoever sends it gets an answer all the same. ZOOKEEPER-2623.
func TestNoCheckOnItsOwn(t *testing.T) {
	g := newMember(t, newTestTree())
	l := g.lead(1)
	body := jute.AppendInt(jute.AppendString(nil, "/"), -1)
	g.request(l, 2<<56, 1, proto.OpCheck, body)
	if txn := g.last(); txn.Type != proto.OpError || txn.Err != proto.ErrUnimplemented {
		t.Errorf("it became %+v", txn)
	}
}

// TestMalformedRequest: a request that does not decode takes a zxid and is refused, and
// what comes behind it is served. Apache's servers of 3.9 stand still.
func TestMalformedRequest(t *testing.T) {
	g := newMember(t, newTestTree())
	l := g.lead(1)
	g.request(l, 2<<56|1, 0, proto.OpCreateSession, jute.AppendInt(nil, 10_000))
	g.packet(l, proto.PacketAck, g.last().Zxid, nil)
	g.request(l, 2<<56|1, 1, proto.OpCreate, []byte{0, 0, 0, 9, '/'})
	if txn := g.last(); txn.Type != proto.OpError || txn.Err != proto.ErrMarshalling {
		t.Fatalf("it became %+v", txn)
	}
	g.request(l, 2<<56|1, 2, proto.OpCreate, createBody("/x"))
	g.packet(l, proto.PacketAck, g.last().Zxid, nil)
	if got := g.r.Status(); got.Zxid != g.last().Zxid || g.last().Type != proto.OpCreate {
		t.Errorf("%v is applied, %+v", got.Zxid, g.last())
	}
}

// TestSessionsOfTheLog: a leader that starts knows the sessions that only its log tells
// of, and lets them expire. ZOOKEEPER-1319, 1367.
func TestSessionsOfTheLog(t *testing.T) {
	log := new(proto.LogBatch)
	zxid, session := proto.MakeZxid(1, 1), proto.SessionID(2<<56|1)
	h := proto.TxnHeader{Zxid: zxid, Type: proto.OpCreateSession, Session: session}
	log.Add(zxid, &proto.Txn{TxnHeader: h, Timeout: 5000})
	g := newMemberFrom(t, newTestTree(), zab.Recovered{Hard: zab.HardState{Accepted: 1, Current: 1}, Suffix: log})
	l := g.lead(2)
	for range 10 {
		g.packet(l, proto.PacketPing, 0, nil)
		g.tick(1000)
	}
	if len(g.txns) == 0 || g.last().Type != proto.OpCloseSession || g.last().Session != session {
		t.Errorf("logged %+v", g.txns)
	}
}

// TestReadsDoNotOvertakeWrites: what a client asks behind a write is answered behind it,
// however long the commit takes. ZOOKEEPER-1863.
func TestReadsDoNotOvertakeWrites(t *testing.T) {
	g := newMember(t, newTestTree())
	l := g.lead(1)
	c := g.client(10_000)
	g.packet(l, proto.PacketAck, g.last().Zxid, nil)
	delete(g.out, c)
	g.ask(c, 1, proto.OpCreate, createBody("/x"))
	g.ask(c, 2, proto.OpExists, jute.AppendBool(jute.AppendString(nil, "/x"), false))
	g.ask(c, 3, proto.OpSync, jute.AppendString(nil, "/"))
	if len(g.out[c]) > 0 {
		t.Fatal("an answer came before the write was committed")
	}
	g.packet(l, proto.PacketAck, g.last().Zxid, nil)
	xid := int32(1)
	for b := g.out[c]; len(b) > 0; xid++ {
		d := jute.NewDecoder(b)
		frame := d.Buffer()
		b = d.Rest()
		d = jute.NewDecoder(frame)
		got, at, code := d.Int(), proto.Zxid(d.Long()), proto.ErrCode(d.Int())
		if got != xid || at != g.last().Zxid || code != proto.ErrOK {
			t.Errorf("reply %d, %v, %v; want reply %d", got, at, code, xid)
		}
	}
	if xid != 4 {
		t.Errorf("%d replies", xid-1)
	}
}

// TestSnapshotOfALeaderThatErrs has a leader break the rules right behind NEWLEADER: the
// snapshot is installed all the same, as the log is to go on behind it.
func TestSnapshotOfALeaderThatErrs(t *testing.T) {
	g := newMember(t, newTestTree())
	l := g.greetLeader(1, 0)
	g.r.Snap(g.now, l, newTestTree(), proto.Zxid(1<<32))
	for range 2 { // one too many
		g.r.Packet(g.now, l, &proto.Packet{Type: proto.PacketNewLeader, Zxid: proto.Zxid(1 << 32)})
	}
	g.r.Settled(g.now)
	var e replica.Effects
	if g.r.Effects(&e); e.Install == nil {
		t.Error("the write of a snapshot lacks its tree")
	}
}

// TestUnreadableProposal has a leader propose what this server cannot read: the leader is left,
// and the log, which is read at the next start, stays clean.
func TestUnreadableProposal(t *testing.T) {
	bad := proto.Txn{TxnHeader: proto.TxnHeader{Zxid: 1<<32 + 1, Type: proto.OpSetData}, Path: []byte("/a")}
	other := proto.Txn{TxnHeader: proto.TxnHeader{Zxid: 1<<32 + 2, Type: proto.OpError}}
	whole := bad.Append(nil)
	for _, data := range [][]byte{whole[:len(whole)-3], other.Append(nil), nil} {
		g := newMember(t, newTestTree())
		l := g.follow(1, 0)
		g.packet(l, proto.PacketProposal, bad.Zxid, data)
		if s := g.r.Status(); s.Role != proto.Looking || s.Quorum.Logged != 0 {
			t.Errorf("%d bytes: %v, logged to %v", len(data), s.Role, s.Quorum.Logged)
		}
	}
}

// TestResignedLeaderTakesNothing: what learners send on to a leader that is about to leave is theirs to
// send to the next one; what had been proposed is committed.
func TestResignedLeaderTakesNothing(t *testing.T) {
	g := newMember(t, newTestTree())
	l := g.lead(1)
	g.request(l, 2<<56|1, 0, proto.OpCreateSession, jute.AppendInt(nil, 10_000))
	before := g.last().Zxid
	g.r.Resign()
	g.request(l, 2<<56|1, 1, proto.OpCreate, createBody("/x"))
	if at := g.last().Zxid; at != before {
		t.Errorf("%v was proposed after %v", at, before)
	}
	g.packet(l, proto.PacketAck, before, nil)
	if got := g.r.Status(); got.Zxid != before || !got.Settled {
		t.Errorf("%v is applied, settled %v", got.Zxid, got.Settled)
	}
}
