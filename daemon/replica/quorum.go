package replica

import (
	"github.com/zkd-project/zkd/daemon/ensemble"
	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zab"
)

// helloWait is how long a client that connects may wait for a leader to be found before it
// is sent elsewhere.
const helloWait = 1000

// quorum is a server's part in an ensemble as far as it concerns clients.
type quorum struct {
	serving, leads bool
	// grace is until when clients are still served from the tree though the leader is gone:
	// no longer than a silent leader would have been believed.
	grace   proto.Millis
	epoch   proto.Zxid // start of the one in which the server served last
	relayed bool       // it was an observer of a follower then

	readOnly   bool         // clients are served from the tree, without a quorum
	readOnlyAt proto.Millis // when that may begin
	began      bool         // it has, since the last Effects

	opening  map[proto.SessionID]*Conn // the leader is asked to create the session
	checking map[proto.SessionID]*Conn // the leader is asked whether the session is valid
	asked    []question                // of these, and of those that observers ask; oldest first
	held     []*Conn                   // wait with their connect requests
	syncs    []question                // the leader is asked for a sync; oldest first
	through  map[proto.SessionID]int64 // the observer, or this server, that a session came to last
	owed     []owedSync                // syncs that this leader has to answer, in the order of their zxids

	snap      *tree.Tree   // from the leader, on its way to the disk
	installAt uint64       // position of its write, 0 while it is still growing
	rifts     []proto.Rift // of a snap that was restored
}

// question is what the leader is asked on behalf of a connection, or of an observer of this
// follower.
type question struct {
	session proto.SessionID
	conn    *Conn
	xid     int32 // of a sync, which may be answered before: by a commit of what was asked behind it
	link    *zab.Link
	settles bool // it is no client's sync: its answer tells that nothing older of the session is under way
}

// owedSync is a sync of a client of this server that waits for a transaction to be committed.
type owedSync struct {
	conn *Conn
	zxid proto.Zxid
}

func (q *quorum) reset() {
	q.opening, q.checking = make(map[proto.SessionID]*Conn), make(map[proto.SessionID]*Conn)
	q.syncs, q.asked, q.owed, q.through = nil, nil, nil, make(map[proto.SessionID]int64)
}

// lastZxid is the position that clients are shown: the tree's, or the start of the epoch
// where nothing has been done in it, as Apache's servers do. A tree that came as a snapshot
// may stand there, and nobody must see another server fall behind it.
func (r *Replica) lastZxid() proto.Zxid { return max(r.tree.LastZxid(), r.quorum.epoch) }

// Notification takes a message of the election.
func (r *Replica) Notification(now Now, from int64, n *proto.Notification) {
	r.zab.Notification(now.Mono, from, n)
	r.settle(now)
}

// PeerUp tells that there is a connection of the election to another server, or not.
func (r *Replica) PeerUp(now Now, id int64, up bool) {
	if up {
		r.zab.PeerUp(now.Mono, id)
	} else {
		r.zab.PeerDown(now.Mono, id)
	}
	r.settle(now)
}

// LinkUp takes on a connection of the quorum port.
func (r *Replica) LinkUp(now Now, l *zab.Link, dialled bool) {
	r.zab.LinkUp(now.Mono, l, dialled)
	r.settle(now)
}

// LinkDown tells that a connection of the quorum port is gone.
func (r *Replica) LinkDown(now Now, l *zab.Link, reason string) {
	r.zab.LinkDown(now.Mono, l, reason)
	r.settle(now)
}

// DialFailed tells that the leader cannot be reached.
func (r *Replica) DialFailed(now Now, id int64, reason string) {
	r.zab.DialFailed(now.Mono, id, reason)
	r.settle(now)
}

// Heard tells that a link makes progress with something large.
func (r *Replica) Heard(now Now, l *zab.Link) { r.zab.Heard(now.Mono, l) }

