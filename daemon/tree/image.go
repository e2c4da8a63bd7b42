package tree

import (
	"encoding/binary"

	"github.com/zkd-project/zkd/daemon/proto"
)

// DeltaSink takes the records of a delta. It copies what it is given.
type DeltaSink interface {
	Put(key, value []byte)
	Delete(key []byte)
}

// The image's keys begin with a byte that tells what the record is.
const (
	keyACL     = 'a' // + ACLID, 4 bytes: the encoded list
	keyMeta    = 'm' // nothing more: the meta record
	keyNode    = 'n' // + nodeID, 4 bytes
	keySession = 's' // + session id, 8 bytes: the timeout
)

// imageFormat is the version of the records' layout.
const imageFormat = 1

// image knows what has changed since the image on disk was written. A cut freezes the
// changes up to one transaction; while it is being drained, a record of the cut is
// written just before it changes again.
type image struct {
	gen      int            // which of the two generations takes new changes
	dirty    [2]vec[nodeID] // znodes changed in each generation
	bytes    int            // of the changed znodes, roughly
	txns     int            // applied since the last cut
	acls     changes[ACLID]
	sessions changes[proto.SessionID]

	sink DeltaSink // of the open cut
	pos  int       // how far it is drained
	meta []byte    // its meta record
	buf  []byte
}

func newImage() image {
	return image{acls: newChanges[ACLID](), sessions: newChanges[proto.SessionID]()}
}

// changes are the records of one kind that have changed, for kinds of which there are
// few: those of the open cut that are not written yet, and those changed since.
type changes[K comparable] struct {
	fresh, frozen map[K]struct{}
	list, rest    []K // the keys of fresh; the keys of frozen, and others
}

func newChanges[K comparable]() changes[K] { return changes[K]{fresh: make(map[K]struct{})} }

// touch notes that the record k is about to change, and says whether it must be written
// before, because the open cut has it.
func (c *changes[K]) touch(k K) (write bool) {
	if _, write = c.frozen[k]; write {
		delete(c.frozen, k)
	}
	if _, ok := c.fresh[k]; !ok {
		c.fresh[k] = struct{}{}
		c.list = append(c.list, k)
	}
	return write
}

func (c *changes[K]) cut() {
	c.frozen, c.rest = c.fresh, c.list
	c.fresh, c.list = make(map[K]struct{}), nil
}

// next takes a record out of the open cut.
func (c *changes[K]) next() (k K, ok bool) {
	for len(c.rest) > 0 && !ok {
		last := len(c.rest) - 1
		k = c.rest[last]
		c.rest = c.rest[:last]
		_, ok = c.frozen[k]
	}
	delete(c.frozen, k)
	return k, ok
}

func genFlag(gen int) uint32 { return flagCut0 << gen }

// touch must be called before the znode in slot id changes, comes or goes.
func (m *image) touch(t *Tree, id nodeID) {
	n := t.nodes.at(id)
	if old := genFlag(1 - m.gen); n.size&old != 0 {
		m.putNode(t, id)
		n.size &^= old
	}
	if flag := genFlag(m.gen); n.size&flag == 0 {
		n.size |= flag
		m.dirty[m.gen].push(id)
		m.bytes += nodeFixed + n.cellSize()
	}
}

// grown notes that a changed record has that many bytes more than it had.
func (m *image) grown(n int) { m.bytes += max(n, 0) }

// touchSession must be called before a session comes or goes.
func (m *image) touchSession(t *Tree, s proto.SessionID) {
	if m.sessions.touch(s) {
		m.putSession(t, s)
	}
}

// touchACL must be called before a list goes.
func (m *image) touchACL(t *Tree, id ACLID) {
	if m.acls.touch(id) {
		m.putACL(t, id)
	}
}

// cameACL must be called when a list has come. If the open cut has something to say of its
// place, it is that another list has gone from there.
func (m *image) cameACL(id ACLID) {
	if m.acls.touch(id) {
		m.sink.Delete(keyOfACL(id))
	}
}

func keyOfACL(id ACLID) []byte { return binary.BigEndian.AppendUint32([]byte{keyACL}, uint32(id)) }

