package sim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// asked is a request on its way.
type asked struct {
	xid     int32
	op      proto.Op
	path    string
	flags   int32
	version int32
	watch   bool
	mode    int32
	also    []*asked   // of a multi
	data    string     // of a create or a set; no two have the same
	since   proto.Zxid // of setWatches
	floor   proto.Zxid // a write known to be done before
	before  int32      // the write asked for before it on the same connection
	last    bool
	leader  *server // the only one who led when it was sent
	reign   int     // and which of the leaderships that was
}

func (a *asked) sequential() bool {
	return a.flags == proto.FlagSequential || a.flags == proto.FlagEphemeralSequential
}

// The znodes that clients quarrel about.
var (
	dirs   = []string{"/a", "/b", "/k"} // the last one is a container
	leaves = []string{"/0", "/1", "/2"}
)

func (c *client) leaf() string {
	r := c.w.rnd
	return dirs[r.IntN(len(dirs))] + leaves[r.IntN(len(leaves))]
}

// ask sends a request.
func (c *client) ask() {
	w := c.w
	path, watch := c.leaf(), w.chance(40)
	switch n := w.rnd.IntN(100); {
	case n < 4:
		a := &asked{op: proto.OpCreate, path: dirs[w.rnd.IntN(len(dirs))]}
		if a.path == "/k" {
			a.op, a.flags = proto.OpCreateContainer, proto.FlagContainer
		}
		c.send(a)
	case n < 18:
		a := &asked{op: proto.OpCreate, path: path}
		if w.chance(30) {
			a.flags = proto.FlagEphemeral
		}
		c.send(a)
	case n < 22:
		c.send(&asked{op: proto.OpCreate, path: "/b/s", flags: []int32{
			proto.FlagSequential, proto.FlagEphemeralSequential}[w.rnd.IntN(2)]})
	case n < 26 && len(c.below) > 0:
		i := w.rnd.IntN(len(c.below))
		c.send(&asked{op: proto.OpDelete, path: c.below[i], version: -1})
		c.below = slices.Delete(c.below, i, i+1)
	case n < 36:
		if w.chance(20) {
			path = dirs[w.rnd.IntN(len(dirs))]
		}
		c.send(&asked{op: proto.OpDelete, path: path, version: c.version(path)})
	case n < 56:
		c.send(&asked{op: proto.OpSetData, path: path, version: c.version(path)})
	case n < 62:
		other := c.leaf()
		c.send(&asked{op: proto.OpMulti, also: []*asked{
			{op: proto.OpCheck, path: path, version: c.version(path)},
			{op: proto.OpSetData, path: other, version: c.version(other)},
		}})
	case n < 74:
		c.send(&asked{op: proto.OpGetData, path: path, watch: watch})
	case n < 82:
		c.send(&asked{op: proto.OpExists, path: path, watch: watch})
	case n < 89:
		c.send(&asked{op: proto.OpGetChildren2, path: dirs[w.rnd.IntN(len(dirs))], watch: watch})
	case n < 93:
		c.send(&asked{op: proto.OpSync, path: "/"})
	case n < 95:
		c.send(&asked{op: proto.OpAddWatch, path: dirs[w.rnd.IntN(len(dirs))], mode: proto.AddWatchPersistentRecursive})
	case n < 96:
		c.send(&asked{op: proto.OpRemoveWatches, path: path, mode: proto.WatcherAny})
	case n < 97 && w.chance(30) && !c.ending:
		c.send(&asked{op: proto.OpCloseSession})
	default:
		c.send(&asked{op: proto.OpPing})
	}
}

// version is one to expect: any, the last one that the client was told, or a wrong one.
func (c *client) version(path string) int32 {
	v, known := c.versions[path]
	switch n := c.w.rnd.IntN(10); {
	case n < 4 && known:
		return v
	case n == 4:
		return v + 1
	}
	return -1
}

// send sends a request.
func (c *client) send(a *asked) {
	w := c.w
	c.xid++
	a.xid, a.floor = c.xid, w.history.acked
	if a.leader = w.onlyLeader(); a.leader != nil {
		a.reign = a.leader.part.reign
	}
	if a.op == proto.OpPing {
		a.xid = proto.XidPing
	}
	if a.op.IsWrite() {
		a.before, c.before = c.before, a.xid
		c.asks[a.xid] = a
	}
	a.data = fmt.Sprintf("%d/%d/%d ", c.id, c.process, a.xid)
	for _, sub := range a.also {
		sub.data = a.data
	}
	frame := c.encode(a)
	c.pending = append(c.pending, a)
	conn, s, life := c.conn, c.server, c.life
	c.arrived = max(c.arrived, w.now+w.between(20, 1000))
	w.after(c.arrived-w.now, func() {
		if s.life == life {
			s.step(func() {
				s.hears(conn)
				s.r.Input(s.clock(), conn, frame)
			})
		}
	})
}

