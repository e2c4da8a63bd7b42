package replica

import (
	"math"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// A client that comes back to its session may have left requests behind, at this server or at
// another one, and transactions tell only the session and the number of the request. A new
// process begins again with small numbers. So a learner sends nothing on for a connection that
// has come back until a sync is answered that was asked for on it: the leader has taken the
// session away from the other servers by then, and what it had taken before has been applied.
// Who only reads is not held up.

// unsettled is the position up to which a connection's session has requests of earlier
// connections under way, while that is not known.
const unsettled = proto.Zxid(math.MaxInt64)

// settled says whether all transactions to come of the connection's session are its own.
func (r *Replica) settled(c *Conn) bool { return c.sureAt <= r.lastZxid() }

// ask has the leader tell when nothing of the earlier connections of a session is under way any more.
func (r *Replica) ask(c *Conn, id proto.SessionID) bool {
	if c.asked {
		return true
	}
	it := item{op: proto.OpSync}
	if !r.forward(id, &it, jute.AppendString(nil, "/")) {
		return false
	}
	c.asked = true
	r.quorum.syncs = append(r.quorum.syncs, question{session: id, conn: c, settles: true})
	return true
}

// comeBack goes on with a connection whose session has nothing else under way any more.
func (r *Replica) comeBack(now Now, c *Conn, id proto.SessionID) {
	c.asked = false
	switch {
	case c.phase == phaseOpening:
		if s := r.sessions.byID[id]; s != nil {
			s.left = false
		}
		r.reopen(now, c, id)
		if c.phase == phaseOpen {
			r.replay(now, c)
		}
	case c.live():
		c.sureAt = 0
		r.resend(now, c)
	}
}

// overtaken closes the connection of a session for which something has been done that came
// through another server: the client has gone there, and what it had asked for here must not be
// sent to the next leader, who does not know where the client is. While the connection is not
// settled it may also have come before; then the present leader has to judge, and no other one.
func (r *Replica) overtaken(txn *proto.Txn) {
	s := r.sessions.byID[txn.Session]
	switch {
	case s == nil || s.conn == nil || txn.Type == proto.OpCreateSession || txn.Type == proto.OpCloseSession:
	case txn.Type == proto.OpError && txn.Err == proto.ErrSessionMoved:
	case r.quorum.leads: // and knows where the client is
	case txn.Zxid > s.conn.sureAt:
		r.abort(s.conn)
	default:
		s.conn.crossed = true
	}
}
