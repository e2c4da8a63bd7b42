package tree

import (
	"fmt"
	"testing"
	"time"

	"github.com/zkd-project/zkd/daemon/proto"
)

// TestManyIdentities: nothing else is done while a client's many identities are compared with a list of many
// entries, so it must not take long.
func TestManyIdentities(t *testing.T) {
	const many = 20_000
	d := newDriver()
	var list []proto.ACL
	var ids []proto.ID
	for i := range many {
		list = append(list, proto.ACL{Perms: 31, ID: proto.ID{Scheme: "digest", ID: fmt.Sprintf("%05d:x", i)}})
		ids = append(ids, proto.ID{Scheme: "digest", ID: fmt.Sprintf("%05d:y", i)})
	}
	req := proto.Request{Op: proto.OpCreate, Path: []byte("/a"), TTL: -1, ACL: proto.AppendACLs(nil, list)}
	if code := d.do(&req); code != proto.ErrOK {
		t.Fatal(code)
	}
	read := func(ids []proto.ID) proto.ErrCode {
		return d.t.Read(&Caller{IDs: ids}, &proto.Request{Op: proto.OpGetData, Path: []byte("/a")}, new(proto.Out))
	}
	start := time.Now()
	for range 10 {
		if code := read(ids); code != proto.ErrNoAuth {
			t.Error(code)
		}
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	ids[many/2] = list[many-1].ID // another client's, as a connection's list is never changed
	if code := read(append([]proto.ID(nil), ids...)); code != proto.ErrOK {
		t.Errorf("one of them is in the list: %v", code)
	}
	if code := read(ids[:many/2]); code != proto.ErrNoAuth {
		t.Errorf("none of the first half is in the list: %v", code)
	}
}
