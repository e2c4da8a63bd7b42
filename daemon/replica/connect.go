package replica

import (
	"bytes"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// connect handles the first frame of a connection. Source of the order of checks:
// ZooKeeperServer.java, processConnectRequest; but the password is checked before
// anybody's connection is closed on its account.
func (r *Replica) connect(now Now, c *Conn, frame []byte) {
	var req proto.ConnectRequest
	if req.Decode(frame) != nil {
		r.abort(c)
		return
	}
	readOnly := r.quorum.readOnly
	switch {
	case !r.zab.Serving() && !readOnly:
		r.hold(now, c, frame)
		return
	case r.aloof(), readOnly && !req.ReadOnly, req.LastZxidSeen > r.lastZxid():
		r.abort(c)
		return
	}
	c.hello = nil
	if !r.zab.Leads() {
		c.hello = append(c.hello, frame...) // another leader may have to be asked
	}
	c.listed = req.HasReadOnly
	c.timeout = min(max(proto.Millis(req.Timeout), r.cfg.MinTimeout), r.cfg.MaxTimeout)
	if req.Session == 0 {
		if readOnly || r.cfg.LocalSessions && !r.zab.Solo() {
			r.openLocal(now, c, r.sessions.nextID())
		} else {
			r.open(now, c)
		}
		return
	}
	password := req.Session.Password()
	if !bytes.Equal(password[:], req.Password) {
		r.refuse(c)
		return
	}
	if proto.Undone(r.cfg.Rifts, req.LastZxidSeen) {
		r.disown(now, c, req.Session)
		return
	}
	r.meters.Reconnects++
	r.reopen(now, c, req.Session)
}

// reopen has a client come back to its session.
func (r *Replica) reopen(now Now, c *Conn, id proto.SessionID) {
	s := r.sessions.known(id)
	switch {
	case s != nil && s.local:
		r.reopenLocal(now, c, s)
	case r.quorum.readOnly:
		r.visit(now, c, id)
	case !r.zab.Leads():
		r.revalidate(c, id)
	case s == nil || s.closing:
		r.refuse(c)
	default:
		s.owner = r.cfg.ServerID
		r.resume(now, c, s)
	}
}

// resume gives a session that exists to a new connection.
func (r *Replica) resume(now Now, c *Conn, s *session) {
	if s.conn != nil {
		r.abort(s.conn)
	}
	r.sessions.retime(now, s, c.timeout)
	switch {
	case s.local:
	case r.zab.Leads():
		c.sureAt = r.zab.LastProposed()
	default:
		c.sureAt = unsettled
	}
	r.attach(now, c, s, now.Mono)
}

// open proposes a new session for c.
func (r *Replica) open(now Now, c *Conn) {
	c.phase = phaseOpening
	id := r.sessions.nextID()
	it := item{op: proto.OpCreateSession, since: now.Mono, wait: waitTxn}
	if r.zab.Leads() {
		c.hello = nil
		r.caller = r.callerOf(c, c.IDs)
		r.req = proto.Request{Op: proto.OpCreateSession, Mode: int32(c.timeout)}
		r.sessions.expect(id, r.cfg.ServerID)
		it.zxid = r.propose(now, proto.TxnHeader{Session: id, Type: proto.OpCreateSession}, c, proto.ErrOK)
	} else {
		r.quorum.opening[id] = c
		r.forward(id, &it, jute.AppendInt(nil, int32(c.timeout)))
	}
	if c.phase != phaseOpening {
		return
	}
	c.requests.unshift(it)
	r.stats.Outstanding++
}

// refuse answers that there is no such session. Both the timeout and the id have to be
// 0: some clients look at the one, some at the other.
func (r *Replica) refuse(c *Conn) {
	res := proto.ConnectResponse{HasReadOnly: c.listed}
	c.Out.Begin()
	c.Out.B = res.Append(c.Out.B)
	c.Out.End()
	r.finish(c)
}

// attach answers a connect request and gives the session to the connection.
func (r *Replica) attach(now Now, c *Conn, s *session, since proto.Millis) {
	c.phase, c.session, c.hello, s.conn = phaseOpen, s, nil, c
	res := proto.ConnectResponse{
		Timeout: int32(c.timeout), Session: s.id, Password: s.id.Password(),
		ReadOnly: r.quorum.readOnly, HasReadOnly: c.listed,
	}
	c.Out.Begin()
	c.Out.B = res.Append(c.Out.B)
	c.Out.End()
	r.answered(now, c, proto.OpCreateSession, -1, since)
}

// sessionCreated starts the clock of a session whose creation has been committed.
func (r *Replica) sessionCreated(now Now, txn *proto.Txn, c *Conn) {
	s := r.sessions.arrive(now, txn.Session, proto.Millis(txn.Timeout))
	if c == nil {
		return
	}
	if c.live() {
		r.upgraded(now, c)
	}
	if c.phase != phaseOpening {
		return
	}
	since := c.requests.first().since
	r.meters.ops[opSlot(proto.OpCreateSession)]++
	c.requests.pop()
	r.stats.Outstanding--
	r.attach(now, c, s, since)
	r.replay(now, c)
}

// replay takes up the requests that came before there was a session.
func (r *Replica) replay(now Now, c *Conn) {
	held := c.requests
	r.stats.Outstanding -= int64(held.len())
	c.requests = fifo{}
	for held.len() > 0 && c.phase == phaseOpen {
		it := held.first()
		r.request(now, c, held.frame(it))
		held.pop()
	}
}

// sessionClosed ends a session whose closing has been committed. A client that asked
// for it gets its reply; a client whose session expired sees its connection close.
func (r *Replica) sessionClosed(now Now, txn *proto.Txn, c *Conn) {
	s := r.sessions.byID[txn.Session]
	if s == nil {
		return
	}
	r.sessions.remove(s)
	delete(r.quorum.through, s.id)
	r.meters.ops[opSlot(proto.OpCloseSession)]++
	if c != nil && c.live() {
		it := c.requests.first()
		c.Out.Reply(it.xid, txn.Zxid, proto.ErrOK)
		r.answered(now, c, it.op, it.xid, it.since)
		r.finish(c)
		return
	}
	if s.conn != nil {
		r.abort(s.conn)
	}
}
