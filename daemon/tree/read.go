package tree

import (
	"bytes"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// Read answers a request that changes nothing: it appends the body of the reply to out
// and registers the watch that the request asks for. Where it returns an error, what it
// appended is to be cut off. The reply shows the state after LastZxid.
// Source: FinalRequestProcessor.java.
func (t *Tree) Read(c *Caller, req *proto.Request, out *proto.Out) proto.ErrCode {
	switch req.Op {
	case proto.OpExists:
		return t.exists(c, req, out)
	case proto.OpGetData, proto.OpGetChildren, proto.OpGetChildren2:
		return t.get(c, req, out)
	case proto.OpGetACL:
		return t.getACL(c, req, out)
	case proto.OpGetAllChildrenNumber:
		return t.countBelow(c, req, out)
	case proto.OpGetEphemerals:
		t.listEphemerals(c, req, out)
		return proto.ErrOK
	case proto.OpMultiRead:
		return t.multiRead(c, req, out)
	case proto.OpCheckWatches:
		return t.checkWatches(c, req)
	case proto.OpRemoveWatches:
		return t.removeWatches(c, req)
	case proto.OpAddWatch:
		code := t.addWatch(c, req)
		if code == proto.ErrOK {
			out.B = jute.AppendInt(out.B, 0)
		}
		return code
	}
	return proto.ErrUnimplemented
}

// exists sets its watch also on a znode that is not there, but not on one that the
// caller may not read.
func (t *Tree) exists(c *Caller, req *proto.Request, out *proto.Out) proto.ErrCode {
	if bytes.IndexByte(req.Path, 0) >= 0 {
		return proto.ErrBadArguments
	}
	id := t.lookup(req.Path)
	if id != none && !t.Allowed(t.nodes.at(id).acl, proto.PermRead, c.IDs) {
		return proto.ErrNoAuth
	}
	if req.Watch {
		t.watches.add(req.Path, c.Watcher, watchData)
	}
	if id == none {
		return proto.ErrNoNode
	}
	n := t.nodes.at(id)
	var z full
	t.load(n, &z)
	s := t.stat(n, &z)
	out.B = s.Append(out.B)
	return proto.ErrOK
}

// get answers getData, getChildren and getChildren2.
func (t *Tree) get(c *Caller, req *proto.Request, out *proto.Out) proto.ErrCode {
	id := t.lookup(req.Path)
	if id == none {
		return proto.ErrNoNode
	}
	n := t.nodes.at(id)
	if !t.Allowed(n.acl, proto.PermRead, c.IDs) {
		return proto.ErrNoAuth
	}
	mode := watchChild
	var z full
	t.load(n, &z)
	if req.Op == proto.OpGetData {
		mode = watchData
		appendData(out, n, z.data)
	} else {
		t.appendChildren(out, id, &z.family)
	}
	if req.Op != proto.OpGetChildren {
		s := t.stat(n, &z)
		out.B = s.Append(out.B)
	}
	if req.Watch {
		t.watches.add(req.Path, c.Watcher, mode)
	}
	return proto.ErrOK
}

func appendData(out *proto.Out, n *node, data []byte) {
	switch {
	case n.size&flagNull != 0:
		out.B = jute.AppendInt(out.B, -1)
	case isLarge(n):
		out.B = jute.AppendInt(out.B, int32(len(data)))
		out.Immutable(data)
	default:
		out.B = jute.AppendBuffer(out.B, data)
	}
}

// listCache keeps the encoded children of large directories until they change.
type listCache struct {
	byNode map[nodeID][]byte
	bytes  int
}

const (
	cachedList  = 64       // children from which a list is worth keeping
	cachedNames = 16 << 10 // bytes from which a list of fewer is: names may be long
	cachedBytes = 32 << 20 // of all lists together
)

func newListCache() listCache { return listCache{byNode: make(map[nodeID][]byte)} }

// of is the list of a znode's children, nil if it is not kept.
func (l *listCache) of(id nodeID) []byte {
	if len(l.byNode) == 0 {
		return nil
	}
	return l.byNode[id]
}

func (l *listCache) drop(id nodeID) {
	if len(l.byNode) == 0 {
		return
	}
	if b, ok := l.byNode[id]; ok {
		l.bytes -= len(b)
		delete(l.byNode, id)
	}
}

func (l *listCache) keep(id nodeID, b []byte) {
	if l.bytes+len(b) > cachedBytes {
		clear(l.byNode)
		l.bytes = 0
	}
	l.byNode[id] = b
	l.bytes += len(b)
}

func (t *Tree) appendChildren(out *proto.Out, id nodeID, f *family) {
	b := t.lists.of(id)
	mark := len(out.B)
	switch {
	case b != nil:
	case f.children < cachedList:
		if out.B = t.appendNames(out.B, f); len(out.B)-mark < cachedNames {
			return
		}
		b = bytes.Clone(out.B[mark:])
		out.B = out.B[:mark]
		t.lists.keep(id, b)
	default:
		b = t.appendNames(nil, f)
		t.lists.keep(id, b)
	}
	out.Immutable(b)
}

func (t *Tree) appendNames(b []byte, f *family) []byte {
	b = jute.AppendInt(b, int32(f.children))
	for id := f.first; id != none; {
		child := t.nodes.at(id)
		b = jute.AppendBuffer(b, t.nameOf(child))
		id = child.next
	}
	return b
}

// getACL shows digest hashes only to who may administer the znode.
func (t *Tree) getACL(c *Caller, req *proto.Request, out *proto.Out) proto.ErrCode {
	id := t.lookup(req.Path)
	if id == none {
		return proto.ErrNoNode
	}
	n := t.nodes.at(id)
	if !t.Allowed(n.acl, proto.PermRead|proto.PermAdmin, c.IDs) {
		return proto.ErrNoAuth
	}
	l := t.acls.at(n.acl)
	if t.Allowed(n.acl, proto.PermAdmin, c.IDs) {
		out.Immutable(l.encoded)
	} else {
		if l.masked == nil {
			l.masked = proto.AppendACLs(nil, masked(l.acls))
		}
		out.Immutable(l.masked)
	}
	var z full
	t.load(n, &z)
	s := t.stat(n, &z)
	out.B = s.Append(out.B)
	return proto.ErrOK
}

func masked(acls []proto.ACL) []proto.ACL {
	m := append([]proto.ACL{}, acls...)
	for i := range m {
		if m[i].ID.Scheme != "digest" {
			continue
		}
		if j := bytes.IndexByte([]byte(m[i].ID.ID), ':'); j >= 0 {
			m[i].ID.ID = m[i].ID.ID[:j] + ":x"
		}
	}
	return m
}

func (t *Tree) countBelow(c *Caller, req *proto.Request, out *proto.Out) proto.ErrCode {
	id := t.lookup(req.Path)
	if id == none {
		return proto.ErrNoNode
	}
	if !t.Allowed(t.nodes.at(id).acl, proto.PermRead, c.IDs) {
		return proto.ErrNoAuth
	}
	count := t.numNodes - 1
	if id != root {
		count = t.below(id)
	} else if len(req.Path) == 0 {
		count++ // Apache files the root twice, and finds one of the two below ""
	}
	out.B = jute.AppendInt(out.B, int32(count))
	return proto.ErrOK
}

// listEphemerals lists the caller's own ephemerals whose paths begin with a text.
func (t *Tree) listEphemerals(c *Caller, req *proto.Request, out *proto.Out) {
	prefix := req.Path
	if text := bytes.TrimSpace(prefix); len(text) == 0 || string(text) == "/" {
		prefix = nil
	}
	mark, count := len(out.B), int32(0)
	out.B = jute.AppendInt(out.B, 0)
	t.EphemeralsOf(c.Session, func(path []byte) {
		if bytes.HasPrefix(path, prefix) {
			out.B = jute.AppendBuffer(out.B, path)
			count++
		}
	})
	jute.PutInt(out.B[mark:], count)
}

// maxMultiRead bounds the reply to a multiRead: one small request may ask for a znode many
// thousand times, and a frame's length has 31 bits.
const maxMultiRead = 64 << 20

// multiRead answers each read for itself. Watch flags inside it are ignored.
func (t *Tree) multiRead(c *Caller, req *proto.Request, out *proto.Out) proto.ErrCode {
	var sub proto.Request
	for it := req.MultiIter(); ; {
		more, err := it.Next(&sub)
		if err != nil || (more && sub.Op != proto.OpGetData && sub.Op != proto.OpGetChildren) {
			return proto.ErrMarshalling
		}
		if !more {
			break
		}
	}
	for start, it := out.Len(), req.MultiIter(); ; {
		more, err := it.Next(&sub)
		if err != nil || !more {
			break
		}
		if out.Len()-start > maxMultiRead {
			return proto.ErrMarshalling
		}
		sub.Watch = false
		mark := len(out.B)
		out.B = appendMultiHeader(out.B, sub.Op, false, proto.ErrOK)
		if code := t.get(c, &sub, out); code != proto.ErrOK {
			out.B = appendMultiHeader(out.B[:mark], proto.OpError, false, code)
			out.B = jute.AppendInt(out.B, int32(code))
		}
	}
	out.B = appendMultiHeader(out.B, proto.OpError, true, -1)
	return proto.ErrOK
}
