package sim

import (
	"fmt"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/tree"
)

// unfinished says what is not yet as it has to be in the end: everybody serves and is at
// the same position, the clients have seen it, and the sessions of the others are gone.
func (w *world) unfinished() string {
	for _, s := range w.servers {
		if s.r == nil || !s.r.Serving() {
			return fmt.Sprintf("server %d does not serve", s.id)
		}
		if s.disk.lost {
			return fmt.Sprintf("server %d does not vote", s.id)
		}
	}
	live := make(map[proto.SessionID]bool)
	for _, c := range w.clients {
		if !c.gone && !c.ended {
			return fmt.Sprintf("client %d has got no answer", c.id)
		}
		if !c.gone {
			live[c.session] = true
		}
	}
	for id, s := range w.history.model.sessions {
		if s.closed == 0 && !s.local && !live[id] {
			return fmt.Sprintf("the session %v has not expired", id)
		}
	}
	for _, s := range w.servers {
		p := &s.part
		if p.done != len(w.history.order) || len(p.log) > 0 || len(s.queue) > 0 || s.disk.last() != p.last {
			return fmt.Sprintf("server %d is at %v of %d transactions", s.id, s.part.pos, len(w.history.order))
		}
	}
	return ""
}

// last compares the servers' trees, in memory and as they would be after a restart, with
// the model.
func (w *world) last() {
	first := w.servers[0].r.Tree()
	for _, s := range w.servers {
		t := s.r.Tree()
		if t.Digest() != first.Digest() {
			w.violated("servers 1 and %d end with different trees, at %v and %v", s.id, first.LastZxid(), t.LastZxid())
		}
		again := load(s.disk.imageOnDisk())
		var txn proto.Txn
		var res tree.Result
		for _, l := range s.disk.log {
			if l.zxid > again.LastZxid() && txn.Decode(l.txn) == nil {
				again.Apply(&txn, &res)
			}
		}
		if again.Digest() != t.Digest() {
			w.violated("server %d would have another tree after a restart", s.id)
		}
	}
	w.compareModel(first)
}

// imageOnDisk is the image as it is written.
func (d *disk) imageOnDisk() map[string][]byte {
	d.rollBack()
	return d.image
}

// compareModel compares a tree with the model.
func (w *world) compareModel(t *tree.Tree) {
	m, count := &w.history.model, int32(0)
	for path, n := range m.nodes {
		s, l := n.states[len(n.states)-1], n.lists[len(n.lists)-1]
		code, stat := exists(t, path)
		if s.exists != (code == proto.ErrOK) {
			w.violated("%s in the end: %v, and whether it exists: %v", path, code, s.exists)
		} else if s.exists {
			count++
			if wrong := compare(stat, s, l); wrong != "" {
				w.violated("%s in the end: %s", path, wrong)
			}
		}
	}
	var out proto.Out
	req := proto.Request{Op: proto.OpGetAllChildrenNumber, Path: []byte("/")}
	if code := t.Read(&tree.Caller{}, &req, &out); code != proto.ErrOK {
		w.violated("the znodes cannot be counted: %v", code)
		return
	}
	if have := jute.Int(out.B); have != count-1+3 { // the system's three
		w.violated("there are %d znodes, and there should be %d", have, count-1+3)
	}
}

// foreignEpoch is the epoch of those who are in the majority.
const foreignEpoch = 3

// foreignHistory gives a server the log of an epoch that none of the others has heard of,
// as a backup that was brought back would, and the others a later epoch.
func (w *world) foreignHistory() {
	log := func(s *server, zxids ...proto.Zxid) {
		for _, z := range zxids {
			t := proto.Txn{TxnHeader: proto.TxnHeader{Zxid: z, Type: proto.OpError}, Err: proto.ErrNoNode}
			s.disk.log = append(s.disk.log, logged{z, t.Append(nil)})
		}
	}
	z := proto.MakeZxid
	stranger := w.servers[w.rnd.IntN(w.shape.voters)]
	common, more := uint32(w.between(1, 4)), uint32(w.between(0, 3))
	for _, s := range w.servers {
		for i := uint32(1); i <= common; i++ {
			log(s, z(1, i))
		}
		s.disk.hard.Accepted, s.disk.hard.Current = foreignEpoch, foreignEpoch
		switch s {
		case stranger:
			s.disk.hard.Accepted, s.disk.hard.Current = 2, 2
			for i := uint32(1); i <= 1+more; i++ {
				log(s, z(2, i))
			}
		default:
			for i := common + 1; i <= common+more; i++ {
				log(s, z(1, i))
			}
		}
	}
}
