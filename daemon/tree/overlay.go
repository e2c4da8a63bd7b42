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

func newOverlay() overlay {
	return overlay{
		seed: maphash.MakeSeed(), byHash: make(map[uint64]*change), births: make(map[proto.SessionID]int),
	}
}

func (o *overlay) find(path []byte) (*change, uint64) {
	h := maphash.Bytes(o.seed, path)
	for ch := o.byHash[h]; ch != nil; ch = ch.next {
		if bytes.Equal(ch.path, path) {
			return ch, h
		}
	}
	return nil, h
}

// view finds the znode at path as it will be.
func (t *Tree) view(path []byte) view {
	if len(path) == 0 {
		path = rootPath
	}
	if t.overlay.head < len(t.overlay.promises) {
		if ch, _ := t.overlay.find(path); ch != nil {
			return ch.view
		}
	}
	return t.committed(path)
}

var rootPath = []byte("/")

// committed is the view of a znode without the overlay.
func (t *Tree) committed(path []byte) view {
	id := t.lookup(path)
	if id == none {
		return view{}
	}
	n := t.nodes.at(id)
	return view{
		exists: true, version: n.version, cversion: n.cversion, aversion: n.aversion,
		children: int32(n.children), acl: n.acl, owner: n.owner, dataLen: int32(n.dataSize()),
	}
}

// promise records how the znode at path will be after the transaction zxid.
func (t *Tree) promise(path []byte, v view, zxid proto.Zxid) {
	if len(path) == 0 {
		path = rootPath
	}
	o := &t.overlay
	ch, h := o.find(path)
	if ch == nil {
		ch = o.fresh()
		ch.path, ch.hash, ch.next = append(ch.path[:0], path...), h, o.byHash[h]
		ch.view, ch.zxid = view{}, 0
		o.byHash[h] = ch
	}
	if o.trial {
		o.undo = append(o.undo, undo{ch, ch.view, ch.zxid})
	}
	o.birth(ch.view, -1)
	ch.view, ch.zxid = v, zxid
	o.birth(ch.view, 1)
	o.promises = append(o.promises, promise{zxid, ch})
}

// birth counts the existing ephemerals that have a change, by session.
func (o *overlay) birth(v view, sign int) {
	if !v.exists || v.owner == 0 {
		return
	}
	s := proto.SessionID(v.owner)
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

// maxPool bounds the changes kept for use again.
const maxPool = 8192

// forget takes a change out of the overlay.
func (o *overlay) forget(ch *change) {
	o.birth(ch.view, -1)
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
	ch.next, ch.zxid = nil, 0
	if len(o.pool) < maxPool && cap(ch.path) <= 1<<10 {
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
		o.promises, o.head = o.promises[:n], 0
	}
}

// begin starts a trial: what is promised from now on can be taken back.
func (o *overlay) begin() { o.trial, o.undo, o.mark = true, o.undo[:0], len(o.promises) }

// end ends a trial; unless keep is set, everything promised in it is taken back.
func (o *overlay) end(keep bool) {
	o.trial = false
	if keep {
		return
	}
	for i := len(o.undo) - 1; i >= 0; i-- {
		u := o.undo[i]
		o.birth(u.ch.view, -1)
		u.ch.view, u.ch.zxid = u.was, u.zxid
		o.birth(u.ch.view, 1)
		if u.zxid == 0 {
			o.forget(u.ch)
		}
	}
	o.promises = o.promises[:o.mark]
}
