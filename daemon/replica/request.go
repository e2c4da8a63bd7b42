package replica

import (
	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/tree"
)

// frameHead is the length of a frame's length.
const frameHead = 4

// Input takes one frame from a connection, without its length. The frame may be used
// again after the call.
func (r *Replica) Input(now Now, c *Conn, frame []byte) {
	r.meters.BytesReceived += int64(len(frame)) + frameHead
	switch c.phase {
	case phaseNew:
		r.meters.Connects++
		c.Stats.Received++
		r.stats.Received++
		r.connect(now, c, frame)
	case phaseOpening:
		if !r.zab.Serving() && c.returns() {
			r.abort(c)
			return
		}
		c.requests.push(item{since: now.Mono}, frame)
		r.stats.Outstanding++
	case phaseOpen:
		r.request(now, c, frame)
	}
}

func (r *Replica) callerOf(c *Conn, ids []proto.ID) tree.Caller {
	return tree.Caller{Session: c.Session(), IDs: ids, Watcher: c.watcher}
}

// request takes a frame of a connection that has a session.
func (r *Replica) request(now Now, c *Conn, frame []byte) {
	c.Stats.Received++
	r.stats.Received++
	body, err := r.req.DecodeHeader(frame)
	if err != nil {
		r.abort(c)
		return
	}
	switch {
	case r.req.Op == proto.OpAuth || r.req.Op == proto.OpSASL:
		r.authenticate(now, c, body)
		return
	case !r.cfg.Auth.Satisfied(c.IDs):
		r.inTurn(now, c, item{xid: r.req.Xid, op: proto.OpError, code: proto.ErrRequireSASLAuth}, nil)
		return
	case c.closing || c.session.closing:
		return // as every server does: the reply of the closing is the last one
	}
	r.sessions.touch(now, c.session)
	it := item{xid: r.req.Xid, op: r.req.Op, ids: c.IDs, since: now.Mono}
	switch s := c.session; {
	case r.quorum.readOnly && altering(it.op):
		it.code = proto.ErrNotReadOnly
		r.inTurn(now, c, it, nil)
		return
	case it.op == proto.OpCloseSession && s.local && !s.upgrading && !c.upgrades():
		c.closing = true
		r.inTurn(now, c, it, nil)
		return
	}
	if it.op.IsWrite() && clientMayWrite(it.op) {
		if r.req.DecodeBody(body) == nil {
			r.write(now, c, it, body)
			return
		}
		// Nothing that could be a transaction: it is refused in its turn, as a read would be.
	} else if !served(it.op) {
		it.op, it.code = proto.OpNotification, proto.ErrUnimplemented
	}
	r.inTurn(now, c, it, body)
}

// clientMayWrite leaves out the writes that only a server may ask for.
func clientMayWrite(op proto.Op) bool {
	return op != proto.OpCreateSession && op != proto.OpDeleteContainer
}

// write sends a client's write on its way, which r.req holds decoded. body is kept if it
// cannot go yet.
func (r *Replica) write(now Now, c *Conn, it item, body []byte) {
	if it.op == proto.OpCloseSession {
		c.closing = true
	}
	if r.mustUpgrade(c.session, &it) {
		r.upgrade(now, c)
	}
	if r.start(now, c, &it, body) && r.zab.Leads() {
		body = nil // a learner may have to send it again, to another leader
	}
	if c.phase == phaseClosed {
		return
	}
	c.requests.push(it, body)
	r.stats.Outstanding++
}

