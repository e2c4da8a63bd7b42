package tree

import (
	"github.com/zkd-project/zkd/daemon/proto"
)

// watchMode is how a connection watches a path: a set of modes in each table.
type watchMode uint8

const (
	watchStandard   watchMode = 1 << iota // used up by the first event
	watchPersistent                       // exactly this path, until removed
	watchRecursive                        // this path and everything below it
)

// Event is a watch event: what happened to which path, and whom to tell. ACL is the
// list under which a client must be allowed to read to be told.
type Event struct {
	Type     proto.EventType
	Path     []byte
	ACL      ACLID
	Watchers []WatcherID
}

// watches are the two watch tables and the events that fired.
// Source: WatchManager.java, DataTree.java.
type watches struct {
	data, child watchTable

	events   []Event
	watchers []WatcherID // of the events
	paths    []byte      // of the events

	told []uint32 // by watcher: the round in which it was told last
	turn uint32
}

func newWatches() watches {
	return watches{data: newWatchTable(), child: newWatchTable()}
}

// watchTable maps paths to watchers and back.
type watchTable struct {
	byPath    map[string]*watchSet
	byWatcher map[WatcherID][]*watchSet
	total     int
	recursive int // entries with the recursive mode
}

func newWatchTable() watchTable {
	return watchTable{byPath: make(map[string]*watchSet), byWatcher: make(map[WatcherID][]*watchSet)}
}

// watchSet is who watches one path.
type watchSet struct {
	path    string
	entries []watchEntry
	pos     map[WatcherID]int32 // only once there are many
}

type watchEntry struct {
	watcher WatcherID
	modes   watchMode
	back    int32 // place in the watcher's list of sets
}

func (s *watchSet) find(w WatcherID) int {
	if s.pos != nil {
		if i, ok := s.pos[w]; ok {
			return int(i)
		}
		return -1
	}
	for i := range s.entries {
		if s.entries[i].watcher == w {
			return i
		}
	}
	return -1
}

// add registers a watch; one that is there already changes nothing.
func (t *watchTable) add(path []byte, w WatcherID, mode watchMode) {
	s := t.byPath[string(path)]
	if s == nil {
		s = &watchSet{path: string(path)}
		t.byPath[s.path] = s
	}
	i := s.find(w)
	if i < 0 {
		i = len(s.entries)
		sets := t.byWatcher[w]
		s.entries = append(s.entries, watchEntry{w, 0, int32(len(sets))})
		t.byWatcher[w] = append(sets, s)
		s.indexFrom(i)
		t.total++
	}
	if e := &s.entries[i]; mode == watchRecursive && e.modes&watchRecursive == 0 {
		t.recursive++
	}
	s.entries[i].modes |= mode
}

// indexFrom keeps the index of a long list: entry i is new.
func (s *watchSet) indexFrom(i int) {
	switch {
	case s.pos != nil:
		s.pos[s.entries[i].watcher] = int32(i)
	case len(s.entries) > longSet:
		s.pos = make(map[WatcherID]int32, 2*longSet)
		for j := range s.entries {
			s.pos[s.entries[j].watcher] = int32(j)
		}
	}
}

// strip takes modes from entry i, and the entry away if none is left.
func (t *watchTable) strip(s *watchSet, i int, modes watchMode) {
	e := &s.entries[i]
	if e.modes&modes&watchRecursive != 0 {
		t.recursive--
	}
	if e.modes &^= modes; e.modes != 0 {
		return
	}
	w, back := e.watcher, e.back
	t.forget(w, back)
	last := len(s.entries) - 1
	moved := s.entries[last]
	s.entries[i] = moved
	s.entries = s.entries[:last]
	if s.pos != nil {
		s.pos[moved.watcher] = int32(i)
		delete(s.pos, w)
	}
	t.total--
	if last == 0 {
		delete(t.byPath, s.path)
	}
}

// forget takes the set at place back out of a watcher's list.
func (t *watchTable) forget(w WatcherID, back int32) {
	sets := t.byWatcher[w]
	last := len(sets) - 1
	moved := sets[last]
	sets[back], sets[last] = moved, nil
	if int(back) != last {
		moved.entries[moved.find(w)].back = back
	}
	if last == 0 {
		delete(t.byWatcher, w)
		return
	}
	t.byWatcher[w] = sets[:last]
}

// drop removes everything of a watcher.
func (t *watchTable) drop(w WatcherID) {
	for len(t.byWatcher[w]) > 0 {
		sets := t.byWatcher[w]
		s := sets[len(sets)-1]
		t.strip(s, s.find(w), watchStandard|watchPersistent|watchRecursive)
	}
}

