package tree

import (
	"github.com/zkd-project/zkd/daemon/proto"
)

// Options are the settings that change what the tree does.
type Options struct {
	ExtendedTypes         bool // TTL znodes
	Emulate353            bool // read TTL znodes as 3.5.3 stored them
	EnforceQuota          bool // hard quotas refuse writes
	SkipACL               bool // no ACL is checked
	Match                 Matcher
	ContainerMaxNeverUsed proto.Millis // reap containers that never had a child after this; 0 is never
}

// Matcher knows the authentication schemes.
type Matcher interface {
	// Matches says whether a connection's identity satisfies an ACL entry's of the same scheme.
	Matches(have, want proto.ID) bool
	// Valid says whether this identity may stand in an ACL; not asked for world and auth.
	Valid(id proto.ID) bool
	// Authenticated says whether an ACL entry of scheme "auth" stands for identities of this scheme.
	Authenticated(scheme string) bool
}

// WatcherID names a connection in the watch tables.
type WatcherID uint32

// Caller is the client on whose behalf a request is prepared or read.
type Caller struct {
	Session proto.SessionID
	IDs     []proto.ID
	Watcher WatcherID
}

// The system's paths. Source: DataTree.java.
const (
	systemPath = "/zookeeper"
	quotaPath  = "/zookeeper/quota"
	configPath = "/zookeeper/config"
)

// Owners that stand for no session. Source: EphemeralType.java.
const (
	ownerContainer = -1 << 63
	ownerTTL       = -1 << 56 // 0xff in the high byte
	ttlMask        = 1<<40 - 1
)

// Tree is the replicated state. Its methods must not be called concurrently.
type Tree struct {
	opt   Options
	nodes nodes
	cells cells
	index *index
	acls  *aclTable

	sessions   map[proto.SessionID]int32
	ephemerals map[proto.SessionID]*nodeSet
	containers nodeSet
	ttls       nodeSet
	numEphem   int
	dataBytes  int64 // paths and data
	numNodes   int

	last    proto.Zxid
	digest  digest
	quotas  quotas
	watches watches
	overlay overlay
	image   image
	lists   listCache

	pathBuf []byte // scratch
	arena   []byte // paths made by the last Prepare
}

// New makes a fresh database: the system's znodes and nothing else.
func New(opt Options) *Tree {
	t := newTree(opt)
	open := t.acls.add(proto.OpenACLUnsafe)
	readable := t.acls.add([]proto.ACL{{Perms: proto.PermRead, ID: proto.ID{Scheme: "world", ID: "anyone"}}})
	t.nodes.reserve(root)
	t.image.touch(t, root)
	*t.nodes.at(root) = node{nameLen: t.nodes.at(root).nameLen | flagLive, acl: open}
	t.numNodes = 1
	t.digest.sum = t.nodeDigest(root)
	sys := t.link(root, []byte("zookeeper"), []byte{}, node{acl: open})
	t.link(sys, []byte("quota"), []byte{}, node{acl: open})
	t.link(sys, []byte("config"), []byte{}, node{acl: readable, aversion: -1})
	return t
}

func newTree(opt Options) *Tree {
	return &Tree{
		opt:        opt,
		index:      newIndex(),
		acls:       newACLTable(),
		sessions:   make(map[proto.SessionID]int32),
		ephemerals: make(map[proto.SessionID]*nodeSet),
		quotas:     newQuotas(),
		watches:    newWatches(),
		overlay:    newOverlay(),
		image:      newImage(),
		lists:      newListCache(),
	}
}

// LastZxid is the zxid of the last transaction applied.
func (t *Tree) LastZxid() proto.Zxid { return t.last }

// cellOf is a znode's name and data.
func (t *Tree) cellOf(n *node) []byte { return t.cells.at(n.cell, n.cellSize()) }

func (t *Tree) nameOf(n *node) []byte { return t.cellOf(n)[:n.nameSize()] }

// dataOf is a znode's data: nil for null, and otherwise not nil. It is good until the
// znode changes, and for ever if isLarge.
func (t *Tree) dataOf(n *node) []byte {
	switch {
	case n.dataLen == nullData:
		return nil
	case n.cellSize() == 0:
		return []byte{}
	}
	return t.cellOf(n)[n.nameSize():]
}

