package tree

import (
	"bytes"
	"hash/maphash"

	"github.com/zkd-project/zkd/daemon/proto"
)

// view is what Prepare needs to know of a znode: as it will be once everything that has
// been promised is applied.
type view struct {
	exists                      bool
	version, cversion, aversion int32
	children                    int32
	acl                         ACLID
	owner                       int64
	dataLen                     int32 // bytes, 0 for null
}

// change is a znode's view in the overlay.
type change struct {
	view
	path []byte
	zxid proto.Zxid // of the last transaction that changed it
	hash uint64
	next *change // of the same hash
}

// promise is one transaction's change of one znode.
type promise struct {
	zxid proto.Zxid
	ch   *change
}

// overlay holds the changes that are promised and not applied.
type overlay struct {
	acls     *aclTable
	seed     maphash.Seed
	byHash   map[uint64]*change
	promises []promise // in zxid order
	head     int
	pool     []*change
	births   map[proto.SessionID]int // ephemerals with a change in the overlay

	trial bool // a multi is being prepared
	undo  []undo
	mark  int // promises before the multi
}

// undo is a change as it was before the multi that is being prepared.
type undo struct {
	ch   *change
	was  view
	zxid proto.Zxid
}

func newOverlay(acls *aclTable) overlay {
	return overlay{
		acls: acls, seed: maphash.MakeSeed(),
		byHash: make(map[uint64]*change), births: make(map[proto.SessionID]int),
	}
}

// place is a path with what the overlay knows of it.
type place struct {
	view
	path   []byte
	hash   uint64
	hashed bool
	ch     *change // nil if nothing is promised
}

// place finds the znode at path as it will be; "" is the root.
func (t *Tree) place(path []byte) place {
	if len(path) == 0 {
		path = rootPath
	}
	p := place{path: path}
	if o := &t.overlay; o.head < len(o.promises) {
		p.ch = o.find(&p)
	}
	if p.ch != nil {
		p.view = p.ch.view
	} else {
		p.view = t.committed(path)
	}
	return p
}

func (o *overlay) find(p *place) *change {
	p.hash, p.hashed = maphash.Bytes(o.seed, p.path), true
	for ch := o.byHash[p.hash]; ch != nil; ch = ch.next {
		if bytes.Equal(ch.path, p.path) {
			return ch
		}
	}
	return nil
}

// committed is the view of a znode without the overlay.
func (t *Tree) committed(path []byte) view {
	id := t.lookup(path)
	if id == none {
		return view{}
	}
	n := t.nodes.at(id)
	var z full
	t.load(n, &z)
	return view{
		exists: true, version: z.version, cversion: z.cversion, aversion: z.aversion,
		children: int32(z.children), acl: n.acl, owner: z.owner, dataLen: int32(len(z.data)),
	}
}

// promise records how the znode at p will be after the transaction zxid. p must be as
// place found it, with nothing promised for its path since.
func (o *overlay) promise(p *place, v view, zxid proto.Zxid) {
	ch := p.ch
	if ch == nil {
		if !p.hashed {
			p.hash = maphash.Bytes(o.seed, p.path)
		}
		ch = o.fresh()
		ch.path, ch.hash, ch.next = append(ch.path[:0], p.path...), p.hash, o.byHash[p.hash]
		o.byHash[p.hash] = ch
	}
	if o.trial {
		o.undo = append(o.undo, undo{ch, ch.view, ch.zxid})
		if ch.exists {
			o.acls.hold(ch.acl)
		}
	}
	o.set(ch, v)
	ch.zxid = zxid
	o.promises = append(o.promises, promise{zxid, ch})
}

// set replaces a view, and counts what it refers to.
func (o *overlay) set(ch *change, v view) {
	if v.exists {
		o.acls.hold(v.acl)
		o.birth(v.owner, 1)
	}
	if ch.exists {
		o.acls.drop(ch.acl)
		o.birth(ch.owner, -1)
	}
	ch.view = v
}

// birth counts the existing ephemerals that have a change, by session.
func (o *overlay) birth(owner int64, sign int) {
	if owner == 0 {
		return
	}
	s := proto.SessionID(owner)
	if o.births[s] += sign; o.births[s] == 0 {
		delete(o.births, s)
	}
}

func (o *overlay) fresh() *change {
	if n := len(o.pool); n > 0 {
		ch := o.pool[n-1]
		o.pool = o.pool[:n-1]
		return ch
	}
	return new(change)
}

// maxPool bounds the changes kept for use again, and maxPooledPath their size.
const (
	maxPool       = 8192
	maxPooledPath = 1 << 10
)

// forget takes a change out of the overlay.
func (o *overlay) forget(ch *change) {
	o.set(ch, view{})
	if first := o.byHash[ch.hash]; first != ch {
		for first.next != ch {
			first = first.next
		}
		first.next = ch.next
	} else if ch.next == nil {
		delete(o.byHash, ch.hash)
	} else {
		o.byHash[ch.hash] = ch.next
	}
	*ch = change{path: ch.path}
	if len(o.pool) < maxPool && cap(ch.path) <= maxPooledPath {
		o.pool = append(o.pool, ch)
	}
}

// settle drops what the transactions up to zxid promised: the tree has it now.
func (o *overlay) settle(zxid proto.Zxid) {
	for o.head < len(o.promises) && o.promises[o.head].zxid <= zxid {
		p := o.promises[o.head]
		o.promises[o.head] = promise{}
		o.head++
		if p.ch.zxid == p.zxid {
			o.forget(p.ch)
		}
	}
	switch {
	case o.head == len(o.promises):
		o.promises, o.head = o.promises[:0], 0
	case o.head > 1024 && o.head > len(o.promises)/2:
		n := copy(o.promises, o.promises[o.head:])
		clear(o.promises[n:])
		o.promises, o.head = o.promises[:n], 0
	}
}

// ForgetPromises drops everything that Prepare promised and that has not been applied:
// the server has lost the right to say what comes next.
func (t *Tree) ForgetPromises() { t.overlay.settle(1<<63 - 1) }

// begin starts a trial: what is promised from now on can be taken back.
func (o *overlay) begin() { o.trial, o.mark = true, len(o.promises) }

// end ends a trial; unless keep is set, everything promised in it is taken back.
func (o *overlay) end(keep bool) {
	o.trial = false
	for i := len(o.undo) - 1; i >= 0; i-- {
		u := o.undo[i]
		if !keep {
			o.set(u.ch, u.was)
			u.ch.zxid = u.zxid
		}
		if u.was.exists {
			o.acls.drop(u.was.acl)
		}
		if !keep && u.zxid == 0 {
			o.forget(u.ch)
		}
	}
	clear(o.undo)
	o.undo = o.undo[:0]
	if !keep {
		clear(o.promises[o.mark:])
		o.promises = o.promises[:o.mark]
	}
}
