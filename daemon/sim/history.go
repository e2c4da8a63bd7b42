package sim

import (
	"bytes"
	"slices"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zab"
)

// history is what the servers log and commit, as a whole. There is one sequence of
// committed transactions; each server has to apply exactly that one.
type history struct {
	w       *world
	txns    map[proto.Zxid]record     // whatever any server ever logged
	order   []proto.Zxid              // what is committed
	digests map[proto.Zxid]seen       // by position of a tree
	leaders map[int64]int64           // by epoch
	starts  map[proto.Zxid]proto.Zxid // what the start of an epoch stands for: where its leader's history ended
	acked   proto.Zxid                // the last write that any client knows to be done
	model   model
	txn     proto.Txn // scratch
}

// record is a logged transaction and the one before it.
type record struct {
	txn  []byte
	prev proto.Zxid
}

type seen struct {
	digest uint64
	server int64
}

func newHistory(w *world) history {
	return history{
		w: w, txns: make(map[proto.Zxid]record), digests: make(map[proto.Zxid]seen), leaders: make(map[int64]int64),
		starts: make(map[proto.Zxid]proto.Zxid), model: newModel(),
	}
}

// part is a server's part of the history.
type part struct {
	tree *tree.Tree
	pos  proto.Zxid   // of the tree
	log  []proto.Zxid // logged, or about to be, and not applied
	last proto.Zxid   // logged, or about to be
	done int          // how many of the committed transactions the tree holds; -1 while that is not known

	serves bool
	leads  bool
	reign  int                              // counts leaderships
	since  proto.Millis                     // when it began to lead
	heard  map[proto.SessionID]proto.Millis // of sessions, while it leads
}

func newPart(s *server, t *tree.Tree, suffix *proto.LogBatch) part {
	p := part{tree: t, pos: t.LastZxid(), done: -1, heard: make(map[proto.SessionID]proto.Millis)}
	p.last = p.pos
	for i, e := range suffix.Entries {
		s.w.history.logged(s, e.Zxid, suffix.Txn(i), p.last)
		p.log = append(p.log, e.Zxid)
		p.last = e.Zxid
	}
	return p
}

func (p *part) begin(now proto.Millis) {
	p.leads, p.since = true, now
	p.reign++
	clear(p.heard)
}

// touch notes that the leader hears of a session.
func (p *part) touch(id proto.SessionID, now proto.Millis) {
	if p.leads {
		p.heard[id] = now
	}
}

// leads notes who leads an epoch: nobody else may.
func (h *history) leads(s *server, epoch int64) {
	switch id, known := h.leaders[epoch]; {
	case !known:
		h.leaders[epoch] = s.id
	case id != s.id:
		h.w.violated("servers %d and %d both lead epoch %d", id, s.id, epoch)
	}
}

// logging takes notice of a write that a server asks for.
func (s *server) logging(wr *write) {
	p := &s.part
	switch wr.Kind {
	case zab.WriteLog:
		for i := range wr.Log.Entries {
			z := wr.Log.Entries[i].Zxid
			s.w.history.logged(s, z, wr.Log.Txn(i), p.last)
			p.log, p.last = append(p.log, z), z
		}
	case zab.WriteTruncate:
		for len(p.log) > 0 && p.log[len(p.log)-1] > wr.Zxid {
			p.log = p.log[:len(p.log)-1]
		}
		p.last = wr.Zxid
	case zab.WriteInstall:
		p.log, p.last = nil, wr.Zxid
	}
}

// logged notes a transaction. Whoever logs the same zxid has to log the same, after the
// same.
func (h *history) logged(s *server, z proto.Zxid, txn []byte, prev proto.Zxid) {
	r, known := h.txns[z]
	switch {
	case !known:
		h.txns[z] = record{append([]byte(nil), txn...), prev}
		if h.w.opt.Trace {
			var t proto.Txn
			if t.Decode(txn) == nil {
				h.w.trace("%d logs %v: %v of %v, cxid %d %s", s.id, z, t.Type, t.Session, t.Cxid, t.Path)
			}
		}
		if s.part.leads {
			s.checkExpiry(txn)
		}
	case !bytes.Equal(r.txn, txn):
		h.w.violated("server %d logs another %v than somebody did before", s.id, z)
	case r.prev.Counter() == 0: // the start of an epoch, or of a snapshot, stands for what was before
		h.txns[z] = record{r.txn, prev}
	case prev.Counter() != 0 && r.prev != prev:
		h.w.violated("server %d logs %v after %v; somebody logged it after %v", s.id, z, prev, r.prev)
	}
}

// index is how many committed transactions there are up to a position.
func (h *history) index(pos proto.Zxid) (n int, exact bool) {
	n, exact = slices.BinarySearch(h.order, pos)
	if exact {
		n++
	}
	return n, exact || pos.Counter() == 0
}

// committed says whether a transaction is known to be committed.
func (h *history) committed(z proto.Zxid) bool {
	_, ok := slices.BinarySearch(h.order, z)
	return ok
}

