package tree

import (
	"fmt"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// check compares everything that is kept with what it would be if it were counted now.
// It looks at the whole tree and is meant for tests and for builds with the tag
// "invariants".
func (t *Tree) check() error {
	c := checker{t: t, refs: make([]int32, t.acls.used), cells: make(map[[2]uint32]string)}
	c.nodes()
	c.acls()
	c.reaper()
	c.watches()
	c.quotas()
	c.lists()
	return c.err
}

type checker struct {
	t     *Tree
	refs  []int32              // of each ACL
	cells map[[2]uint32]string // what uses each cell, by class and number
	err   error
}

// want keeps the first thing that is not as it should be.
func (c *checker) want(ok bool, format string, args ...any) {
	if !ok && c.err == nil {
		c.err = fmt.Errorf("tree: invariant: "+format, args...)
	}
}

func (c *checker) cell(ref uint32, size int, owner string) {
	key := [2]uint32{cellClasses, ref}
	if size <= maxCell {
		class, _ := classOf(size)
		key[0] = uint32(class)
	}
	other, used := c.cells[key]
	c.want(!used, "%s and %s share a cell", other, owner)
	c.cells[key] = owner
}

func (c *checker) nodes() {
	t, live, ephemerals, reapable := c.t, 0, 0, 0
	var size int64
	var digest uint64
	t.descend(root, func(id nodeID) {
		n := t.nodes.at(id)
		path := string(t.appendPath(nil, id))
		live++
		var z full
		t.load(n, &z)
		size += int64(len(path) + len(z.data))
		digest += uint64(t.digest.of(n, []byte(path), &z))
		c.refs[n.acl]++
		c.want(n.live(), "%s is not live", path)
		c.want(t.lookup([]byte(path)) == id, "%s is not found", path)
		c.cell(n.cell, n.cellSize(), path)
		children := uint32(0)
		prev := none
		for child := z.first; child != none; child = t.nodes.at(child).next {
			children++
			c.want(t.nodes.at(child).prev == prev, "the children of %s are not linked both ways", path)
			prev = child
		}
		c.want(children == z.children, "%s has %d children and counts %d", path, children, z.children)
		switch t.kindOf(z.owner) {
		case kindEphemeral:
			ephemerals++
			set := t.ephemerals[proto.SessionID(z.owner)]
			c.want(set != nil && set.find(id) >= 0, "%s is not in its session's set", path)
		case kindContainer, kindTTL:
			reapable++
			c.want(t.reaper.holds(id), "%s is not in the heap", path)
		}
	})
	for id, kept := range t.tallies.byNode {
		count := -1
		t.descend(id, func(nodeID) { count++ })
		c.want(count == kept, "znode %d has %d below it, kept %d", id, count, kept)
	}
	listed := 0
	for _, set := range t.ephemerals {
		listed += set.len()
	}
	c.want(live == t.numNodes, "%d znodes, counted %d", live, t.numNodes)
	c.want(size == t.dataBytes, "%d bytes, counted %d", size, t.dataBytes)
	c.want(digest == t.digest.sum, "the digest is %x, kept %x", digest, t.digest.sum)
	c.want(ephemerals == t.numEphem && ephemerals == listed, "%d ephemerals, counted %d, listed %d",
		ephemerals, t.numEphem, listed)
	c.want(reapable == t.reaper.heap.len(), "%d reapable znodes, %d in the heap", reapable, t.reaper.heap.len())
}

func (c *checker) acls() {
	t, live := c.t, 0
	for _, first := range t.overlay.byHash {
		for ch := first; ch != nil; ch = ch.next {
			if ch.exists {
				c.refs[ch.acl]++
			}
		}
	}
	for id := range t.acls.used {
		if !t.acls.has(id) {
			continue
		}
		l := t.acls.at(id)
		c.want(l.refs == c.refs[id], "ACL %d has %d references, counted %d", id, c.refs[id], l.refs)
		live++
		c.want(t.acls.ids[string(l.encoded)] == id, "ACL %d is not found", id)
		c.want(l.refs > 0 || l.idle, "ACL %d is lost", id)
	}
	weight := 0
	for _, id := range t.acls.idle {
		weight += len(t.acls.at(id).encoded)
	}
	c.want(weight == t.acls.weight, "%d bytes of idle ACLs, counted %d", weight, t.acls.weight)
	c.want(live == t.acls.live && live == len(t.acls.ids), "%d ACLs, counted %d", live, t.acls.live)
}

func (c *checker) reaper() {
	r := &c.t.reaper
	c.want(r.heap.len() == len(r.pos), "%d reapable znodes in the heap, %d listed", r.heap.len(), len(r.pos))
	for i := range r.heap.len() {
		e := r.heap.at(i)
		c.want(int(r.pos[e.id]) == i, "znode %d is not at its place in the heap", e.id)
		c.want(i == 0 || r.heap.at((i-1)/2).at <= e.at, "the heap is out of order at %d", i)
	}
}

func (c *checker) watches() {
	w := &c.t.watches
	var entries, data, child, recursive, dataPaths, dataWatchers int
	for i := 1; i < w.paths.len(); i++ {
		p := w.paths.at(i)
		if p.size == 0 && p.hash == 0 {
			continue // free
		}
		text := string(w.textOf(p))
		c.cell(p.cell, max(int(p.size), 1), "the watch on "+text)
		c.want(w.findPath([]byte(text)) == uint32(i), "the watched path %q is not found", text)
		here := 0
		for id := p.first; id != 0; id = w.watches.at(int(id)).next {
			e := w.watches.at(int(id))
			c.want(w.findBoth(uint32(i), e.watcher) == id, "the watch of %d on %q is not found", e.watcher, text)
			entries++
			here += step(false, e.modes&dataModes != 0)
			recursive += step(false, e.modes&watchRecursive != 0)
			if !w.watchers.at(int(e.watcher)).gone {
				data += step(false, e.modes&dataModes != 0)
				child += step(false, e.modes&childModes != 0)
			}
		}
		c.want(here == int(p.data), "%d data watches on %q, counted %d", here, text, p.data)
		dataPaths += step(false, here > 0)
	}
	mine := 0
	for _, n := range append(append([]uint32(nil), w.numbers...), w.gone...) {
		m := w.watchers.at(int(n))
		for id := m.first; n != 0 && id != 0; id = w.watches.at(int(id)).nextMine {
			mine++
		}
		dataWatchers += step(false, n != 0 && m.data > 0 && !m.gone)
	}
	c.want(entries == w.entries && mine == entries, "%d watches, counted %d, listed %d", entries, w.entries, mine)
	c.want(data == w.data && child == w.child && recursive == w.recursive &&
		dataPaths == w.dataPaths && dataWatchers == w.dataWatchers, "the watch counts are wrong")
}

func (c *checker) quotas() {
	t := c.t
	for path, q := range t.quotas.byPath {
		limits := t.lookup([]byte(quotaPath + path + "/" + limitsName))
		stats := t.lookup([]byte(quotaPath + path + "/" + statsName))
		c.want(limits != none && stats == q.stats, "the quota of %s does not know its znodes", path)
		if stats != none && q.usedOK {
			text := t.dataOf(t.nodes.at(stats))
			used, ok := parseLimits(text)
			c.want(ok && used.count == q.used.count && used.bytes == q.used.bytes,
				"the quota of %s is not %s", path, text)
		}
	}
}

func (c *checker) lists() {
	t := c.t
	for id, b := range t.lists.byNode {
		n := t.nodes.at(id)
		d := jute.NewDecoder(b)
		count := d.Count(4)
		c.want(n.live() && count == int(t.family(n).children), "the kept list of znode %d has %d names", id, count)
		for range count {
			c.want(t.find(id, d.Buffer()) != none, "the kept list of znode %d is stale", id)
		}
	}
}
