package tree

import (
	"github.com/zkd-project/zkd/daemon/proto"
)

// Counts are the tree's sizes. All of them are kept, not counted.
type Counts struct {
	Znodes     int   // real ones; Apache reports one more, as it files the root twice
	Ephemerals int   // owned by sessions
	DataBytes  int64 // lengths of paths and data
	Sessions   int
	Watches    int // in both tables
	Reapable   int // containers and TTL znodes
}

// Counts tells how much there is in the tree.
func (t *Tree) Counts() Counts {
	return Counts{
		Znodes: t.numNodes, Ephemerals: t.numEphem, DataBytes: t.dataBytes, Sessions: len(t.sessions),
		Watches: t.watches.data + t.watches.child, Reapable: t.reaper.heap.len(),
	}
}

// Session is the timeout of a session in milliseconds, and whether the session exists.
func (t *Tree) Session(id proto.SessionID) (timeout int32, ok bool) {
	timeout, ok = t.sessions[id]
	return timeout, ok
}

// Sessions calls f for each session, in no order.
func (t *Tree) Sessions(f func(id proto.SessionID, timeout int32)) {
	for id, timeout := range t.sessions {
		f(id, timeout)
	}
}

// EphemeralsOf calls f for the path of each ephemeral of a session. The path is only
// good during the call.
func (t *Tree) EphemeralsOf(s proto.SessionID, f func(path []byte)) {
	set := t.ephemerals[s]
	if set == nil {
		return
	}
	for _, id := range set.list {
		t.pathBuf = t.appendPath(t.pathBuf[:0], id)
		f(t.pathBuf)
	}
}

// VisitEphemerals calls f for each session that owns ephemerals.
func (t *Tree) VisitEphemerals(f func(s proto.SessionID, count int)) {
	for s, set := range t.ephemerals {
		f(s, set.len())
	}
}

// Znode is one znode as tools see it. Its slices are good until the next call.
type Znode struct {
	Path []byte
	Data []byte
	ACLs []proto.ACL
	Stat proto.Stat
}

// Lookup finds the znode at path.
func (t *Tree) Lookup(path string) (Znode, bool) {
	id := t.lookup([]byte(path))
	if id == none {
		return Znode{}, false
	}
	return t.znode(id, []byte(path)), true
}

func (t *Tree) znode(id nodeID, path []byte) Znode {
	n := t.nodes.at(id)
	var z full
	t.load(n, &z)
	return Znode{path, t.dataOf(n), t.acls.at(n.acl).acls, t.stat(n, &z)}
}

// Walk calls f for each znode of the subtree at path, parents first.
func (t *Tree) Walk(path string, f func(Znode)) {
	top := t.lookup([]byte(path))
	if top == none {
		return
	}
	for stack := []nodeID{top}; len(stack) > 0; {
		id := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		n := t.nodes.at(id)
		f(t.znode(id, t.appendPath(nil, id)))
		for c := t.family(n).first; c != none; c = t.nodes.at(c).next {
			stack = append(stack, c)
		}
	}
}
