package tree

import "encoding/binary"

// A znode's cell holds the length of its name, its name, and its data. The length takes
// one byte, or longMark and four bytes.
const longMark = 0xFF

// headSize is the number of bytes in front of a name.
func headSize(name int) int {
	if name < longMark {
		return 1
	}
	return 5
}

// putHead writes the length of the name and the name, and returns where the data goes.
func putHead(cell, name []byte) []byte {
	if len(name) < longMark {
		cell[0] = byte(len(name))
		return cell[1+copy(cell[1:], name):]
	}
	cell[0] = longMark
	binary.NativeEndian.PutUint32(cell[1:], uint32(len(name)))
	return cell[5+copy(cell[5:], name):]
}

// splitCell returns the name and the data in a cell.
func splitCell(cell []byte) (name, data []byte) {
	if n := int(cell[0]); n < longMark {
		return cell[1 : 1+n : 1+n], cell[1+n:]
	}
	n := 5 + int(binary.NativeEndian.Uint32(cell[1:]))
	return cell[5:n:n], cell[n:]
}

func (t *Tree) cellOf(n *node) []byte { return t.cells.at(n.cell, n.cellSize()) }

func (t *Tree) nameOf(n *node) []byte {
	name, _ := splitCell(t.cellOf(n))
	return name
}

// dataOf is a znode's data: nil for null, and otherwise not nil. It is good until the
// znode changes, and for ever if isLarge.
func (t *Tree) dataOf(n *node) []byte {
	if n.size&flagNull != 0 {
		return nil
	}
	_, data := splitCell(t.cellOf(n))
	return data
}

// dataLen is the number of bytes of data, 0 for null.
func (t *Tree) dataLen(n *node) int {
	_, data := splitCell(t.cellOf(n))
	return len(data)
}

func isLarge(n *node) bool { return n.cellSize() > maxCell }

// setSize notes the size of a znode's cell and whether its data is null.
func (n *node) setSize(size int, null bool) {
	n.size = n.size&^(sizeMask|flagNull) | uint32(min(size, sizeMask))
	if null {
		n.size |= flagNull
	}
}

// setCell gives a znode a name and data in a cell of their own.
func (t *Tree) setCell(n *node, name, data []byte) {
	size := headSize(len(name)) + len(name) + len(data)
	n.cell = t.cells.alloc(size)
	n.setSize(size, data == nil)
	copy(putHead(t.cells.at(n.cell, size), name), data)
}

// setData replaces a znode's data. A large cell is never written twice, because
// readers may still hold it.
func (t *Tree) setData(n *node, data []byte) {
	old := t.cellOf(n)
	name, before := splitCell(old)
	size := len(old) - len(before) + len(data)
	t.dataBytes += int64(len(data) - len(before))
	if sameClass(size, len(old)) {
		n.setSize(size, data == nil)
		copy(t.cellOf(n)[size-len(data):], data)
		return
	}
	cell, oldSize := n.cell, n.cellSize()
	t.setCell(n, name, data)
	t.cells.release(cell, oldSize)
}
