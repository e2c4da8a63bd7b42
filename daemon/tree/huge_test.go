package tree

import (
	"fmt"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
)

// small is a tree that takes requests of up to so many bytes, and everybody's identities.
func small(longest int) *driver {
	return &driver{t: New(Options{Match: openMatcher{}, MaxRequest: longest})}
}

func ephemeralAt(path string) *proto.Request {
	return &proto.Request{Op: proto.OpCreate, Path: []byte(path), ACL: openACL, TTL: -1, Flags: proto.FlagEphemeral}
}

// TestCloseSessionWithManyEphemerals closes a session whose ephemerals, some of them only promised,
// have more bytes in their names than a transaction may have: it lists what fits, and deletes all.
func TestCloseSessionWithManyEphemerals(t *testing.T) {
	const longest = 4 << 10
	run := func(longest int) (*driver, int) {
		d := small(longest)
		var queue [][]byte
		prepare := func(s proto.SessionID, req *proto.Request) {
			t.Helper()
			d.zxid++
			d.t.Prepare(proto.TxnHeader{Session: s, Zxid: d.zxid, Time: 5}, &d.c, req, &d.txn)
			if d.txn.Err != proto.ErrOK {
				t.Fatalf("%v %.20s: %v", req.Op, req.Path, d.txn.Err)
			}
			queue = append(queue, d.txn.Append(nil))
		}
		apply := func() {
			for _, b := range queue {
				if err := d.txn.Decode(b); err != nil {
					t.Fatal(err)
				}
				if d.t.Apply(&d.txn, &d.res); d.res.Err != proto.ErrOK {
					t.Fatal(d.res.Err)
				}
			}
			queue = nil
		}
		name := func(i int) string { return fmt.Sprintf("/e/%03d%s", i, strings.Repeat("x", 100)) }
		prepare(1, &proto.Request{Op: proto.OpCreate, Path: []byte("/e"), ACL: openACL, TTL: -1})
		prepare(7, &proto.Request{Op: proto.OpCreateSession, Mode: 4000})
		for i := range 100 {
			prepare(7, ephemeralAt(name(i)))
		}
		apply()
		for i := range 100 {
			prepare(7, ephemeralAt(name(100+i)))
		}
		prepare(7, &proto.Request{Op: proto.OpDelete, Path: []byte(name(3)), Version: -1})
		prepare(7, &proto.Request{Op: proto.OpDelete, Path: []byte(name(150)), Version: -1})
		prepare(8, ephemeralAt(name(3)))
		prepare(7, &proto.Request{Op: proto.OpCloseSession})
		size := len(queue[len(queue)-1])
		prepare(1, &proto.Request{Op: proto.OpCreate, Path: []byte(name(199)), ACL: openACL, TTL: -1}) // it is gone
		apply()
		if err := d.t.check(); err != nil {
			t.Error(err)
		}
		if z, _ := d.t.Lookup("/e"); z.Stat.NumChildren != 2 || d.t.ephemerals[7] != nil || len(d.t.overlay.promises) != 0 {
			t.Errorf("with %d bytes at most: %+v is left, and %d promises", longest, z.Stat, len(d.t.overlay.promises))
		}
		return d, size
	}
	whole, all := run(0)
	part, some := run(longest)
	if all < 198*107 || some > proto.TxnHeaderLen+4+longest || some < longest-107 {
		t.Errorf("all of it has %d bytes, what is listed of it %d", all, some)
	}
	if whole.t.Digest() != part.t.Digest() || whole.t.LastZxid() != part.t.LastZxid() {
		t.Errorf("the trees differ: %x at %v, %x at %v",
			whole.t.Digest(), whole.t.LastZxid(), part.t.Digest(), part.t.LastZxid())
	}
}

// TestTooLongTxn prepares requests that are short, and whose transactions are not: an entry for
// "auth" stands for all identities of the client.
func TestTooLongTxn(t *testing.T) {
	const longest = 4 << 10
	d := small(longest)
	d.create("/a", nil)
	d.create("/c", nil)
	d.c.IDs = []proto.ID{{Scheme: "digest", ID: strings.Repeat("i", 1000)}}
	acl := func(entries int) (list []proto.ACL) {
		for i := range entries {
			list = append(list, proto.ACL{Perms: proto.Perms(i + 1), ID: proto.ID{Scheme: "auth"}})
		}
		return list
	}
	multi := func(ops int) *proto.Request {
		var list []modelReq
		for i := range ops {
			list = append(list, modelReq{op: proto.OpCreate, path: fmt.Sprintf("/a/%d", i), version: -1, acl: acl(1)})
		}
		return &proto.Request{Op: proto.OpMulti, Ops: encodeMulti(list)}
	}
	for _, c := range []struct {
		name string
		req  *proto.Request
		want proto.ErrCode
	}{
		{"a list that fits", &proto.Request{
			Op: proto.OpSetACL, Path: []byte("/c"), Version: -1, ACL: proto.AppendACLs(nil, acl(7)),
		}, proto.ErrOK},
		{"a list", &proto.Request{
			Op: proto.OpSetACL, Path: []byte("/a"), Version: -1, ACL: proto.AppendACLs(nil, acl(8)),
		}, proto.ErrMarshalling},
		{"many lists", &proto.Request{
			Op: proto.OpCreate, Path: []byte("/b"), TTL: -1, ACL: proto.AppendACLs(nil, acl(1000)),
		}, proto.ErrMarshalling},
		{"a list and data", &proto.Request{
			Op: proto.OpCreate, Path: []byte("/b"), TTL: -1, ACL: proto.AppendACLs(nil, acl(7)), Data: make([]byte, 3000),
		}, proto.ErrMarshalling},
		{"data from another server's client", &proto.Request{
			Op: proto.OpSetData, Path: []byte("/a"), Version: -1, Data: make([]byte, 2*longest),
		}, proto.ErrMarshalling},
		{"a multi", multi(8), proto.ErrMarshalling},
		{"a multi that fits", multi(7), proto.ErrOK},
	} {
		before := d.t.Digest()
		if code := d.do(c.req); code != c.want {
			t.Errorf("%s: %v", c.name, code)
		}
		if n := proto.TxnHeaderLen + d.txn.RecordLen(); n != len(d.buf) || n > 2*longest {
			t.Errorf("%s: %d bytes, counted as %d", c.name, len(d.buf), n)
		}
		if c.want != proto.ErrOK && d.t.Digest() != before || len(d.t.overlay.promises) != 0 {
			t.Errorf("%s: it has left something behind", c.name)
		}
	}
	if err := d.t.check(); err != nil {
		t.Error(err)
	}
}
