package replica_test

import (
	"testing"

	"github.com/zkd-project/zkd/daemon/ensemble"
	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zab"
)

// member is server 3 of an ensemble of three. The others, the network and the disk are the
// test's; everything that is written is durable at once.
type member struct {
	t    *testing.T
	r    *replica.Replica
	now  replica.Now
	txns []proto.Txn // as they were logged
	sent map[*zab.Link][]proto.Packet
	out  map[*replica.Conn][]byte
}

func newMember(t *testing.T, tr *tree.Tree) *member {
	t.Helper()
	return newMemberFrom(t, tr, zab.Recovered{})
}

func newMemberFrom(t *testing.T, tr *tree.Tree, found zab.Recovered, settings ...func(*replica.Config)) *member {
	t.Helper()
	c, err := ensemble.ParseText("server.1=h1:1:2\nserver.2=h2:1:2\nserver.3=h3:1:2")
	if err != nil {
		t.Fatal(err)
	}
	g := &member{t: t, now: replica.Now{Wall: 1_000_000, Mono: 5_000}}
	g.sent, g.out = make(map[*zab.Link][]proto.Packet), make(map[*replica.Conn][]byte)
	config := replica.Config{
		ServerID: 3, TickTime: 1000, MinTimeout: 2000, MaxTimeout: 20_000,
		ReapInterval: 60_000, ReapPerMinute: 1, Auth: new(fakeAuth),
		Zab: zab.Config{
			ID: 3, Ensemble: c, TickTime: 1000, InitLimit: 10, SyncLimit: 5, WindowTxns: 100, WindowBytes: 1 << 20,
		},
	}
	for _, set := range settings {
		set(&config)
	}
	g.r = replica.New(config, g.now, tr, found)
	g.effects()
	return g
}

func newTestTree() *tree.Tree { return tree.New(tree.Options{Match: new(fakeAuth)}) }

// effects does what the replica wants done, until there is no more.
func (g *member) effects() {
	for {
		var e replica.Effects
		g.r.Effects(&e)
		for _, l := range e.Links {
			for b := l.Out; len(b) > 0; {
				var p proto.Packet
				n, err := p.Decode(append([]byte(nil), b...), 1<<20)
				if err != nil {
					g.t.Fatal(err)
				}
				b = b[n:]
				g.sent[l] = append(g.sent[l], p)
			}
			l.Out, l.Bulks = nil, nil
		}
		for _, c := range e.Conns {
			g.out[c] = append(g.out[c], c.Out.B...)
			c.Out.Reset()
			if c.Abort || c.Close {
				g.r.Disconnect(c)
			}
		}
		if len(e.Writes) == 0 {
			return
		}
		for _, w := range e.Writes {
			if w.Kind == zab.WriteLog {
				for i := range w.Log.Entries {
					var txn proto.Txn
					if err := txn.Decode(append([]byte(nil), w.Log.Txn(i)...)); err != nil {
						g.t.Fatal(err)
					}
					g.txns = append(g.txns, txn)
				}
			}
			g.r.Durable(g.now, w.Pos)
		}
	}
}

// last is the last transaction logged.
func (g *member) last() *proto.Txn { return &g.txns[len(g.txns)-1] }

func (g *member) packet(l *zab.Link, t proto.PacketType, zxid proto.Zxid, data []byte) {
	g.r.Packet(g.now, l, &proto.Packet{Type: t, Zxid: zxid, Data: data})
	g.r.Settled(g.now)
	g.effects()
}

func (g *member) tick(ms proto.Millis) {
	for ; ms > 0; ms -= 100 {
		g.now.Wall += 100
		g.now.Mono += 100
		g.r.Tick(g.now)
		g.effects()
	}
}

// lead has the server lead an epoch, with server 2 as its follower.
func (g *member) lead(epoch int64) *zab.Link {
	g.t.Helper()
	for range 100 {
		if g.r.Status().Role != proto.Looking {
			break
		}
		g.r.Notification(g.now, 2, &proto.Notification{Vote: g.r.Status().Quorum.Looking})
		g.effects()
		g.tick(100)
	}
	l := new(zab.Link)
	g.r.LinkUp(g.now, l, false)
	info := proto.LearnerInfo{ID: 2, Version: proto.LearnerVersion}
	g.packet(l, proto.PacketFollowerInfo, proto.Zxid((epoch-1)<<32), info.Append(nil))
	g.packet(l, proto.PacketAckEpoch, g.r.Status().Quorum.Logged, jute.AppendInt(nil, int32(epoch-1)))
	g.packet(l, proto.PacketAck, proto.Zxid(epoch<<32), nil)
	if !g.r.Serving() {
		g.t.Fatalf("it does not serve: %+v", g.r.Status())
	}
	return l
}

