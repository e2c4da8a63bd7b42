package replica

import (
	"fmt"
	"slices"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zab"
)

// leaves closes the connection of a session for which the leader is to be asked on behalf of another one:
// what came over it after the leader's answer, and before that is here, would be taken for the other one's.
// One that waits for an answer itself would have the session when that comes.
func (r *Replica) leaves(id proto.SessionID) {
	if s := r.sessions.byID[id]; s != nil && s.conn != nil {
		r.abort(s.conn)
	}
	if c := r.quorum.checking[id]; c != nil {
		delete(r.quorum.checking, id)
		r.abort(c)
	}
	for _, q := range r.quorum.syncs {
		if q.settles && q.session == id && q.conn.phase == phaseOpening {
			r.abort(q.conn)
		}
	}
}

// revalidate asks the leader whether a session that comes to this server is valid.
func (r *Replica) revalidate(c *Conn, id proto.SessionID) {
	r.leaves(id)
	c.phase = phaseOpening
	r.quorum.checking[id] = c
	r.quorum.asked = append(r.quorum.asked, question{session: id, conn: c})
	r.quorum.through[id] = r.cfg.ServerID
	data := jute.AppendInt(jute.AppendLong(nil, int64(id)), int32(c.timeout))
	r.zab.ToLeader(&proto.Packet{Type: proto.PacketRevalidate, Zxid: -1, Data: data})
}

// unreadable says what is wrong with a transaction that the leader sends. It must not get into the
// log: no start would get past it.
func (r *Replica) unreadable(p *proto.Packet) error {
	data := p.Data
	switch p.Type {
	case proto.PacketProposal, proto.PacketInform:
	case proto.PacketInformAndActivate:
		data = data[min(8, len(data)):]
	default:
		return nil
	}
	err := r.txn.Decode(data)
	if err == nil && r.txn.Zxid != p.Zxid {
		err = fmt.Errorf("it holds txn %v", r.txn.Zxid)
	}
	return err
}

// validated takes the leader's answer.
func (r *Replica) validated(now Now, p *proto.Packet) {
	d := jute.NewDecoder(p.Data)
	id, valid := proto.SessionID(d.Long()), d.Bool()
	q := &r.quorum
	if !valid {
		delete(q.through, id)
	}
	var of *Conn
	if i := slices.IndexFunc(q.asked, func(o question) bool { return o.session == id }); i >= 0 {
		l := q.asked[i].link
		of = q.asked[i].conn
		q.asked = slices.Delete(q.asked, i, i+1)
		if l != nil {
			r.zab.Send(l, p)
			return
		}
	}
	c := r.quorum.checking[id]
	if of != c {
		return // asked for an earlier connection: the leader has yet to be asked for this one
	}
	delete(r.quorum.checking, id)
	if d.Err() != nil || c == nil || c.phase != phaseOpening {
		return
	}
	if !valid {
		r.refuse(c)
		return
	}
	s := r.sessions.byID[id]
	if s == nil { // its creation has not come this far yet
		s = r.sessions.add(now, id, c.timeout, nil)
	}
	r.resume(now, c, s)
	r.replay(now, c)
}

// relay sends what an observer of this follower asks on to the leader. Who of the observers a
// session comes through the leader cannot tell: they all come through this server. So what a client
// has left behind at another observer ends here. A sync goes on, as its answer has no name but its turn.
func (r *Replica) relay(l *zab.Link, p *proto.Packet) {
	d := jute.NewDecoder(p.Data)
	id, _ := proto.SessionID(d.Long()), d.Int()
	if d.Err() != nil {
		r.zab.HangUp(l, "its "+p.Type.String()+" is too short")
		return
	}
	syncs := p.Type == proto.PacketRequest && proto.Op(d.Int()) == proto.OpSync
	at, came := r.quorum.through[id]
	if p.Type == proto.PacketRequest && !syncs && came && at != l.Peer() {
		return
	}
	if !r.zab.ToLeader(p) {
		return
	}
	if p.Type == proto.PacketRevalidate {
		r.leaves(id) // the client is with the observer now
	}
	switch q := (question{session: id, link: l}); {
	case p.Type == proto.PacketRevalidate:
		r.quorum.asked = append(r.quorum.asked, q)
		r.quorum.through[id] = l.Peer()
	case syncs:
		r.quorum.syncs = append(r.quorum.syncs, q)
	}
}