// start proposes the write r.req, or forwards it to the leader. It returns false, and the
// item is held, if nobody leads.
func (r *Replica) start(now Now, c *Conn, it *item, body []byte) bool {
	it.wait = waitHeld
	s := c.session
	if it.op == proto.OpCreateSession {
		s.upgrading = true
	}
	if !r.zab.Serving() {
		return false
	}
	s.offered = s.offered || it.op == proto.OpCreateSession
	if !r.zab.Leads() {
		switch {
		case !r.settled(c) && (it.op != proto.OpCloseSession || c.holds()):
			r.ask(c, s.id)
		case r.forward(s.id, it, body):
			it.wait = waitTxn
		}
		return it.wait == waitTxn
	}
	r.caller = r.callerOf(c, it.ids)
	if s.local && !s.upgrading {
		r.caller.NoEphemeral = proto.ErrEphemeralOnLocalSession
	}
	code := r.mayWrite(s, r.cfg.ServerID, it.op)
	if it.op == proto.OpCreateSession {
		r.sessions.expect(s.id, r.cfg.ServerID)
	}
	it.zxid = r.propose(now, proto.TxnHeader{Session: s.id, Cxid: it.xid, Type: it.op}, c, code)
	if it.zxid == 0 {
		return false
	}
	it.wait = waitTxn
	return true
}

// mayWrite checks that a session may write through a server.
func (r *Replica) mayWrite(s *session, server int64, op proto.Op) proto.ErrCode {
	switch {
	case s == nil || s.closing:
		return proto.ErrSessionExpired
	case s.owner != server:
		return proto.ErrSessionMoved
	case op == proto.OpCloseSession:
		s.closing = true
	}
	return r.mayDo(op)
}

// mayDo checks that anybody may ask for an operation.
func (r *Replica) mayDo(op proto.Op) proto.ErrCode {
	switch {
	case op == proto.OpReconfig && !r.cfg.ReconfigEnabled:
		return proto.ErrReconfigDisabled
	case op == proto.OpReconfig:
		return proto.ErrUnimplemented
	}
	return proto.ErrOK
}

// inTurn answers a request that is no write once everything before it has been
// answered. A request that is refused for good is the connection's last one.
func (r *Replica) inTurn(now Now, c *Conn, it item, body []byte) {
	it.since = now.Mono
	if it.last() {
		c.phase = phaseLast
	}
	if it.op == proto.OpSync && it.code == proto.ErrOK {
		r.sync(now, c, &it, body)
	}
	if c.requests.len() > 0 || it.wait != waitTurn {
		c.requests.push(it, body)
		r.stats.Outstanding++
		return
	}
	r.serve(now, c, &it, body)
}

// authenticate proves who the client is. Requests that come later are served under the
// new identities, earlier ones are not; the reply waits its turn.
func (r *Replica) authenticate(now Now, c *Conn, body []byte) {
	it := item{xid: r.req.Xid, op: r.req.Op}
	if it.op == proto.OpAuth {
		it.code = proto.ErrAuthFailed
		if r.req.DecodeBody(body) == nil && r.req.Scheme != nil && r.req.Data != nil {
			var ids []proto.ID
			ids, it.code = r.cfg.Auth.Authenticate(string(r.req.Scheme), r.req.Data, c.peer)
			if it.code == proto.ErrOK {
				it.code = r.identify(c, ids)
			}
		}
		if it.code != proto.ErrOK {
			r.stats.AuthFailed++
		}
	}
	r.inTurn(now, c, it, nil)
}

// identify adds identities to a connection's, unless they become more than a request can be
// sent on with.
func (r *Replica) identify(c *Conn, ids []proto.ID) proto.ErrCode {
	all := addIDs(c.IDs, ids)
	size := 0
	for _, id := range all {
		size += 8 + len(id.Scheme) + len(id.ID)
	}
	if size > r.cfg.MaxRequest || len(all) > proto.MaxPacketIDs {
		return proto.ErrAuthFailed
	}
	c.IDs = all
	return proto.ErrOK
}

// addIDs returns have with those of more that it lacks. have is not changed.
func addIDs(have, more []proto.ID) []proto.ID {
	all := append(make([]proto.ID, 0, len(have)+len(more)), have...)
	for _, id := range more {
		known := false
		for _, h := range all {
			known = known || h == id
		}
		if !known {
			all = append(all, id)
		}
	}
	return all
}

