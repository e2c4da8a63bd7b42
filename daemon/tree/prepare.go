package tree

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/zkd-project/zkd/daemon/proto"
)

// maxTTL is the longest time to live, in milliseconds. Source: EphemeralType.java.
const maxTTL = ttlMask

// Prepare turns a request into the transaction that it becomes, and promises its
// effects. A request that is refused becomes a transaction of type OpError. h carries
// session, cxid, zxid and time. The slices of txn are good until the next Prepare and as
// long as the request's are.
//
// Whether the session may make the request at all is for the caller to know.
// Source of the order of checks: PrepRequestProcessor.java.
func (t *Tree) Prepare(h proto.TxnHeader, c *Caller, req *proto.Request, txn *proto.Txn) {
	ops, paths := txn.Ops[:0], txn.Paths[:0]
	*txn = proto.Txn{TxnHeader: h, Ops: ops, Paths: paths}
	txn.Type = req.Op
	p := preparer{t: t, h: h, c: c}
	t.arena = t.arena[:0]
	code := proto.ErrOK
	switch req.Op {
	case proto.OpMulti:
		code = p.multi(req, txn)
	case proto.OpCreateSession:
		txn.Timeout = req.Mode
	case proto.OpCloseSession:
		p.closeSession(txn)
	default:
		code = p.single(req, txn)
	}
	if code != proto.ErrOK {
		*txn = proto.Txn{TxnHeader: h, Err: code, Ops: ops, Paths: paths}
		txn.Type = proto.OpError
	}
}

// preparer prepares one transaction.
type preparer struct {
	t *Tree
	h proto.TxnHeader
	c *Caller
}

// single prepares a request that concerns one path, on its own or inside a multi.
func (p *preparer) single(req *proto.Request, txn *proto.Txn) proto.ErrCode {
	switch req.Op {
	case proto.OpCreate, proto.OpCreate2, proto.OpCreateContainer, proto.OpCreateTTL:
		return p.create(req, txn)
	case proto.OpDelete:
		return p.delete(req, txn)
	case proto.OpDeleteContainer:
		return p.reap(req, txn)
	case proto.OpSetData:
		return p.setData(req, txn)
	case proto.OpSetACL:
		return p.setACL(req, txn)
	case proto.OpCheck:
		return p.check(req, txn)
	}
	return proto.ErrUnimplemented
}

func (p *preparer) create(req *proto.Request, txn *proto.Txn) proto.ErrCode {
	t := p.t
	if code := t.checkMode(req); code != proto.ErrOK {
		return code
	}
	if bytes.IndexByte(req.Path, '/') < 0 || bytes.IndexByte(req.Path, 0) >= 0 {
		return proto.ErrBadArguments
	}
	acl, code := t.fixACL(req.ACL, p.c.IDs)
	if code != proto.ErrOK {
		return code
	}
	parent := parentPath(req.Path)
	pv := t.view(parent)
	if !pv.exists {
		return proto.ErrNoNode
	}
	if !t.Allowed(pv.acl, proto.PermCreate, p.c.IDs) {
		return proto.ErrNoAuth
	}
	path := req.Path
	if sequential(req) {
		path = t.numbered(path, pv.cversion)
	}
	if !validPath(path) {
		return proto.ErrBadArguments
	}
	if t.view(path).exists {
		return proto.ErrNodeExists
	}
	if t.kindOf(pv.owner) == kindEphemeral {
		return proto.ErrNoChildrenForEphemerals
	}
	if code := t.checkQuota(path, 1, int64(len(req.Data))); code != proto.ErrOK {
		return code
	}
	pv.cversion++
	pv.children++
	t.fillCreate(req, txn, path, pv.cversion)
	txn.ACL = t.acls.lists[acl].encoded
	t.promise(parent, pv, p.h.Zxid)
	t.promise(path, view{
		exists: true, acl: acl, owner: t.ownerOf(txn, p.h.Session), dataLen: int32(len(req.Data)),
	}, p.h.Zxid)
	return proto.ErrOK
}

