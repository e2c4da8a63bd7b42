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

// nodeFixed is the length of a znode's record without name and data.
const nodeFixed = 80

// image knows what has changed since the image on disk was written. A cut freezes the
// changes up to one transaction; while it is being drained, a znode of the cut is
// written just before it changes again.
type image struct {
	gen   int         // which of the two generations takes new changes
	dirty [2][]nodeID // znodes changed in each generation
	bytes int         // of the changed znodes, as they were when they first changed

	sessions map[proto.SessionID]struct{} // changed
	frozen   map[proto.SessionID]struct{} // changed, of the cut
	rest     []proto.SessionID            // of the cut, in the order of draining

	sink DeltaSink // of the open cut
	pos  int       // how far it is drained
	meta []byte    // its meta record
	buf  []byte
}

func newImage() image { return image{sessions: make(map[proto.SessionID]struct{})} }

func genFlag(gen int) uint32 { return flagCut0 << gen }

// touch must be called before the znode in slot id changes, comes or goes.
func (m *image) touch(t *Tree, id nodeID) {
	n := t.nodes.at(id)
	if old := genFlag(1 - m.gen); n.nameLen&old != 0 {
		m.write(t, id)
		n.nameLen &^= old
	}
	if flag := genFlag(m.gen); n.nameLen&flag == 0 {
		n.nameLen |= flag
		m.dirty[m.gen] = append(m.dirty[m.gen], id)
		m.bytes += nodeFixed + n.cellSize()
	}
}

// touchSession must be called before a session comes or goes.
func (m *image) touchSession(t *Tree, s proto.SessionID) {
	if _, ok := m.frozen[s]; ok {
		m.writeSession(t, s)
		delete(m.frozen, s)
	}
	m.sessions[s] = struct{}{}
}

// Dirty tells how much the image lacks: records, and roughly their bytes.
func (t *Tree) Dirty() (records, bytes int) {
	m := &t.image
	return len(m.dirty[m.gen]) + len(m.sessions), m.bytes
}

// Cut opens a delta: everything that changed up to the last transaction applied, whose
// zxid it returns. The cut before must have been drained.
func (t *Tree) Cut(sink DeltaSink) proto.Zxid {
	m := &t.image
	if m.sink != nil {
		panic("tree: a cut is opened while another one is")
	}
	m.sink, m.pos, m.gen, m.bytes = sink, 0, 1-m.gen, 0
	m.frozen, m.sessions = m.sessions, make(map[proto.SessionID]struct{})
	m.rest = m.rest[:0]
	for s := range m.frozen {
		m.rest = append(m.rest, s)
	}
	for ; t.acls.saved < len(t.acls.lists); t.acls.saved++ {
		m.buf = binary.BigEndian.AppendUint32(append(m.buf[:0], keyACL), uint32(t.acls.saved))
		sink.Put(m.buf, t.acls.lists[t.acls.saved].encoded)
	}
	m.meta = m.appendMeta(m.meta[:0], t)
	return t.last
}

// Drain writes up to most records of the open cut and says whether that was all of it.
// The meta record comes last.
func (t *Tree) Drain(most int) (done bool) {
	m := &t.image
	flag, list := genFlag(1-m.gen), m.dirty[1-m.gen]
	for ; m.pos < len(list) && most > 0; m.pos++ {
		n := t.nodes.at(list[m.pos])
		if n.nameLen&flag != 0 {
			m.write(t, list[m.pos])
			n.nameLen &^= flag
			most--
		}
	}
	for ; len(m.rest) > 0 && most > 0; most-- {
		s := m.rest[len(m.rest)-1]
		m.rest = m.rest[:len(m.rest)-1]
		if _, ok := m.frozen[s]; ok {
			m.writeSession(t, s)
			delete(m.frozen, s)
		}
	}
	if m.pos < len(list) || len(m.rest) > 0 {
		return false
	}
	m.sink.Put([]byte{keyMeta}, m.meta)
	m.sink, m.frozen = nil, nil
	m.dirty[1-m.gen] = list[:0]
	if cap(list) > 1<<16 {
		m.dirty[1-m.gen] = nil
	}
	return true
}

// write puts a znode's record as it is now, or deletes it.
func (m *image) write(t *Tree, id nodeID) {
	be := binary.BigEndian
	var key [5]byte
	key[0] = keyNode
	be.PutUint32(key[1:], uint32(id))
	n := t.nodes.at(id)
	if !n.live() {
		m.sink.Delete(key[:])
		return
	}
	b := m.buf[:0]
	b = be.AppendUint32(b, uint32(n.parent))
	b = be.AppendUint32(b, uint32(n.acl))
	for _, v := range [...]int64{
		int64(n.czxid), int64(n.mzxid), int64(n.pzxid), int64(n.ctime), int64(n.mtime), n.owner,
	} {
		b = be.AppendUint64(b, uint64(v))
	}
	for _, v := range [...]int32{n.version, n.cversion, n.aversion, n.dataLen, int32(n.nameSize()), 0} {
		b = be.AppendUint32(b, uint32(v))
	}
	b = append(b, t.cellOf(n)...)
	m.buf = b
	m.sink.Put(key[:], b)
}

func (m *image) writeSession(t *Tree, s proto.SessionID) {
	var key [9]byte
	key[0] = keySession
	binary.BigEndian.PutUint64(key[1:], uint64(s))
	timeout, ok := t.sessions[s]
	if !ok {
		m.sink.Delete(key[:])
		return
	}
	m.buf = binary.BigEndian.AppendUint32(m.buf[:0], uint32(timeout))
	m.sink.Put(key[:], m.buf)
}

// metaLen is the length of the meta record.
const metaLen = 44

func (m *image) appendMeta(b []byte, t *Tree) []byte {
	be := binary.BigEndian
	b = be.AppendUint32(b, imageFormat)
	b = be.AppendUint64(b, uint64(t.last))
	b = be.AppendUint64(b, t.digest.sum)
	b = be.AppendUint64(b, uint64(t.numNodes))
	b = be.AppendUint64(b, uint64(len(t.sessions)))
	return be.AppendUint64(b, uint64(len(t.acls.lists)))
}
