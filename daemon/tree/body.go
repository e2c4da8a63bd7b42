package tree

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// bodyChunk is roughly how much of a body is handed over at a time.
const bodyChunk = 128 << 10

// openNumber stands for the list that lets anyone do anything, without an entry for it.
const openNumber = -1

// WriteBody hands over the tree as Apache's servers write it into snapshots: sessions,
// access control lists, znodes with parents first, and the end mark. flush may not keep
// what it is given. Source: SerializeUtils.java and DataTree.java.
func (t *Tree) WriteBody(flush func(b []byte) error) error {
	ids := make([]proto.SessionID, 0, len(t.sessions))
	for id := range t.sessions {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	b := jute.AppendInt(nil, int32(len(ids)))
	for _, id := range ids {
		b = jute.AppendInt(jute.AppendLong(b, int64(id)), t.sessions[id])
	}
	b = jute.AppendInt(b, int32(t.acls.live))
	for id := range t.acls.used {
		if t.acls.has(id) {
			b = append(jute.AppendLong(b, int64(id)+1), t.acls.at(id).encoded...)
		}
	}
	var path []byte
	var z full
	for stack := []nodeID{root}; len(stack) > 0; {
		id := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		n := t.nodes.at(id)
		path = t.appendPath(path[:0], id)
		if id == root {
			path = path[:0]
		}
		t.load(n, &z)
		b = appendBodyNode(b, path, n, &z, n.size&flagNull != 0)
		for c := t.family(n).first; c != none; c = t.nodes.at(c).next {
			stack = append(stack, c)
		}
		if len(b) >= bodyChunk {
			if err := flush(b); err != nil {
				return err
			}
			b = b[:0]
		}
	}
	return flush(jute.AppendString(b, "/"))
}

// appendBodyNode appends a znode; the root has the path "". null says that the data is null.
func appendBodyNode(b, path []byte, n *node, z *full, null bool) []byte {
	b = append(jute.AppendInt(b, int32(len(path))), path...)
	if null {
		b = jute.AppendInt(b, -1)
	} else {
		b = append(jute.AppendInt(b, int32(len(z.data))), z.data...)
	}
	b = jute.AppendLong(b, int64(n.acl)+1)
	for _, v := range [...]int64{int64(n.czxid), int64(z.mzxid), int64(n.ctime), int64(z.mtime)} {
		b = jute.AppendLong(b, v)
	}
	for _, v := range [...]int32{z.version, z.cversion, z.aversion} {
		b = jute.AppendInt(b, v)
	}
	return jute.AppendLong(jute.AppendLong(b, z.owner), int64(z.pzxid))
}

// StatPersisted is a znode's stat as snapshots hold it: the child version counts
// creations, and the owner is encoded as in client replies.
type StatPersisted struct {
	Czxid, Mzxid, Pzxid         proto.Zxid
	Ctime, Mtime                proto.Millis
	Version, Cversion, Aversion int32
	Owner                       int64
}

// BodyLoader builds a tree from the parts of a snapshot's body.
type BodyLoader struct {
	// Znodes, if set, takes the znodes' records as they come, so that an image can be written
	// meanwhile. Tree.CutRest gives what belongs to them.
	Znodes DeltaSink
	// Recount has the quotas' stats counted. Servers of Apache's write snapshots while the tree changes,
	// and count anew when they load one; what a leader of zkd's sends is exact.
	Recount bool

	l     *Loader
	acls  map[int64]ACLID
	known map[string]ACLID
	above []ancestor // of the last znode, and itself, or some of them
	next  nodeID
	buf   []byte
}

type ancestor struct {
	path []byte
	id   nodeID
}

// NewBodyLoader starts a load. together is as in Loader.
func NewBodyLoader(opt Options, together func(parts ...func())) *BodyLoader {
	l := NewLoader(opt)
	l.foreign = true
	if together != nil {
		l.Together = together
	}
	return &BodyLoader{l: l, acls: make(map[int64]ACLID), known: make(map[string]ACLID), next: root}
}

func (b *BodyLoader) put(kind byte, key []byte, value []byte) error {
	return b.l.Put(append([]byte{kind}, key...), value)
}

// Session takes a session with its timeout in milliseconds.
func (b *BodyLoader) Session(id proto.SessionID, timeout int32) error {
	be := binary.BigEndian
	return b.put(keySession, be.AppendUint64(nil, uint64(id)), be.AppendUint32(nil, uint32(timeout)))
}

// ACL takes an access control list, encoded with its count, and its number.
func (b *BodyLoader) ACL(number int64, encoded []byte) error {
	if id, ok := b.known[string(encoded)]; ok {
		b.acls[number] = id
		return nil
	}
	id := ACLID(len(b.known))
	b.known[string(encoded)], b.acls[number] = id, id
	return b.put(keyACL, binary.BigEndian.AppendUint32(nil, uint32(id)), encoded)
}

// aclOf finds a znode's list. One that the snapshot does not hold allows nobody anything: such
// znodes come from servers that wrote lists and znodes at different moments. An empty list would
// allow everything.
func (b *BodyLoader) aclOf(number int64) (ACLID, error) {
	id, ok := b.acls[number]
	if ok {
		return id, nil
	}
	var list []proto.ACL
	if number == openNumber {
		list = proto.OpenACLUnsafe
	} else {
		list = []proto.ACL{{ID: proto.ID{Scheme: "world", ID: "anyone"}}}
	}
	err := b.ACL(number, proto.AppendACLs(nil, list))
	return b.acls[number], err
}

// Znode takes a znode, after its parent; the root has the path "". data is nil for null.
func (b *BodyLoader) Znode(path, data []byte, acl int64, s *StatPersisted) error {
	aclID, err := b.aclOf(acl)
	if err != nil {
		return err
	}
	cut := bytes.LastIndexByte(path, '/')
	parent, name := none, []byte(nil)
	switch {
	case len(path) == 0 && b.next == root:
	case cut < 0 || cut == len(path)-1 || b.next == root:
		return fmt.Errorf("%w: a znode has the path %q", ErrImage, path)
	default:
		if parent, err = b.parentOf(path[:cut]); err != nil {
			return err
		}
		name = path[cut+1:]
	}
	r := record{
		history: history{
			mzxid: s.Mzxid, mtime: s.Mtime, version: s.Version, aversion: s.Aversion, owner: s.Owner,
		},
		pzxid: s.Pzxid, cversion: s.Cversion, name: name, data: data,
	}
	r.parent, r.czxid, r.ctime, r.acl = parent, s.Czxid, s.Ctime, aclID
	b.buf = r.append(b.buf[:0], data == nil)
	key := keyOfNode(b.next)
	if err := b.l.Put(key[:], b.buf); err != nil {
		return err
	}
	if b.Znodes != nil {
		b.Znodes.Put(key[:], b.buf)
	}
	b.push(path, b.next)
	b.next++
	return b.l.link(b.next - 1)
}

// parentOf finds a znode that has come and has children. Most servers send children right behind
// their parent and its other descendants; where one does not, what has come is linked early.
func (b *BodyLoader) parentOf(path []byte) (nodeID, error) {
	for i := len(b.above) - 1; i >= 0; i-- {
		if bytes.Equal(b.above[i].path, path) {
			b.above = b.above[:i+1]
			return b.above[i].id, nil
		}
	}
	if err := b.l.linkEarly(); err != nil {
		return none, err
	}
	id := b.l.t.lookup(path)
	if id == none {
		return none, fmt.Errorf("%w: a child of %q comes before it", ErrImage, path)
	}
	b.above = b.above[:1]
	b.push(path, id)
	return id, nil
}

// push notes the last znode's path, or one above it, in memory that was used before.
func (b *BodyLoader) push(path []byte, id nodeID) {
	n := len(b.above)
	if n == cap(b.above) {
		b.above = append(b.above, ancestor{})
	}
	b.above = b.above[:n+1]
	a := &b.above[n]
	a.path, a.id = append(a.path[:0], path...), id
}

// Finish checks that the parts make a whole and returns the tree, which stands for
// history up to zxid.
func (b *BodyLoader) Finish(zxid proto.Zxid) (*Tree, error) {
	b.l.recount = b.Recount
	t, err := b.l.Finish()
	if err != nil {
		return nil, err
	}
	t.last = zxid
	return t, nil
}
