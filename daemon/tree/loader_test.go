package tree

import (
	"errors"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
)

// load makes a tree of an image.
func load(t *testing.T, image map[string]string) *Tree {
	t.Helper()
	l := NewLoader(Options{Match: openMatcher{}, ExtendedTypes: true})
	for k, v := range image {
		if err := l.Put([]byte(k), []byte(v)); err != nil {
			t.Fatal(err)
		}
	}
	tr, err := l.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.check(); err != nil {
		t.Fatal(err)
	}
	if len(image) > 0 {
		throughBody(t, image, tr)
	}
	return tr
}

// TestDamagedImages are refused, each for its reason.
func TestDamagedImages(t *testing.T) {
	d := newDriver()
	d.c.Session = 3
	d.do(&proto.Request{Op: proto.OpCreateSession, Mode: 4000})
	d.create("/a", []byte("data"))
	d.create("/a/b", nil)
	whole := make(map[string]string)
	d.t.Cut(&mapSink{whole})
	for !d.t.Drain(1) {
	}
	load(t, whole)
	key := func(id byte) string { return string([]byte{keyNode, 0, 0, 0, id}) }
	for name, damage := range map[string]func(m map[string]string){
		"no meta record":  func(m map[string]string) { delete(m, string([]byte{keyMeta})) },
		"5 of 6 znodes":   func(m map[string]string) { delete(m, key(5)) },
		"0 of 1 sessions": func(m map[string]string) { delete(m, string([]byte{keySession, 0, 0, 0, 0, 0, 0, 0, 3})) },
		"1 of 2 ACLs":     func(m map[string]string) { delete(m, string([]byte{keyACL, 0, 0, 0, 0})) },
		"does not decode": func(m map[string]string) { m[string([]byte{keyACL, 0, 0, 0, 1})] += "x" },
		"is there twice": func(m map[string]string) {
			m[string([]byte{keyACL, 0, 0, 0, 1})] = m[string([]byte{keyACL, 0, 0, 0, 0})]
		},
		"unknown key":        func(m map[string]string) { m["x"] = "" },
		"no znode 0":         func(m map[string]string) { m[key(0)] = m[key(5)] },
		"record of 3 bytes":  func(m map[string]string) { m[key(5)] = "abc" },
		"field":              func(m map[string]string) { m[key(5)] = m[key(5)][:24] },
		"null data":          func(m map[string]string) { m[key(6)] += "x" },
		"the digest":         func(m map[string]string) { m[key(5)] += "x" },
		"its format is 2":    func(m map[string]string) { m["m"] = "\x00\x00\x00\x02" + m["m"][4:] },
		"znode 5 has no ACL": func(m map[string]string) { m[key(5)] = strings.Replace(m[key(5)], "\x00\x00\x02a", "\x00\x7e\x02a", 1) },
		"znode 5 has no parent": func(m map[string]string) {
			m[key(5)] = m[key(5)][:4] + "\x77" + m[key(5)][5:]
		},
		"below itself": func(m map[string]string) {
			m[key(5)] = m[key(5)][:4] + "\x06" + m[key(5)][5:]
		},
		"the root has a parent": func(m map[string]string) {
			m[key(1)] = m[key(1)][:4] + "\x05" + m[key(1)][5:]
		},
		"name of znode 1": func(m map[string]string) {
			m[key(1)] = m[key(5)]
		},
		"name of znode 5": func(m map[string]string) {
			m[key(5)] = strings.Replace(m[key(5)], "\x02a", "\x02/", 1)
		},
		"have one path": func(m map[string]string) {
			m[key(3)] = strings.Replace(m[key(3)], "\x0aquota", "\x0cconfig", 1)
		},
		"a name of": func(m map[string]string) {
			m[key(5)] = strings.Replace(m[key(5)], "\x02a", "\x7ea", 1)
		},
	} {
		m := make(map[string]string)
		for k, v := range whole {
			m[k] = v
		}
		damage(m)
		l := NewLoader(d.t.opt)
		var err error
		for k, v := range m {
			if err == nil {
				err = l.Put([]byte(k), []byte(v))
			}
		}
		if err == nil {
			_, err = l.Finish()
		}
		if !errors.Is(err, ErrImage) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	l := NewLoader(d.t.opt)
	if err := errors.Join(l.Put([]byte(key(5)), []byte(whole[key(5)])), l.Put([]byte(key(5)), []byte(whole[key(5)]))); err == nil {
		t.Error("a znode may come twice")
	}
	if fresh, err := NewLoader(d.t.opt).Finish(); err != nil || fresh.Counts().Znodes != 4 {
		t.Errorf("nothing is not a fresh tree: %v", err)
	}
}
