package tree

import (
	"encoding/binary"

	"github.com/zkd-project/zkd/daemon/proto"
)

// A znode's cell holds the length of its name, its name, its history if it has one, and
// its data. The length takes one byte, or longMark and four bytes.
const longMark = 0xFF

// history is what of a znode most znodes do not have: what its owner is, and what has
// changed since it was created.
type history struct {
	mzxid             proto.Zxid
	mtime             proto.Millis
	version, aversion int32
	owner             int64 // as Apache stores it: session, container or TTL
}

// The parts of an encoded history; a byte that tells them is in front of them.
const (
	historyData  = 1 << 0 // mzxid, mtime, version
	historyACL   = 1 << 1 // aversion
	historyOwner = 1 << 2

	maxHistory = 1 + 20 + 4 + 8
)

// historySize is the length of an encoded history, by its parts.
var historySize = [8]uint8{1, 21, 5, 25, 9, 29, 13, 33}

// newborn is the history of a znode to which nothing has happened.
func (n *node) newborn() history { return history{mzxid: n.czxid, mtime: n.ctime} }

// appendHistory appends the encoded history, or nothing for that of a newborn.
func (n *node) appendHistory(b []byte, h *history) []byte {
	parts := byte(0)
	if h.mzxid != n.czxid || h.mtime != n.ctime || h.version != 0 {
		parts |= historyData
	}
	if h.aversion != 0 {
		parts |= historyACL
	}
	if h.owner != 0 {
		parts |= historyOwner
	}
	if parts == 0 {
		return b
	}
	ne := binary.NativeEndian
	b = append(b, parts)
	if parts&historyData != 0 {
		b = ne.AppendUint64(b, uint64(h.mzxid))
		b = ne.AppendUint64(b, uint64(h.mtime))
		b = ne.AppendUint32(b, uint32(h.version))
	}
	if parts&historyACL != 0 {
		b = ne.AppendUint32(b, uint32(h.aversion))
	}
	if parts&historyOwner != 0 {
		b = ne.AppendUint64(b, uint64(h.owner))
	}
	return b
}

// decodeHistory reads what appendHistory wrote at the beginning of b.
func (n *node) decodeHistory(b []byte, h *history) {
	*h = history{mzxid: n.czxid, mtime: n.ctime}
	ne, parts := binary.NativeEndian, b[0]
	b = b[1:]
	if parts&historyData != 0 {
		h.mzxid, h.mtime = proto.Zxid(ne.Uint64(b)), proto.Millis(ne.Uint64(b[8:]))
		h.version = int32(ne.Uint32(b[16:]))
		b = b[20:]
	}
	if parts&historyACL != 0 {
		h.aversion = int32(ne.Uint32(b))
		b = b[4:]
	}
	if parts&historyOwner != 0 {
		h.owner = int64(ne.Uint64(b))
	}
}

// headSize is the number of bytes in front of a name.
func headSize(name int) int {
	if name < longMark {
		return 1
	}
	return 5
}

func nameIn(cell []byte) []byte {
	if n := int(cell[0]); n < longMark {
		return cell[1 : 1+n : 1+n]
	}
	n := 5 + int(binary.NativeEndian.Uint32(cell[1:]))
	return cell[5:n:n]
}

func (t *Tree) nameOf(n *node) []byte { return nameIn(t.cells.at(n.cell, n.cellSize())) }

// dataOf is a znode's data: nil for null, and otherwise not nil. It is good until the
// znode changes, and for ever if isLarge.
func (t *Tree) dataOf(n *node) []byte {
	if n.size&flagNull != 0 {
		return nil
	}
	var z full
	t.load(n, &z)
	return z.data
}

func isLarge(n *node) bool { return n.cellSize() > maxCell }

// fill gives a znode a cell of its own.
func (t *Tree) fill(n *node, name []byte, h *history, data []byte) {
	var buf [maxHistory]byte
	past := n.appendHistory(buf[:0], h)
	head := headSize(len(name))
	size := head + len(name) + len(past) + len(data)
	n.cell = t.cells.alloc(size)
	n.setSize(size, len(past) > 0, data == nil)
	cell := t.cells.at(n.cell, size)
	if head == 1 {
		cell[0] = byte(len(name))
	} else {
		cell[0] = longMark
		binary.NativeEndian.PutUint32(cell[1:], uint32(len(name)))
	}
	at := head + copy(cell[head:], name)
	at += copy(cell[at:], past)
	copy(cell[at:], data)
}

// setSize notes the size of a znode's cell and what is in it.
func (n *node) setSize(size int, past, null bool) {
	n.size = n.size&^(sizeMask|flagHistory|flagNull) | uint32(min(size, sizeMask))
	if past {
		n.size |= flagHistory
	}
	if null {
		n.size |= flagNull
	}
}

// change replaces a znode's history and data; data may be what it has. A large cell is
// never written twice, because readers may still hold it.
func (t *Tree) change(n *node, h *history, data []byte) {
	var buf [maxHistory]byte
	past := n.appendHistory(buf[:0], h)
	old := t.cells.at(n.cell, n.cellSize())
	name := nameIn(old)
	head := headSize(len(name)) + len(name)
	size := head + len(past) + len(data)
	if sameClass(size, len(old)) {
		n.setSize(size, len(past) > 0, data == nil)
		cell := t.cells.at(n.cell, size)
		copy(cell[head+len(past):], data) // first, as it may move within the cell
		copy(cell[head:], past)
		return
	}
	cell, oldSize := n.cell, n.cellSize()
	t.fill(n, name, h, data)
	t.cells.release(cell, oldSize)
}
