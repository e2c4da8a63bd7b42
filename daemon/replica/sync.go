package replica

import (
	"github.com/zkd-project/zkd/daemon/proto"
)

// sync has a sync of a client wait for what was proposed before it; a learner asks its
// leader. A server on its own answers it in its turn.
func (r *Replica) sync(now Now, c *Conn, it *item, body []byte) {
	it.since = now.Mono
	switch {
	case r.zab.Solo():
	case !r.zab.Serving():
		it.wait = waitHeld
	case r.zab.Leads():
		it.wait = waitTurn
		if zxid := r.zab.LastProposed(); zxid > r.tree.LastZxid() {
			it.wait, it.zxid = waitSync, zxid
			r.quorum.owed = append(r.quorum.owed, owedSync{conn: c, zxid: zxid})
		}
	case !r.settled(c):
		it.wait = waitHeld
		r.ask(c, c.session.id)
	case r.forward(c.session.id, it, body):
		it.wait, it.zxid = waitSync, 0
		r.quorum.syncs = append(r.quorum.syncs, question{conn: c, xid: it.xid})
	default:
		it.wait = waitHeld
	}
}

// ready says whether an item at the head of its queue can be served.
func (r *Replica) ready(it *item) bool {
	return it.wait == waitTurn || it.wait == waitSync && it.zxid != 0 && it.zxid <= r.tree.LastZxid()
}

// synced takes the leader's answer to the oldest sync.
func (r *Replica) synced(now Now) {
	q := &r.quorum
	if len(q.syncs) == 0 {
		return
	}
	o := q.syncs[0]
	q.syncs = q.syncs[1:]
	switch {
	case o.link != nil:
		r.zab.Send(o.link, &proto.Packet{Type: proto.PacketSync})
		return
	case o.settles:
		r.comeBack(now, o.conn, o.session)
		return
	}
	c := o.conn
	for i := c.requests.head; i < len(c.requests.items); i++ {
		if it := &c.requests.items[i]; it.wait == waitSync && it.xid == o.xid {
			it.wait = waitTurn
			r.drain(now, c)
			return
		}
	}
}

// paySyncs answers the syncs that waited for what is applied now.
func (r *Replica) paySyncs(now Now) {
	q := &r.quorum
	n := 0
	for n < len(q.owed) && q.owed[n].zxid <= r.tree.LastZxid() {
		r.drain(now, q.owed[n].conn)
		n++
	}
	if n > 0 {
		q.owed = q.owed[n:]
	}
}