// Packet takes a packet from a link, which may be used again after the call. Settled has to
// be called after the last one of a step.
func (r *Replica) Packet(now Now, l *zab.Link, p *proto.Packet) {
	if p.Type == proto.PacketProposal && r.zab.Serving() {
		r.meters.LearnerProposed++
	}
	if l.Upward() {
		if err := r.unreadable(p); err != nil {
			r.zab.Leave(now.Mono, "the leader's "+p.Type.String()+" cannot be read: "+err.Error())
			return
		}
	}
	concerns := r.zab.Packet(now.Mono, l, p)
	r.feedSnap()
	if !concerns {
		return
	}
	switch p.Type {
	case proto.PacketRequest:
		if r.zab.Leads() {
			r.forwarded(now, l, p)
		} else {
			r.relay(l, p)
		}
	case proto.PacketRevalidate:
		r.settle(now)
		switch {
		case l.Upward():
			r.validated(now, p)
		case r.zab.Leads():
			r.validate(now, l, p)
		default:
			r.relay(l, p)
		}
	case proto.PacketSync:
		r.settle(now)
		r.synced(now)
	case proto.PacketPing:
		if l.Upward() {
			r.pong(l, p)
		} else {
			r.touchAll(now, p.Data)
		}
	}
}

// Resign prepares for the end: what learners send on from now on is left to the next
// leader, so that what has been proposed can be committed.
func (r *Replica) Resign() { r.zab.Resign() }

// Settled ends a step of packets: what they committed takes effect.
func (r *Replica) Settled(now Now) { r.settle(now) }

// Snap takes the snapshot that follows a SNAP packet of the leader. The replica owns t,
// whose position is zxid, from now on.
func (r *Replica) Snap(now Now, l *zab.Link, t *tree.Tree, zxid proto.Zxid) {
	if r.zab.Snap(now.Mono, l, zxid) {
		r.showConfig(t)
		r.quorum.snap, r.quorum.installAt, r.quorum.rifts = t, 0, nil
	}
	r.settle(now)
}

// Readdress takes over the addresses of a list that has the same servers.
func (r *Replica) Readdress(list *ensemble.Config) {
	r.zab.Readdress(list)
	r.showConfig(r.tree)
	if r.quorum.snap != nil && r.quorum.installAt == 0 { // else it is being written, and shown when it is in use
		r.showConfig(r.quorum.snap)
	}
}

// showConfig has a tree show the configuration of this server.
func (r *Replica) showConfig(t *tree.Tree) {
	if text := r.zab.ConfigText(); text != nil {
		t.SetConfig(text)
	}
}

// feedSnap applies what the leader says is committed to the snapshot that it sent.
func (r *Replica) feedSnap() {
	t := r.quorum.snap
	if t == nil {
		return
	}
	for b, ok := r.zab.Incoming(); ok; b, ok = r.zab.Incoming() {
		if r.txn.Decode(b) == nil {
			t.Apply(&r.txn, &r.result)
			t.ClearEvents()
		}
	}
}

// takeInstall adds the tree to the write that makes it durable.
func (r *Replica) takeInstall(e *Effects) {
	e.Install, e.Rifts = nil, nil
	for i := range e.Writes {
		if e.Writes[i].Kind == zab.WriteInstall {
			e.Install, r.quorum.installAt, e.Rifts = r.quorum.snap, e.Writes[i].Pos, r.quorum.rifts
		}
	}
}

// install goes on with a snapshot that is durable now. No client is kept: what its watches
// should have told it, nobody knows.
func (r *Replica) install(now Now) {
	for _, c := range r.conns {
		if c != nil && c.live() {
			r.abort(c)
		}
	}
	r.tree, r.quorum.snap, r.quorum.installAt = r.quorum.snap, nil, 0
	r.cfg.Rifts, r.quorum.rifts = r.quorum.rifts, nil
	r.showConfig(r.tree)
	before := r.sessions
	r.sessions = newSessions(r.cfg.TickTime, r.cfg.ServerID)
	r.sessions.lastID = before.lastID
	r.pending.clear()
	r.loadSessions(now)
	r.sessions.keepLocal(now, before)
}

// waiterFor finds the connection that waits for a transaction.
func (r *Replica) waiterFor(now Now, txn *proto.Txn) *Conn {
	if r.pending.len() > 0 && r.pending.first().zxid == txn.Zxid {
		c := r.pending.first().conn
		if !r.zab.Solo() {
			r.meters.QuorumAck.Add(int64(now.Mono - r.pending.first().at))
		}
		r.pending.pop()
		return c
	}
	if c := r.quorum.opening[txn.Session]; c != nil && txn.Type == proto.OpCreateSession {
		delete(r.quorum.opening, txn.Session)
		return c
	}
	s := r.sessions.byID[txn.Session]
	if s == nil || s.conn == nil || s.conn.requests.len() == 0 || txn.Zxid.Epoch() != r.quorum.epoch.Epoch() {
		return nil // in an epoch without this server nothing has become of what it had sent on
	}
	c, i := s.conn, s.conn.requests.head
	for i < len(c.requests.items) && c.requests.items[i].wait != waitTxn {
		i++
	}
	if i == len(c.requests.items) {
		return nil
	}
	it := &c.requests.items[i]
	if it.zxid != 0 || it.xid != txn.Cxid || !answers(txn, it.op) {
		return nil
	}
	if i > c.requests.head {
		// A sync before it was asked of a leader that is gone, or that tells of all that has
		// been committed before it answers. What was committed when the leader was asked is
		// below this transaction, and so it is applied.
		for j := range c.requests.items[c.requests.head:i] {
			c.requests.items[c.requests.head+j].wait = waitTurn
		}
		r.drain(now, c)
	}
	return c
}

