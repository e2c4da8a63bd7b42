package tree

import (
	"math"

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
	// MaxRequest is the length of the longest request in bytes, default 1,048,575. It bounds what
	// Prepare makes: the list of a closeSession is no longer, and no transaction more than twice as
	// long, or servers of Apache's with the same setting could not read it. Source: jute.maxbuffer.
	MaxRequest int
}

// maxTxn is the length of the longest transaction that Prepare makes, in bytes.
func (o *Options) maxTxn() int { return min(2*o.MaxRequest, math.MaxInt32) }

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
	// NoEphemeral is the code with which ephemerals are refused; ErrOK allows them.
	NoEphemeral proto.ErrCode
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
	crowd crowd

	families families

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
	t.link(none, birth{path: rootPath, data: []byte{}, acl: open})
	sys, _ := t.link(root, birth{path: []byte(systemPath), data: []byte{}, acl: open})
	t.link(sys, birth{path: []byte(quotaPath), data: []byte{}, acl: open})
	t.link(sys, birth{path: []byte(configPath), data: []byte{}, acl: readable, aversion: -1})
	return t
}

func newTree(opt Options) *Tree {
	if opt.MaxRequest <= 0 {
		opt.MaxRequest = 1<<20 - 1
	}
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

// birth is what a new znode is made of.
type birth struct {
	path, data []byte
	acl        ACLID
	owner      int64
	aversion   int32
	zxid       proto.Zxid
	time       proto.Millis
}

// link makes a znode.
func (t *Tree) link(parent nodeID, b birth) (nodeID, full) {
	id := t.nodes.alloc()
	t.image.touch(t, id)
	n := t.nodes.at(id)
	*n = node{czxid: b.zxid, ctime: b.time, parent: parent, acl: b.acl, size: n.size&flagsKept | flagLive}
	z := full{history: n.newborn(), family: family{pzxid: b.zxid}, data: b.data}
	z.owner, z.aversion = b.owner, b.aversion
	t.fill(n, lastName(b.path), &z.history, b.data)
	t.image.grown(len(b.path) + len(b.data))
	if parent != none {
		t.adopt(parent, id)
	}
	t.numNodes++
	t.dataBytes += int64(len(b.path) + len(b.data))
	t.acls.hold(n.acl)
	if b.owner != 0 {
		t.own(id, &z)
	}
	t.tallies.grew(t, id, 1)
	t.setDigest(n, b.path, &z)
	return id, z
}

// adopt links a znode into its parent's list of children and into the index.
func (t *Tree) adopt(parent, id nodeID) {
	n, f := t.nodes.at(id), t.familyOf(t.nodes.at(parent))
	n.next, n.prev = f.first, none
	if f.first != none {
		t.nodes.at(f.first).prev = id
	}
	f.first = id
	f.children++
	t.index.insert(t.nameHash(parent, t.nameOf(n)), uint32(id))
	t.lists.drop(parent)
}

// own lists a znode with its owner.
func (t *Tree) own(id nodeID, z *full) {
	switch t.kindOf(z.owner) {
	case kindEphemeral:
		t.numEphem++
		s := proto.SessionID(z.owner)
		set := t.ephemerals[s]
		if set == nil {
			set = new(nodeSet)
			t.ephemerals[s] = set
		}
		set.add(id)
	case kindContainer, kindTTL:
		t.reaper.add(id, t.due(z))
	}
}

func (t *Tree) disown(id nodeID, owner int64) {
	switch t.kindOf(owner) {
	case kindEphemeral:
		t.numEphem--
		s := proto.SessionID(owner)
		set := t.ephemerals[s]
		if set.remove(id); set.len() == 0 {
			delete(t.ephemerals, s)
		}
	case kindContainer, kindTTL:
		t.reaper.remove(id)
	}
}

// unlink removes a znode that has no children; z is what it is.
func (t *Tree) unlink(id nodeID, path []byte, z *full) {
	t.image.touch(t, id)
	t.dirs.forget(path)
	t.tallies.grew(t, id, -1)
	n := t.nodes.at(id)
	if z.owner != 0 {
		t.disown(id, z.owner)
	}
	t.acls.drop(n.acl)
	t.numNodes--
	t.dataBytes -= int64(len(path) + len(z.data))
	t.digest.sum -= uint64(n.digest)
	t.index.remove(t.nameHash(n.parent, t.nameOf(n)), uint32(id))
	t.orphan(n)
	t.lists.drop(n.parent)
	t.lists.drop(id)
	t.families.release(n.family)
	t.cells.release(n.cell, n.cellSize())
	t.nodes.release(id)
}

// orphan takes a znode out of its parent's list of children.
func (t *Tree) orphan(n *node) {
	p := t.nodes.at(n.parent)
	f := t.familyOf(p)
	if n.prev != none {
		t.nodes.at(n.prev).next = n.next
	} else {
		f.first = n.next
	}
	if n.next != none {
		t.nodes.at(n.next).prev = n.prev
	}
	f.children--
	if f.children == 0 && t.reaper.holds(n.parent) {
		var z full
		t.load(p, &z)
		t.reaper.set(n.parent, t.due(&z))
	}
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

// full is all there is to know of a znode beside its fields of fixed size.
type full struct {
	history
	family
	data []byte // not nil for null
}

// load fills z in.
func (t *Tree) load(n *node, z *full) {
	t.loadStored(n, z)
	if n.family != 0 {
		f := t.families.at(int(n.family))
		z.first, z.children = f.first, f.children
	}
}

// loadStored fills z in but for its links to children, which it does not look at: when an
// image is loaded, they are being made at the same time.
func (t *Tree) loadStored(n *node, z *full) {
	cell := t.cells.at(n.cell, n.cellSize())
	name := len(nameIn(cell))
	z.data = cell[headSize(name)+name:]
	if n.size&flagHistory != 0 {
		end := historySize[z.data[0]&7]
		n.decodeHistory(z.data, &z.history)
		z.data = z.data[end:]
	} else {
		z.history = history{mzxid: n.czxid, mtime: n.ctime}
	}
	z.family = family{pzxid: n.czxid}
	if n.family != 0 {
		f := t.families.at(int(n.family))
		z.pzxid, z.cversion = f.pzxid, f.cversion
	}
}

// stat is what clients are told of a znode. Source: DataNode.java, copyStat.
func (t *Tree) stat(n *node, z *full) proto.Stat {
	s := proto.Stat{
		Czxid: n.czxid, Mzxid: z.mzxid, Pzxid: z.pzxid, Ctime: n.ctime, Mtime: z.mtime,
		Version: z.version, Aversion: z.aversion, Cversion: 2*z.cversion - int32(z.children),
		DataLength: int32(len(z.data)), NumChildren: int32(z.children),
	}
	if t.kindOf(z.owner) == kindEphemeral {
		s.EphemeralOwner = proto.SessionID(z.owner)
	}
	return s
}

// Advance makes a tree stand for history up to zxid, if it does not already: it was sent
// as the state at zxid, below which it holds all that there is.
func (t *Tree) Advance(zxid proto.Zxid) { t.last = max(t.last, zxid) }

// SetConfig has /zookeeper/config show an ensemble's configuration. Each server shows its
// own, so it is no transaction. Source: ZKDatabase.java, initConfigInZKDatabase.
func (t *Tree) SetConfig(text []byte) {
	id := t.lookup([]byte(configPath))
	if id == none || string(t.dataOf(t.nodes.at(id))) == string(text) {
		return
	}
	t.image.touch(t, id)
	n := t.nodes.at(id)
	var z full
	t.load(n, &z)
	t.dataBytes += int64(len(text) - len(z.data))
	t.change(n, &z.history, text)
}