func (c *client) encode(a *asked) []byte {
	b := jute.AppendInt(jute.AppendInt(nil, a.xid), int32(a.op))
	switch a.op {
	case proto.OpMulti:
		for _, sub := range a.also {
			b = jute.AppendInt(jute.AppendBool(jute.AppendInt(b, int32(sub.op)), false), -1)
			b = c.body(b, sub)
		}
		return jute.AppendInt(jute.AppendBool(jute.AppendInt(b, -1), true), -1)
	case proto.OpSetWatches2:
		return c.watches.encode(b, a.since, &c.w.history.model)
	}
	return c.body(b, a)
}

func (c *client) body(b []byte, a *asked) []byte {
	switch a.op {
	case proto.OpPing, proto.OpCloseSession:
		return b
	}
	b = jute.AppendString(b, a.path)
	a.data += strings.Repeat("x", c.w.rnd.IntN(20))
	switch a.op {
	case proto.OpCreate, proto.OpCreateContainer:
		b = jute.AppendInt(proto.AppendACLs(jute.AppendString(b, a.data), proto.OpenACLUnsafe), a.flags)
	case proto.OpSetData:
		b = jute.AppendInt(jute.AppendString(b, a.data), a.version)
	case proto.OpDelete, proto.OpCheck:
		b = jute.AppendInt(b, a.version)
	case proto.OpExists, proto.OpGetData, proto.OpGetChildren2:
		b = jute.AppendBool(b, a.watch)
	case proto.OpAddWatch, proto.OpRemoveWatches:
		b = jute.AppendInt(b, a.mode)
	}
	return b
}

// reply takes the reply to a request and compares it with what it should be.
func (c *client) reply(a *asked, zxid proto.Zxid, code proto.ErrCode, d *jute.Decoder) {
	w := c.w
	switch {
	case a.op == proto.OpPing:
	case a.op.IsWrite():
		c.wrote(a, zxid, code, d)
	case a.op == proto.OpSync:
		// Two who think that they lead may answer differently. One cannot.
		if a.leader != nil && a.leader == w.onlyLeader() && a.reign == a.leader.part.reign && zxid < a.floor {
			w.violated("client %d synced to %v, after a write at %v was done", c.id, zxid, a.floor)
		}
		if a.last && code == proto.ErrOK {
			c.ended = true
		}
	case a.op == proto.OpSetWatches2:
		c.rewatched(a, zxid)
	case a.op == proto.OpAddWatch:
		c.watchBelow(a.path, zxid)
	case a.op == proto.OpRemoveWatches:
		if had := c.watches.remove(a.path); had != (code == proto.ErrOK) {
			c.w.violated("client %d removed its watches of %s: %v, it had some: %v", c.id, a.path, code, had)
		}
	default:
		c.read(a, zxid, code, d)
	}
}

// wrote compares the reply to a write with the transaction, and that with what was asked.
func (c *client) wrote(a *asked, zxid proto.Zxid, code proto.ErrCode, d *jute.Decoder) {
	w, h := c.w, &c.w.history
	w.report.Acked++
	if a.op == proto.OpCloseSession && w.shape.local && !h.model.open(c.session) { // no transaction
		c.forget()
		c.drop()
		return
	}
	if !h.committed(zxid) {
		w.violated("client %d is told of %v, which is not committed", c.id, zxid)
		return
	}
	if zxid <= a.floor {
		w.violated("client %d asked for what became %v after %v was done", c.id, zxid, a.floor)
	}
	h.acked = max(h.acked, zxid)
	t := &h.txn
	if t.Decode(h.txns[zxid].txn) != nil || t.Session != c.session || t.Cxid != a.xid {
		w.violated("client %d is told that request %d became %v, which is request %d of %v", c.id, a.xid, zxid,
			t.Cxid, t.Session)
		return
	}
	if !a.became(t) {
		w.violated("client %d is told that its request %d became %v, which sets %q and not %q", c.id, a.xid, zxid,
			t.Data, a.data)
		return
	}
	want, did := c.expected(a, zxid-1), codeOf(t)
	switch {
	case did != want:
		w.violated("client %d: %v of %s at %v: %v, it should be %v", c.id, a.op, a.path, zxid, did, want)
		return
	case code != did && a.op != proto.OpMulti:
		w.violated("client %d is told %v of %v, which is %v", c.id, code, zxid, did)
		return
	case want == proto.ErrSessionExpired:
		c.forget()
		c.drop()
		return
	case a.op == proto.OpCloseSession:
		c.forget()
		c.drop()
		return
	case code != proto.ErrOK:
		return
	}
	c.done(a, zxid, d)
}

