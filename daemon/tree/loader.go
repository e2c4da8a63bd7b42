package tree

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// ErrImage says that an image does not hold together.
var ErrImage = errors.New("tree: the image is damaged")

// Loader builds a tree from the records of an image. Its methods must not be called
// concurrently.
type Loader struct {
	t     *Tree
	acls  map[ACLID][]byte
	meta  []byte
	nodes int
}

// NewLoader starts a load.
func NewLoader(opt Options) *Loader {
	return &Loader{t: newTree(opt), acls: make(map[ACLID][]byte)}
}

// Put takes one record of the image, in any order. It copies what it keeps.
func (l *Loader) Put(key, value []byte) error {
	switch {
	case len(key) == 5 && key[0] == keyNode:
		return l.putNode(nodeID(binary.BigEndian.Uint32(key[1:])), value)
	case len(key) == 5 && key[0] == keyACL:
		l.acls[ACLID(binary.BigEndian.Uint32(key[1:]))] = append([]byte(nil), value...)
	case len(key) == 9 && key[0] == keySession && len(value) == 4:
		s := proto.SessionID(binary.BigEndian.Uint64(key[1:]))
		l.t.sessions[s] = int32(binary.BigEndian.Uint32(value))
	case len(key) == 1 && key[0] == keyMeta:
		l.meta = append([]byte(nil), value...)
	default:
		return fmt.Errorf("%w: a record with the unknown key %x", ErrImage, key)
	}
	return nil
}

// maxSlot bounds a damaged znode number: no image has more znodes than that.
const maxSlot = 1 << 30

func (l *Loader) putNode(id nodeID, v []byte) error {
	be := binary.BigEndian
	if id == none || id > maxSlot || len(v) < nodeFixed {
		return fmt.Errorf("%w: the record of znode %d has %d bytes", ErrImage, id, len(v))
	}
	t := l.t
	dataLen, nameLen := int32(be.Uint32(v[68:])), be.Uint32(v[72:])
	cell := v[nodeFixed:]
	if nameLen > nameMask || int(nameLen)+int(max(dataLen, 0)) != len(cell) || dataLen < nullData {
		return fmt.Errorf("%w: the record of znode %d has lengths that do not fit", ErrImage, id)
	}
	t.nodes.reserve(id)
	n := t.nodes.at(id)
	if n.live() {
		return fmt.Errorf("%w: znode %d comes twice", ErrImage, id)
	}
	*n = node{
		parent: nodeID(be.Uint32(v)), acl: ACLID(be.Uint32(v[4:])),
		czxid: proto.Zxid(be.Uint64(v[8:])), mzxid: proto.Zxid(be.Uint64(v[16:])),
		pzxid: proto.Zxid(be.Uint64(v[24:])), ctime: proto.Millis(be.Uint64(v[32:])),
		mtime: proto.Millis(be.Uint64(v[40:])), owner: int64(be.Uint64(v[48:])),
		version: int32(be.Uint32(v[56:])), cversion: int32(be.Uint32(v[60:])),
		aversion: int32(be.Uint32(v[64:])),
		nameLen:  flagLive | nameLen, dataLen: dataLen,
	}
	n.cell = t.cells.alloc(len(cell))
	copy(t.cells.at(n.cell, len(cell)), cell)
	l.nodes++
	return nil
}

// Finish checks that the records make a whole and returns the tree. A tree without a
// single record is a fresh one.
func (l *Loader) Finish() (*Tree, error) {
	if l.meta == nil && l.nodes == 0 && len(l.acls) == 0 && len(l.t.sessions) == 0 {
		return New(l.t.opt), nil
	}
	if len(l.meta) != metaLen {
		return nil, fmt.Errorf("%w: it has no meta record", ErrImage)
	}
	be, t := binary.BigEndian, l.t
	if f := be.Uint32(l.meta); f != imageFormat {
		return nil, fmt.Errorf("%w: its format is %d, and this version reads %d", ErrImage, f, imageFormat)
	}
	t.last = proto.Zxid(be.Uint64(l.meta[4:]))
	if err := l.checkCounts(be.Uint64(l.meta[20:]), be.Uint64(l.meta[28:]), be.Uint64(l.meta[36:])); err != nil {
		return nil, err
	}
	if err := l.fillACLs(); err != nil {
		return nil, err
	}
	if err := l.linkAll(); err != nil {
		return nil, err
	}
	if want := be.Uint64(l.meta[12:]); t.digest.sum != want {
		return nil, fmt.Errorf("%w: at %v the digest of the tree is %#x and not %#x",
			ErrImage, t.last, t.digest.sum, want)
	}
	t.loadQuotas()
	return t, nil
}

func (l *Loader) checkCounts(nodes, sessions, acls uint64) error {
	if uint64(l.nodes) != nodes || uint64(len(l.t.sessions)) != sessions || uint64(len(l.acls)) != acls {
		return fmt.Errorf("%w: it has %d of %d znodes, %d of %d sessions and %d of %d ACLs",
			ErrImage, l.nodes, nodes, len(l.t.sessions), sessions, len(l.acls), acls)
	}
	return nil
}

func (l *Loader) fillACLs() error {
	a := l.t.acls
	for id := range ACLID(len(l.acls)) {
		encoded, ok := l.acls[id]
		d := jute.NewDecoder(encoded)
		acls, _ := proto.DecodeACLs(&d)
		if !ok || d.Err() != nil || a.add(acls) != id {
			return fmt.Errorf("%w: ACL %d is missing or does not decode", ErrImage, id)
		}
	}
	a.saved = len(a.lists)
	return nil
}

// linkAll links children to parents and counts everything.
func (l *Loader) linkAll() error {
	t := l.t
	if t.nodes.used <= root || !t.nodes.at(root).live() {
		return fmt.Errorf("%w: it has no root", ErrImage)
	}
	for id := t.nodes.used - 1; id > root; id-- {
		n := t.nodes.at(id)
		if !n.live() {
			t.nodes.free = append(t.nodes.free, id)
			continue
		}
		if n.parent == none || n.parent >= t.nodes.used || !t.nodes.at(n.parent).live() ||
			int(n.acl) >= len(t.acls.lists) || n.nameSize() == 0 {
			return fmt.Errorf("%w: znode %d has no parent, ACL or name", ErrImage, id)
		}
		t.adopt(n.parent, id)
	}
	reached := 0
	t.descend(root, func(nodeID) { reached++ })
	if reached != l.nodes {
		return fmt.Errorf("%w: %d of %d znodes hang below the root", ErrImage, reached, l.nodes)
	}
	for id := root; id < t.nodes.used; id++ {
		if t.nodes.at(id).live() {
			t.account(id, 1)
		}
	}
	return nil
}

// loadQuotas sets up the quotas that the tree holds.
func (t *Tree) loadQuotas() {
	top := t.lookup([]byte(quotaPath))
	if top == none {
		return
	}
	var paths [][]byte
	t.descend(top, func(id nodeID) {
		if string(t.nameOf(t.nodes.at(id))) == limitsName {
			paths = append(paths, t.appendPath(nil, id))
		}
	})
	for _, p := range paths {
		if owner, _, ok := quotaOwner(p); ok {
			t.quotas.byPath[owner] = quotaText(t.dataOf(t.nodes.at(t.lookup(p))))
		}
	}
}
