package replica

import (
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zab"
)

// Replica is one server's state machine. See the package documentation.
type Replica struct {
	cfg      Config
	tree     *tree.Tree
	sessions *sessions
	conns    []*Conn // by watcher id; nil where free
	free     []tree.WatcherID
	reaper   reaper
	stats    Stats
	meters   Meters
	lastTick proto.Millis

	zab     *zab.Peer
	pending pendingQueue
	touched []*Conn
	quorum  quorum

	// Scratch space of one step.
	req    proto.Request
	txn    proto.Txn
	result tree.Result
	caller tree.Caller
	event  proto.Out
}

// pendingTxn is a transaction that this server proposed.
type pendingTxn struct {
	conn *Conn // waits for the reply; nil for the server's own and for learners'
	zxid proto.Zxid
	at   proto.Millis // monotonic time of the proposal
}

// New makes the replica of a server whose tree and log are as found. Every session that
// the tree knows gets a full timeout from now on.
func New(cfg Config, now Now, t *tree.Tree, found zab.Recovered) *Replica {
	found.Committed = t.LastZxid()
	if cfg.MaxRequest <= 0 {
		cfg.MaxRequest = 1<<20 - 1
	}
	r := &Replica{cfg: cfg, tree: t, sessions: newSessions(cfg.TickTime, cfg.ServerID), zab: zab.New(cfg.Zab, found)}
	r.sessions.lastID = firstID(cfg.ServerID, now.Wall) - 1
	r.showConfig(t)
	r.quorum.reset()
	r.quorum.readOnlyAt = now.Mono + r.readOnlyWait()
	r.loadSessions(now)
	r.reaper.next, r.lastTick = now.Mono+cfg.ReapInterval, now.Mono
	r.meters.begin(now.Mono, r.zab.Solo())
	r.zab.Start(now.Mono)
	r.settle(now)
	return r
}

// loadSessions takes over the sessions that the tree knows.
func (r *Replica) loadSessions(now Now) {
	last := r.sessions.lastID
	r.tree.Sessions(func(id proto.SessionID, timeout int32) {
		r.sessions.add(now, id, proto.Millis(timeout), nil)
		if id>>56 == last>>56 {
			last = max(last, id)
		}
	})
	if last > r.sessions.lastID {
		r.sessions.lastID = idsAfter(last, now.Wall)
	}
}

// Tree is the replica's tree, to be read between steps.
func (r *Replica) Tree() *tree.Tree { return r.tree }

// Connect takes on a connection.
func (r *Replica) Connect(now Now, c *Conn) {
	if n := len(r.free); n > 0 {
		c.watcher, r.free = r.free[n-1], r.free[:n-1]
		r.conns[c.watcher] = c
	} else {
		c.watcher = tree.WatcherID(len(r.conns))
		r.conns = append(r.conns, c)
	}
	c.Stats.Established, c.Stats.LastOp = now.Wall, proto.OpError
	if len(c.IDs) > 0 {
		c.peer = c.IDs[0]
	}
	r.stats.Connections++
}

// Disconnect tells that the connection's socket is gone. Its session lives on.
func (r *Replica) Disconnect(c *Conn) {
	if r.conns[c.watcher] != c {
		return
	}
	r.retire(c)
	r.conns[c.watcher] = nil
	r.free = append(r.free, c.watcher)
	r.stats.Connections--
}

// retire ends a connection's part: it takes no more input and gets no more replies.
func (r *Replica) retire(c *Conn) {
	if c.phase == phaseClosed {
		return
	}
	c.phase = phaseClosed
	r.tree.DropWatcher(c.watcher)
	if s := c.session; s != nil && s.local {
		s.upgrading = s.upgrading && !c.holdsUpgrade()
		s.left = s.left || !r.quorum.leads && c.requests.any(func(it *item) bool { return it.wait == waitTxn })
	}
	r.stats.Outstanding -= int64(c.requests.len())
	c.requests = fifo{}
	c.hello = nil
	if c.session != nil && c.session.conn == c {
		c.session.conn = nil
	}
}

// abort closes a connection at once.
func (r *Replica) abort(c *Conn) {
	r.retire(c)
	c.Abort = true
	r.touch(c)
}

// finish closes a connection once its output has been sent.
func (r *Replica) finish(c *Conn) {
	r.retire(c)
	c.Close = true
	r.touch(c)
}

