package tree

import (
	"github.com/zkd-project/zkd/daemon/proto"
)

// multi prepares all operations or none. A multi of which one operation fails becomes a
// transaction all the same, which tells each operation's fate and changes nothing.
func (p *preparer) multi(req *proto.Request, txn *proto.Txn) proto.ErrCode {
	if !wellFormed(req) {
		return proto.ErrMarshalling
	}
	o := &p.t.overlay
	o.begin()
	failed, size := proto.ErrOK, 4
	it := req.MultiIter()
	var sub proto.Request
	for {
		more, err := it.Next(&sub)
		if err != nil {
			panic("tree: a multi that was read does not read again")
		}
		if !more {
			break
		}
		retype(&sub)
		op := proto.Txn{TxnHeader: proto.TxnHeader{Type: sub.Op}}
		code := proto.ErrRuntimeInconsistency
		if failed == proto.ErrOK {
			code = p.single(&sub, &op)
			failed = code
		}
		if failed == proto.ErrMarshalling { // no fate of an operation's: the whole request is refused
			o.end(false)
			return failed
		}
		if code != proto.ErrOK {
			op = proto.Txn{TxnHeader: proto.TxnHeader{Type: proto.OpError}, Err: code}
		}
		if size += 8 + op.RecordLen(); !p.fits(size) {
			o.end(false)
			return proto.ErrMarshalling
		}
		txn.Ops = append(txn.Ops, op)
	}
	o.end(failed == proto.ErrOK)
	return proto.ErrOK
}

// wellFormed says whether a multi can be read, and each of its operations and its flags
// may stand in one. Source: MultiOperationRecord.java.
func wellFormed(req *proto.Request) bool {
	const null = "\xff\xff\xff\xff"
	it := req.MultiIter()
	var sub proto.Request
	for {
		more, err := it.Next(&sub)
		if err != nil || !more {
			return err == nil
		}
		switch sub.Op {
		case proto.OpGetData, proto.OpGetChildren:
			return false
		case proto.OpCreate, proto.OpCreate2, proto.OpCreateContainer:
			if sub.Flags < proto.FlagPersistent || sub.Flags > proto.FlagContainer {
				return false
			}
		}
		if string(sub.ACL) == null {
			return false
		}
	}
}

// retype makes an operation what its flags say. Unknown flags of a createTTL come to
// light when the operation is prepared. Source: Op.java.
func retype(sub *proto.Request) {
	switch sub.Op {
	case proto.OpCreateTTL:
		if sub.Flags == proto.FlagTTL || sub.Flags == proto.FlagPersistentSequentialTTL {
			return
		}
		sub.Op, sub.TTL = proto.OpCreate, -1
	case proto.OpCreate, proto.OpCreate2:
	default:
		return
	}
	if sub.Flags == proto.FlagContainer {
		sub.Op = proto.OpCreateContainer
	}
}