// follow has the server follow server 2, whose log ends at a zxid.
func (g *member) follow(epoch int64, end proto.Zxid) *zab.Link {
	g.t.Helper()
	return g.followWith(epoch, end, nil)
}

// greetLeader has the server greet server 2, up to the acknowledgement of the epoch.
func (g *member) greetLeader(epoch int64, end proto.Zxid) *zab.Link {
	g.t.Helper()
	for range 100 {
		if g.r.Status().Role != proto.Looking {
			break
		}
		v := proto.Vote{Leader: 2, Zxid: end, ElectionEpoch: 1, PeerEpoch: epoch}
		g.r.Notification(g.now, 2, &proto.Notification{State: proto.Leading, Vote: v})
		g.r.Notification(g.now, 1, &proto.Notification{State: proto.Following, Vote: v})
		g.effects()
		g.tick(100)
	}
	l := new(zab.Link)
	g.r.LinkUp(g.now, l, true)
	g.packet(l, proto.PacketLeaderInfo, proto.Zxid(epoch<<32), jute.AppendInt(nil, proto.LearnerVersion))
	return l
}

// followWith has it lack the last transaction.
func (g *member) followWith(epoch int64, end proto.Zxid, txn []byte) *zab.Link {
	g.t.Helper()
	l := g.greetLeader(epoch, end)
	if end < g.r.Status().Quorum.Logged {
		g.packet(l, proto.PacketTrunc, end, nil)
	} else {
		g.packet(l, proto.PacketDiff, end, nil)
	}
	if txn != nil {
		g.packet(l, proto.PacketProposal, end, txn)
		g.packet(l, proto.PacketCommit, end, nil)
	}
	g.packet(l, proto.PacketNewLeader, proto.Zxid(epoch<<32), nil)
	g.packet(l, proto.PacketUpToDate, -1, nil)
	if !g.r.Serving() {
		g.t.Fatalf("it does not serve: %+v", g.r.Status())
	}
	return l
}

// client opens a session with the server.
func (g *member) client(timeout int32) *replica.Conn {
	c := &replica.Conn{Owner: "c", IDs: []proto.ID{{Scheme: "ip", ID: "127.0.0.1"}}}
	g.r.Connect(g.now, c)
	req := proto.ConnectRequest{Timeout: timeout}
	g.r.Input(g.now, c, req.Append(nil))
	g.effects()
	return c
}

func (g *member) ask(c *replica.Conn, xid int32, op proto.Op, body []byte) {
	g.r.Input(g.now, c, append(jute.AppendInt(jute.AppendInt(nil, xid), int32(op)), body...))
	g.effects()
}

// request is a client's request that a follower sends on.
func (g *member) request(l *zab.Link, s proto.SessionID, xid int32, op proto.Op, body []byte) {
	b := jute.AppendInt(jute.AppendInt(jute.AppendLong(nil, int64(s)), xid), int32(op))
	g.packet(l, proto.PacketRequest, -1, append(b, body...))
}

func createBody(path string) []byte {
	b := proto.AppendACLs(jute.AppendString(jute.AppendString(nil, path), ""), proto.OpenACLUnsafe)
	return jute.AppendInt(b, proto.FlagPersistent)
}

// TestPromisesEndWithTheLeadership: what a leader promised and another leader cut off does
// not count when the server leads again.
func TestPromisesEndWithTheLeadership(t *testing.T) {
	g := newMember(t, newTestTree())
	l := g.lead(1)
	c := g.client(10_000)
	g.packet(l, proto.PacketAck, g.last().Zxid, nil)
	base, session := g.last().Zxid, g.last().Session
	g.ask(c, 1, proto.OpCreate, createBody("/x")) // nobody acknowledges it
	if g.last().Type != proto.OpCreate {
		t.Fatalf("logged %+v", g.last())
	}
	g.r.LinkDown(g.now, l, "test")
	g.effects()
	g.tick(2000)
	l = g.follow(2, base)
	g.r.LinkDown(g.now, l, "test")
	g.effects()
	l = g.lead(3)
	g.request(l, session, 2, proto.OpCreate, createBody("/x"))
	if txn := g.last(); txn.Zxid.Epoch64() != 3 || txn.Type != proto.OpCreate {
		t.Errorf("in epoch 3 the create became %+v", txn)
	}
}

