package tree

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/zkfile"
)

// mapSource is an image that is kept in a map.
type mapSource map[string]string

// Read implements ImageSource.
func (s mapSource) Read(kind byte, f func(key, value []byte) error) error {
	var keys []string
	for k := range s {
		if k[0] == kind {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		if err := f([]byte(k), []byte(s[k])); err != nil {
			return err
		}
	}
	return nil
}

// Get implements ImageSource.
func (s mapSource) Get(key []byte) ([]byte, error) {
	if v, ok := s[string(key)]; ok {
		return []byte(v), nil
	}
	return nil, nil
}

// bodySink brings a body into a tree.
type bodySink struct{ *BodyLoader }

// Znode implements zkfile.Sink.
func (s bodySink) Znode(z *zkfile.Znode) error {
	return s.BodyLoader.Znode(z.Path, z.Data, z.ACL, &StatPersisted{
		Czxid: z.Czxid, Mzxid: z.Mzxid, Pzxid: z.Pzxid, Ctime: z.Ctime, Mtime: z.Mtime,
		Version: z.Version, Cversion: z.Cversion, Aversion: z.Aversion, Owner: z.EphemeralOf,
	})
}

// loadBody makes a tree of a body, and gives the image that was written meanwhile, too.
func loadBody(body []byte, zxid proto.Zxid) (*Tree, map[string]string, error) {
	image := make(map[string]string)
	sink := bodySink{NewBodyLoader(Options{Match: openMatcher{}, ExtendedTypes: true}, nil)}
	sink.Znodes = &mapSink{image}
	if err := zkfile.ReadBody(bytes.NewReader(body), sink); err != nil {
		return nil, nil, err
	}
	t, err := sink.Finish(zxid)
	if err != nil {
		return nil, nil, err
	}
	t.CutRest(&mapSink{image})
	for !t.Drain(1) {
	}
	return t, image, t.check()
}

// throughBody checks that an image's body makes the tree that the image does, and an image that does, too.
func throughBody(t testing.TB, image map[string]string, want *Tree) {
	t.Helper()
	var body []byte
	put := func(b []byte) error { body = append(body, b...); return nil }
	if err := WriteImageBody(mapSource(image), put); err != nil {
		t.Fatal(err)
	}
	all := body
	body = nil
	if err := writeImageBody(mapSource(image), put, 20); err != nil || !bytes.Equal(body, all) { // paths are forgotten
		t.Fatalf("%d bytes with few paths in memory, and %d with all: %v", len(body), len(all), err)
	}
	got, again, err := loadBody(body, want.last)
	if err != nil {
		t.Fatal(err)
	}
	if dumpTree(got) != dumpTree(want) || got.Digest() != want.Digest() {
		t.Fatalf("the body makes another tree:\n%s\nand not\n%s", dumpTree(got), dumpTree(want))
	}
	l := NewLoader(Options{Match: openMatcher{}, ExtendedTypes: true})
	for k, v := range again {
		if err := l.Put([]byte(k), []byte(v)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err = l.Finish(); err == nil {
		err = got.check()
	}
	if err != nil || dumpTree(got) != dumpTree(want) {
		t.Fatalf("the image written with the body makes another tree: %v", err)
	}
}

// TestImageBodies has znodes come and go, so that many are in slots in front of their parents', with
// every way of writing a body.
func TestImageBodies(t *testing.T) {
	for seed := range int64(60) {
		r := rand.New(rand.NewSource(seed))
		d := newDriver()
		paths := []string{""}
		for range 400 {
			p := paths[r.Intn(len(paths))]
			switch {
			case r.Intn(5) < 2 && len(paths) > 1 && p != "":
				req := proto.Request{Op: proto.OpDelete, Path: []byte(p), Version: -1}
				if d.do(&req) == proto.ErrOK {
					paths = slices.DeleteFunc(paths, func(q string) bool { return q == p })
				}
			case strings.Count(p, "/") < 6:
				p += fmt.Sprintf("/n%d", len(paths)%7+r.Intn(1000)*10)
				if !slices.Contains(paths, p) {
					d.create(p, bytes.Repeat([]byte("x"), r.Intn(30)))
					paths = append(paths, p)
				}
			}
		}
		image := make(map[string]string)
		d.t.CutWhole(&mapSink{image})
		for !d.t.Drain(7) {
		}
		throughBody(t, image, load(t, image))
		var body []byte
		if err := d.t.WriteBody(func(b []byte) error { body = append(body, b...); return nil }); err != nil {
			t.Fatal(err)
		}
		if got, _, err := loadBody(body, d.t.last); err != nil || dumpTree(got) != dumpTree(d.t) {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// TestDamagedImageBodies never come to an end.
func TestDamagedImageBodies(t *testing.T) {
	d := newDriver()
	d.c.Session = 3
	d.do(&proto.Request{Op: proto.OpCreateSession, Mode: 4000})
	d.create("/a", []byte("data"))
	d.create("/a/b", nil)
	d.create("/a/b/c", nil)
	whole := make(map[string]string)
	d.t.Cut(&mapSink{whole})
	for !d.t.Drain(1) {
	}
	key := func(id byte) string { return string([]byte{keyNode, 0, 0, 0, id}) }
	child := func(m map[string]string, of, id byte) {
		m[key(id)] = m[key(id)][:4] + string([]byte{of}) + m[key(id)][5:]
	}
	for name, damage := range map[string]func(m map[string]string){
		"no meta record":      func(m map[string]string) { delete(m, string([]byte{keyMeta})) },
		"znodes, and the":     func(m map[string]string) { delete(m, key(7)) },
		"record of 0 bytes":   func(m map[string]string) { delete(m, key(5)) },
		"0 of 1 sessions":     func(m map[string]string) { delete(m, string([]byte{keySession, 0, 0, 0, 0, 0, 0, 0, 3})) },
		"1 of 2 ACLs":         func(m map[string]string) { delete(m, string([]byte{keyACL, 0, 0, 0, 0})) },
		"the digest":          func(m map[string]string) { m[key(5)] += "x" },
		"znode 6":             func(m map[string]string) { m[key(6)] = "abc" },
		"znode 0":             func(m map[string]string) { child(m, 0, 5) },
		"below itself":        func(m map[string]string) { child(m, 7, 5) },
		"is below itself":     func(m map[string]string) { child(m, 5, 5) },
		"record with the key": func(m map[string]string) { m["nx"] = "" },
	} {
		m := make(map[string]string)
		for k, v := range whole {
			m[k] = v
		}
		damage(m)
		var body []byte
		err := WriteImageBody(mapSource(m), func(b []byte) error { body = append(body, b...); return nil })
		if !errors.Is(err, ErrImage) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if _, _, err := loadBody(body, 9); err == nil {
			t.Errorf("%s: the body was taken for whole", name)
		}
	}
}
