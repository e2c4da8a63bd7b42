package tree

import (
	"testing"
)

// TestForeignQuotasAreCounted: a snapshot of Apache's was written while the tree changed, and its stats may be
// of another moment than the znodes.
func TestForeignQuotasAreCounted(t *testing.T) {
	b := NewBodyLoader(Options{Match: openMatcher{}, EnforceQuota: true}, nil)
	b.Recount = true
	for _, z := range [][2]string{
		{"", ""}, {"/a", "12345"}, {"/a/b", "67"}, {systemPath, ""}, {configPath, ""}, {quotaPath, ""}, {quotaPath + "/a", ""},
		{quotaPath + "/a/" + limitsName, "count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=3"},
		{quotaPath + "/a/" + statsName, "count=77,bytes=7777"},
	} {
		if err := b.Znode([]byte(z[0]), []byte(z[1]), openNumber, new(StatPersisted)); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := b.Finish(1)
	if err != nil {
		t.Fatal(err)
	}
	if z, ok := tree.Lookup(quotaPath + "/a/" + statsName); !ok || string(z.Data) != "count=2,bytes=7" {
		t.Errorf("the stats are %q", z.Data)
	}
	if err := tree.check(); err != nil {
		t.Error(err)
	}
	image := make(map[string]string)
	tree.CutRest(&mapSink{image})
	for !tree.Drain(100) {
	}
	id := keyOfNode(tree.lookup([]byte(quotaPath + "/a/" + statsName)))
	if _, ok := image[string(id[:])]; !ok {
		t.Error("an image that was written while the snapshot came has the old stats")
	}
	d := &driver{t: tree, zxid: 1}
	d.create("/a/c", nil)
}
