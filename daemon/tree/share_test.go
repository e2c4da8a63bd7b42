package tree

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
)

// wholeOf is all of an output, with what it refers to.
func wholeOf(out *proto.Out) (all []byte) {
	from := 0
	for _, r := range out.Refs {
		all = append(append(all, out.B[from:r.At]...), r.V...)
		from = r.At
	}
	return append(all, out.B[from:]...)
}

// TestLongRepliesAreShared: a request of a few bytes must not cost memory that is many times as
// long, as thousands of them may be answered at a time.
func TestLongRepliesAreShared(t *testing.T) {
	d := newDriver()
	d.create("/few", nil)
	for i := range 20 {
		d.create(fmt.Sprintf("/few/%d%s", i, bytes.Repeat([]byte("n"), 5000)), nil)
	}
	long := []proto.ACL{{Perms: proto.PermRead, ID: proto.ID{Scheme: "world", ID: "anyone"}}}
	for i := range 2000 {
		long = append(long, proto.ACL{Perms: 31, ID: proto.ID{Scheme: "digest", ID: fmt.Sprintf("user%d:hash", i)}})
	}
	req := proto.Request{Op: proto.OpCreate, Path: []byte("/many"), ACL: proto.AppendACLs(nil, long), TTL: -1}
	if code := d.do(&req); code != proto.ErrOK {
		t.Fatal(code)
	}
	read := func(op proto.Op, path string, ids ...proto.ID) []byte {
		t.Helper()
		var out proto.Out
		c := Caller{IDs: ids}
		for range 100 {
			if code := d.t.Read(&c, &proto.Request{Op: op, Path: []byte(path)}, &out); code != proto.ErrOK {
				t.Fatal(code)
			}
		}
		all := wholeOf(&out)
		for i := range out.Refs {
			if &out.Refs[i].V[0] != &out.Refs[0].V[0] {
				t.Errorf("%v: reply %d is a copy", op, i)
			}
		}
		if len(out.B) > len(all)/10 {
			t.Errorf("%v: %d of %d bytes are copied", op, len(out.B), len(all))
		}
		return all[:len(all)/100]
	}
	before := read(proto.OpGetChildren, "/few")
	d.create("/few/more", nil)
	if after := read(proto.OpGetChildren2, "/few"); !bytes.Contains(after, []byte("more")) || len(after) < len(before) {
		t.Error("the list is an old one")
	}
	root := proto.ID{Scheme: "super"}
	if clear := read(proto.OpGetACL, "/many", root); !bytes.Contains(clear, []byte("user7:hash")) {
		t.Error("who may administer does not see the hashes")
	}
	hidden := read(proto.OpGetACL, "/many")
	if bytes.Contains(hidden, []byte("hash")) || !bytes.Contains(hidden, []byte("user7:x")) {
		t.Error("who may only read sees the hashes")
	}
}