// checkMode checks flags and time to live.
func (t *Tree) checkMode(req *proto.Request) proto.ErrCode {
	if req.Flags < proto.FlagPersistent || req.Flags > proto.FlagPersistentSequentialTTL {
		return proto.ErrBadArguments
	}
	ttl := req.Flags == proto.FlagTTL || req.Flags == proto.FlagPersistentSequentialTTL
	switch {
	case ttl && !t.opt.ExtendedTypes:
		return proto.ErrUnimplemented
	case ttl && (req.TTL <= 0 || req.TTL > maxTTL):
		return proto.ErrBadArguments
	case !ttl && (req.TTL >= 0 || req.Op == proto.OpCreateTTL):
		return proto.ErrBadArguments
	}
	return proto.ErrOK
}

func sequential(req *proto.Request) bool {
	switch req.Flags {
	case proto.FlagSequential, proto.FlagEphemeralSequential, proto.FlagPersistentSequentialTTL:
		return true
	}
	return false
}

// numbered appends a sequence number in ten columns, its sign included.
func (t *Tree) numbered(path []byte, n int32) []byte {
	start := len(t.arena)
	t.arena = append(t.arena, path...)
	width := 10
	if n < 0 {
		t.arena = append(t.arena, '-')
		width--
	}
	digits := strconv.FormatInt(max(int64(n), -int64(n)), 10)
	for i := len(digits); i < width; i++ {
		t.arena = append(t.arena, '0')
	}
	t.arena = append(t.arena, digits...)
	return t.arena[start:len(t.arena):len(t.arena)]
}

// fillCreate fills in the transaction of a create.
func (t *Tree) fillCreate(req *proto.Request, txn *proto.Txn, path []byte, cversion int32) {
	txn.Path, txn.Data, txn.ParentCversion = path, req.Data, cversion
	txn.Type = req.Op
	switch req.Flags {
	case proto.FlagEphemeral, proto.FlagEphemeralSequential:
		txn.Ephemeral = req.Op != proto.OpCreateContainer
	case proto.FlagTTL, proto.FlagPersistentSequentialTTL:
		txn.TTL = req.TTL
	}
}

// ownerOf is the owner that a create gives its znode. Source: EphemeralType.java.
func (t *Tree) ownerOf(txn *proto.Txn, s proto.SessionID) int64 {
	switch {
	case txn.Type == proto.OpCreateContainer:
		return ownerContainer
	case txn.Type == proto.OpCreateTTL:
		return ownerTTL | txn.TTL&ttlMask
	case txn.Ephemeral:
		return int64(s)
	}
	return 0
}

func (p *preparer) delete(req *proto.Request, txn *proto.Txn) proto.ErrCode {
	t := p.t
	if !lightPath(req.Path) {
		return proto.ErrBadArguments
	}
	parent := parentPath(req.Path)
	pv := t.view(parent)
	if !pv.exists {
		return proto.ErrNoNode
	}
	if !t.Allowed(pv.acl, proto.PermDelete, p.c.IDs) {
		return proto.ErrNoAuth
	}
	v := t.view(req.Path)
	switch {
	case !v.exists:
		return proto.ErrNoNode
	case req.Version != -1 && req.Version != v.version:
		return proto.ErrBadVersion
	case v.children > 0:
		return proto.ErrNotEmpty
	}
	p.remove(req.Path, txn)
	return proto.ErrOK
}

// reap prepares the deletion of a container or TTL znode. Nobody's rights are checked:
// only the server itself asks for it.
func (p *preparer) reap(req *proto.Request, txn *proto.Txn) proto.ErrCode {
	t := p.t
	if !lightPath(req.Path) {
		return proto.ErrBadArguments
	}
	v := t.view(req.Path)
	switch {
	case !v.exists:
		return proto.ErrNoNode
	case v.children > 0:
		return proto.ErrNotEmpty
	case t.kindOf(v.owner) == kindEphemeral:
		return proto.ErrBadVersion
	}
	p.remove(req.Path, txn)
	return proto.ErrOK
}

