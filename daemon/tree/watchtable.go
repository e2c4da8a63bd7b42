package tree

import (
	"bytes"
	"hash/maphash"
)

// watchModes is how a connection watches a path. Apache keeps two tables, for data and
// for children; here one entry stands for both, and each mode for its place in them.
type watchModes uint8

const (
	watchData       watchModes = 1 << iota // standard, data table: used up by the first event
	watchChild                             // standard, child table
	watchPersistent                        // both tables, until removed
	watchRecursive                         // data table: this path and everything below it

	dataModes  = watchData | watchPersistent | watchRecursive
	childModes = watchChild | watchPersistent
	allModes   = dataModes | childModes
)

// watch is one connection's watch of one path. It holds no pointer, as there may be
// millions.
type watch struct {
	path, watcher      uint32 // numbers of the watched path and of the watcher
	next, prev         uint32 // in the path's list
	nextMine, prevMine uint32 // in the watcher's list
	modes              watchModes
}

// watchedPath is a path that somebody watches.
type watchedPath struct {
	first      uint32 // watch; of a free place, the next free one
	cell, size uint32 // the text
	hash       uint32
	data       uint32 // watches in the data table
}

// watcher is one connection that watches something. Its number is not its WatcherID: a
// connection that goes leaves its watches behind, to be removed bit by bit.
type watcher struct {
	first       uint32 // watch; of a free place, the next free one
	data, child uint32 // watches in Apache's tables
	id          WatcherID
	gone        bool
}

// watchTable maps paths to watchers and back.
type watchTable struct {
	cells     *cells
	watches   vec[watch] // number 0 is not used
	paths     vec[watchedPath]
	watchers  vec[watcher]
	numbers   []uint32 // of watchers, by WatcherID; 0 is none
	gone      []uint32 // watchers whose watches are to be removed
	byPath    index
	byBoth    index // by path and watcher
	entries   int
	recursive int // entries with the recursive mode

	free, freePath, freeWatcher uint32 // the first free places

	data, child             int // entries of Apache's tables, without those of who is gone
	dataPaths, dataWatchers int // those with entries in the data table
}

// sweepAtOnce and sweepBit are how many watches of a connection that is gone are removed
// when it goes, and along with each change.
const (
	sweepAtOnce = 512
	sweepBit    = 16
)

func newWatchTable(c *cells) watchTable {
	t := watchTable{cells: c, byPath: newIndex(watchBits), byBoth: newIndex(watchBits)}
	t.watches.push(watch{})
	t.paths.push(watchedPath{})
	t.watchers.push(watcher{})
	return t
}

// textOf is the path itself. The empty one has a cell too.
func (t *watchTable) textOf(p *watchedPath) []byte {
	return t.cells.at(p.cell, max(int(p.size), 1))[:p.size]
}

// findPath is the number of a path, or 0.
func (t *watchTable) findPath(path []byte) uint32 {
	if t.entries == 0 {
		return 0
	}
	return t.byPath.find(t.pathHash(path), func(id uint32) bool {
		return bytes.Equal(t.textOf(t.paths.at(int(id))), path)
	})
}

func (t *watchTable) pathHash(path []byte) uint32 { return mix(maphash.Bytes(t.byPath.seed, path), 0) }

func bothHash(path, w uint32) uint32 { return mix(uint64(path)*0xFF51AFD7ED558CCD, w) }

// number is the number of a watcher, or 0.
func (t *watchTable) number(w WatcherID) uint32 {
	if int(w) >= len(t.numbers) {
		return 0
	}
	return t.numbers[w]
}

// find is the number of a watch, or 0.
func (t *watchTable) find(path []byte, w WatcherID) uint32 {
	n := t.number(w)
	if n == 0 {
		return 0
	}
	if p := t.findPath(path); p != 0 {
		return t.findBoth(p, n)
	}
	return 0
}

func (t *watchTable) findBoth(path, w uint32) uint32 {
	return t.byBoth.find(bothHash(path, w), func(id uint32) bool {
		e := t.watches.at(int(id))
		return e.path == path && e.watcher == w
	})
}

// add registers a watch; one that is there already changes nothing.
func (t *watchTable) add(path []byte, w WatcherID, modes watchModes) {
	t.sweep(sweepBit)
	p, n := t.findPath(path), t.number(w)
	if p == 0 {
		p = t.addPath(path)
	}
	if n == 0 {
		n = t.addWatcher(w)
	}
	id := t.findBoth(p, n)
	if id == 0 {
		id = t.addWatch(p, n)
	}
	t.setModes(id, t.watches.at(int(id)).modes|modes)
}

func (t *watchTable) addPath(path []byte) uint32 {
	id := t.freePath
	if id != 0 {
		t.freePath = t.paths.at(int(id)).first
	} else {
		id = uint32(t.paths.len())
		t.paths.push(watchedPath{})
	}
	p := t.paths.at(int(id))
	*p = watchedPath{cell: t.cells.alloc(max(len(path), 1)), size: uint32(len(path)), hash: t.pathHash(path)}
	copy(t.textOf(p), path)
	t.byPath.insert(p.hash, id)
	return id
}