// advanced takes notice of what a server has applied.
func (s *server) advanced() {
	p, t, h := &s.part, s.r.Tree(), &s.w.history
	last := t.LastZxid()
	if t != p.tree {
		p.tree, p.pos, p.done = t, last, -1
		for len(p.log) > 0 && p.log[0] <= last {
			p.log = p.log[1:]
		}
		h.compare(s, t)
	}
	if p.done < 0 && (p.serves || last != p.pos) {
		p.done = h.settle(s, p.pos)
	}
	if last == p.pos || p.done < 0 {
		return
	}
	for len(p.log) > 0 && p.log[0] <= last {
		p.pos, p.log = p.log[0], p.log[1:]
		h.apply(s, p.pos)
	}
	if p.pos != last {
		s.w.violated("server %d is at %v, and the last that it had to apply is %v", s.id, last, p.pos)
	}
	h.compare(s, t)
}

// compare checks that trees at the same position are equal.
func (h *history) compare(s *server, t *tree.Tree) {
	zxid, digest := t.LastZxid(), t.Digest()
	if had, ok := h.digests[zxid]; !ok {
		h.digests[zxid] = seen{digest, s.id}
	} else if had.digest != digest {
		h.w.violated("servers %d and %d are both at %v, with different trees", had.server, s.id, zxid)
	}
	if t.Mismatches() > 0 {
		h.w.violated("server %d finds another digest than a transaction carries, at %v", s.id, zxid)
	}
}

// settle finds the position of a server that serves. A snapshot may have held the end of a
// leader's history before it was known to be committed; now it is.
func (h *history) settle(s *server, pos proto.Zxid) int {
	var chain []proto.Zxid
	for z := h.resolve(pos); z != 0 && !h.committed(z); {
		r, ok := h.txns[z]
		if !ok || r.prev >= z {
			break
		}
		chain = append(chain, z)
		z = h.resolve(r.prev)
	}
	for i := len(chain) - 1; i >= 0; i-- {
		h.commit(s, chain[i])
	}
	n, exact := h.index(pos)
	if !exact {
		h.w.violated("server %d serves what is at %v, which is not committed", s.id, pos)
	}
	return n
}

// begins notes where the history of a leader ends when it begins its epoch.
func (h *history) begins(s *server, epoch int64) {
	z := proto.Zxid(epoch << 32)
	if _, known := h.starts[z]; !known {
		h.starts[z] = min(s.part.last, z-1)
	}
}

// resolve is the transaction at a position or in front of it.
func (h *history) resolve(pos proto.Zxid) proto.Zxid {
	for pos != 0 && pos.Counter() == 0 {
		pos = h.starts[pos]
	}
	return pos
}

// apply notes that a server has applied a transaction.
func (h *history) apply(s *server, z proto.Zxid) {
	p := &s.part
	if p.done == len(h.order) {
		h.commit(s, z)
	} else if h.order[p.done] != z {
		h.w.violated("server %d applies %v where %v is what was committed", s.id, z, h.order[p.done])
	}
	p.done++
	if p.leads {
		if id, ok := h.model.births[z]; ok {
			p.touch(id, s.clock().Mono)
		}
	}
}

// commit adds a transaction to what is committed: s is the first to apply it.
func (h *history) commit(s *server, z proto.Zxid) {
	w := h.w
	last := proto.Zxid(0)
	if n := len(h.order); n > 0 {
		last = h.order[n-1]
	}
	if z != last+1 && (z.Epoch() <= last.Epoch() || z.Counter() != 1) {
		w.violated("server %d commits %v after %v", s.id, z, last)
	}
	before := w.shape.foreign && z.Epoch64() <= foreignEpoch // brought along
	if most := w.shape.epochSize; most != 0 && z.Counter() > most && !before {
		w.violated("server %d commits %v in an epoch of %d", s.id, z, most)
	}
	if !w.config.HasQuorum(func(id int64) bool { return w.server(id).disk.had(z) }) {
		w.violated("server %d commits %v, which is not on the disks of a quorum", s.id, z)
	}
	h.order = append(h.order, z)
	if err := h.txn.Decode(h.txns[z].txn); err != nil {
		w.violated("%v does not decode: %v", z, err)
		return
	}
	if reason := h.model.apply(w, &h.txn); reason != "" {
		w.violated("%v by session %v: %s", z, h.txn.Session, reason)
	}
}

// checkExpiry checks that a leader closes no session on its own before its time is up.
func (s *server) checkExpiry(b []byte) {
	var txn proto.Txn
	if txn.Decode(b) != nil || txn.Type != proto.OpCloseSession || txn.Cxid != 0 {
		return
	}
	now, since := s.clock().Mono, max(s.part.since, s.part.heard[txn.Session])
	s.w.report.Expired++
	s.w.trace("%d expires the session %v", s.id, txn.Session)
	if timeout := s.w.history.model.timeoutOf(txn.Session); now-since < timeout {
		s.w.violated("server %d expires the session %v, of %d ms, after %d ms", s.id, txn.Session, timeout, now-since)
	}
	for _, c := range s.w.clients {
		if c.session == txn.Session && c.up && s.w.calm() && s.w.now-c.since > 2*int64(c.timeout)*1000 {
			s.w.violated("server %d expires the session %v of client %d, who is connected", s.id, txn.Session, c.id)
		}
	}
}

// calm says whether nothing has gone wrong for a good while.
func (w *world) calm() bool { return w.healing && w.now > w.healed+4_000_000 }
