package tree

import (
	"bytes"
	"hash/maphash"
	"math"
)

// index is a hash table of numbers, cut into shards so that no single insertion moves
// more than one shard's entries.
type index struct {
	seed   maphash.Seed
	shards []shard
	shift  uint // of a hash, to get its shard
}

// shard is an open-addressing table: hash in the high half of an entry, number in the
// low one; 0 is free, so number 0 cannot be held.
type shard struct {
	slots []uint64
	count int
}

const (
	minShard  = 8
	nodeBits  = 12 // shards of the index of znodes, as a power of two
	watchBits = 10
)

func newIndex(bits uint) index {
	return index{seed: maphash.MakeSeed(), shards: make([]shard, 1<<bits), shift: 32 - bits}
}

// mix joins the hash of a text with a number.
func mix(h uint64, n uint32) uint32 {
	h ^= uint64(n) * 0x9E3779B97F4A7C15
	h ^= h >> 29
	h *= 0xBF58476D1CE4E5B9
	return uint32(h >> 32)
}

func (x *index) shard(hash uint32) *shard { return &x.shards[hash>>x.shift] }

// home is where an entry with that hash belongs. The bits that chose the shard are
// shifted out by a multiplication, which also spreads the others.
func (s *shard) home(hash uint32) int {
	return int(uint64(hash*0x9E3779B1) * uint64(len(s.slots)) >> 32)
}

func (t *Tree) nameHash(parent nodeID, name []byte) uint32 {
	return mix(maphash.Bytes(t.index.seed, name), uint32(parent))
}

// find returns the child of that name, or none.
func (t *Tree) find(parent nodeID, name []byte) nodeID {
	h := t.nameHash(parent, name)
	s := t.index.shard(h)
	if s.count == 0 {
		return none
	}
	for i := s.home(h); ; {
		e := s.slots[i]
		if e == 0 {
			return none
		}
		if uint32(e>>32) == h {
			id := nodeID(e)
			if n := t.nodes.at(id); n.parent == parent && bytes.Equal(t.nameOf(n), name) {
				return id
			}
		}
		if i++; i == len(s.slots) {
			i = 0
		}
	}
}

// find returns the number with that hash that same accepts, or 0.
func (x *index) find(hash uint32, same func(id uint32) bool) uint32 {
	s := x.shard(hash)
	if s.count == 0 {
		return 0
	}
	for i := s.home(hash); s.slots[i] != 0; {
		if e := s.slots[i]; uint32(e>>32) == hash && same(uint32(e)) {
			return uint32(e)
		}
		if i++; i == len(s.slots) {
			i = 0
		}
	}
	return 0
}

func (x *index) insert(hash, id uint32) {
	s := x.shard(hash)
	if (s.count+1)*5 > len(s.slots)*4 {
		s.grow()
	}
	s.put(uint64(hash)<<32 | uint64(id))
	s.count++
}

// reserve makes room for n entries, if they are spread as evenly as hashes are.
func (x *index) reserve(n int) {
	each := n >> (32 - x.shift)
	if each == 0 {
		return // a small tree: most shards stay empty
	}
	each += 4*int(math.Sqrt(float64(each))) + minShard // four deviations more
	for i := range x.shards {
		x.shards[i].slots = make([]uint64, each*5/4)
	}
}

func (s *shard) put(e uint64) {
	i := s.home(uint32(e >> 32))
	for s.slots[i] != 0 {
		if i++; i == len(s.slots) {
			i = 0
		}
	}
	s.slots[i] = e
}

func (s *shard) grow() {
	old := s.slots
	s.slots = make([]uint64, max(len(old)+len(old)/2, minShard))
	for _, e := range old {
		if e != 0 {
			s.put(e)
		}
	}
}

// remove takes an entry out, and moves up the entries behind it.
func (x *index) remove(hash, id uint32) {
	s := x.shard(hash)
	n := len(s.slots)
	i := s.home(hash)
	for s.slots[i] != uint64(hash)<<32|uint64(id) {
		if s.slots[i] == 0 {
			panic("tree: an entry is missing from the index")
		}
		i = (i + 1) % n
	}
	s.count--
	for j := (i + 1) % n; s.slots[j] != 0; j = (j + 1) % n {
		home := s.home(uint32(s.slots[j] >> 32))
		if (j-home+n)%n >= (j-i+n)%n {
			s.slots[i] = s.slots[j]
			i = j
		}
	}
	s.slots[i] = 0
}
