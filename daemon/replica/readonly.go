package replica

import (
	"github.com/zkd-project/zkd/daemon/proto"
)

// Read-only mode: a server that has been without a quorum for a while serves clients that
// are content with what it knows. Source: ReadOnlyZooKeeperServer.java.
//
// It begins after the grace of those that were served before, and ends with the next
// quorum; nobody's connection lasts from the one to the other.

// readOnlyWait is how long a server is without a quorum until it serves from its tree.
// Source: QuorumPeer.java.
func (r *Replica) readOnlyWait() proto.Millis { return max(2000, r.cfg.TickTime) }

// tickReadOnly begins read-only mode in time.
func (r *Replica) tickReadOnly(now Now) {
	q := &r.quorum
	switch {
	case !r.cfg.ReadOnly, r.zab.Solo():
		return
	case q.readOnly, q.grace != 0, now.Mono < q.readOnlyAt, r.zab.Role() != proto.Looking:
		return
	case r.zab.Healing(): // its tree lacks what was committed long ago
		return
	}
	q.readOnly, q.began = true, true
	r.sessions.become(now, true) // local sessions could not be used meanwhile
	r.takeHeld(now)
}

// endReadOnly sends the clients of read-only mode away: their sessions end with it.
func (r *Replica) endReadOnly() {
	if !r.quorum.readOnly {
		return
	}
	r.quorum.readOnly = false
	for _, c := range r.conns {
		if c != nil && c.live() {
			r.abort(c)
		}
	}
	r.sessions.dismiss()
}

// visit takes in a client whose session is not one of this server's own. One that is
// known to be global can only go on where there is a quorum. Of any other this server
// cannot tell whether it lives: it is good for reading here, and a quorum will tell.
func (r *Replica) visit(now Now, c *Conn, id proto.SessionID) {
	if r.sessions.byID[id] != nil {
		r.abort(c)
		return
	}
	r.openLocal(now, c, id)
}

// altering says whether an operation is refused in read-only mode. Source:
// ReadOnlyRequestProcessor.java.
func altering(op proto.Op) bool {
	return op.IsWrite() && op != proto.OpCloseSession || op == proto.OpSync || op == proto.OpCheck
}

// aloof says whether the server takes no clients because it leads.
func (r *Replica) aloof() bool { return r.cfg.LeaderRefuses && r.zab.Leads() && !r.zab.Solo() }

// Welcomes says whether clients are served, if only read-only.
func (r *Replica) Welcomes() bool { return r.zab.Serving() && !r.aloof() || r.quorum.readOnly }