// validate answers a learner that asks for a session. The session comes through that
// learner from now on.
func (r *Replica) validate(now Now, l *zab.Link, p *proto.Packet) {
	d := jute.NewDecoder(p.Data)
	id, timeout := proto.SessionID(d.Long()), d.Int()
	if d.Err() != nil {
		r.zab.HangUp(l, "its REVALIDATE is too short")
		return
	}
	r.meters.Revalidations++
	s := r.sessions.known(id) // may be a local one that is becoming global
	valid := s != nil && !s.closing && (!s.local || r.sessions.coming[id] == s)
	if valid {
		if s.conn != nil {
			r.abort(s.conn)
		}
		s.owner = l.Peer()
		r.sessions.retime(now, s, proto.Millis(timeout))
	}
	answer := jute.AppendBool(jute.AppendLong(nil, int64(id)), valid)
	r.zab.Send(l, &proto.Packet{Type: proto.PacketRevalidate, Zxid: -1, Data: answer, Auth: p.Auth})
}

// pong answers a ping of the leader with the sessions that were heard of lately.
func (r *Replica) pong(l *zab.Link, p *proto.Packet) {
	table := []byte{}
	r.sessions.taken(func(id proto.SessionID, timeout proto.Millis) {
		table = jute.AppendInt(jute.AppendLong(table, int64(id)), int32(timeout))
	})
	r.zab.Send(l, &proto.Packet{Type: proto.PacketPing, Zxid: p.Zxid, Data: table})
}

// touchAll notes the sessions that a learner has heard of.
func (r *Replica) touchAll(now Now, table []byte) {
	for d := jute.NewDecoder(table); len(d.Rest()) >= 12; {
		id, timeout := proto.SessionID(d.Long()), d.Int()
		if s := r.sessions.byID[id]; s != nil {
			r.sessions.retime(now, s, proto.Millis(timeout))
		}
	}
}

// forwarded takes a request that a learner sent on for one of its clients. Whatever it
// asks, it takes a zxid, so that the learner gets an answer.
func (r *Replica) forwarded(now Now, l *zab.Link, p *proto.Packet) {
	d := jute.NewDecoder(p.Data)
	h := proto.TxnHeader{Session: proto.SessionID(d.Long()), Cxid: d.Int(), Type: proto.Op(d.Int())}
	ids, err := proto.DecodeIDs(p.Auth)
	if d.Err() != nil || err != nil {
		r.zab.HangUp(l, "its REQUEST cannot be read")
		return
	}
	if s := r.sessions.byID[h.Session]; s != nil {
		r.sessions.touch(now, s) // the next PING would say so, and might not come
	}
	if r.zab.Resigned() {
		return // the learner sends it to the next leader
	}
	if h.Type == proto.OpSync {
		r.zab.SyncAfter(l, r.zab.LastProposed())
		return
	}
	r.req = proto.Request{Xid: h.Cxid, Op: h.Type}
	r.caller = tree.Caller{Session: h.Session, IDs: ids}
	var code proto.ErrCode
	switch {
	case r.req.DecodeBody(d.Rest()) != nil:
		code = proto.ErrMarshalling
	case !h.Type.IsWrite() && h.Type != proto.OpCheck:
		code = proto.ErrUnimplemented
	case h.Type == proto.OpCheck:
		code = proto.ErrUnimplemented // no server could read it from the log
	case h.Type == proto.OpCreateSession:
		code = r.mayUpgrade(l.Peer(), h.Session)
	default:
		code = r.mayForward(l.Peer(), &h)
	}
	r.propose(now, h, nil, code)
}
