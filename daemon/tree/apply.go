package tree

import (
	"bytes"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// Result is what became of a transaction. It is good until the next Apply.
type Result struct {
	Err  proto.ErrCode
	Type proto.Op
	Path []byte
	Stat proto.Stat
	Ops  []Result // of a multi
}

// Apply makes a committed transaction take effect. Transactions come in zxid order;
// one that comes again changes nothing. Source: DataTree.java, processTxn.
func (t *Tree) Apply(txn *proto.Txn, res *Result) {
	if t.acls.crowded() && len(t.watches.events) == 0 {
		t.forgetACLs()
	}
	t.watches.sweep(sweepBit)
	t.image.txns++
	ops := res.Ops[:0]
	*res = Result{Type: txn.Type, Ops: ops}
	switch txn.Type {
	case proto.OpMulti:
		t.applyMulti(txn, res)
	case proto.OpCreateSession:
		t.image.touchSession(t, txn.Session)
		t.sessions[txn.Session] = txn.Timeout
	case proto.OpCloseSession:
		t.applyClose(txn)
	default:
		t.applyOp(&txn.TxnHeader, txn, res)
	}
	t.overlay.settle(txn.Zxid)
	if txn.Zxid > t.last {
		t.last = txn.Zxid
		t.digest.record(txn.Zxid)
	}
	if txn.HasDigest && txn.Digest != t.digest.sum {
		t.digest.mismatches++
	}
	if invariants && (t.numNodes < 100 || txn.Zxid%1024 == 0) {
		if err := t.check(); err != nil {
			panic(err)
		}
	}
}

// applyOp applies one change, of a transaction of its own or of a multi's.
func (t *Tree) applyOp(h *proto.TxnHeader, op *proto.Txn, res *Result) {
	res.Type, res.Path = op.Type, op.Path
	switch op.Type {
	case proto.OpCreate, proto.OpCreate2, proto.OpCreateContainer, proto.OpCreateTTL:
		t.applyCreate(h, op, res)
	case proto.OpDelete, proto.OpDeleteContainer:
		res.Err = t.applyDelete(h, op.Path)
	case proto.OpSetData, proto.OpReconfig:
		t.applySetData(h, op, res)
	case proto.OpSetACL:
		t.applySetACL(h, op, res)
	case proto.OpError:
		res.Err = op.Err
	}
}

func (t *Tree) applyMulti(txn *proto.Txn, res *Result) {
	failed := false
	for i := range txn.Ops {
		failed = failed || txn.Ops[i].Type == proto.OpError
	}
	before := true // of the operation that failed
	for i := range txn.Ops {
		op := &txn.Ops[i]
		res.Ops = append(res.Ops, Result{Type: op.Type})
		r := &res.Ops[len(res.Ops)-1]
		switch {
		case !failed:
			t.applyOp(&txn.TxnHeader, op, r)
		case op.Type == proto.OpError:
			before = false
			r.Err = op.Err
		case before:
			r.Type = proto.OpError
		default:
			r.Type, r.Err = proto.OpError, proto.ErrRuntimeInconsistency
		}
	}
}

func (t *Tree) applyClose(txn *proto.Txn) {
	// All of them, whoever owns them: when history is replayed over a later state, a znode
	// of that name may be somebody else's, and be made again further on.
	for _, path := range txn.Paths {
		_ = t.applyDelete(&txn.TxnHeader, path) // if it is there
	}
	// A server of 3.5 does not list the znodes; and none may be left behind.
	if t.ephemerals[txn.Session] != nil {
		var left [][]byte
		t.EphemeralsOf(txn.Session, func(p []byte) { left = append(left, bytes.Clone(p)) })
		for _, path := range left {
			_ = t.applyDelete(&txn.TxnHeader, path) // it is there
		}
	}
	t.image.touchSession(t, txn.Session)
	delete(t.sessions, txn.Session)
}

func (t *Tree) applyCreate(h *proto.TxnHeader, op *proto.Txn, res *Result) {
	above := parentPath(op.Path)
	parent := t.lookup(above)
	if parent == none || h.Zxid < t.nodes.at(parent).czxid {
		res.Err = proto.ErrNoNode // or it was below one that had the path before, and has gone with it
		return
	}
	t.born(parent, above, op.ParentCversion, h.Zxid)
	acl := t.aclOf(op.ACL)
	if id := t.find(parent, lastName(op.Path)); id != none || len(op.Path) == 1 {
		res.Err = proto.ErrNodeExists
		t.setACL(max(id, root), acl)
		return
	}
	id, z := t.link(parent, birth{
		path: op.Path, data: op.Data, acl: acl, owner: t.ownerOf(op, h.Session), zxid: h.Zxid, time: h.Time,
	})
	res.Stat = t.stat(t.nodes.at(id), &z)
	t.quotaCreated(op.Path, id, int64(len(op.Data)))
	t.fire(proto.EventNodeCreated, op.Path, acl)
	t.fireChildren(parent, above)
}

// born notes in a parent that a child was created. Replayed creates change nothing.
func (t *Tree) born(parent nodeID, path []byte, cversion int32, zxid proto.Zxid) {
	n := t.nodes.at(parent)
	now := t.family(n)
	if cversion == -1 {
		cversion = now.cversion + 1
	}
	if cversion <= now.cversion {
		return
	}
	t.image.touch(t, parent)
	f := t.familyOf(n)
	f.cversion, f.pzxid = cversion, max(f.pzxid, zxid)
	t.redigest(parent, path)
}

// setACL gives a znode another list. The digest does not cover it.
func (t *Tree) setACL(id nodeID, acl ACLID) {
	t.image.touch(t, id)
	n := t.nodes.at(id)
	t.acls.hold(acl)
	t.acls.drop(n.acl)
	n.acl = acl
}

func (t *Tree) applyDelete(h *proto.TxnHeader, path []byte) proto.ErrCode {
	above := parentPath(path)
	parent := t.lookup(above)
	if parent == none || len(path) <= 1 {
		return proto.ErrNoNode
	}
	if n := t.nodes.at(parent); h.Zxid > t.family(n).pzxid {
		t.image.touch(t, parent)
		t.familyOf(n).pzxid = h.Zxid
		t.redigest(parent, above)
	}
	id := t.find(parent, lastName(path))
	if id == none || h.Zxid < t.nodes.at(id).czxid {
		return proto.ErrNoNode
	}
	var z full
	t.load(t.nodes.at(id), &z)
	if z.children > 0 {
		return proto.ErrNoNode
	}
	acl, size := t.nodes.at(id).acl, int64(len(z.data))
	t.unlink(id, path, &z)
	t.quotaDeleted(path, size)
	t.fireDeleted(path, acl)
	t.fireChildren(parent, above)
	return proto.ErrOK
}

// A change that is older than the znode was made for one that had the path before: it
// comes again, into a tree that holds it already.

func (t *Tree) applySetData(h *proto.TxnHeader, op *proto.Txn, res *Result) {
	id := t.lookup(op.Path)
	if id == none || h.Zxid < t.nodes.at(id).czxid {
		res.Err = proto.ErrNoNode
		return
	}
	t.image.touch(t, id)
	n := t.nodes.at(id)
	var z full
	t.load(n, &z)
	z.version, z.mzxid, z.mtime = op.Version, h.Zxid, h.Time
	grown := len(op.Data) - len(z.data)
	t.dataBytes += int64(grown)
	t.image.grown(grown)
	t.change(n, &z.history, op.Data)
	z.data = op.Data
	t.setDigest(n, op.Path, &z)
	t.quotaChanged(op.Path, op.Data, int64(grown))
	res.Stat = t.stat(n, &z)
	t.fire(proto.EventNodeDataChanged, op.Path, n.acl)
}

func (t *Tree) applySetACL(h *proto.TxnHeader, op *proto.Txn, res *Result) {
	id := t.lookup(op.Path)
	if id == none || h.Zxid < t.nodes.at(id).czxid {
		res.Err = proto.ErrNoNode
		return
	}
	t.setACL(id, t.aclOf(op.ACL))
	n := t.nodes.at(id)
	var z full
	t.load(n, &z)
	z.aversion = op.Version
	data := z.data
	if n.size&flagNull != 0 {
		data = nil
	}
	t.change(n, &z.history, data)
	t.load(n, &z) // the data may have moved
	t.setDigest(n, op.Path, &z)
	res.Stat = t.stat(n, &z)
}

// AppendBody appends the body of the reply to a request of type op.
func (r *Result) AppendBody(op proto.Op, out *proto.Out) {
	switch op {
	case proto.OpCreate:
		out.B = jute.AppendBuffer(out.B, r.Path)
	case proto.OpCreate2, proto.OpCreateContainer, proto.OpCreateTTL:
		out.B = r.Stat.Append(jute.AppendBuffer(out.B, r.Path))
	case proto.OpSetData, proto.OpSetACL:
		out.B = r.Stat.Append(out.B)
	case proto.OpMulti:
		for i := range r.Ops {
			r.Ops[i].appendMulti(out)
		}
		out.B = appendMultiHeader(out.B, proto.OpError, true, -1)
	}
}

// Rename replaces an error, of the whole or of one operation of a multi, by another one.
func (r *Result) Rename(from, to proto.ErrCode) {
	if r.Err == from {
		r.Err = to
	}
	for i := range r.Ops {
		r.Ops[i].Rename(from, to)
	}
}

func (r *Result) appendMulti(out *proto.Out) {
	op := r.Type
	switch {
	case r.Err != proto.ErrOK || op == proto.OpError:
		out.B = appendMultiHeader(out.B, proto.OpError, false, r.Err)
		out.B = jute.AppendInt(out.B, int32(r.Err))
		return
	case op == proto.OpCreateContainer || op == proto.OpCreateTTL:
		op = proto.OpCreate2
	}
	out.B = appendMultiHeader(out.B, op, false, proto.ErrOK)
	r.AppendBody(op, out)
}

func appendMultiHeader(b []byte, op proto.Op, done bool, code proto.ErrCode) []byte {
	return jute.AppendInt(jute.AppendBool(jute.AppendInt(b, int32(op)), done), int32(code))
}
