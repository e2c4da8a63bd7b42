package replica_test

import (
	"testing"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
	"github.com/zkd-project/zkd/daemon/zab"
)

// come has a client take up a session.
func (g *member) come(id proto.SessionID) *replica.Conn {
	c := &replica.Conn{Owner: "c", IDs: []proto.ID{{Scheme: "ip", ID: "127.0.0.1"}}}
	g.r.Connect(g.now, c)
	password := id.Password()
	req := proto.ConnectRequest{Timeout: 10_000, Session: id, Password: password[:]}
	g.r.Input(g.now, c, req.Append(nil))
	g.effects()
	return c
}

// TestLateCreationOfASession: a server asks twice for the creation of a session that was local to it, as
// the first answer was lost. The client has gone elsewhere meanwhile, and the session is not taken back.
func TestLateCreationOfASession(t *testing.T) {
	g := newMember(t, newTestTree())
	l := g.lead(1)
	const id = proto.SessionID(0x200000000000001)
	create := func() { g.request(l, id, 0, proto.OpCreateSession, jute.AppendInt(nil, 10_000)) }
	for range 2 { // a second time by the same server does no harm
		create()
		if txn := g.last(); txn.Type != proto.OpCreateSession {
			t.Fatalf("it became %+v", txn)
		}
		g.packet(l, proto.PacketAck, g.last().Zxid, nil)
	}
	c := g.come(id)
	if c.Session() != id {
		t.Fatal("the client has not got its session")
	}
	create()
	if txn := g.last(); txn.Type != proto.OpError || txn.Err != proto.ErrSessionMoved {
		t.Errorf("the creation became %+v", txn)
	}
	g.request(l, id, 7, proto.OpCreate, createBody("/late"))
	if txn := g.last(); txn.Type != proto.OpError || txn.Err != proto.ErrSessionMoved {
		t.Errorf("the write behind it became %+v", txn)
	}
	g.ask(c, 8, proto.OpCloseSession, nil)
	create()
	if txn := g.last(); txn.Type != proto.OpError || txn.Err != proto.ErrSessionExpired {
		t.Errorf("while the session is closing the creation became %+v", txn)
	}
}

// TestRefusedUpgrade: the leader does not create a session that was local, as it has gone elsewhere or is
// closing. The connection that needs it ends.
func TestRefusedUpgrade(t *testing.T) {
	for _, code := range []proto.ErrCode{proto.ErrSessionMoved, proto.ErrSessionExpired} {
		g := newMemberFrom(t, newTestTree(), zab.Recovered{}, func(c *replica.Config) { c.LocalSessions, c.Upgrading = true, true })
		l := g.follow(1, 0)
		c := g.client(10_000)
		body := proto.AppendACLs(jute.AppendString(jute.AppendString(nil, "/e"), ""), proto.OpenACLUnsafe)
		g.ask(c, 1, proto.OpCreate, jute.AppendInt(body, proto.FlagEphemeral))
		if n := len(g.sent[l]); g.sent[l][n-1].Type != proto.PacketRequest || !c.Open() {
			t.Fatalf("sent %v", g.sent[l][n-1].Type)
		}
		h := proto.TxnHeader{Zxid: proto.MakeZxid(1, 1), Session: c.Session(), Type: proto.OpError}
		g.commit(l, &proto.Txn{TxnHeader: h, Err: code})
		if c.Open() {
			t.Errorf("%v: the connection waits on", code)
		}
	}
}
