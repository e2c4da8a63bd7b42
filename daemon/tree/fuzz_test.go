package tree

import (
	"bytes"
	"errors"
	"testing"
	"unicode/utf16"

	"github.com/zkd-project/zkd/daemon/proto"
)

// javaValid is the rule for paths in Java's terms: over UTF-16 units, after malformed
// input has become U+FFFD.
func javaValid(p []byte) bool {
	chars := utf16.Encode([]rune(string(p)))
	if len(chars) == 0 || chars[0] != '/' {
		return false
	}
	if len(chars) == 1 {
		return true
	}
	if chars[len(chars)-1] == '/' {
		return false
	}
	for i := 1; i < len(chars); i++ {
		c, before := chars[i], chars[i-1]
		ends := i+1 == len(chars) || chars[i+1] == '/'
		switch {
		case c == 0, c == '/' && before == '/':
			return false
		case c == '.' && before == '.':
			if chars[i-2] == '/' && ends {
				return false
			}
		case c == '.':
			if before == '/' && ends {
				return false
			}
		case c <= 0x1f, c >= 0x7f && c <= 0x9f, c >= 0xd800 && c <= 0xf8ff, c >= 0xfff0:
			return false
		}
	}
	return true
}

func TestPaths(t *testing.T) {
	for p, want := range map[string]bool{
		"/": true, "/a": true, "/a/b": true, "/.a": true, "/a.": true, "/...": true, "/a..b/c": true, "/a b": true,
		"/\u00a0": true, "/\ufeff": true, "/\uffef": true, "/\u4e2d\u6587": true, "/\ud7ff": true, "/\uf900": true,
		"": false, "a": false, "//": false, "/a/": false, "/a//b": false, "/.": false, "/..": false, "/a/./b": false,
		"/a/../b": false, "/./a": false, "/a\x00": false, "/\x01": false, "/\x1f": false, "/\x7f": false,
		"/\u0080": false, "/\u009f": false, "/\ue000": false, "/\uf8ff": false, "/\ufff0": false, "/\uffff": false,
		"/\U0001F600": false, "/\xff": false, "/\xc0\x80": false, "/\xed\xa0\x80\xed\xb0\x80": false, "/\ufffd": false,
		"/a\xc3": false,
	} {
		if got := validPath([]byte(p)); got != want || javaValid([]byte(p)) != want {
			t.Errorf("%q: %v, in Java's terms %v, want %v", p, got, javaValid([]byte(p)), want)
		}
	}
	for p, want := range map[string]bool{
		"/a": true, "a/b": true, "/a/": true, "//": true, "/zookeeper/x": true, "/\x01": true,
		"": false, "a": false, "/": false, "/a\x00": false, "/zookeeper": false, "/zookeeper/quota": false,
		"/zookeeper/config": false,
	} {
		if got := lightPath([]byte(p)); got != want {
			t.Errorf("%q: light %v, want %v", p, got, want)
		}
	}
}

// FuzzPath compares the rule for paths with Java's.
func FuzzPath(f *testing.F) {
	for _, p := range []string{"/", "/a/b", "/a/../b", "/.", "/\u009f", "/\U0001F600", "/\xed\xa0\x80", "//", "/a\xff/b"} {
		f.Add([]byte(p))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if got, want := validPath(p), javaValid(p); got != want {
			t.Errorf("%q: %v, want %v", p, got, want)
		}
	})
}

// FuzzLoad loads one damaged record in a good image: it is refused or makes a tree in
// which everything holds.
func FuzzLoad(f *testing.F) {
	d := newDriver()
	d.c.Session = 3
	d.do(&proto.Request{Op: proto.OpCreateSession, Mode: 4000})
	d.create("/a", []byte("data"))
	d.create("/a/b", nil)
	d.do(&proto.Request{
		Op: proto.OpCreate, Path: []byte("/a/e"), ACL: openACL, TTL: -1, Flags: proto.FlagEphemeral,
	})
	d.do(&proto.Request{
		Op: proto.OpCreateTTL, Path: []byte("/a/t"), ACL: openACL, TTL: 77, Flags: proto.FlagTTL,
	})
	whole := make(map[string]string)
	d.t.Cut(&mapSink{whole})
	for !d.t.Drain(1) {
	}
	for k, v := range whole {
		f.Add([]byte(k), []byte(v))
	}
	f.Add([]byte{keyNode, 0x3f, 0xff, 0xff, 0xff}, []byte(whole[string([]byte{keyNode, 0, 0, 0, 5})]))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		l := NewLoader(d.t.opt)
		err := l.Put(key, value)
		for k, v := range whole {
			if err == nil && k != string(key) {
				err = l.Put([]byte(k), []byte(v))
			}
		}
		var loaded *Tree
		if err == nil {
			loaded, err = l.Finish()
		}
		if err != nil {
			if !errors.Is(err, ErrImage) {
				t.Errorf("%v", err)
			}
			return
		}
		if err := loaded.check(); err != nil {
			t.Errorf("%x = %x: %v", key, value, err)
		}
	})
}

// FuzzRequest prepares and applies whatever decodes as a request, and looks whether
// everything holds afterwards.
func FuzzRequest(f *testing.F) {
	create := modelReq{op: proto.OpCreate, path: "/a/x", data: []byte("d"), acl: proto.OpenACLUnsafe}
	multi := encodeMulti([]modelReq{create, {op: proto.OpDelete, path: "/a/x", version: -1}})
	f.Add(int32(proto.OpMulti), multi)
	f.Add(int32(proto.OpCreate), multi[9:])
	f.Add(int32(proto.OpDelete), []byte("\x00\x00\x00\x02/a\xff\xff\xff\xff"))
	f.Add(int32(proto.OpSetData), []byte("\x00\x00\x00\x02/a\x00\x00\x00\x01x\xff\xff\xff\xff"))
	f.Add(int32(proto.OpMultiRead), []byte("\x00\x00\x00\x04\x00\xff\xff\xff\xff\x00\x00\x00\x02/a\x01\xff\xff\xff\xff\x01\xff\xff\xff\xff"))
	f.Add(int32(proto.OpSetWatches), []byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x02/a\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, op int32, body []byte) {
		d := newDriver()
		d.create("/a", []byte("x"))
		req := proto.Request{Op: proto.Op(op)}
		if req.DecodeBody(body) != nil {
			return
		}
		var out proto.Out
		before := bytes.Clone(body)
		switch {
		case req.Op.IsWrite():
			d.do(&req)
		case req.Op == proto.OpSetWatches || req.Op == proto.OpSetWatches2:
			d.t.SetWatches(&d.c, &req, &out)
		default:
			if d.t.Read(&d.c, &req, &out) != proto.ErrOK && out.Len() > 0 {
				t.Error("an error with a body")
			}
		}
		if !bytes.Equal(before, body) {
			t.Error("the request has changed")
		}
		if err := d.t.check(); err != nil {
			t.Error(err)
		}
	})
}