// touch lists c in the effects to come.
func (r *Replica) touch(c *Conn) {
	if !c.touched {
		c.touched = true
		r.touched = append(r.touched, c)
	}
}

// Effects moves what the steps since the last call brought up into e. The caller owns
// e.Conns until it calls again with the same e.
func (r *Replica) Effects(e *Effects) {
	r.zab.Effects(&e.Effects)
	if r.quorum.began {
		r.quorum.began = false
		e.Events = append(e.Events, zab.Event{What: "read-only", Zxid: r.tree.LastZxid()})
	}
	r.takeInstall(e)
	e.Conns, r.touched = r.touched, e.Conns[:0]
	for _, c := range e.Conns {
		c.touched = false
		r.meters.BytesSent += int64(c.Out.Len())
	}
}

// propose numbers the request r.req, prepares its transaction and queues it for the
// log. A code other than ErrOK tells that the request is refused already: it takes a
// zxid all the same, as every write does that reaches a leader. c waits for the reply;
// it is nil for the server's own requests.
func (r *Replica) propose(now Now, h proto.TxnHeader, c *Conn, code proto.ErrCode) proto.Zxid {
	next, ok := r.zab.NextZxid()
	if !ok {
		// The epoch has run out of numbers: the next one begins, with all sessions.
		r.zab.Leave(now.Mono, "the epoch's zxids are used up")
		r.settle(now)
		return 0
	}
	h.Zxid, h.Time = next, now.Wall
	if code != proto.ErrOK {
		h.Type = proto.OpError
		r.txn = proto.Txn{TxnHeader: h, Err: code}
	} else {
		r.caller.Session = h.Session
		r.tree.Prepare(h, &r.caller, &r.req, &r.txn)
	}
	size := r.zab.Propose(&r.txn)
	r.pending.push(pendingTxn{c, h.Zxid, now.Mono})
	if !r.zab.Solo() {
		r.meters.Proposals++
		r.meters.ProposalSize.Set(int64(size))
	}
	return h.Zxid
}

// Durable tells that every write up to a position is durable.
func (r *Replica) Durable(now Now, pos uint64) {
	if q := &r.quorum; q.snap != nil && q.installAt != 0 && pos >= q.installAt {
		r.install(now)
	}
	r.zab.Durable(now.Mono, pos)
	r.settle(now)
}

// settle applies what has been committed, and takes notice of a new role.
func (r *Replica) settle(now Now) {
	r.zab.Settle()
	for b, ok := r.zab.Next(); ok; b, ok = r.zab.Next() {
		if err := r.txn.Decode(b); err != nil {
			panic("replica: a committed transaction does not decode: " + err.Error())
		}
		c := r.waiterFor(now, &r.txn)
		if c == nil {
			r.overtaken(&r.txn)
		}
		r.apply(now, &r.txn, c)
		r.paySyncs(now)
	}
	r.zab.Applied()
	r.changeRole(now)
}

// apply makes a committed transaction take effect: watch events go out first, then the
// reply of the client that waits for it, then what that client asked after it.
func (r *Replica) apply(now Now, txn *proto.Txn, c *Conn) {
	r.tree.Apply(txn, &r.result)
	r.deliver(txn.Zxid)
	r.meters.applied(now.Wall-txn.Time, r.zab.Leads(), r.zab.Solo())
	switch txn.Type {
	case proto.OpCreateSession:
		r.sessionCreated(now, txn, c)
		return
	case proto.OpCloseSession:
		r.sessionClosed(now, txn, c)
		return
	}
	if c == nil || c.phase == phaseClosed {
		return
	}
	it := c.requests.first()
	if it.wait != waitTxn {
		panic("replica: " + txn.Zxid.String() + " is not the write that its connection waits for")
	}
	if txn.Type == proto.OpError && (txn.Err == proto.ErrSessionMoved || it.op == proto.OpCreateSession) {
		r.abort(c)
		return
	}
	it.zxid, c.crossed = txn.Zxid, false // the leader has taken the session to be here
	if it.code != proto.ErrOK {
		r.result.Rename(proto.ErrSessionExpired, it.code)
	}
	r.answerWrite(now, c, it)
	r.drain(now, c)
}

func (r *Replica) answerWrite(now Now, c *Conn, it *item) {
	code := r.result.Err
	if code == proto.ErrOK {
		r.meters.ops[opSlot(it.op)]++
	}
	out := &c.Out
	out.Begin()
	out.Header(it.xid, it.zxid, code)
	if code == proto.ErrOK {
		r.result.AppendBody(it.op, out)
	}
	out.End()
	r.answered(now, c, it.op, it.xid, it.since)
	c.requests.pop()
	r.stats.Outstanding--
}