// answers says whether a transaction can be what became of an operation. Sessions are also
// created and closed for reasons of a server's own.
func answers(txn *proto.Txn, op proto.Op) bool {
	switch {
	case op == proto.OpCreateSession && txn.Type == proto.OpError:
		return txn.Err == proto.ErrSessionMoved || txn.Err == proto.ErrSessionExpired
	case op == proto.OpCloseSession && txn.Type == proto.OpError:
		return txn.Err == proto.ErrSessionMoved || txn.Err == proto.ErrSessionExpired
	case txn.Type == proto.OpCreateSession, txn.Type == proto.OpCloseSession,
		op == proto.OpCreateSession, op == proto.OpCloseSession:
		return txn.Type == op
	}
	return true
}

// changeRole takes notice of a role that has begun or ended.
func (r *Replica) changeRole(now Now) {
	q := &r.quorum
	if q.snap != nil && q.installAt == 0 && !r.zab.TakesSnap() && !r.zab.Installs() {
		q.snap = nil
	}
	serving, leads := r.zab.Serving(), r.zab.Leads()
	r.meters.observe(now.Mono, r.zab.Role(), serving, r.zab.Solo())
	if serving == q.serving && leads == q.leads {
		return
	}
	if q.serving {
		r.stopServing(now)
	}
	q.serving, q.leads = serving, leads
	if serving {
		r.endReadOnly()
		r.dropUnborn()
		r.sessions.become(now, !leads)
		r.startServing(now)
	}
}

// stopServing ends a role. The clients may stay for a while: once a learner knows the
// history with which the next epoch begins, it knows which of the requests that it had
// sent on became part of it, and may send the others again. The requests of a leader's own
// clients are not kept, and nobody could tell those clients what has become of them.
func (r *Replica) stopServing(now Now) {
	q := &r.quorum
	r.tree.ForgetPromises()
	r.pending.clear()
	q.grace, q.readOnlyAt = now.Mono, now.Mono+r.readOnlyWait()
	if !q.leads {
		q.grace = r.zab.LastHeard() + min(r.zab.SilenceLimit(), r.cfg.MinTimeout/2)
	}
	r.sessions.become(now, true)
	for _, c := range r.conns {
		switch {
		case c == nil || !c.Open(): // one that takes no more input is closed when there is a leader
		case c.phase == phaseOpening && !q.leads && c.hello != nil && (!c.returns() || c.requests.len() == 0):
			r.holdAgain(now, c)
		case c.phase == phaseOpening || q.leads && c.inFlight():
			r.abort(c)
		}
	}
	q.reset()
	r.tickQuorum(now)
}

// waits says whether a request waits for the leader, or for one to be found.
func (c *Conn) waits() bool {
	return c.requests.any(func(it *item) bool { return it.wait != waitTurn })
}

// inFlight says whether a request has been sent on and not been answered.
func (c *Conn) inFlight() bool {
	return c.requests.any(func(it *item) bool { return it.wait == waitTxn || it.wait == waitSync })
}

// dropUnborn forgets sessions that a former leader called valid while their creation was under way,
// where that has not become history. Their connections are closed when the role begins.
func (r *Replica) dropUnborn() {
	for _, id := range r.sessions.ids() {
		s := r.sessions.byID[id]
		if _, born := r.tree.Session(id); !born && !s.local {
			r.sessions.remove(s)
		}
	}
}