func isLarge(n *node) bool { return n.cellSize() > maxCell }

// setCell gives a znode a name and data in a cell of their own.
func (t *Tree) setCell(n *node, name, data []byte) {
	n.nameLen = n.nameLen&^nameMask | uint32(len(name))
	n.dataLen = nullData
	if data != nil {
		n.dataLen = int32(len(data))
	}
	n.cell = t.cells.alloc(n.cellSize())
	copy(t.cellOf(n), name)
	copy(t.cellOf(n)[len(name):], data)
}

// setData replaces a znode's data. A large cell is never written twice, because
// readers may still hold it.
func (t *Tree) setData(n *node, data []byte) {
	old, oldSize, name := n.cell, n.cellSize(), n.nameSize()
	size := name + len(data)
	t.dataBytes += int64(size - oldSize)
	if size > maxCell || oldSize > maxCell || !sameClass(size, oldSize) {
		next := t.cells.alloc(size)
		copy(t.cells.at(next, size), t.nameOf(n))
		n.cell = next
		t.cells.release(old, oldSize)
	}
	n.dataLen = nullData
	if data != nil {
		n.dataLen = int32(len(data))
	}
	copy(t.cells.at(n.cell, size)[name:], data)
}

func sameClass(a, b int) bool {
	if a == 0 || b == 0 {
		return a == b
	}
	ca, _ := classOf(a)
	cb, _ := classOf(b)
	return ca == cb
}

// link makes a znode under parent; fields carries its stat fields, owner and ACL.
func (t *Tree) link(parent nodeID, name, data []byte, fields node) nodeID {
	id := t.nodes.alloc()
	t.image.touch(t, id)
	n := t.nodes.at(id)
	kept := n.nameLen & flagsKept
	*n = fields
	n.parent, n.nameLen = parent, kept|flagLive
	t.setCell(n, name, data)
	t.adopt(parent, id)
	t.account(id, 1)
	return id
}

// adopt links a znode into its parent's list of children and into the index.
func (t *Tree) adopt(parent, id nodeID) {
	n, p := t.nodes.at(id), t.nodes.at(parent)
	n.next, n.prev = p.first, none
	if p.first != none {
		t.nodes.at(p.first).prev = id
	}
	p.first = id
	p.children++
	t.index.insert(parent, t.nameOf(n), id)
	t.lists.drop(parent)
}

// account adds a znode to the counters and owner sets, or takes it out.
func (t *Tree) account(id nodeID, sign int) {
	n := t.nodes.at(id)
	t.numNodes += sign
	if t.kindOf(n.owner) == kindEphemeral {
		t.numEphem += sign
	}
	t.dataBytes += int64(sign) * int64(t.pathLen(id)+n.dataSize())
	if sign > 0 {
		t.digest.sum += t.nodeDigest(id)
	} else {
		t.digest.sum -= t.nodeDigest(id)
	}
	if n.owner == 0 {
		return
	}
	set := t.ownerSet(n.owner)
	if sign > 0 {
		set.add(id)
		return
	}
	set.remove(id)
	if s := proto.SessionID(n.owner); t.kindOf(n.owner) == kindEphemeral && set.len() == 0 {
		delete(t.ephemerals, s)
	}
}

// ownerSet is the set in which znodes of that owner are listed, and keeps the count of
// sessions' znodes through the set itself.
func (t *Tree) ownerSet(owner int64) *nodeSet {
	switch t.kindOf(owner) {
	case kindContainer:
		return &t.containers
	case kindTTL:
		return &t.ttls
	}
	s := proto.SessionID(owner)
	set := t.ephemerals[s]
	if set == nil {
		set = new(nodeSet)
		t.ephemerals[s] = set
	}
	return set
}

func (t *Tree) pathLen(id nodeID) int {
	if id == root {
		return 0
	}
	size := 0
	for ; id != root; id = t.nodes.at(id).parent {
		size += t.nodes.at(id).nameSize() + 1
	}
	return size
}