// became says whether a transaction holds what was asked for, and not what another request of the same
// number asked for.
func (a *asked) became(t *proto.Txn) bool {
	switch t.Type {
	case proto.OpCreate, proto.OpCreate2, proto.OpCreateContainer, proto.OpSetData:
		return string(t.Data) == a.data
	case proto.OpMulti:
		for i := range t.Ops {
			if t.Ops[i].Type == proto.OpSetData && string(t.Ops[i].Data) != a.also[i].data {
				return false
			}
		}
	}
	return true
}

// done takes the body of a write's reply.
func (c *client) done(a *asked, zxid proto.Zxid, d *jute.Decoder) {
	m, told := &c.w.history.model, ""
	switch a.op {
	case proto.OpCreate:
		path := string(d.Buffer())
		if path != string(c.w.history.txn.Path) {
			told = "it is " + path
		}
		if a.sequential() && len(c.below) < 10 {
			c.below = append(c.below, path)
		}
		c.versions[path] = 0
	case proto.OpDelete:
		delete(c.versions, a.path)
	case proto.OpSetData:
		stat := proto.DecodeStat(d)
		c.versions[a.path] = stat.Version
		told = compare(stat, m.at(a.path, zxid), m.listAt(a.path, zxid))
	}
	if told != "" || d.Err() != nil {
		c.w.violated("client %d: %v of %s at %v: %s", c.id, a.op, a.path, zxid, told)
	}
}

// expected is what a write has to give after a transaction.
func (c *client) expected(a *asked, zxid proto.Zxid) proto.ErrCode {
	m := &c.w.history.model
	if s := m.sessions[c.session]; s != nil && s.closed != 0 && s.closed <= zxid {
		return proto.ErrSessionExpired
	}
	if a.op == proto.OpMulti {
		for _, sub := range a.also {
			if code := m.expected(sub, zxid); code != proto.ErrOK {
				return code
			}
		}
		if v := a.also[0].version; a.also[0].path == a.also[1].path && v != -1 && a.also[1].version == v+1 {
			return proto.ErrBadVersion
		}
		return proto.ErrOK
	}
	return m.expected(a, zxid)
}

func (m *model) expected(a *asked, zxid proto.Zxid) proto.ErrCode {
	if a.op == proto.OpCloseSession {
		return proto.ErrOK
	}
	now, above := m.at(a.path, zxid), m.at(parentOf(a.path), zxid)
	creates := a.op == proto.OpCreate || a.op == proto.OpCreateContainer
	switch {
	case creates && !above.exists:
		return proto.ErrNoNode
	case creates && a.sequential():
		return proto.ErrOK
	case creates && now.exists:
		return proto.ErrNodeExists
	case creates:
		return proto.ErrOK
	case !now.exists:
		return proto.ErrNoNode
	case a.version != -1 && a.version != now.version:
		return proto.ErrBadVersion
	case a.op == proto.OpDelete && m.listAt(a.path, zxid).children > 0:
		return proto.ErrNotEmpty
	}
	return proto.ErrOK
}

// read compares what a client is shown with what was there.
func (c *client) read(a *asked, zxid proto.Zxid, code proto.ErrCode, d *jute.Decoder) {
	w, m := c.w, &c.w.history.model
	w.report.Reads++
	s, l := m.at(a.path, zxid), m.listAt(a.path, zxid)
	told := ""
	switch {
	case s.exists != (code == proto.ErrOK) || !s.exists && code != proto.ErrNoNode:
		told = fmt.Sprintf("%v, and whether it exists: %v", code, s.exists)
	case code == proto.ErrOK:
		switch a.op {
		case proto.OpGetData:
			d.Buffer()
		case proto.OpGetChildren2:
			for range d.Int() {
				c.found(a.path + "/" + string(d.Buffer()))
			}
		}
		stat := proto.DecodeStat(d)
		c.versions[a.path] = stat.Version
		told = compare(stat, s, l)
	}
	if told != "" || d.Err() != nil {
		w.violated("client %d: %v of %s at %v: %s", c.id, a.op, a.path, zxid, told)
	}
	if a.watch {
		c.watch(a, zxid, code)
	}
}

// found takes note of a sequential znode that may be deleted.
func (c *client) found(path string) {
	if strings.HasPrefix(path, "/b/s") && len(c.below) < 10 && c.w.chance(30) && !slices.Contains(c.below, path) {
		c.below = append(c.below, path)
	}
}

// compare says what is wrong with a stat.
func compare(stat proto.Stat, s state, l list) string {
	owner := max(s.owner, 0) // a container shows none
	if stat.Version != s.version || stat.Czxid != s.czxid ||
		stat.EphemeralOwner != owner || stat.NumChildren != l.children || stat.Cversion != 2*l.creates-l.children ||
		stat.Mzxid != s.zxid || stat.Pzxid != l.zxid {
		return fmt.Sprintf("shown is %+v, and there is %+v with %+v", stat, s, l)
	}
	return ""
}

func decodeStat(b []byte) proto.Stat {
	d := jute.NewDecoder(b)
	return proto.DecodeStat(&d)
}