// answered accounts for a reply that stands in c.Out.
func (r *Replica) answered(now Now, c *Conn, op proto.Op, xid int32, since proto.Millis) {
	c.Stats.Sent++
	c.Stats.reply(op, xid, r.tree.LastZxid(), now.Mono, since)
	r.stats.answered(max(now.Mono-since, 0))
	r.meters.reply(op, max(now.Mono-since, 0), c.Out.LastFrame())
	r.touch(c)
}

// deliver sends the watch events of the last applied transaction. An event whose znode
// the client may not read is dropped; its watch is used up all the same.
func (r *Replica) deliver(zxid proto.Zxid) {
	events := r.tree.Events()
	for i := range events {
		ev := &events[i]
		r.event.Reset()
		r.event.Event(zxid, ev.Type, ev.Path)
		sent := 0
		for _, w := range ev.Watchers {
			c := r.conns[w]
			if c == nil || !c.live() || !r.tree.Allowed(ev.ACL, proto.PermRead, c.IDs) {
				continue
			}
			c.Out.B = append(c.Out.B, r.event.B...)
			c.Stats.Sent++
			r.stats.Sent++
			r.touch(c)
			sent++
		}
		r.meters.event(ev.Type, len(ev.Watchers), sent*len(r.event.B))
	}
	if len(events) > 0 {
		r.tree.ClearEvents()
	}
}

// Tick tells that time has passed: sessions expire, containers and TTL znodes are reaped.
func (r *Replica) Tick(now Now) {
	const expiredPerTick, missed = 2000, 250
	if gap := now.Mono - r.lastTick; gap >= max(r.cfg.TickTime, missed) {
		r.sessions.forgive(now, gap)
	}
	r.lastTick = now.Mono
	r.zab.Tick(now.Mono)
	r.settle(now)
	if !r.zab.Leads() {
		r.tickQuorum(now)
	}
	if r.zab.Serving() || r.quorum.readOnly { // otherwise no client could come
		for _, s := range r.sessions.expired(now, expiredPerTick) {
			r.expire(now, s)
		}
	}
	if r.zab.Leads() {
		r.reap(now)
	}
}

// expire ends a session whose client has not been heard of for too long.
func (r *Replica) expire(now Now, s *session) {
	if s.local {
		r.stats.Expired++
		r.endLocal(s)
		return
	}
	if r.zab.Leads() {
		r.stats.Expired++
		r.closeSession(now, s)
	}
}

// closeSession has a session closed on the server's own account.
func (r *Replica) closeSession(now Now, s *session) {
	s.closing = true
	r.req, r.caller = proto.Request{Op: proto.OpCloseSession}, tree.Caller{}
	r.propose(now, proto.TxnHeader{Session: s.id, Type: proto.OpCloseSession}, nil, proto.ErrOK)
}

// reaper paces the deletion of containers and TTL znodes.
type reaper struct {
	next  proto.Millis // when to look for the next ones
	due   []string
	after proto.Millis // when the next deletion may be made
}

// reap proposes the deletion of containers and TTL znodes that are due. Each one is
// checked again before, and when its request is prepared. Source: ContainerManager.java.
func (r *Replica) reap(now Now) {
	p := &r.reaper
	if len(p.due) == 0 && now.Mono >= p.next {
		p.next, p.after = now.Mono+r.cfg.ReapInterval, now.Mono
		r.tree.Reapable(now.Wall, r.cfg.ReapPerMinute, func(path []byte) {
			p.due = append(p.due, string(path))
		})
	}
	for len(p.due) > 0 && p.after <= now.Mono {
		if !r.tree.IsDue([]byte(p.due[0]), now.Wall) {
			p.due = p.due[1:]
			continue
		}
		r.req, r.caller = proto.Request{Op: proto.OpDeleteContainer, Path: []byte(p.due[0])}, tree.Caller{}
		if r.propose(now, proto.TxnHeader{Type: proto.OpDeleteContainer}, nil, proto.ErrOK) == 0 {
			return
		}
		p.due = p.due[1:]
		p.after += max(60_000/proto.Millis(max(r.cfg.ReapPerMinute, 1)), 1)
	}
}