// serve has a leader create the session of a client that came to this follower.
func (g *member) serve(l *zab.Link, zxid proto.Zxid) (*replica.Conn, proto.SessionID) {
	c := g.client(10_000)
	asked := g.sent[l][len(g.sent[l])-1]
	h := proto.TxnHeader{Zxid: zxid, Type: proto.OpCreateSession, Session: proto.SessionID(jute.Long(asked.Data))}
	g.commit(l, &proto.Txn{TxnHeader: h, Timeout: 10_000})
	delete(g.out, c)
	return c, h.Session
}

// commit has the leader propose and commit a transaction.
func (g *member) commit(l *zab.Link, txn *proto.Txn) {
	g.packet(l, proto.PacketProposal, txn.Zxid, txn.Append(nil))
	g.packet(l, proto.PacketCommit, txn.Zxid, nil)
}

// TestAnswersOfSyncs: a leader that commits several transactions at once tells of them all
// before it answers a sync between them. The sync is answered in its turn, and the leader's
// answer, when it comes, is not taken for that to a later sync.
func TestAnswersOfSyncs(t *testing.T) {
	g := newMember(t, newTestTree())
	l := g.follow(1, 0)
	c, session := g.serve(l, proto.MakeZxid(1, 1))
	path := jute.AppendString(nil, "/")
	g.ask(c, 1, proto.OpSync, path)
	g.ask(c, 2, proto.OpCreate, createBody("/none/x"))
	g.ask(c, 3, proto.OpSync, path)
	h := proto.TxnHeader{Session: session, Cxid: 2, Zxid: proto.MakeZxid(1, 2), Type: proto.OpError}
	g.commit(l, &proto.Txn{TxnHeader: h, Err: proto.ErrNoNode})
	replies := func() (xids []int32) {
		for b := g.out[c]; len(b) > 0; {
			d := jute.NewDecoder(b)
			xids = append(xids, jute.Int(d.Buffer()))
			b = d.Rest()
		}
		return xids
	}
	for i, want := range []int{2, 2, 3} {
		if got := replies(); len(got) != want {
			t.Fatalf("after %d answers of the leader there are the replies %v", i, got)
		}
		g.packet(l, proto.PacketSync, 0, nil)
	}
}

// TestClientThatHasMovedOn: a client, or a new process that numbers its requests anew, has gone to another
// server and had something done there. What it had asked for before through this one is not sent to the
// next leader. It is if what was done elsewhere had come too late.
func TestClientThatHasMovedOn(t *testing.T) {
	type done struct {
		cxid int32
		code proto.ErrCode
	}
	for d, moved := range map[done]bool{
		{1, proto.ErrNoNode}: true, {5, proto.ErrNoNode}: true, {5, proto.ErrSessionMoved}: false,
	} {
		g := newMember(t, newTestTree())
		l := g.follow(1, 0)
		c, session := g.serve(l, proto.MakeZxid(1, 1))
		requests := func(l *zab.Link) (all []proto.Packet) {
			for _, p := range g.sent[l] {
				if p.Type == proto.PacketRequest {
					all = append(all, p)
				}
			}
			return all
		}
		g.ask(c, 2, proto.OpCreate, createBody("/x"))
		if n := len(requests(l)); n != 2 || !c.Open() {
			t.Fatalf("%d requests were sent on", n)
		}
		g.r.LinkDown(g.now, l, "test")
		g.effects()
		h := proto.TxnHeader{Session: session, Cxid: d.cxid, Zxid: proto.MakeZxid(1, 2), Type: proto.OpError}
		txn := proto.Txn{TxnHeader: h, Err: d.code}
		l = g.followWith(2, h.Zxid, txn.Append(nil))
		if sent := len(requests(l)); moved != (sent == 0) || c.Open() == moved {
			t.Errorf("after %+v: %d requests sent, open %v", d, sent, c.Open())
		}
	}
}

