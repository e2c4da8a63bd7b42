package tree

import (
	"math/bits"

	"github.com/zkd-project/zkd/daemon/proto"
)

// nodeID is a znode's number: its place in the slab and its key in the image.
type nodeID uint32

const (
	none nodeID = 0 // no znode
	root nodeID = 1
)

// node is one znode. It holds no pointer.
type node struct {
	czxid, mzxid, pzxid         proto.Zxid
	ctime, mtime                proto.Millis
	owner                       int64 // as Apache stores it: session, container or TTL
	version, cversion, aversion int32 // cversion counts the creates of children
	parent                      nodeID
	first, next, prev           nodeID // first child; siblings
	children                    uint32
	acl                         ACLID
	cell                        uint32 // where name and data are, together with their lengths
	dataLen                     int32  // nullData for no data
	nameLen                     uint32 // low 24 bits; the flags are in the high ones
}

const (
	nullData = int32(-1)

	nameMask  = 1<<24 - 1
	flagLive  = 1 << 24 // the slot holds a znode
	flagCut0  = 1 << 25 // changed since the cut before; one flag for even cuts, one for odd
	flagCut1  = 1 << 26
	flagsKept = flagCut0 | flagCut1 // outlive the znode: the image must forget it
)

func (n *node) nameSize() int { return int(n.nameLen & nameMask) }
func (n *node) dataSize() int { return int(max(n.dataLen, 0)) }
func (n *node) cellSize() int { return n.nameSize() + n.dataSize() }
func (n *node) live() bool    { return n.nameLen&flagLive != 0 }

const (
	chunkBits = 10
	chunkLen  = 1 << chunkBits
)

// nodes is the slab of znodes.
type nodes struct {
	chunks []*[chunkLen]node
	used   nodeID   // slots ever used, slot 0 included
	free   []nodeID // slots to use again
}

func (s *nodes) at(id nodeID) *node { return &s.chunks[id>>chunkBits][id&(chunkLen-1)] }

// reserve makes room for slot id.
func (s *nodes) reserve(id nodeID) {
	for int(id>>chunkBits) >= len(s.chunks) {
		s.chunks = append(s.chunks, new([chunkLen]node))
	}
	if id >= s.used {
		s.used = id + 1
	}
}

func (s *nodes) alloc() nodeID {
	if n := len(s.free); n > 0 {
		id := s.free[n-1]
		s.free = s.free[:n-1]
		return id
	}
	id := max(s.used, root)
	s.reserve(id)
	return id
}

// release clears a slot and offers it again.
func (s *nodes) release(id nodeID) {
	n := s.at(id)
	kept := n.nameLen & flagsKept
	*n = node{nameLen: kept}
	s.free = append(s.free, id)
}

// Cells come in classes: multiples of 16 bytes up to 512, then eight steps to each
// doubling up to maxCell. Above that a cell is a slice of its own.
const (
	cellStep    = 16
	smallCells  = 512 / cellStep
	maxCell     = 4096
	cellClasses = smallCells + 8*3
	cellChunk   = 32 << 10
)

// classOf is the class of a cell of n bytes, 1 <= n <= maxCell, and the class's size.
func classOf(n int) (class, size int) {
	if n <= 512 {
		class = (n - 1) / cellStep
		return class, (class + 1) * cellStep
	}
	shift := bits.Len(uint(n-1)) - 4 // eight steps to a doubling
	step := (n - 1) >> shift         // 8..15
	class = smallCells + (bits.Len(uint(n-1))-10)*8 + step - 8
	return class, (step + 1) << shift
}

// cells hands out byte cells.
type cells struct {
	classes [cellClasses]cellClass
	large   [][]byte
	spare   []uint32 // free places of large
	bytes   int64    // in large cells
}

type cellClass struct {
	chunks [][]byte
	free   []uint32
	used   uint32
}

// at returns the cell of size bytes at ref.
func (c *cells) at(ref uint32, size int) []byte {
	switch {
	case size == 0:
		return nil
	case size > maxCell:
		return c.large[ref]
	}
	class, full := classOf(size)
	per := uint32(cellChunk / full)
	off := int(ref%per) * full
	return c.classes[class].chunks[ref/per][off : off+size : off+size]
}

// alloc reserves a cell of size bytes.
func (c *cells) alloc(size int) uint32 {
	switch {
	case size == 0:
		return 0
	case size > maxCell:
		return c.allocLarge(make([]byte, size))
	}
	class, full := classOf(size)
	k := &c.classes[class]
	if n := len(k.free); n > 0 {
		ref := k.free[n-1]
		k.free = k.free[:n-1]
		return ref
	}
	if int(k.used)/(cellChunk/full) == len(k.chunks) {
		k.chunks = append(k.chunks, make([]byte, cellChunk))
	}
	k.used++
	return k.used - 1
}

func (c *cells) allocLarge(b []byte) uint32 {
	c.bytes += int64(len(b))
	if n := len(c.spare); n > 0 {
		ref := c.spare[n-1]
		c.spare = c.spare[:n-1]
		c.large[ref] = b
		return ref
	}
	c.large = append(c.large, b)
	return uint32(len(c.large) - 1)
}

func (c *cells) release(ref uint32, size int) {
	switch {
	case size == 0:
	case size > maxCell:
		c.bytes -= int64(size)
		c.large[ref] = nil
		c.spare = append(c.spare, ref)
	default:
		class, _ := classOf(size)
		c.classes[class].free = append(c.classes[class].free, ref)
	}
}
