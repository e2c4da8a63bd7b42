package tree

import (
	"encoding/binary"
	"math/bits"
)

// Cells come in classes: multiples of 8 bytes up to 256, then eight steps to each
// doubling up to maxCell. Above that a cell is a slice of its own, which is never
// written again, so that readers may keep it.
const (
	cellStep    = 8
	smallCell   = 256
	maxCell     = 4096
	cellClasses = smallCell/cellStep + 8*4
	cellChunk   = 32 << 10
	slotBits    = 12 // of a cell's number: its place in its chunk
	slotMask    = 1<<slotBits - 1
)

// classOf is the class of a cell of n bytes, 1 <= n <= maxCell, and the class's size.
func classOf(n int) (class, size int) {
	if n <= smallCell {
		class = (n - 1) / cellStep
		return class, (class + 1) * cellStep
	}
	log := bits.Len(uint(n - 1))
	step := (n - 1) >> (log - 4) // 8..15: eight steps to a doubling
	return smallCell/cellStep + (log-9)*8 + step - 8, (step + 1) << (log - 4)
}

// sameClass says whether cells of these sizes fit in the same place.
func sameClass(a, b int) bool {
	if a > maxCell || b > maxCell {
		return false
	}
	ca, _ := classOf(a)
	cb, _ := classOf(b)
	return ca == cb
}

// cells hands out byte cells. A cell is found by its number and its size; it has at
// least one byte.
type cells struct {
	classes [cellClasses]cellClass
	large   [][]byte
	spare   []uint32 // free places of large
}

// cellClass is the cells of one size, in chunks. A free cell holds the number of the
// next free one.
type cellClass struct {
	chunks []*[cellChunk]byte
	block  []byte // for the next chunks
	free   uint32 // number of the first free cell, plus one
	slots  uint32 // ever used of the last chunk
}

// chunkBlock is how many chunks of a kind that has as many are made at a time: the
// collector's work grows with the number of things, not with their size.
const chunkBlock = 16

func (k *cellClass) grow() {
	if len(k.chunks) == 1<<(32-slotBits) {
		panic("tree: the cells of one size fill 32 GiB, and there are no more numbers for them")
	}
	if len(k.block) == 0 {
		k.block = make([]byte, blockOf(len(k.chunks))*cellChunk)
	}
	k.chunks = append(k.chunks, (*[cellChunk]byte)(k.block))
	k.block = k.block[cellChunk:]
	k.slots = 0
}

// blockOf is how many chunks to make where there are n.
func blockOf(n int) int {
	if n < chunkBlock {
		return 1
	}
	return chunkBlock
}

// at returns the cell; of a large one, all of it, whatever size says.
func (c *cells) at(ref uint32, size int) []byte {
	if size > maxCell {
		return c.large[ref]
	}
	class, full := classOf(size)
	off := int(ref&slotMask) * full
	return c.classes[class].chunks[ref>>slotBits][off : off+size : off+size]
}

// alloc reserves a cell of size bytes. What it holds is not defined.
func (c *cells) alloc(size int) uint32 {
	if size > maxCell {
		return c.allocLarge(size)
	}
	class, full := classOf(size)
	k := &c.classes[class]
	if k.free != 0 {
		ref := k.free - 1
		k.free = binary.NativeEndian.Uint32(k.chunks[ref>>slotBits][int(ref&slotMask)*full:])
		return ref
	}
	if len(k.chunks) == 0 || int(k.slots+1)*full > cellChunk {
		k.grow()
	}
	k.slots++
	return uint32(len(k.chunks)-1)<<slotBits | (k.slots - 1)
}

func (c *cells) allocLarge(size int) uint32 {
	b := make([]byte, size)
	if n := len(c.spare); n > 0 {
		ref := c.spare[n-1]
		c.spare = c.spare[:n-1]
		c.large[ref] = b
		return ref
	}
	c.large = append(c.large, b)
	return uint32(len(c.large) - 1)
}

// release gives a cell back.
func (c *cells) release(ref uint32, size int) {
	if size > maxCell {
		c.large[ref] = nil
		c.spare = append(c.spare, ref)
		return
	}
	class, full := classOf(size)
	k := &c.classes[class]
	binary.NativeEndian.PutUint32(k.chunks[ref>>slotBits][int(ref&slotMask)*full:], k.free)
	k.free = ref + 1
}
