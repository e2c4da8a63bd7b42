package replica

import (
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/tree"
)

// A server on its own may have its data replaced by a snapshot. The zxids of what was done since the
// snapshot are not used again: the restored data begin a new epoch, in front of which there is a rift. A client
// that has seen zxids of the rift has seen what is not so any more, and its session, if the snapshot
// holds it, ends. Who has not seen so much has seen what the snapshot holds, and goes on.

// RestorePoint is where a restored snapshot at a zxid is to stand: at the start of an epoch behind
// everything that anybody may have seen. It is 0 if there are no more epochs.
func (r *Replica) RestorePoint(of proto.Zxid) proto.Zxid {
	const last = 1<<31 - 1
	epoch := max(of.Epoch64(), r.zab.LastProposed().Epoch64()) + 1
	if epoch > last {
		return 0
	}
	return proto.Zxid(epoch << 32)
}

// Pause has a server on its own serve no more, and closes its connections. Who connects meanwhile waits.
// It returns false where nothing can be restored.
func (r *Replica) Pause(now Now) bool {
	paused := r.zab.Pause(now.Mono)
	r.settle(now)
	return paused
}

// Rests says whether all that was proposed before the pause is on the disk, and applied.
func (r *Replica) Rests() bool { return r.zab.Rests() }

// Restore replaces tree, sessions and history of a server that rests by a snapshot that was at a zxid. The tree
// stands at a RestorePoint. The server serves again when that is on the disk, or with Resume.
func (r *Replica) Restore(now Now, t *tree.Tree, of proto.Zxid) {
	at, last := t.LastZxid(), r.zab.LastProposed()
	if at <= last || !r.zab.Rests() {
		panic("replica: what is restored does not stand behind what there was")
	}
	q := &r.quorum
	q.snap, q.installAt = t, 0
	if of > last && r.sharesSession(t) {
		of = 0 // it is of another history that began as this one: nobody knows how much is the same
	}
	q.rifts = proto.AddRift(r.cfg.Rifts, proto.Rift{After: of, Before: at})
	r.zab.Replace(now.Mono, at)
	r.settle(now)
}

// sharesSession says whether there is a session in a tree that is also in the replica's.
func (r *Replica) sharesSession(t *tree.Tree) (shares bool) {
	t.Sessions(func(id proto.SessionID, _ int32) {
		_, here := r.tree.Session(id)
		shares = shares || here
	})
	return shares
}

// Rifts are the parts of history that restores have undone, oldest first.
func (r *Replica) Rifts() []proto.Rift { return r.cfg.Rifts }

// Resume has the server go on with what it has. The write that Restore asked for must not take place.
func (r *Replica) Resume(now Now) {
	r.quorum.snap, r.quorum.installAt, r.quorum.rifts = nil, 0, nil
	r.zab.Resume(now.Mono)
	r.settle(now)
}

// disown ends a session whose client has seen what was undone: it has to begin anew, as all that it knows
// may be wrong, and what it holds may be somebody else's.
func (r *Replica) disown(now Now, c *Conn, id proto.SessionID) {
	if s := r.sessions.byID[id]; s != nil && !s.closing && !s.local && r.zab.Leads() {
		r.closeSession(now, s)
	}
	r.refuse(c)
}
