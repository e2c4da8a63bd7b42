package replica

import (
	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// Local sessions are known to one server only: that they begin and end is in no
// transaction. One that creates an ephemeral has to become global first, as everybody has
// to know when the ephemeral goes. Source: UpgradeableSessionTracker.java,
// QuorumZooKeeperServer.java.
//
// A local session outlives a change of the server's role, but not the server.

// openLocal gives a client a session that only this server knows.
func (r *Replica) openLocal(now Now, c *Conn, id proto.SessionID) {
	s := r.sessions.addLocal(now, id, c.timeout)
	s.guest = r.quorum.readOnly
	r.meters.ops[opSlot(proto.OpCreateSession)]++
	r.attach(now, c, s, now.Mono)
}

// reopenLocal has a client come back to a session of this server's own. What it left behind may have made
// the session global, or ended it, and is waited for.
func (r *Replica) reopenLocal(now Now, c *Conn, s *session) {
	if s.conn != nil {
		r.abort(s.conn)
	}
	switch {
	case s.closing:
		r.refuse(c)
	case s.left && r.zab.Serving() && !r.zab.Leads():
		c.phase = phaseOpening
		r.sessions.touch(now, s)
		if !r.ask(c, s.id) {
			r.abort(c)
		}
	default:
		r.resume(now, c, s)
	}
}

// endLocal ends a local session. If it is becoming global, the leader will let it expire.
func (r *Replica) endLocal(s *session) {
	r.sessions.remove(s)
	if s.conn != nil {
		r.abort(s.conn)
	}
}

// endLeft ends the local sessions that have left requests behind on the way through another follower to
// the leader. The leader does not know where such a session is, and could take them at any time.
func (r *Replica) endLeft() {
	for _, id := range r.sessions.ids() {
		if s := r.sessions.byID[id]; s.local && s.left {
			r.endLocal(s)
		}
	}
}

// mustUpgrade says whether the write r.req has to wait until its session is global. If it
// never will be, it is marked with the code that tells its client why it is refused.
func (r *Replica) mustUpgrade(s *session, it *item) bool {
	if !s.local || s.upgrading || !r.req.WantsEphemeral() {
		return false
	}
	if !r.cfg.Upgrading {
		it.code = proto.ErrEphemeralOnLocalSession
	}
	return r.cfg.Upgrading
}

// upgrade asks for the creation of a session that is local, in front of the write r.req.
func (r *Replica) upgrade(now Now, c *Conn) {
	write := r.req
	body := jute.AppendInt(nil, int32(c.session.timeout))
	it := item{op: proto.OpCreateSession, ids: c.IDs, since: now.Mono}
	r.req = proto.Request{Op: it.op, Mode: int32(c.session.timeout)}
	r.start(now, c, &it, body)
	r.req = write
	if c.phase != phaseClosed {
		c.requests.push(it, body)
		r.stats.Outstanding++
	}
}

// upgrades says whether the connection's session is to become global by a request of its own.
func (c *Conn) upgrades() bool {
	return c.requests.any(func(it *item) bool { return it.op == proto.OpCreateSession })
}

// holdsUpgrade says whether the creation of the connection's session has not been sent on yet.
func (c *Conn) holdsUpgrade() bool {
	return c.requests.any(func(it *item) bool { return it.op == proto.OpCreateSession && it.wait == waitHeld })
}

// mayUpgrade checks that a session may be created that a learner asks for. It may have been created
// before, when the learner's client had not been answered, and the client may have gone elsewhere.
func (r *Replica) mayUpgrade(learner int64, id proto.SessionID) proto.ErrCode {
	s := r.sessions.known(id)
	switch {
	case s != nil && s.closing:
		return proto.ErrSessionExpired
	case s != nil && s.owner != 0 && s.owner != learner:
		return proto.ErrSessionMoved
	}
	r.sessions.expect(id, learner)
	return proto.ErrOK
}

// upgraded goes on with the connection of a session that has become global.
func (r *Replica) upgraded(now Now, c *Conn) {
	if it := c.requests.first(); it.op == proto.OpCreateSession && it.wait == waitTxn {
		c.requests.pop()
		r.stats.Outstanding--
		r.drain(now, c)
	}
}

// mayForward checks that a session may write through a learner.
func (r *Replica) mayForward(learner int64, h *proto.TxnHeader) proto.ErrCode {
	s := r.sessions.known(h.Session)
	switch {
	case s != nil:
		if s.owner == 0 {
			s.owner = learner
		}
		return r.mayWrite(s, learner, h.Type)
	case r.cfg.LocalSessions && byte(h.Session>>56) != byte(r.cfg.ServerID): // it is local to the learner
		r.caller.NoEphemeral = proto.ErrSessionExpired
		return r.mayDo(h.Type)
	}
	return proto.ErrSessionExpired
}
