package tree

import (
	"github.com/zkd-project/zkd/daemon/proto"
)

// Event is a watch event: what happened to which path, and whom to tell. ACL is the
// list under which a client must be allowed to read to be told.
type Event struct {
	Type     proto.EventType
	Path     []byte
	ACL      ACLID
	Watchers []WatcherID
}

// watches are the watches and the events that fired.
// Source: WatchManager.java, DataTree.java.
type watches struct {
	watchTable

	events  []Event
	waiting []WatcherID // the watchers of the events
	text    []byte      // their paths

	told []uint32 // by watcher: the round in which it was told last
	turn uint32
}

func newWatches(c *cells) watches { return watches{watchTable: newWatchTable(c)} }

// DropWatcher removes every watch of a connection that is gone.
func (t *Tree) DropWatcher(w WatcherID) { t.watches.drop(w) }

// Events are the events that fired since ClearEvents, in the order in which each client
// must see them. They are good until then.
func (t *Tree) Events() []Event { return t.watches.events }

// ClearEvents forgets the events.
func (t *Tree) ClearEvents() {
	w := &t.watches
	clear(w.events)
	w.events, w.waiting, w.text = w.events[:0], w.waiting[:0], w.text[:0]
	if cap(w.waiting) > 1<<16 {
		w.waiting = nil
	}
}

// fire triggers the data table.
func (t *Tree) fire(typ proto.EventType, path []byte, acl ACLID) {
	if w := &t.watches; w.entries > 0 {
		start := w.round()
		w.collect(path, dataModes)
		w.ancestors(path)
		w.emit(Event{Type: typ, Path: path, ACL: acl}, start)
	}
}

// fireChildren triggers the child table of a parent; "" is the root.
func (t *Tree) fireChildren(parent nodeID, path []byte) {
	if w := &t.watches; w.child > 0 {
		if len(path) == 0 {
			path = rootPath
		}
		start := w.round()
		w.collect(path, childModes)
		w.emit(Event{Type: proto.EventNodeChildrenChanged, Path: path, ACL: t.nodes.at(parent).acl}, start)
	}
}

// fireDeleted triggers both tables; who hears of it from the one is not told again by
// the other.
func (t *Tree) fireDeleted(path []byte, acl ACLID) {
	if w := &t.watches; w.entries > 0 {
		start := w.round()
		w.collect(path, allModes)
		w.ancestors(path)
		w.emit(Event{Type: proto.EventNodeDeleted, Path: path, ACL: acl}, start)
	}
}

// round starts the collection of one event's watchers.
func (w *watches) round() (start int) {
	w.turn++
	if w.turn == 0 {
		clear(w.told)
		w.turn = 1
	}
	return len(w.waiting)
}

// tell adds a watcher to the event, once a round.
func (w *watches) tell(id WatcherID) {
	for int(id) >= len(w.told) {
		w.told = append(w.told, 0)
	}
	if w.told[id] != w.turn {
		w.told[id] = w.turn
		w.waiting = append(w.waiting, id)
	}
}

// collect tells those who watch path in one of these modes, and uses up their standard
// watches.
func (w *watches) collect(path []byte, modes watchModes) {
	p := w.findPath(path)
	if p == 0 {
		return
	}
	for id := w.paths.at(int(p)).first; id != 0; {
		e := w.watches.at(int(id))
		at := id
		id = e.next
		mine := w.watchers.at(int(e.watcher))
		if e.modes&modes == 0 || mine.gone {
			continue
		}
		w.tell(mine.id)
		if used := e.modes & modes & (watchData | watchChild); used != 0 {
			w.setModes(at, e.modes&^used)
		}
	}
}

// ancestors tells those who watch something above path recursively.
func (w *watches) ancestors(path []byte) {
	if w.recursive == 0 {
		return
	}
	for p := path; len(p) > 1; {
		if p = parentPath(p); len(p) == 0 {
			p = rootPath
		}
		at := w.findPath(p)
		if at == 0 {
			continue
		}
		for id := w.paths.at(int(at)).first; id != 0; {
			e := w.watches.at(int(id))
			if mine := w.watchers.at(int(e.watcher)); e.modes&watchRecursive != 0 && !mine.gone {
				w.tell(mine.id)
			}
			id = e.next
		}
	}
}

// emit queues an event for the watchers from start on, if there are any.
func (w *watches) emit(ev Event, start int) {
	if len(w.waiting) == start {
		return
	}
	at := len(w.text)
	w.text = append(w.text, ev.Path...)
	ev.Path = w.text[at:len(w.text):len(w.text)]
	ev.Watchers = w.waiting[start:len(w.waiting):len(w.waiting)]
	w.events = append(w.events, ev)
}

// Watched calls f for each path in the data table with its watchers, which is what the
// words wchc and wchp show. The watchers are good during the call.
func (t *Tree) Watched(f func(path string, watchers []WatcherID)) {
	var ids []WatcherID
	w := &t.watches
	for i := range w.paths.len() {
		p := w.paths.at(i)
		if p.data == 0 {
			continue
		}
		ids = ids[:0]
		for id := p.first; id != 0; {
			e := w.watches.at(int(id))
			if mine := w.watchers.at(int(e.watcher)); e.modes&dataModes != 0 && !mine.gone {
				ids = append(ids, mine.id)
			}
			id = e.next
		}
		if len(ids) == 0 {
			continue
		}
		f(string(w.textOf(p)), ids)
	}
}

// WatchSummary counts the data table: connections, paths, and watches.
func (t *Tree) WatchSummary() (watchers, paths, total int) {
	w := &t.watches
	return w.dataWatchers, w.dataPaths, w.data
}