// TestRequestsKeepTheirSessionsAlive: a request that a follower sends on tells that its
// client is alive, though no PING comes that says so.
func TestRequestsKeepTheirSessionsAlive(t *testing.T) {
	for _, op := range []proto.Op{proto.OpCreate, proto.OpSync} {
		g := newMember(t, newTestTree())
		l := g.lead(1)
		session := proto.SessionID(2<<56 | 1)
		g.request(l, session, 0, proto.OpCreateSession, jute.AppendInt(nil, 4000))
		for range 4 {
			g.packet(l, proto.PacketAck, g.last().Zxid, nil)
			g.tick(3000)
			g.request(l, session, 1, op, jute.AppendString(nil, "/"))
			g.packet(l, proto.PacketPing, 0, nil)
		}
		for _, txn := range g.txns {
			if txn.Type == proto.OpCloseSession {
				t.Errorf("%v: the session was closed at %v", op, txn.Zxid)
			}
		}
	}
}

// TestNoSessionIDTwice restarts a server whose clock has been set back: an id that it has
// given out does not come again, though the session has been closed since.
func TestNoSessionIDTwice(t *testing.T) {
	tr := newTestTree()
	then := proto.SessionID(3<<56 | 2_000_000<<16) // the clock was at 2,000,000
	apply := func(zxid proto.Zxid, op proto.Op, id proto.SessionID) {
		var res tree.Result
		tr.Apply(&proto.Txn{TxnHeader: proto.TxnHeader{Zxid: zxid, Type: op, Session: id}, Timeout: 10_000}, &res)
	}
	apply(1, proto.OpCreateSession, then)
	apply(2, proto.OpCreateSession, then+1)
	apply(3, proto.OpCloseSession, then+1)
	g := newMember(t, tr)
	g.lead(1)
	g.client(10_000)
	txn := g.last()
	if txn.Type != proto.OpCreateSession || txn.Session <= then+1 || txn.Session>>56 != 3 {
		t.Errorf("the next session is %v", txn.Session)
	}
}

// TestNothingIsDoneForAClosingSession: what comes for a session whose end is under way is
// refused, as it will be done after the end.
func TestNothingIsDoneForAClosingSession(t *testing.T) {
	g := newMember(t, newTestTree())
	l := g.lead(1)
	session := proto.SessionID(2<<56 | 1)
	g.request(l, session, 0, proto.OpCreateSession, jute.AppendInt(nil, 4000))
	g.packet(l, proto.PacketAck, g.last().Zxid, nil)
	for range 6 {
		g.tick(1000)
		g.packet(l, proto.PacketPing, 0, nil)
	}
	if g.last().Type != proto.OpCloseSession {
		t.Fatalf("logged %+v", g.last())
	}
	g.request(l, session, 1, proto.OpCreate, createBody("/x"))
	if txn := g.last(); txn.Type != proto.OpError || txn.Err != proto.ErrSessionExpired {
		t.Errorf("it became %+v", txn)
	}
}

// TestShownPosition: a server that serves in an epoch shows its start until something is
// done in it, so that nobody sees history go back who has been shown a later epoch.
func TestShownPosition(t *testing.T) {
	tr := newTestTree()
	var res tree.Result
	session := proto.SessionID(3<<56 | 1)
	h := proto.TxnHeader{Zxid: 1, Type: proto.OpCreateSession, Session: session}
	tr.Apply(&proto.Txn{TxnHeader: h, Timeout: 10_000}, &res)
	g := newMemberFrom(t, tr, zab.Recovered{Hard: zab.HardState{Accepted: 6, Current: 6}})
	g.lead(7)
	c := &replica.Conn{Owner: "c", IDs: []proto.ID{{Scheme: "ip", ID: "127.0.0.1"}}}
	g.r.Connect(g.now, c)
	password := session.Password()
	req := proto.ConnectRequest{Timeout: 10_000, Session: session, Password: password[:], LastZxidSeen: 7 << 32}
	g.r.Input(g.now, c, req.Append(nil))
	g.effects()
	delete(g.out, c)
	g.ask(c, 1, proto.OpExists, jute.AppendBool(jute.AppendString(nil, "/"), false))
	if b := g.out[c]; len(b) < 20 || proto.Zxid(jute.Long(b[8:])) != 7<<32 {
		t.Errorf("shown is %x", b)
	}
}

