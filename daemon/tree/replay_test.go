package tree

import (
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
)

// TestReplayOntoLaterIncarnation replays a change of a znode onto a tree in which another
// znode has its path, made together with a child by a multi that comes after it.
func TestReplayOntoLaterIncarnation(t *testing.T) {
	acl := proto.AppendACLs(nil, proto.OpenACLUnsafe)
	header := func(z proto.Zxid, op proto.Op) proto.TxnHeader {
		return proto.TxnHeader{Zxid: z, Time: proto.Millis(1000 + z), Type: op}
	}
	create := func(path string, cversion int32) proto.Txn {
		return proto.Txn{
			TxnHeader: proto.TxnHeader{Type: proto.OpCreate}, Path: []byte(path), ACL: acl, ParentCversion: cversion,
		}
	}
	first := create("/b", 1)
	first.TxnHeader = header(1, proto.OpCreate)
	log := []proto.Txn{
		first,
		{TxnHeader: header(2, proto.OpSetData), Path: []byte("/b"), Data: []byte("old"), Version: 1},
		{TxnHeader: header(3, proto.OpMulti), Ops: []proto.Txn{
			{TxnHeader: proto.TxnHeader{Type: proto.OpDelete}, Path: []byte("/b")}, create("/b", 2), create("/b/a", 1),
		}},
	}
	tr := New(Options{})
	run := func() uint64 {
		for i := range log {
			tr.Apply(&log[i], new(Result))
			tr.ClearEvents()
		}
		return tr.Digest()
	}
	if once, twice := run(), run(); once != twice {
		z, _ := tr.Lookup("/b")
		t.Errorf("the digest is %x after one run and %x after two; /b is %+v", once, twice, z.Stat)
	}
}

// TestReplayOfChildOfEarlierIncarnation replays the birth of a child onto a tree in which
// another znode has its parent's path: the child's number is not that znode's.
func TestReplayOfChildOfEarlierIncarnation(t *testing.T) {
	acl := proto.AppendACLs(nil, proto.OpenACLUnsafe)
	step := func(z proto.Zxid, op proto.Op, path string, cversion int32) proto.Txn {
		h := proto.TxnHeader{Zxid: z, Time: proto.Millis(1000 + z), Type: op}
		return proto.Txn{TxnHeader: h, Path: []byte(path), ACL: acl, ParentCversion: cversion}
	}
	log := []proto.Txn{
		step(1, proto.OpCreate, "/b", 1),
		step(2, proto.OpCreate, "/b/a", 1),
		step(3, proto.OpDelete, "/b/a", 0),
		step(4, proto.OpDelete, "/b", 0),
		step(5, proto.OpCreate, "/b", 2),
	}
	tr := New(Options{})
	run := func() uint64 {
		for i := range log {
			tr.Apply(&log[i], new(Result))
			tr.ClearEvents()
		}
		return tr.Digest()
	}
	if once, twice := run(), run(); once != twice {
		z, _ := tr.Lookup("/b")
		t.Errorf("the digest is %x after one run and %x after two; /b is %+v", once, twice, z.Stat)
	}
}
