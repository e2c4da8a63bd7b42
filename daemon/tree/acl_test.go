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

// TestMoreListsThanAnyImageHad: what the tree holds must be what can be loaded.
func TestMoreListsThanAnyImageHad(t *testing.T) {
	d := newDriver()
	d.t.acls.used = 1<<24 + 1 // as if there were so many
	acl := proto.AppendACLs(nil, []proto.ACL{{Perms: 31, ID: proto.ID{Scheme: "digest", ID: "a:x"}}})
	if code := d.do(&proto.Request{Op: proto.OpCreate, Path: []byte("/a"), ACL: acl, TTL: -1}); code != proto.ErrOK {
		t.Fatal(code)
	}
	image := make(map[string]string)
	d.t.Cut(&mapSink{image})
	for !d.t.Drain(100) {
	}
	if z, ok := load(t, image).Lookup("/a"); !ok || len(z.ACLs) != 1 {
		t.Errorf("%v", z.ACLs)
	}
}
