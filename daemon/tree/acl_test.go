package tree

import (
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
)

// TestListThatIsMissing: a snapshot that lacks a znode's list must not open the znode to everybody.
// ZooKeeper's server cannot answer for such a znode at all.
func TestListThatIsMissing(t *testing.T) {
	b := NewBodyLoader(Options{Match: openMatcher{}}, nil)
	for _, path := range []string{"", "/secret", systemPath, quotaPath, configPath} {
		acl := int64(openNumber)
		if path == "/secret" {
			acl = 77
		}
		if err := b.Znode([]byte(path), nil, acl, new(StatPersisted)); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := b.Finish(1)
	if err != nil {
		t.Fatal(err)
	}
	req := &proto.Request{Op: proto.OpGetData, Path: []byte("/secret")}
	for _, test := range []struct {
		id   proto.ID
		want proto.ErrCode
	}{
		{proto.ID{Scheme: "digest", ID: "somebody:x"}, proto.ErrNoAuth},
		{proto.ID{Scheme: "super"}, proto.ErrOK},
	} {
		if code := tree.Read(&Caller{IDs: []proto.ID{test.id}}, req, new(proto.Out)); code != test.want {
			t.Errorf("%v reads it: %v", test.id, code)
		}
	}
}
