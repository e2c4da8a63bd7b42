package tree

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

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
	nodes uint64
	// foreign says that the records come from another server and carry no meta record.
	foreign bool
	// recount says that what the quotas hold is to be counted.
	recount bool
	// linked says that znodes are linked as they come, and not all in the end.
	linked bool

	// Together, if set, calls its arguments, which do not disturb each other, in
	// parallel, and returns when all have returned. Finish is faster with it.
	Together func(parts ...func())
}

// NewLoader starts a load.
func NewLoader(opt Options) *Loader {
	return &Loader{t: newTree(opt), acls: make(map[ACLID][]byte), Together: inTurn}
}

func inTurn(parts ...func()) {
	for _, part := range parts {
		part()
	}
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

// maxSlot and maxACL bound damaged numbers: no image has more znodes or lists than that.
const (
	maxSlot = 1 << 30
	maxACL  = 1 << 28
)

func (l *Loader) putNode(id nodeID, v []byte) error {
	if id == none || id > maxSlot {
		return fmt.Errorf("%w: there is no znode %d", ErrImage, id)
	}
	t := l.t
	t.nodes.reserve(id)
	n := t.nodes.at(id)
	if n.live() {
		return fmt.Errorf("%w: znode %d comes twice", ErrImage, id)
	}
	r, err := decodeRecord(v)
	if err != nil {
		return fmt.Errorf("znode %d: %w", id, err)
	}
	if (id == root) != (len(r.name) == 0) || bytes.IndexByte(r.name, '/') >= 0 {
		return fmt.Errorf("%w: the name of znode %d is %q", ErrImage, id, r.name)
	}
	*n = r.node
	n.size |= flagLive
	t.fill(n, r.name, &r.history, r.data)
	if r.cversion != 0 || r.pzxid != r.czxid {
		f := t.familyOf(n)
		f.cversion, f.pzxid = r.cversion, r.pzxid
	}
	l.nodes++
	return nil
}

// Finish checks that the records make a whole and returns the tree. A tree without a
// single record is a fresh one.
func (l *Loader) Finish() (*Tree, error) {
	t := l.t
	if l.meta == nil && l.nodes == 0 && len(l.acls) == 0 && len(t.sessions) == 0 {
		return New(t.opt), nil
	}
	var m meta
	if !l.foreign {
		var err error
		if m, err = decodeMeta(l.meta); err != nil {
			return nil, err
		}
		t.last = m.zxid
	}
	if l.foreign {
		m.nodes, m.sessions, m.acls = l.nodes, uint64(len(t.sessions)), uint64(len(l.acls))
	}
	if l.nodes != m.nodes || uint64(len(t.sessions)) != m.sessions || uint64(len(l.acls)) != m.acls {
		return nil, fmt.Errorf("%w: it has %d of %d znodes, %d of %d sessions and %d of %d ACLs",
			ErrImage, l.nodes, m.nodes, len(t.sessions), m.sessions, len(l.acls), m.acls)
	}
	if err := l.fillACLs(); err != nil {
		return nil, err
	}
	if err := l.checkLinks(); err != nil {
		return nil, err
	}
	var twice, unreached error
	l.Together(func() { twice = l.linkAll() }, func() { unreached = l.digestAll() })
	if err := errors.Join(twice, unreached); err != nil {
		return nil, err
	}
	if t.digest.sum != m.digest && !l.foreign {
		return nil, fmt.Errorf("%w: at %v the digest of the tree is %#x and not %#x",
			ErrImage, t.last, t.digest.sum, m.digest)
	}
	t.loadQuotas(l.recount)
	return t, nil
}

func (l *Loader) fillACLs() error {
	a := &l.t.acls
	for id, encoded := range l.acls {
		d := jute.NewDecoder(encoded)
		acls, _ := proto.DecodeACLs(&d)
		if id > maxACL || d.Err() != nil || len(d.Rest()) > 0 {
			return fmt.Errorf("%w: ACL %d does not decode", ErrImage, id)
		}
		if _, ok := a.ids[string(encoded)]; ok {
			return fmt.Errorf("%w: ACL %d is there twice", ErrImage, id)
		}
		a.put(id, encoded, acls)
	}
	for c, chunk := range a.chunks {
		for i := 0; chunk != nil && i < aclChunk; i++ {
			if id := ACLID(c*aclChunk + i); id < a.used && !a.has(id) {
				a.free = append(a.free, id)
			}
		}
	}
	return nil
}

// each calls f for every slot of a chunk that exists, from the last one down to the
// root, and offers empty chunks and slots for use if offer is set.
func (s *nodes) each(offer bool, f func(id nodeID, n *node)) {
	for c := len(s.chunks) - 1; c >= 0; c-- {
		chunk := s.chunks[c]
		if chunk == nil {
			if offer {
				s.holes = append(s.holes, uint32(c))
			}
			continue
		}
		for i := chunkLen - 1; i >= 0; i-- {
			id := nodeID(c<<chunkBits + i)
			switch {
			case chunk[i].live():
				f(id, &chunk[i])
			case offer && id >= root && id < s.used:
				s.offer(id)
			}
		}
	}
}

// checkLinks checks every znode's reference to its parent and its ACL, and has each
// parent ready for its children.
func (l *Loader) checkLinks() error {
	t, err := l.t, error(nil)
	s := &t.nodes
	t.nodes.each(true, func(id nodeID, n *node) {
		switch {
		case !t.acls.has(n.acl):
			err = fmt.Errorf("%w: znode %d has no ACL", ErrImage, id)
		case id == root && n.parent != none:
			err = fmt.Errorf("%w: the root has a parent", ErrImage)
		case id == root:
		case n.parent == none || n.parent >= s.used || s.chunks[n.parent>>chunkBits] == nil || !s.at(n.parent).live():
			err = fmt.Errorf("%w: znode %d has no parent", ErrImage, id)
		default:
			t.familyOf(s.at(n.parent))
		}
	})
	if err == nil && (len(s.chunks) == 0 || s.chunks[0] == nil || !s.at(root).live()) {
		err = fmt.Errorf("%w: it has no root", ErrImage)
	}
	return err
}

// adopt links a znode to its parent.
func (l *Loader) adopt(id nodeID) error {
	if id == root {
		return nil
	}
	n := l.t.nodes.at(id)
	if other := l.t.find(n.parent, l.t.nameOf(n)); other != none {
		return fmt.Errorf("%w: znodes %d and %d have one path", ErrImage, id, other)
	}
	l.t.adopt(n.parent, id)
	return nil
}

// linkEarly links what has come, whose parents have, too, and what comes from now on.
func (l *Loader) linkEarly() (err error) {
	if l.linked {
		return nil
	}
	l.linked = true
	l.t.nodes.each(false, func(id nodeID, _ *node) { err = cmp.Or(err, l.adopt(id)) })
	return err
}

// link links a znode that has come, if that is not left to the end.
func (l *Loader) link(id nodeID) error {
	if !l.linked {
		return nil
	}
	return l.adopt(id)
}

// linkAll links children to parents, and lists what has an owner.
func (l *Loader) linkAll() (err error) {
	t := l.t
	if !l.linked {
		t.index.reserve(int(l.nodes))
	}
	t.nodes.each(false, func(id nodeID, n *node) {
		if !l.linked {
			err = cmp.Or(err, l.adopt(id))
		}
		t.acls.hold(n.acl)
		t.numNodes++
	})
	t.nodes.each(false, func(id nodeID, n *node) {
		if n.size&flagHistory == 0 {
			return
		}
		var z full
		if t.load(n, &z); z.owner != 0 {
			t.own(id, &z)
		}
	})
	return err
}

// pathSum is the checksum of a znode's path, and its length; zero if not known yet.
type pathSum struct {
	crc    uint32
	length uint32 // 0: not known
	silent bool   // what is below does not count in the digest
}

// digestAll computes the digest of every znode. On the way it finds znodes that do not
// hang below the root.
func (l *Loader) digestAll() error {
	t := l.t
	sums := make([]*[chunkLen]pathSum, len(t.nodes.chunks))
	for c := range sums {
		if t.nodes.chunks[c] != nil {
			sums[c] = new([chunkLen]pathSum)
		}
	}
	at := func(id nodeID) *pathSum { return &sums[id>>chunkBits][id&(chunkLen-1)] }
	at(root).length = 1
	var chain []nodeID
	var buf []byte
	var z full
	for c, chunk := range t.nodes.chunks {
		for i := 0; chunk != nil && i < chunkLen; i++ {
			n, id := &chunk[i], nodeID(c<<chunkBits+i)
			if !n.live() {
				continue
			}
			chain = chain[:0]
			for up := id; at(up).length == 0; up = t.nodes.at(up).parent {
				if chain = append(chain, up); len(chain) > int(l.nodes) {
					return fmt.Errorf("%w: znode %d is below itself", ErrImage, id)
				}
			}
			for j := len(chain) - 1; j >= 0; j-- {
				*at(chain[j]) = t.pathSum(chain[j], *at(t.nodes.at(chain[j]).parent), &buf)
			}
			sum := at(id)
			t.loadStored(n, &z)
			t.dataBytes += int64(sum.length) + int64(len(z.data))
			if !sum.silent {
				buf = n.appendStat(append(buf[:0], z.data...), &z)
				n.digest = crc32.Update(sum.crc, crc32.IEEETable, buf)
				t.digest.sum += uint64(n.digest)
			}
		}
	}
	return nil
}

// pathSum continues the parent's checksum by a slash and the znode's name.
func (t *Tree) pathSum(id nodeID, parent pathSum, buf *[]byte) pathSum {
	n := t.nodes.at(id)
	name := t.nameOf(n)
	*buf = append(append((*buf)[:0], '/'), name...)
	sum := pathSum{
		crc: crc32.Update(parent.crc, crc32.IEEETable, *buf), length: parent.length + uint32(len(name)) + 1,
		silent: parent.silent,
	}
	if n.parent == root {
		sum.length--
	} else if p := t.nodes.at(n.parent); p.parent == root && string(t.nameOf(p)) == systemPath[1:] {
		sum.silent = true
	}
	return sum
}

// loadQuotas sets up the quotas that the tree holds. With recount what their stats say is put right.
func (t *Tree) loadQuotas(recount bool) {
	top := t.lookup([]byte(quotaPath))
	if top == none {
		return
	}
	t.descend(top, func(id nodeID) {
		n := t.nodes.at(id)
		if string(t.nameOf(n)) != limitsName {
			return
		}
		if owner, _ := quotaOwner(t.appendPath(nil, id)); owner != nil {
			t.limit(owner, t.dataOf(n))
		}
	})
	if !recount {
		return
	}
	for owner, q := range t.quotas.byPath {
		if q.stats != none {
			q.used.count, q.used.bytes = t.sizes([]byte(owner))
			q.usedOK = true
			t.writeStats(q)
		}
	}
}