// remove takes modes from one watch, and says whether it had any of them.
func (t *watchTable) remove(path []byte, w WatcherID, modes watchMode) bool {
	s := t.byPath[string(path)]
	if s == nil {
		return false
	}
	i := s.find(w)
	if i < 0 || s.entries[i].modes&modes == 0 {
		return false
	}
	t.strip(s, i, modes)
	return true
}

// has says whether the watcher watches path in one of these modes.
func (t *watchTable) has(path []byte, w WatcherID, modes watchMode) bool {
	s := t.byPath[string(path)]
	if s == nil {
		return false
	}
	i := s.find(w)
	return i >= 0 && s.entries[i].modes&modes != 0
}

// DropWatcher removes every watch of a connection that is gone.
func (t *Tree) DropWatcher(w WatcherID) {
	t.watches.data.drop(w)
	t.watches.child.drop(w)
}

// Events are the events that fired since ClearEvents, in the order in which each client
// must see them. They are good until then.
func (t *Tree) Events() []Event { return t.watches.events }

// ClearEvents forgets the events.
func (t *Tree) ClearEvents() {
	w := &t.watches
	clear(w.events)
	w.events, w.watchers, w.paths = w.events[:0], w.watchers[:0], w.paths[:0]
	if cap(w.watchers) > 1<<16 {
		w.watchers = nil
	}
}

// fire triggers the data table.
func (t *Tree) fire(typ proto.EventType, path []byte, acl ACLID) {
	start := t.watches.round()
	t.watches.collect(&t.watches.data, path)
	t.watches.emit(Event{Type: typ, Path: path, ACL: acl}, start)
}

// fireChildren triggers the child table of a parent; "" is the root.
func (t *Tree) fireChildren(parent nodeID, path []byte) {
	if len(path) == 0 {
		path = rootPath
	}
	start := t.watches.round()
	t.watches.collect(&t.watches.child, path)
	t.watches.emit(Event{Type: proto.EventNodeChildrenChanged, Path: path, ACL: t.nodes.at(parent).acl}, start)
}

// fireDeleted triggers both tables; who hears of it from the one is not told again by
// the other.
func (t *Tree) fireDeleted(path []byte, acl ACLID) {
	w := &t.watches
	start := w.round()
	w.collect(&w.data, path)
	w.collect(&w.child, path)
	w.emit(Event{Type: proto.EventNodeDeleted, Path: path, ACL: acl}, start)
}

// round starts the collection of one event's watchers.
func (w *watches) round() (start int) {
	w.turn++
	if w.turn == 0 {
		clear(w.told)
		w.turn = 1
	}
	return len(w.watchers)
}

// tell adds a watcher to the event, once a round.
func (w *watches) tell(id WatcherID) {
	for int(id) >= len(w.told) {
		w.told = append(w.told, 0)
	}
	if w.told[id] != w.turn {
		w.told[id] = w.turn
		w.watchers = append(w.watchers, id)
	}
}

// collect tells the watchers of path, uses up their standard watches, and tells those
// who watch an ancestor recursively.
func (w *watches) collect(t *watchTable, path []byte) {
	if t.total == 0 {
		return
	}
	if s := t.byPath[string(path)]; s != nil {
		for i := len(s.entries) - 1; i >= 0; i-- {
			e := s.entries[i]
			w.tell(e.watcher)
			if e.modes&watchStandard != 0 {
				t.strip(s, i, watchStandard)
			}
		}
	}
	if t.recursive == 0 {
		return
	}
	for p := path; len(p) > 1; {
		if p = parentPath(p); len(p) == 0 {
			p = rootPath
		}
		s := t.byPath[string(p)]
		if s == nil {
			continue
		}
		for _, e := range s.entries {
			if e.modes&watchRecursive != 0 {
				w.tell(e.watcher)
			}
		}
	}
}

// emit queues an event for the watchers from start on, if there are any.
func (w *watches) emit(ev Event, start int) {
	if len(w.watchers) == start {
		return
	}
	at := len(w.paths)
	w.paths = append(w.paths, ev.Path...)
	ev.Path = w.paths[at:len(w.paths):len(w.paths)]
	ev.Watchers = w.watchers[start:len(w.watchers):len(w.watchers)]
	w.events = append(w.events, ev)
}

// Watched calls f for each path in the data table with its watchers, which is what the
// words wchc and wchp show. Both are good during the call.
func (t *Tree) Watched(f func(path string, watchers []WatcherID)) {
	var ids []WatcherID
	for path, s := range t.watches.data.byPath {
		ids = ids[:0]
		for _, e := range s.entries {
			ids = append(ids, e.watcher)
		}
		f(path, ids)
	}
}

// WatchSummary counts the data table: connections, paths, and watches of both kinds.
func (t *Tree) WatchSummary() (watchers, paths, total int) {
	d := &t.watches.data
	return len(d.byWatcher), len(d.byPath), d.total
}
