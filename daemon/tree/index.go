package tree

import (
	"bytes"
	"hash/maphash"
)

// index finds a child by its parent and its name. It is cut into shards so that no
// single insertion moves more than one shard's entries.
type index struct {
	seed   maphash.Seed
	shards [indexShards]shard
}

const (
	shardBits   = 12
	indexShards = 1 << shardBits
	minShard    = 8
)

// shard is an open-addressing table: hash in the high half of an entry, znode in the
// low one; 0 is free.
type shard struct {
	slots []uint64
	count int
}

func newIndex() *index { return &index{seed: maphash.MakeSeed()} }

func (x *index) hash(parent nodeID, name []byte) uint32 {
	h := maphash.Bytes(x.seed, name) ^ uint64(parent)*0x9E3779B97F4A7C15
	h ^= h >> 29
	h *= 0xBF58476D1CE4E5B9
	return uint32(h >> 32)
}

func (x *index) shard(hash uint32) *shard { return &x.shards[hash>>(32-shardBits)] }

// find returns the child of that name, or none.
func (t *Tree) find(parent nodeID, name []byte) nodeID {
	h := t.index.hash(parent, name)
	s := t.index.shard(h)
	if s.count == 0 {
		return none
	}
	mask := uint32(len(s.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		e := s.slots[i]
		if e == 0 {
			return none
		}
		if uint32(e>>32) != h {
			continue
		}
		id := nodeID(e)
		if n := t.nodes.at(id); n.parent == parent && bytes.Equal(t.nameOf(n), name) {
			return id
		}
	}
}

func (x *index) insert(parent nodeID, name []byte, id nodeID) {
	h := x.hash(parent, name)
	s := x.shard(h)
	if (s.count+1)*8 > len(s.slots)*7 {
		s.grow()
	}
	s.put(uint64(h)<<32 | uint64(id))
	s.count++
}

func (s *shard) put(e uint64) {
	mask := uint32(len(s.slots) - 1)
	i := uint32(e>>32) & mask
	for s.slots[i] != 0 {
		i = (i + 1) & mask
	}
	s.slots[i] = e
}

func (s *shard) grow() {
	old := s.slots
	s.slots = make([]uint64, max(2*len(old), minShard))
	for _, e := range old {
		if e != 0 {
			s.put(e)
		}
	}
}

// remove takes a child out, and moves up the entries behind it.
func (x *index) remove(parent nodeID, name []byte, id nodeID) {
	h := x.hash(parent, name)
	s := x.shard(h)
	mask := uint32(len(s.slots) - 1)
	i := h & mask
	for s.slots[i] != uint64(h)<<32|uint64(id) {
		if s.slots[i] == 0 {
			panic("tree: a znode is missing from the index")
		}
		i = (i + 1) & mask
	}
	s.count--
	for j := (i + 1) & mask; s.slots[j] != 0; j = (j + 1) & mask {
		home := uint32(s.slots[j]>>32) & mask
		if (j-home)&mask >= (j-i)&mask {
			s.slots[i] = s.slots[j]
			i = j
		}
	}
	s.slots[i] = 0
}
