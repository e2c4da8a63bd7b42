package tree

import (
	"math"

	"github.com/zkd-project/zkd/daemon/proto"
)

// reaper keeps the containers and TTL znodes in a heap by the time from which they may
// be due. A time that is too early is put right when it comes up; none is too late.
// Source: ContainerManager.java.
type reaper struct {
	heap vec[reapable]
	pos  map[nodeID]int32
}

type reapable struct {
	at proto.Millis // wall time
	id nodeID
}

const (
	never = proto.Millis(math.MaxInt64)

	// reapAgain is the time after which a znode that was due and is still there is
	// due again.
	reapAgain = proto.Millis(60_000)
)

func newReaper() reaper { return reaper{pos: make(map[nodeID]int32)} }

func (r *reaper) holds(id nodeID) bool {
	if len(r.pos) == 0 {
		return false
	}
	_, ok := r.pos[id]
	return ok
}

func (r *reaper) add(id nodeID, at proto.Millis) {
	i := r.heap.len()
	r.heap.push(reapable{at, id})
	r.pos[id] = int32(i)
	r.up(i)
}

func (r *reaper) set(id nodeID, at proto.Millis) {
	i := int(r.pos[id])
	r.heap.at(i).at = at
	r.down(r.up(i))
}

func (r *reaper) remove(id nodeID) {
	i, ok := r.pos[id]
	if !ok {
		panic("tree: a container or TTL znode is not listed as one")
	}
	delete(r.pos, id)
	last := r.heap.pop()
	if last.id == id {
		return
	}
	*r.heap.at(int(i)) = last
	r.pos[last.id] = i
	r.down(r.up(int(i)))
}

func (r *reaper) up(i int) int {
	for i > 0 {
		parent := (i - 1) / 2
		if r.heap.at(parent).at <= r.heap.at(i).at {
			break
		}
		r.swap(i, parent)
		i = parent
	}
	return i
}

func (r *reaper) down(i int) {
	for {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < r.heap.len(); c++ {
			if r.heap.at(c).at < r.heap.at(least).at {
				least = c
			}
		}
		if least == i {
			return
		}
		r.swap(i, least)
		i = least
	}
}

func (r *reaper) swap(i, j int) {
	a, b := r.heap.at(i), r.heap.at(j)
	*a, *b = *b, *a
	r.pos[a.id], r.pos[b.id] = int32(i), int32(j)
}

// due is the wall time from which a container or TTL znode is to be reaped.
func (t *Tree) due(z *full) proto.Millis {
	switch {
	case z.children > 0:
		return never
	case t.kindOf(z.owner) == kindTTL:
		if z.owner&ttlMask == 0 {
			return never
		}
		return z.mtime + proto.Millis(z.owner&ttlMask) + 1
	case z.cversion > 0:
		return math.MinInt64
	case t.opt.ContainerMaxNeverUsed > 0:
		return z.mtime + t.opt.ContainerMaxNeverUsed + 1
	}
	return never
}

// Reapable calls visit for containers and TTL znodes that are due, at most limit of them;
// now is wall time. Its work is bounded by limit; what it does not get to comes first in
// the next call. A znode that is not deleted after all is visited again a minute later.
func (t *Tree) Reapable(now proto.Millis, limit int, visit func(path []byte)) {
	r := &t.reaper
	for looks := 64 + 8*limit; looks > 0 && limit > 0 && r.heap.len() > 0 && r.heap.at(0).at <= now; looks-- {
		id := r.heap.at(0).id
		var z full
		t.load(t.nodes.at(id), &z)
		if at := t.due(&z); at > now {
			r.set(id, at)
			continue
		}
		r.set(id, now+reapAgain)
		limit--
		t.pathBuf = t.appendPath(t.pathBuf[:0], id)
		visit(t.pathBuf)
	}
}

// IsDue says whether there is a container or TTL znode at path that is due, and nobody has
// promised a change of it. Since Reapable named the path, another znode may have come there,
// or a TTL znode's time may have begun anew.
func (t *Tree) IsDue(path []byte, now proto.Millis) bool {
	id := t.lookup(path)
	if id == none || !t.reaper.holds(id) || t.place(path).ch != nil {
		return false
	}
	var z full
	t.load(t.nodes.at(id), &z)
	return t.due(&z) <= now
}