// observer has an observer come to this follower.
func (g *member) observer(id int64) *zab.Link {
	g.t.Helper()
	l := &zab.Link{Master: true}
	g.r.LinkUp(g.now, l, false)
	info := proto.LearnerInfo{ID: id, Version: proto.LearnerVersion}
	g.packet(l, proto.PacketObserverInfo, 0, info.Append(nil))
	g.packet(l, proto.PacketAckEpoch, 0, jute.AppendInt(nil, 0))
	g.packet(l, proto.PacketAck, proto.Zxid(g.r.Status().Quorum.Epoch<<32), nil)
	if sent := g.sent[l]; len(sent) == 0 || sent[len(sent)-1].Type != proto.PacketUpToDate {
		g.t.Fatalf("the observer is sent %v", sent)
	}
	return l
}

// TestClientMovesBetweenObservers: the leader cannot tell through which of a follower's observers
// a session comes, so the follower holds back what the client left behind at the former one.
func TestClientMovesBetweenObservers(t *testing.T) {
	g := newMember(t, newTestTree())
	leader := g.follow(1, 0)
	first, second := g.observer(4), g.observer(5)
	const id = proto.SessionID(0x400000000000001)
	forwarded := func() (n int) {
		for _, p := range g.sent[leader] {
			if p.Type == proto.PacketRequest {
				n++
			}
		}
		return n
	}
	g.request(first, id, 1, proto.OpCreate, createBody("/a"))
	if n := forwarded(); n != 1 {
		t.Fatalf("%d requests were sent on before the client moved", n)
	}
	question := jute.AppendInt(jute.AppendLong(nil, int64(id)), 10_000)
	g.packet(second, proto.PacketRevalidate, -1, question)
	g.request(first, id, 2, proto.OpCreate, createBody("/b")) // may be older than what was done elsewhere
	g.packet(leader, proto.PacketRevalidate, -1, jute.AppendBool(jute.AppendLong(nil, int64(id)), true))
	g.request(second, id, 5, proto.OpCreate, createBody("/c"))
	g.request(first, id, 3, proto.OpCreate, createBody("/d"))
	if n := forwarded(); n != 2 {
		t.Errorf("%d requests were sent on, and what came late should not be", n)
	}
}

// TestSessionThatWasNeverBorn: a leader calls a session valid while its creation is under way, as
// that of a local session which becomes global. The leader goes, and the creation with it.
func TestSessionThatWasNeverBorn(t *testing.T) {
	g := newMember(t, newTestTree())
	leader := g.follow(1, 0)
	const id = proto.SessionID(0x100000000000001)
	c := &replica.Conn{Owner: "c", IDs: []proto.ID{{Scheme: "ip", ID: "127.0.0.1"}}}
	g.r.Connect(g.now, c)
	password := id.Password()
	req := proto.ConnectRequest{Timeout: 10_000, Session: id, Password: password[:]}
	g.r.Input(g.now, c, req.Append(nil))
	g.effects()
	g.packet(leader, proto.PacketRevalidate, -1, jute.AppendBool(jute.AppendLong(nil, int64(id)), true))
	if c.Session() != id || !c.Open() {
		t.Fatal("the client has not got its session")
	}
	g.r.LinkDown(g.now, leader, "test")
	g.effects()
	g.lead(2)
	if c.Open() || g.r.Status().Sessions != 0 {
		t.Errorf("connection open: %v; %d sessions that nobody has created", c.Open(), g.r.Status().Sessions)
	}
}

// TestAnswerForAnEarlierConnection: a client comes twice, so the leader is asked twice. Its answer for
// the first connection says nothing of the second, who may have been elsewhere by the time of its own.
func TestAnswerForAnEarlierConnection(t *testing.T) {
	g := newMember(t, newTestTree())
	leader := g.follow(1, 0)
	const id = proto.SessionID(0x100000000000001)
	password := id.Password()
	req := proto.ConnectRequest{Timeout: 10_000, Session: id, Password: password[:]}
	connect := func() *replica.Conn {
		c := &replica.Conn{Owner: "c", IDs: []proto.ID{{Scheme: "ip", ID: "127.0.0.1"}}}
		g.r.Connect(g.now, c)
		g.r.Input(g.now, c, req.Append(nil))
		g.effects()
		return c
	}
	connect()
	c := connect()
	for i := range 2 {
		if c.Session() != 0 {
			t.Fatalf("the connection has its session after %d answers", i)
		}
		g.packet(leader, proto.PacketRevalidate, -1, jute.AppendBool(jute.AppendLong(nil, int64(id)), true))
	}
	if c.Session() != id {
		t.Fatal("the connection has no session")
	}
}
