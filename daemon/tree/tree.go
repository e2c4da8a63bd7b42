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
	index index
	dirs  directories
	acls  aclTable

	sessions   map[proto.SessionID]int32
	ephemerals map[proto.SessionID]*nodeSet
	reaper     reaper
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
	tallies tallies

	pathBuf []byte // scratch
	arena   []byte // paths made by the last Prepare
}

// New makes a fresh database: the system's znodes and nothing else.
func New(opt Options) *Tree {
	t := newTree(opt)
	open := t.addACL(proto.OpenACLUnsafe)
	readable := t.addACL([]proto.ACL{{Perms: proto.PermRead, ID: proto.ID{Scheme: "world", ID: "anyone"}}})
	t.link(none, rootPath, []byte{}, node{acl: open})
	sys := t.link(root, []byte(systemPath), []byte{}, node{acl: open})
	t.link(sys, []byte(quotaPath), []byte{}, node{acl: open})
	t.link(sys, []byte(configPath), []byte{}, node{acl: readable, aversion: -1})
	return t
}

func newTree(opt Options) *Tree {
	t := &Tree{
		opt:        opt,
		index:      newIndex(nodeBits),
		acls:       newACLTable(),
		sessions:   make(map[proto.SessionID]int32),
		ephemerals: make(map[proto.SessionID]*nodeSet),
		reaper:     newReaper(),
		quotas:     newQuotas(),
		image:      newImage(),
		lists:      newListCache(),
		tallies:    tallies{make(map[nodeID]int)},
	}
	t.dirs.seed = t.index.seed
	t.watches = newWatches(&t.cells)
	t.overlay = newOverlay(&t.acls)
	return t
}

// LastZxid is the zxid of the last transaction applied.
func (t *Tree) LastZxid() proto.Zxid { return t.last }

// link makes a znode; fields carries its stat fields, owner and ACL.
func (t *Tree) link(parent nodeID, path, data []byte, fields node) nodeID {
	id := t.nodes.alloc()
	t.image.touch(t, id)
	n := t.nodes.at(id)
	fields.parent, fields.size = parent, n.size&flagsKept|flagLive
	*n = fields
	t.setCell(n, lastName(path), data)
	t.image.grown(len(path) + len(data))
	if parent != none {
		t.adopt(parent, id)
	}
	t.numNodes++
	t.dataBytes += int64(len(path) + len(data))
	t.acls.hold(n.acl)
	t.own(id)
	t.tallies.grew(t, id, 1)
	t.redigest(id, path)
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
	t.index.insert(t.nameHash(parent, t.nameOf(n)), uint32(id))
	t.lists.drop(parent)
}

// own lists a znode with its owner.
func (t *Tree) own(id nodeID) {
	n := t.nodes.at(id)
	switch t.kindOf(n.owner) {
	case kindEphemeral:
		t.numEphem++
		s := proto.SessionID(n.owner)
		set := t.ephemerals[s]
		if set == nil {
			set = new(nodeSet)
			t.ephemerals[s] = set
		}
		set.add(id)
	case kindContainer, kindTTL:
		t.reaper.add(id, t.due(n))
	}
}

func (t *Tree) disown(id nodeID) {
	n := t.nodes.at(id)
	switch t.kindOf(n.owner) {
	case kindEphemeral:
		t.numEphem--
		s := proto.SessionID(n.owner)
		set := t.ephemerals[s]
		if set.remove(id); set.len() == 0 {
			delete(t.ephemerals, s)
		}
	case kindContainer, kindTTL:
		t.reaper.remove(id)
	}
}

// unlink removes a znode that has no children.
func (t *Tree) unlink(id nodeID, path []byte) {
	t.image.touch(t, id)
	t.dirs.forget(path)
	t.tallies.grew(t, id, -1)
	n := t.nodes.at(id)
	p := t.nodes.at(n.parent)
	t.disown(id)
	t.acls.drop(n.acl)
	t.numNodes--
	t.dataBytes -= int64(len(path) + t.dataLen(n))
	t.digest.sum -= uint64(n.digest)
	t.index.remove(t.nameHash(n.parent, t.nameOf(n)), uint32(id))
	if n.prev != none {
		t.nodes.at(n.prev).next = n.next
	} else {
		p.first = n.next
	}
	if n.next != none {
		t.nodes.at(n.next).prev = n.prev
	}
	p.children--
	if p.children == 0 && t.reaper.holds(n.parent) {
		t.reaper.set(n.parent, t.due(p))
	}
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
	case owner > 0 || !t.opt.ExtendedTypes:
		return kindEphemeral
	case uint64(owner)>>56 == 0xff, t.opt.Emulate353:
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
		DataLength: int32(t.dataLen(n)), NumChildren: int32(n.children),
	}
	if t.kindOf(n.owner) == kindEphemeral {
		s.EphemeralOwner = proto.SessionID(n.owner)
	}
	return s
}