// drain serves the requests of c up to its next unfinished write.
func (r *Replica) drain(now Now, c *Conn) {
	for c.requests.len() > 0 && r.ready(c.requests.first()) {
		it := *c.requests.first()
		r.serve(now, c, &it, c.requests.frame(&it))
		if !c.live() {
			return
		}
		c.requests.pop()
		r.stats.Outstanding--
	}
}

// serve answers a request that is no write; everything before it has been answered.
func (r *Replica) serve(now Now, c *Conn, it *item, body []byte) {
	zxid := r.lastZxid()
	switch it.op {
	case proto.OpNotification:
		c.Out.Reply(it.xid, -1, it.code)
	case proto.OpAuth, proto.OpError:
		c.Out.Reply(it.xid, 0, it.code)
	case proto.OpSASL:
		// There is no SASL to be had: a null token tells the client to go on without.
		c.Out.Begin()
		c.Out.Header(it.xid, 0, proto.ErrOK)
		c.Out.B = jute.AppendBuffer(c.Out.B, nil)
		c.Out.End()
	case proto.OpPing:
		it.xid = proto.XidPing
		c.Out.Reply(it.xid, zxid, proto.ErrOK)
	case proto.OpCloseSession: // of a local session
		c.Out.Reply(it.xid, zxid, proto.ErrOK)
	default:
		if it.code != proto.ErrOK {
			c.Out.Reply(it.xid, zxid, it.code)
			break
		}
		r.req = proto.Request{Xid: it.xid, Op: it.op}
		if it.op.IsWrite() || r.req.DecodeBody(body) != nil {
			c.Out.Reply(it.xid, zxid, proto.ErrMarshalling)
			break
		}
		r.caller = r.callerOf(c, it.ids)
		r.read(c, zxid)
	}
	r.meters.ops[opSlot(it.op)]++
	r.answered(now, c, it.op, it.xid, it.since)
	switch {
	case it.last():
		r.finish(c)
	case it.op == proto.OpCloseSession:
		s := c.session
		r.finish(c)
		r.endLocal(s)
	}
}

// served says whether a client may send this operation, which is no write.
func served(op proto.Op) bool {
	switch op {
	case proto.OpPing, proto.OpExists, proto.OpGetData, proto.OpGetACL, proto.OpGetChildren, proto.OpGetChildren2,
		proto.OpSync, proto.OpCheckWatches, proto.OpRemoveWatches, proto.OpMultiRead,
		proto.OpSetWatches, proto.OpSetWatches2, proto.OpGetEphemerals,
		proto.OpGetAllChildrenNumber, proto.OpAddWatch, proto.OpWhoAmI:
		return true
	}
	return false
}

// read answers r.req from the tree.
func (r *Replica) read(c *Conn, zxid proto.Zxid) {
	req, out := &r.req, &c.Out
	if req.Op == proto.OpSetWatches || req.Op == proto.OpSetWatches2 {
		code := r.tree.SetWatches(&r.caller, req, out)
		out.Reply(req.Xid, zxid, code)
		return
	}
	out.Begin()
	out.Header(req.Xid, zxid, proto.ErrOK)
	code := proto.ErrOK
	switch req.Op {
	case proto.OpSync:
		out.B = jute.AppendBuffer(out.B, req.Path)
	case proto.OpWhoAmI:
		r.whoAmI(out)
	default:
		code = r.tree.Read(&r.caller, req, out)
	}
	if code != proto.ErrOK {
		out.Cut()
		out.Reply(req.Xid, zxid, code)
		return
	}
	out.End()
}

func (r *Replica) whoAmI(out *proto.Out) {
	out.B = jute.AppendInt(out.B, int32(len(r.caller.IDs)))
	for _, id := range r.caller.IDs {
		out.B = jute.AppendString(out.B, id.Scheme)
		out.B = jute.AppendString(out.B, r.cfg.Auth.User(id))
	}
}