// startServing begins a role: what had to wait goes on.
func (r *Replica) startServing(now Now) {
	same := r.quorum.epoch == r.zab.EpochZxid()
	relayed := r.quorum.relayed || r.zab.ThroughMaster()
	r.quorum.epoch, r.quorum.relayed = r.zab.EpochZxid(), r.zab.ThroughMaster()
	for _, c := range r.conns {
		if c != nil && c.live() {
			if r.aloof() || c.phase == phaseLast { // what that one waits for was not sent on
				r.abort(c)
				continue
			}
			if same && c.inFlight() || c.waits() && (r.zab.ThroughMaster() || c.crossed || !r.settled(c)) {
				// The leader is still the old one, and may have the request still; or the leader
				// cannot tell that the client has gone to another observer of the same follower;
				// or nobody can tell whether it has gone elsewhere.
				r.abort(c)
				continue
			}
			if s := c.session; r.sessions.byID[s.id] == s {
				s.owner = r.cfg.ServerID
				if r.zab.Leads() {
					c.sureAt = 0 // nobody else may write for it from now on
				}
				r.sessions.touch(now, s)
				r.resend(now, c)
			} else {
				r.abort(c)
			}
		}
	}
	if same && relayed {
		r.endLeft()
	}
	r.takeHeld(now)
}

// takeHeld takes up the connect requests that had to wait.
func (r *Replica) takeHeld(now Now) {
	held := r.quorum.held
	r.quorum.held = nil
	for _, c := range held {
		if c.hello != nil && c.phase == phaseOpening {
			frame := c.hello
			c.phase, c.hello = phaseNew, nil
			r.connect(now, c, frame)
			if c.phase == phaseOpen { // at once, as nobody has to be asked
				r.replay(now, c)
			}
		}
	}
}

// resend sends the requests on that a connection had to hold.
func (r *Replica) resend(now Now, c *Conn) {
	for i := c.requests.head; i < len(c.requests.items) && c.live(); i++ {
		it := &c.requests.items[i]
		if it.wait == waitTurn {
			continue
		}
		body := c.requests.frame(it)
		if it.op == proto.OpSync {
			r.sync(now, c, it, body)
			continue
		}
		r.req = proto.Request{Xid: it.xid, Op: it.op}
		if r.req.DecodeBody(body) != nil {
			panic("replica: a request that was held does not decode")
		}
		if r.cfg.Upgrading && r.mustUpgrade(c.session, it) {
			// What was to make the session global went with an earlier connection.
			r.abort(c)
			return
		}
		r.start(now, c, it, body)
	}
	r.drain(now, c)
}

// hold keeps a connect request until somebody leads.
func (r *Replica) hold(now Now, c *Conn, frame []byte) {
	c.phase, c.hello = phaseOpening, append([]byte(nil), frame...)
	c.Stats.LastResponse = now.Mono
	r.quorum.held = append(r.quorum.held, c)
}

// returns says whether the connection, which has no session yet, comes with one. No request behind
// it is kept while there is no leader: the client may be with another server by now, and nobody
// could tell what it asked for first.
func (c *Conn) returns() bool {
	var req proto.ConnectRequest
	return c.hello != nil && req.Decode(c.hello) == nil && req.Session != 0
}

// holdAgain keeps a connect request of which the leader was asked that is gone.
func (r *Replica) holdAgain(now Now, c *Conn) {
	if c.requests.len() > 0 && c.requests.first().op == proto.OpCreateSession {
		c.requests.pop()
		r.stats.Outstanding--
	}
	c.asked, c.Stats.LastResponse = false, now.Mono
	r.quorum.held = append(r.quorum.held, c)
}

// tickQuorum sends clients away that have waited too long for a leader.
func (r *Replica) tickQuorum(now Now) {
	q := &r.quorum
	if r.zab.Serving() {
		return
	}
	if q.grace != 0 && now.Mono >= q.grace {
		q.grace = 0
		for _, c := range r.conns {
			if c != nil && c.live() {
				r.abort(c)
			}
		}
	}
	kept := q.held[:0]
	for _, c := range q.held {
		switch {
		case c.phase != phaseOpening:
		case now.Mono-c.Stats.LastResponse > helloWait:
			r.abort(c)
		default:
			kept = append(kept, c)
		}
	}
	clear(q.held[len(kept):])
	q.held = kept
	r.tickReadOnly(now)
}

// forward sends a request to the leader.
func (r *Replica) forward(s proto.SessionID, it *item, body []byte) bool {
	b := make([]byte, 0, 16+len(body))
	b = jute.AppendInt(jute.AppendLong(b, int64(s)), it.xid)
	b = append(jute.AppendInt(b, int32(it.op)), body...)
	p := proto.Packet{Type: proto.PacketRequest, Zxid: -1, Data: b}
	if it.op != proto.OpCreateSession {
		p.Auth = proto.AppendIDs(nil, it.ids)
	}
	return r.zab.ToLeader(&p)
}