// Dirty tells how much the image lacks: records, and roughly their bytes, and the transactions that a start
// would replay, which may be many more, or all have failed.
func (t *Tree) Dirty() (records, bytes, txns int) {
	m := &t.image
	return m.dirty[m.gen].len() + len(m.sessions.fresh) + len(m.acls.fresh), m.bytes, m.txns
}

// Cut opens a delta: everything that changed up to the last transaction applied, whose
// zxid it returns. The cut before must have been drained.
func (t *Tree) Cut(sink DeltaSink) proto.Zxid {
	m := &t.image
	if m.sink != nil {
		panic("tree: a cut is opened while another one is")
	}
	m.sink, m.pos, m.gen, m.bytes, m.txns = sink, 0, 1-m.gen, 0, 0
	m.sessions.cut()
	m.acls.cut()
	m.meta = m.appendMeta(m.meta[:0], t)
	return t.last
}

// CutWhole opens a delta of everything that there is, for an image that is empty. A cut that
// is open is given up.
func (t *Tree) CutWhole(sink DeltaSink) proto.Zxid {
	t.forgetChanges()
	t.nodes.each(false, func(id nodeID, _ *node) { t.image.touch(t, id) })
	return t.CutRest(sink)
}

// forgetChanges takes what there is for what the image holds.
func (t *Tree) forgetChanges() {
	t.image = newImage()
	for _, chunk := range t.nodes.chunks {
		for i := 0; chunk != nil && i < chunkLen; i++ {
			chunk[i].size &^= flagsKept
		}
	}
}

// CutRest opens a delta of everything but znodes, and of the znodes that have changed, for an
// image that holds no more than what a BodyLoader's Znodes took.
func (t *Tree) CutRest(sink DeltaSink) proto.Zxid {
	m := &t.image
	for id := range t.sessions {
		m.touchSession(t, id)
	}
	for id := range t.acls.used {
		if t.acls.has(id) {
			m.touchACL(t, id)
		}
	}
	return t.Cut(sink)
}

// Drain writes up to most records of the open cut and says whether that was all of it.
// The meta record comes last.
func (t *Tree) Drain(most int) (done bool) {
	m := &t.image
	flag, list := genFlag(1-m.gen), &m.dirty[1-m.gen]
	for ; m.pos < list.len() && most > 0; m.pos++ {
		id := *list.at(m.pos)
		if n := t.nodes.at(id); n.size&flag != 0 {
			m.putNode(t, id)
			n.size &^= flag
		}
		most--
	}
	for ; most > 0; most-- {
		s, ok := m.sessions.next()
		if !ok {
			break
		}
		m.putSession(t, s)
	}
	for ; most > 0; most-- {
		id, ok := m.acls.next()
		if !ok {
			break
		}
		m.putACL(t, id)
	}
	if most == 0 {
		return false
	}
	m.sink.Put([]byte{keyMeta}, m.meta)
	m.sink = nil
	list.clear()
	return true
}

func keyOfNode(id nodeID) (key [5]byte) {
	key[0] = keyNode
	binary.BigEndian.PutUint32(key[1:], uint32(id))
	return key
}

// putNode writes a znode's record as it is now, or deletes it.
func (m *image) putNode(t *Tree, id nodeID) {
	key := keyOfNode(id)
	n := t.nodes.at(id)
	if !n.live() {
		m.sink.Delete(key[:])
		return
	}
	m.buf = t.appendRecord(m.buf[:0], n)
	m.sink.Put(key[:], m.buf)
	if cap(m.buf) > 1<<20 {
		m.buf = nil
	}
}

func (m *image) putSession(t *Tree, s proto.SessionID) {
	key := binary.BigEndian.AppendUint64([]byte{keySession}, uint64(s))
	timeout, ok := t.sessions[s]
	if !ok {
		m.sink.Delete(key)
		return
	}
	m.buf = binary.BigEndian.AppendUint32(m.buf[:0], uint32(timeout))
	m.sink.Put(key, m.buf)
}

func (m *image) putACL(t *Tree, id ACLID) {
	if t.acls.has(id) {
		m.sink.Put(keyOfACL(id), t.acls.at(id).encoded)
		return
	}
	m.sink.Delete(keyOfACL(id))
}