func (t *watchTable) addWatcher(w WatcherID) uint32 {
	n := t.freeWatcher
	if n != 0 {
		t.freeWatcher = t.watchers.at(int(n)).first
	} else {
		n = uint32(t.watchers.len())
		t.watchers.push(watcher{})
	}
	*t.watchers.at(int(n)) = watcher{id: w}
	for int(w) >= len(t.numbers) {
		t.numbers = append(t.numbers, 0)
	}
	t.numbers[w] = n
	return n
}

func (t *watchTable) addWatch(path, w uint32) uint32 {
	id := t.free
	if id != 0 {
		t.free = t.watches.at(int(id)).next
	} else {
		id = uint32(t.watches.len())
		t.watches.push(watch{})
	}
	p, mine := t.paths.at(int(path)), t.watchers.at(int(w))
	*t.watches.at(int(id)) = watch{path: path, watcher: w, next: p.first, nextMine: mine.first}
	if p.first != 0 {
		t.watches.at(int(p.first)).prev = id
	}
	if mine.first != 0 {
		t.watches.at(int(mine.first)).prevMine = id
	}
	p.first, mine.first = id, id
	t.byBoth.insert(bothHash(path, w), id)
	t.entries++
	return id
}

// setModes changes the modes of a watch, keeps count, and removes it when none is left.
func (t *watchTable) setModes(id uint32, modes watchModes) {
	e := t.watches.at(int(id))
	was := e.modes
	e.modes = modes
	t.recursive += step(was&watchRecursive != 0, modes&watchRecursive != 0)
	p, mine := t.paths.at(int(e.path)), t.watchers.at(int(e.watcher))
	data := step(was&dataModes != 0, modes&dataModes != 0)
	t.dataPaths += step(p.data > 0, int(p.data)+data > 0)
	p.data += uint32(data)
	if !mine.gone {
		child := step(was&childModes != 0, modes&childModes != 0)
		t.child += child
		mine.child += uint32(child)
		t.data += data
		t.dataWatchers += step(mine.data > 0, int(mine.data)+data > 0)
		mine.data += uint32(data)
	}
	if modes == 0 {
		t.remove(id, e)
	}
}

// step is how a count changes when something that was counted or not is or is not.
func step(was, is bool) int {
	switch {
	case is && !was:
		return 1
	case was && !is:
		return -1
	}
	return 0
}

func (t *watchTable) remove(id uint32, e *watch) {
	p, mine := t.paths.at(int(e.path)), t.watchers.at(int(e.watcher))
	t.byBoth.remove(bothHash(e.path, e.watcher), id)
	if e.prev != 0 {
		t.watches.at(int(e.prev)).next = e.next
	} else {
		p.first = e.next
	}
	if e.next != 0 {
		t.watches.at(int(e.next)).prev = e.prev
	}
	if e.prevMine != 0 {
		t.watches.at(int(e.prevMine)).nextMine = e.nextMine
	} else {
		mine.first = e.nextMine
	}
	if e.nextMine != 0 {
		t.watches.at(int(e.nextMine)).prevMine = e.prevMine
	}
	if p.first == 0 {
		t.byPath.remove(p.hash, e.path)
		t.cells.release(p.cell, max(int(p.size), 1))
		*p = watchedPath{first: t.freePath}
		t.freePath = e.path
	}
	*e = watch{next: t.free}
	t.free = id
	t.entries--
}

// drop forgets a watcher: nothing fires for it any more.
func (t *watchTable) drop(w WatcherID) {
	n := t.number(w)
	if n == 0 {
		return
	}
	mine := t.watchers.at(int(n))
	t.data -= int(mine.data)
	t.child -= int(mine.child)
	t.dataWatchers -= step(false, mine.data > 0)
	mine.gone = true
	t.numbers[w] = 0
	t.gone = append(t.gone, n)
	t.sweep(sweepAtOnce)
}

// sweep removes up to most watches of watchers that are gone.
func (t *watchTable) sweep(most int) {
	for ; most > 0 && len(t.gone) > 0; most-- {
		n := t.gone[len(t.gone)-1]
		mine := t.watchers.at(int(n))
		if mine.first != 0 {
			t.setModes(mine.first, 0)
			continue
		}
		t.gone = t.gone[:len(t.gone)-1]
		*mine = watcher{first: t.freeWatcher}
		t.freeWatcher = n
	}
}

// strip takes modes from one watch, and says whether it had any of them.
func (t *watchTable) strip(path []byte, w WatcherID, modes watchModes) bool {
	id := t.find(path, w)
	if id == 0 || t.watches.at(int(id)).modes&modes == 0 {
		return false
	}
	t.setModes(id, t.watches.at(int(id)).modes&^modes)
	return true
}

// has says whether the watcher watches path in one of these modes.
func (t *watchTable) has(path []byte, w WatcherID, modes watchModes) bool {
	id := t.find(path, w)
	return id != 0 && t.watches.at(int(id)).modes&modes != 0
}
