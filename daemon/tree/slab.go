package tree

import (
	"github.com/zkd-project/zkd/daemon/proto"
)

// nodeID is a znode's number: its place in the slab and its key in the image.
type nodeID uint32

const (
	none nodeID = 0 // no znode
	root nodeID = 1
)

// node is one znode. It holds no pointer. What most znodes do not have stands elsewhere:
// what has changed since it was created and its owner in its cell, see history, and its
// children in its family.
type node struct {
	czxid      proto.Zxid
	ctime      proto.Millis
	digest     uint32
	parent     nodeID
	next, prev nodeID // siblings. Of a free slot, next is the next free one
	acl        ACLID
	family     uint32 // number of its family, 0 if it never had a child
	cell       uint32 // where name and data are, see cell.go
	size       uint32 // of the cell, at most sizeMask; the flags are in the high bits
}

const (
	sizeMask    = 1<<27 - 1
	flagHistory = 1 << 27 // the cell holds a history
	flagLive    = 1 << 28 // the slot holds a znode
	flagNull    = 1 << 29 // the data is null, which is not the same as empty
	flagCut0    = 1 << 30 // changed since the cut before; one flag for even cuts, one for odd
	flagCut1    = 1 << 31
	flagsKept   = flagCut0 | flagCut1 // outlive the znode: the image must forget it
)

func (n *node) cellSize() int { return int(n.size & sizeMask) }
func (n *node) live() bool    { return n.size&flagLive != 0 }

// family is what a znode keeps about its children.
type family struct {
	pzxid    proto.Zxid
	cversion int32 // counts the creates of children
	children uint32
	first    nodeID // child. Of a free place, the next free one
}

// families are the families of those znodes that have or had children; number 0 is none.
type families struct {
	vec[family]
	free uint32
}

// family is what the znode keeps about its children, also if it never had one.
func (t *Tree) family(n *node) family {
	if n.family == 0 {
		return family{pzxid: n.czxid}
	}
	return *t.families.at(int(n.family))
}

// familyOf is the znode's family, to be changed. It makes one if there is none.
func (t *Tree) familyOf(n *node) *family {
	fs := &t.families
	if n.family == 0 {
		if n.family = fs.free; n.family != 0 {
			fs.free = uint32(fs.at(int(fs.free)).first)
		} else {
			if fs.len() == 0 {
				fs.push(family{})
			}
			n.family = uint32(fs.len())
			fs.push(family{})
		}
		*fs.at(int(n.family)) = family{pzxid: n.czxid}
	}
	return fs.at(int(n.family))
}

func (fs *families) release(number uint32) {
	if number != 0 {
		*fs.at(int(number)) = family{first: nodeID(fs.free)}
		fs.free = number
	}
}

const (
	chunkBits = 10
	chunkLen  = 1 << chunkBits
)

type nodeChunk [chunkLen]node

// nodes is the slab of znodes.
type nodes struct {
	chunks []*nodeChunk // nil for a chunk without any znode
	block  []nodeChunk  // for the next chunks
	used   nodeID       // slots ever used, slot 0 included
	free   nodeID       // first slot to use again
	holes  []uint32     // chunks that are nil
}

func (s *nodes) at(id nodeID) *node { return &s.chunks[id>>chunkBits][id&(chunkLen-1)] }

// reserve makes room for slot id.
func (s *nodes) reserve(id nodeID) {
	c := int(id >> chunkBits)
	for c >= len(s.chunks) {
		s.chunks = append(s.chunks, nil)
	}
	if s.chunks[c] == nil {
		s.chunks[c] = s.chunk()
	}
	if id >= s.used {
		s.used = id + 1
	}
}

func (s *nodes) chunk() *nodeChunk {
	if len(s.block) == 0 {
		s.block = make([]nodeChunk, blockOf(int(s.used>>chunkBits)))
	}
	c := &s.block[0]
	s.block = s.block[1:]
	return c
}

// alloc takes a free slot. Its flagsKept are valid, everything else is zero.
func (s *nodes) alloc() nodeID {
	if s.free == none && len(s.holes) > 0 {
		last := len(s.holes) - 1
		c := s.holes[last]
		s.holes = s.holes[:last]
		s.chunks[c] = s.chunk()
		for i := nodeID(chunkLen); i > 0; i-- {
			s.offer(nodeID(c)<<chunkBits + i - 1)
		}
	}
	if id := s.free; id != none {
		n := s.at(id)
		s.free, n.next = n.next, none
		return id
	}
	id := max(s.used, root)
	s.reserve(id)
	return id
}

// release clears a slot and offers it again.
func (s *nodes) release(id nodeID) {
	n := s.at(id)
	*n = node{size: n.size & flagsKept}
	s.offer(id)
}

func (s *nodes) offer(id nodeID) {
	s.at(id).next = s.free
	s.free = id
}
