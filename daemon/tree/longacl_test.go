package tree

import (
	"fmt"
	"testing"
	"time"

	"github.com/zkd-project/zkd/daemon/proto"
)

// TestLongACL prepares a list of very many entries, each of them twice: nothing else is done
// meanwhile, so it must not take long.
func TestLongACL(t *testing.T) {
	const many = 150_000
	d := &driver{t: New(Options{Match: openMatcher{}, MaxRequest: 32 << 20})}
	var list []proto.ACL
	for i := range 2 * many {
		list = append(list, proto.ACL{Perms: 31, ID: proto.ID{Scheme: "digest", ID: fmt.Sprintf("%06d:x", i%many)}})
	}
	req := proto.Request{Op: proto.OpCreate, Path: []byte("/a"), TTL: -1, ACL: proto.AppendACLs(nil, list)}
	start := time.Now()
	if code := d.do(&req); code != proto.ErrOK {
		t.Fatal(code)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if z, _ := d.t.Lookup("/a"); len(z.ACLs) != many {
		t.Errorf("%d entries are left of %d", len(z.ACLs), len(list))
	}
}