// remove promises that the znode at path is gone.
func (p *preparer) remove(path []byte, txn *proto.Txn) {
	txn.Path = path
	parent := parentPath(path)
	pv := p.t.view(parent)
	pv.children--
	p.t.promise(parent, pv, p.h.Zxid)
	p.t.promise(path, view{}, p.h.Zxid)
}

func (p *preparer) setData(req *proto.Request, txn *proto.Txn) proto.ErrCode {
	t := p.t
	if !validPath(req.Path) {
		return proto.ErrBadArguments
	}
	v := t.view(req.Path)
	switch {
	case !v.exists:
		return proto.ErrNoNode
	case !t.Allowed(v.acl, proto.PermWrite, p.c.IDs):
		return proto.ErrNoAuth
	}
	if code := t.checkQuota(req.Path, 0, int64(len(req.Data))-int64(v.dataLen)); code != proto.ErrOK {
		return code
	}
	if req.Version != -1 && req.Version != v.version {
		return proto.ErrBadVersion
	}
	v.version, v.dataLen = v.version+1, int32(len(req.Data))
	txn.Path, txn.Data, txn.Version = req.Path, req.Data, v.version
	t.promise(req.Path, v, p.h.Zxid)
	return proto.ErrOK
}

func (p *preparer) setACL(req *proto.Request, txn *proto.Txn) proto.ErrCode {
	t := p.t
	if !validPath(req.Path) {
		return proto.ErrBadArguments
	}
	acl, code := t.fixACL(req.ACL, p.c.IDs)
	if code != proto.ErrOK {
		return code
	}
	v := t.view(req.Path)
	switch {
	case !v.exists:
		return proto.ErrNoNode
	case !t.Allowed(v.acl, proto.PermAdmin, p.c.IDs):
		return proto.ErrNoAuth
	case req.Version != -1 && req.Version != v.aversion:
		return proto.ErrBadVersion
	}
	v.aversion, v.acl = v.aversion+1, acl
	txn.Path, txn.ACL, txn.Version = req.Path, t.acls.lists[acl].encoded, v.aversion
	t.promise(req.Path, v, p.h.Zxid)
	return proto.ErrOK
}

func (p *preparer) check(req *proto.Request, txn *proto.Txn) proto.ErrCode {
	if !validPath(req.Path) {
		return proto.ErrBadArguments
	}
	v := p.t.view(req.Path)
	switch {
	case !v.exists:
		return proto.ErrNoNode
	case !p.t.Allowed(v.acl, proto.PermRead, p.c.IDs):
		return proto.ErrNoAuth
	case req.Version != -1 && req.Version != v.version:
		return proto.ErrBadVersion
	}
	txn.Path, txn.Version = req.Path, v.version+1
	return proto.ErrOK
}

// closeSession lists the session's ephemerals, also those whose creation is only
// promised, and promises that they are gone.
func (p *preparer) closeSession(txn *proto.Txn) {
	t, s := p.t, p.h.Session
	add := func(path []byte) {
		start := len(t.arena)
		t.arena = append(t.arena, path...)
		txn.Paths = append(txn.Paths, t.arena[start:len(t.arena):len(t.arena)])
	}
	t.EphemeralsOf(s, func(path []byte) {
		if ch, _ := t.overlay.find(path); ch == nil || (ch.exists && ch.owner == int64(s)) {
			add(path)
		}
	})
	if t.overlay.births[s] > 0 {
		for _, pr := range t.overlay.promises[t.overlay.head:] {
			ch := pr.ch
			if ch.zxid == pr.zxid && ch.exists && ch.owner == int64(s) && !t.ownedBy(ch.path, s) &&
				!contains(txn.Paths, ch.path) {
				add(ch.path)
			}
		}
	}
	for _, path := range txn.Paths {
		p.remove(path, &proto.Txn{})
	}
}

func (t *Tree) ownedBy(path []byte, s proto.SessionID) bool {
	id := t.lookup(path)
	return id != none && t.nodes.at(id).owner == int64(s)
}

// contains guards against a znode that one transaction promised twice.
func contains(paths [][]byte, path []byte) bool {
	return slices.ContainsFunc(paths, func(p []byte) bool { return bytes.Equal(p, path) })
}