// unlink removes a znode that has no children.
func (t *Tree) unlink(id nodeID) {
	t.image.touch(t, id)
	t.account(id, -1)
	n := t.nodes.at(id)
	p := t.nodes.at(n.parent)
	t.index.remove(n.parent, t.nameOf(n), id)
	if n.prev != none {
		t.nodes.at(n.prev).next = n.next
	} else {
		p.first = n.next
	}
	if n.next != none {
		t.nodes.at(n.next).prev = n.prev
	}
	p.children--
	t.lists.drop(n.parent)
	t.lists.drop(id)
	t.cells.release(n.cell, n.cellSize())
	t.nodes.release(id)
}

// kind is what an owner makes of a znode.
type kind uint8

const (
	kindPersistent kind = iota
	kindEphemeral
	kindContainer
	kindTTL
)

func (t *Tree) kindOf(owner int64) kind {
	switch {
	case owner == 0:
		return kindPersistent
	case owner == ownerContainer:
		return kindContainer
	case t.opt.Emulate353 && owner < 0 && uint64(owner)>>56 == 0x80:
		return kindTTL
	case t.opt.ExtendedTypes && uint64(owner)>>56 == 0xff:
		return kindTTL
	}
	return kindEphemeral
}

// stat is what clients are told of a znode. Source: DataNode.java, copyStat.
func (t *Tree) stat(n *node) proto.Stat {
	s := proto.Stat{
		Czxid: n.czxid, Mzxid: n.mzxid, Pzxid: n.pzxid, Ctime: n.ctime, Mtime: n.mtime,
		Version: n.version, Aversion: n.aversion,
		Cversion:   2*n.cversion - int32(n.children),
		DataLength: int32(n.dataSize()), NumChildren: int32(n.children),
	}
	if t.kindOf(n.owner) == kindEphemeral {
		s.EphemeralOwner = proto.SessionID(n.owner)
	}
	return s
}

// nodeSet is a set of znodes that can be walked in slices.
type nodeSet struct {
	list []nodeID
	pos  map[nodeID]int32 // only once the list is long
	scan int              // where the last walk ended
}

const longSet = 16

func (s *nodeSet) len() int { return len(s.list) }

func (s *nodeSet) find(id nodeID) int {
	if s.pos != nil {
		return int(s.pos[id])
	}
	for i, e := range s.list {
		if e == id {
			return i
		}
	}
	panic("tree: a znode is missing from its owner's set")
}

func (s *nodeSet) add(id nodeID) {
	if s.pos == nil && len(s.list) == longSet {
		s.pos = make(map[nodeID]int32, 2*longSet)
		for i, e := range s.list {
			s.pos[e] = int32(i)
		}
	}
	if s.pos != nil {
		s.pos[id] = int32(len(s.list))
	}
	s.list = append(s.list, id)
}

func (s *nodeSet) remove(id nodeID) {
	i, last := s.find(id), len(s.list)-1
	moved := s.list[last]
	s.list[i] = moved
	s.list = s.list[:last]
	if s.pos != nil {
		s.pos[moved] = int32(i)
		delete(s.pos, id)
	}
}

// Counts are the tree's sizes. All of them are kept, not counted.
type Counts struct {
	Znodes     int   // real ones; Apache reports one more, as it files the root twice
	Ephemerals int   // owned by sessions
	DataBytes  int64 // lengths of paths and data
	Sessions   int
	Watches    int // in both tables
	Containers int
	TTLs       int
}

// Counts tells how much there is in the tree.
func (t *Tree) Counts() Counts {
	return Counts{
		Znodes: t.numNodes, Ephemerals: t.numEphem, DataBytes: t.dataBytes, Sessions: len(t.sessions),
		Watches: t.watches.data.total + t.watches.child.total, Containers: t.containers.len(), TTLs: t.ttls.len(),
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
	n := t.nodes.at(id)
	return Znode{[]byte(path), t.dataOf(n), t.acls.lists[n.acl].acls, t.stat(n)}, true
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
		f(Znode{t.appendPath(nil, id), t.dataOf(n), t.acls.lists[n.acl].acls, t.stat(n)})
		for c := n.first; c != none; c = t.nodes.at(c).next {
			stack = append(stack, c)
		}
	}
}
