//go:build interop

package interop

import (
	"fmt"
	"math/rand/v2"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// generator makes random requests, valid and not.
type generator struct {
	r   *rand.Rand
	xid int32
}

var names = []string{"a", "b", "c", "d"}

var oddPaths = []string{
	"/", "", "/zookeeper", "/zookeeper/quota", "/zookeeper/config", "a", "//", "/a/", "/a//b", "/a/./b", "/a/../b", "/.", "/..",
	"/a\x00b", "/a\x01", "/\u00e4\u00f6", "/\ufeff", "/\ue000", "/\U0001F600", "/a\xff", "/\u007f", "/ x", "/zookeeper/x",
	"/a/b/c/d/e/f", "/zookeeper/quota/a/zookeeper_limits",
}

func (g *generator) path() string {
	if g.r.IntN(40) == 0 {
		return oddPaths[g.r.IntN(len(oddPaths))]
	}
	p := ""
	for range 1 + g.r.IntN(3) {
		p += "/" + names[g.r.IntN(len(names))]
	}
	return p
}

func (g *generator) data() []byte {
	switch g.r.IntN(8) {
	case 0:
		return nil
	case 1:
		return []byte{}
	case 2:
		return make([]byte, g.r.IntN(3000))
	}
	return fmt.Appendf(nil, "data %d", g.r.IntN(1000))
}

func (g *generator) version() int32 {
	if g.r.IntN(2) == 0 {
		return -1
	}
	return int32(g.r.IntN(4)) - 1
}

var (
	bob  = proto.ID{Scheme: "digest", ID: "bob:ikIaKsbtGweaHnb/jKn7OHqbunM="}
	acls = [][]proto.ACL{
		{{Perms: 31, ID: proto.ID{Scheme: "auth"}}},
		{{Perms: 1, ID: proto.ID{Scheme: "world", ID: "anyone"}}},
		{{Perms: 31, ID: bob}},
		{{Perms: 1, ID: proto.ID{Scheme: "world", ID: "anyone"}}, {Perms: 31, ID: bob}},
		{{Perms: 16, ID: proto.ID{Scheme: "world", ID: "anyone"}}, {Perms: 4, ID: bob}, {Perms: 4, ID: bob}},
		{{Perms: 31, ID: proto.ID{Scheme: "ip", ID: "127.0.0.0/8"}}},
		{{Perms: 31, ID: proto.ID{Scheme: "ip", ID: "10.0.0.1"}}, {Perms: 3, ID: proto.ID{Scheme: "world", ID: "anyone"}}},
		{{Perms: 31, ID: proto.ID{Scheme: "nosuch", ID: "x"}}},
		{{Perms: 31, ID: proto.ID{Scheme: "world", ID: "x"}}},
		{{Perms: 31, ID: proto.ID{Scheme: "digest", ID: "a:b:c"}}},
		{{Perms: 31, ID: proto.ID{Scheme: "ip", ID: "1.2.3"}}},
		{{Perms: 0, ID: proto.ID{Scheme: "world", ID: "anyone"}}},
		{},
		nil,
	}
)

func (g *generator) acl(b []byte, inMulti bool) []byte {
	if g.r.IntN(12) > 0 {
		return proto.AppendACLs(b, proto.OpenACLUnsafe)
	}
	n := len(acls)
	if inMulti {
		n-- // a null list inside a multi takes no zxid from Apache, unlike every other failure
	}
	return proto.AppendACLs(b, acls[g.r.IntN(n)])
}

func (g *generator) create(b []byte, op proto.Op, inMulti bool) []byte {
	flags := int32(g.r.IntN(4))
	ttl := int64(-1)
	switch {
	case op == proto.OpCreateContainer:
		flags = proto.FlagContainer
	case op == proto.OpCreateTTL:
		flags, ttl = proto.FlagTTL+int32(g.r.IntN(2)), int64(g.r.IntN(3))*50_000_000
	}
	if g.r.IntN(60) == 0 {
		flags = []int32{-1, 5, 6, 7}[g.r.IntN(4)]
	}
	path := g.path()
	if g.r.IntN(30) == 0 {
		path += "/"
	}
	if g.r.IntN(25) == 0 {
		path = "/zookeeper/quota/" + names[g.r.IntN(2)] + []string{"", "/zookeeper_limits", "/zookeeper_stats"}[g.r.IntN(3)]
		b = jute.AppendBuffer(jute.AppendString(b, path), fmt.Appendf(nil, "count=%d,bytes=%d=;byteHardLimit=%d;countHardLimit=%d",
			g.r.IntN(9), g.r.IntN(900), g.r.IntN(9000), 3+g.r.IntN(20)))
		flags = 0
		if op == proto.OpCreateContainer {
			flags = proto.FlagContainer
		} else if op == proto.OpCreateTTL {
			flags, ttl = proto.FlagTTL, 100_000_000
		}
	} else {
		b = jute.AppendBuffer(jute.AppendString(b, path), g.data())
	}
	b = jute.AppendInt(g.acl(b, inMulti), flags)
	if op == proto.OpCreateTTL {
		b = jute.AppendLong(b, ttl)
	}
	return b
}

var kinds = []proto.Op{
	proto.OpCreate, proto.OpCreate, proto.OpCreate, proto.OpCreate2, proto.OpCreateContainer, proto.OpCreateTTL,
	proto.OpDelete, proto.OpDelete, proto.OpDelete, proto.OpSetData, proto.OpSetData, proto.OpSetData, proto.OpSetACL,
	proto.OpExists, proto.OpGetData, proto.OpGetChildren, proto.OpGetChildren2, proto.OpGetACL, proto.OpSync,
	proto.OpGetAllChildrenNumber, proto.OpGetEphemerals, proto.OpWhoAmI, proto.OpMulti, proto.OpMulti, proto.OpMultiRead,
	proto.OpAddWatch, proto.OpRemoveWatches, proto.OpCheckWatches, proto.OpSetWatches, proto.OpSetWatches2,
	proto.OpAuth, proto.OpCloseSession, proto.OpCheck, proto.Op(99), proto.OpReconfig,
}

// next makes a request; malformed ones are cut short.
func (g *generator) next() (xid int32, op proto.Op, frame []byte) {
	op = kinds[g.r.IntN(len(kinds))]
	switch op { // seldom: they end connections or sessions
	case proto.OpCloseSession, proto.OpCheck, proto.Op(99):
		if g.r.IntN(15) > 0 {
			op = proto.OpGetData
		}
	}
	g.xid++
	frame = jute.AppendInt(jute.AppendInt(nil, g.xid), int32(op))
	frame = g.body(frame, op)
	if len(frame) > 8 && g.r.IntN(150) == 0 && op != proto.OpAuth {
		frame = frame[:8+g.r.IntN(len(frame)-8)]
	}
	return g.xid, op, frame
}

func (g *generator) body(b []byte, op proto.Op) []byte {
	switch op {
	case proto.OpCreate, proto.OpCreate2, proto.OpCreateContainer, proto.OpCreateTTL:
		return g.create(b, op, false)
	case proto.OpDelete, proto.OpCheck:
		return jute.AppendInt(jute.AppendString(b, g.path()), g.version())
	case proto.OpSetData:
		return jute.AppendInt(jute.AppendBuffer(jute.AppendString(b, g.path()), g.data()), g.version())
	case proto.OpSetACL:
		return jute.AppendInt(g.acl(jute.AppendString(b, g.path()), false), g.version())
	case proto.OpExists, proto.OpGetData, proto.OpGetChildren, proto.OpGetChildren2:
		return jute.AppendBool(jute.AppendString(b, g.path()), g.r.IntN(2) == 0)
	case proto.OpGetACL, proto.OpSync, proto.OpGetAllChildrenNumber, proto.OpGetEphemerals:
		return jute.AppendString(b, g.path())
	case proto.OpAddWatch:
		return jute.AppendInt(jute.AppendString(b, g.path()), int32(g.r.IntN(21)/10))
	case proto.OpRemoveWatches, proto.OpCheckWatches:
		return jute.AppendInt(jute.AppendString(b, g.path()), 1+int32(g.r.IntN(51)/10))
	case proto.OpAuth:
		b = jute.AppendInt(b, 0)
		return jute.AppendString(jute.AppendString(b, "digest"), []string{"bob:pw", "eve:pw"}[g.r.IntN(2)])
	case proto.OpSetWatches, proto.OpSetWatches2:
		return g.watches(b, op)
	case proto.OpMulti:
		return g.multi(b)
	case proto.OpMultiRead:
		for range g.r.IntN(4) {
			op := []proto.Op{proto.OpGetData, proto.OpGetChildren}[g.r.IntN(2)]
			b = jute.AppendInt(jute.AppendBool(jute.AppendInt(b, int32(op)), false), -1)
			b = g.body(b, op)
		}
		return jute.AppendInt(jute.AppendBool(jute.AppendInt(b, -1), true), -1)
	case proto.OpReconfig:
		b = jute.AppendString(jute.AppendString(jute.AppendString(b, ""), ""), "")
		return jute.AppendLong(b, -1)
	}
	return b
}

func (g *generator) watches(b []byte, op proto.Op) []byte {
	b = jute.AppendLong(b, int64(g.r.IntN(int(g.xid)+1)))
	lists := 3
	if op == proto.OpSetWatches2 {
		lists = 5
	}
	for range lists {
		n := g.r.IntN(3)
		b = jute.AppendInt(b, int32(n))
		for range n {
			b = jute.AppendString(b, g.path())
		}
	}
	return b
}

func (g *generator) multi(b []byte) []byte {
	for range g.r.IntN(5) {
		op := []proto.Op{
			proto.OpCreate, proto.OpCreate, proto.OpCreate2, proto.OpCreateContainer, proto.OpCreateTTL, proto.OpDelete,
			proto.OpSetData, proto.OpCheck, proto.OpSetData,
		}[g.r.IntN(9)]
		if g.r.IntN(100) == 0 {
			op = []proto.Op{proto.OpGetData, proto.OpSetACL}[g.r.IntN(2)]
		}
		b = jute.AppendInt(jute.AppendBool(jute.AppendInt(b, int32(op)), false), -1)
		if op == proto.OpCreate || op == proto.OpCreate2 || op == proto.OpCreateContainer || op == proto.OpCreateTTL {
			b = g.create(b, op, true)
		} else {
			b = g.body(b, op)
		}
	}
	return jute.AppendInt(jute.AppendBool(jute.AppendInt(b, -1), true), -1)
}
