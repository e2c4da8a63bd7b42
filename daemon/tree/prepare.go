package tree

import (
	"bytes"
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
	t    *Tree
	h    proto.TxnHeader
	c    *Caller
	room int // bytes that the list of a closeSession may still grow by
}

// fits says whether a transaction with a record of so many bytes is short enough. One that is
// not must not get as far as the log, from which some server could not read it.
func (p *preparer) fits(record int) bool {
	return proto.TxnHeaderLen+record+proto.DigestLen <= p.t.opt.maxTxn()
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
	if p.c.NoEphemeral != proto.ErrOK && ephemeral(req) {
		return p.c.NoEphemeral
	}
	if bytes.IndexByte(req.Path, '/') < 0 || bytes.IndexByte(req.Path, 0) >= 0 {
		return proto.ErrBadArguments
	}
	acl, code := t.fixACL(req.ACL, p.c.IDs)
	if code != proto.ErrOK {
		return code
	}
	above := t.place(parentPath(req.Path))
	switch {
	case !above.exists:
		return proto.ErrNoNode
	case !t.Allowed(above.acl, proto.PermCreate, p.c.IDs):
		return proto.ErrNoAuth
	}
	path := req.Path
	if sequential(req) {
		path = t.numbered(path, above.cversion)
	}
	if !validPath(path) {
		return proto.ErrBadArguments
	}
	at := t.place(path)
	switch {
	case at.exists:
		return proto.ErrNodeExists
	case t.kindOf(above.owner) == kindEphemeral:
		return proto.ErrNoChildrenForEphemerals
	}
	if code := t.checkQuota(path, 1, int64(len(req.Data))); code != proto.ErrOK {
		return code
	}
	v := above.view
	v.cversion++
	v.children++
	t.fillCreate(req, txn, path, v.cversion)
	txn.ACL = t.acls.at(acl).encoded
	if !p.fits(txn.RecordLen()) {
		return proto.ErrMarshalling
	}
	t.overlay.promise(&above, v, p.h.Zxid)
	t.overlay.promise(&at, view{
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

func ephemeral(req *proto.Request) bool {
	return req.Op != proto.OpCreateContainer &&
		(req.Flags == proto.FlagEphemeral || req.Flags == proto.FlagEphemeralSequential)
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
		txn.Ephemeral = ephemeral(req)
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
	above := t.place(parentPath(req.Path))
	switch {
	case !above.exists:
		return proto.ErrNoNode
	case !t.Allowed(above.acl, proto.PermDelete, p.c.IDs):
		return proto.ErrNoAuth
	}
	at := t.place(req.Path)
	switch {
	case !at.exists:
		return proto.ErrNoNode
	case req.Version != -1 && req.Version != at.version:
		return proto.ErrBadVersion
	case at.children > 0:
		return proto.ErrNotEmpty
	}
	txn.Path = req.Path
	p.remove(&above, &at)
	return proto.ErrOK
}

// reap prepares the deletion of a container or TTL znode. Nobody's rights are checked:
// only the server itself asks for it.
func (p *preparer) reap(req *proto.Request, txn *proto.Txn) proto.ErrCode {
	t := p.t
	if !lightPath(req.Path) {
		return proto.ErrBadArguments
	}
	at := t.place(req.Path)
	switch {
	case !at.exists:
		return proto.ErrNoNode
	case at.children > 0:
		return proto.ErrNotEmpty
	case t.kindOf(at.owner) == kindEphemeral:
		return proto.ErrBadVersion
	}
	txn.Path = req.Path
	above := t.place(parentPath(req.Path))
	p.remove(&above, &at)
	return proto.ErrOK
}

// remove promises that a znode is gone from its parent.
func (p *preparer) remove(above, at *place) {
	v := above.view
	v.children--
	p.t.overlay.promise(above, v, p.h.Zxid)
	p.t.overlay.promise(at, view{}, p.h.Zxid)
}

// nextVersion is the version after v. It skips -1, which a client could not ask for.
func nextVersion(v int32) int32 {
	if v == -2 {
		return 0
	}
	return v + 1
}

func (p *preparer) setData(req *proto.Request, txn *proto.Txn) proto.ErrCode {
	t := p.t
	if !validPath(req.Path) {
		return proto.ErrBadArguments
	}
	at := t.place(req.Path)
	v := at.view
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
	v.version, v.dataLen = nextVersion(v.version), int32(len(req.Data))
	txn.Path, txn.Data, txn.Version = req.Path, req.Data, v.version
	if !p.fits(txn.RecordLen()) {
		return proto.ErrMarshalling
	}
	t.overlay.promise(&at, v, p.h.Zxid)
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
	at := t.place(req.Path)
	v := at.view
	switch {
	case !v.exists:
		return proto.ErrNoNode
	case !t.Allowed(v.acl, proto.PermAdmin, p.c.IDs):
		return proto.ErrNoAuth
	case req.Version != -1 && req.Version != v.aversion:
		return proto.ErrBadVersion
	}
	v.aversion, v.acl = nextVersion(v.aversion), acl
	txn.Path, txn.ACL, txn.Version = req.Path, t.acls.at(acl).encoded, v.aversion
	if !p.fits(txn.RecordLen()) {
		return proto.ErrMarshalling
	}
	t.overlay.promise(&at, v, p.h.Zxid)
	return proto.ErrOK
}

func (p *preparer) check(req *proto.Request, txn *proto.Txn) proto.ErrCode {
	if !validPath(req.Path) {
		return proto.ErrBadArguments
	}
	v := p.t.place(req.Path).view
	switch {
	case !v.exists:
		return proto.ErrNoNode
	case !p.t.Allowed(v.acl, proto.PermRead, p.c.IDs):
		return proto.ErrNoAuth
	case req.Version != -1 && req.Version != v.version:
		return proto.ErrBadVersion
	}
	txn.Path, txn.Version = req.Path, nextVersion(v.version)
	return proto.ErrOK
}

// closeSession lists the session's ephemerals, also those whose creation is only
// promised, and promises that they are gone. The list may leave some out: when the transaction
// is applied everything that was promised before it is, and each server knows them all itself.
func (p *preparer) closeSession(txn *proto.Txn) {
	p.room = p.t.opt.MaxRequest
	t, s, o := p.t, p.h.Session, &p.t.overlay
	if set := t.ephemerals[s]; set != nil {
		for _, id := range set.list {
			at := place{path: p.keepPath(t.appendPath(t.arena, id))}
			if o.head < len(o.promises) {
				at.ch = o.find(&at)
			}
			if at.ch == nil || (at.ch.exists && at.ch.owner == int64(s)) {
				p.close(&at, txn)
			}
		}
	}
	if o.births[s] == 0 {
		return
	}
	for i := o.head; i < len(o.promises); i++ {
		ch := o.promises[i].ch
		if ch.exists && ch.owner == int64(s) {
			at := place{path: p.keepPath(append(t.arena, ch.path...)), ch: ch}
			p.close(&at, txn)
		}
	}
}

// keepPath returns what was appended to the arena.
func (p *preparer) keepPath(arena []byte) []byte {
	start := len(p.t.arena)
	p.t.arena = arena
	return arena[start:len(arena):len(arena)]
}

// close promises that an ephemeral is gone, and lists it if there is room. Its path is the
// arena's end.
func (p *preparer) close(at *place, txn *proto.Txn) {
	above := p.t.place(parentPath(at.path))
	p.remove(&above, at)
	if size := 4 + len(at.path); size <= p.room {
		p.room -= size
		txn.Paths = append(txn.Paths, at.path)
		return
	}
	p.t.arena = p.t.arena[:len(p.t.arena)-len(at.path)]
}
