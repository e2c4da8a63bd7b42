package sim

import (
	"strings"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// watching is what a client watches.
type watching struct {
	armed  []armed
	bases  []base
	asking bool // has sent its watches to a new server
}

// armed is a watch for one event.
type armed struct {
	path  string
	child bool
	from  proto.Zxid // everything later is to be told
}

// base is a path below which everything is told, for good.
type base struct {
	path string
	next int  // index of the first change not told yet
	live bool // the server knows of it
}

// maxArmed bounds the watches of a client.
const maxArmed = 12

func (m *model) first(a *armed) (change, bool) {
	if a.child {
		return m.childChange(a.path, a.from)
	}
	return m.dataChange(a.path, a.from)
}

// watch notes a watch that a read has set.
func (c *client) watch(a *asked, zxid proto.Zxid, code proto.ErrCode) {
	if code != proto.ErrOK && a.op != proto.OpExists {
		return
	}
	child := a.op == proto.OpGetChildren2
	for i := range c.watches.armed {
		if have := &c.watches.armed[i]; have.path == a.path && have.child == child {
			return
		}
	}
	c.watches.armed = append(c.watches.armed, armed{a.path, child, zxid})
}

// watchBelow notes a recursive watch.
func (c *client) watchBelow(path string, zxid proto.Zxid) {
	for i := range c.watches.bases {
		if c.watches.bases[i].path == path {
			return
		}
	}
	c.watches.bases = append(c.watches.bases, base{path, c.w.history.model.nextChange(zxid), true})
}

// nextChange is the index of the first change after a transaction.
func (m *model) nextChange(zxid proto.Zxid) int {
	i := len(m.changes)
	for i > 0 && m.changes[i-1].zxid > zxid {
		i--
	}
	return i
}

// ahead is the next change that a recursive watch has to tell.
func (m *model) ahead(b *base) (change, bool) {
	for ; b.next < len(m.changes); b.next++ {
		if p := m.changes[b.next].path; p == b.path || strings.HasPrefix(p, b.path+"/") {
			return m.changes[b.next], true
		}
	}
	return change{}, false
}

// missed checks that every event up to a position came before what shows the position.
func (c *client) missed(zxid proto.Zxid) {
	m := &c.w.history.model
	for i := range c.watches.armed {
		if ch, ok := m.first(&c.watches.armed[i]); ok && ch.zxid <= zxid {
			c.w.violated("client %d is shown %v and was not told that at %v %s was: %v",
				c.id, zxid, ch.zxid, ch.path, ch.what)
			return
		}
	}
	for i := range c.watches.bases {
		if b := &c.watches.bases[i]; b.live {
			if ch, ok := m.ahead(b); ok && ch.zxid <= zxid {
				c.w.violated("client %d is shown %v and was not told that at %v, below %s, %s was: %v",
					c.id, zxid, ch.zxid, b.path, ch.path, ch.what)
				return
			}
		}
	}
}

// event takes a watch event.
func (c *client) event(zxid proto.Zxid, d *jute.Decoder) {
	what := proto.EventType(d.Int())
	d.Int()
	path := string(d.Buffer())
	c.w.report.Events++
	if zxid == -1 {
		c.caughtUp(what, path)
		return
	}
	m := &c.w.history.model
	told := false
	for i := range c.watches.bases {
		b := &c.watches.bases[i]
		if !b.live || what == proto.EventNodeChildrenChanged {
			continue
		}
		if ch, ok := m.ahead(b); ok && ch == (change{zxid, what, path}) {
			b.next++
			told = true
		}
	}
	kept := c.watches.armed[:0]
	for i := range c.watches.armed {
		a := &c.watches.armed[i]
		if ch, ok := m.first(a); ok && ch == (change{zxid, what, path}) {
			told = true
			continue
		}
		kept = append(kept, *a)
	}
	c.watches.armed = kept
	if !told {
		c.w.violated("client %d is told that at %v %s was: %v; it watches %+v", c.id, zxid, path, what, c.watches)
	}
}

// caughtUp takes an event that a new server sends because it happened meanwhile.
func (c *client) caughtUp(what proto.EventType, path string) {
	told := false
	kept := c.watches.armed[:0]
	for _, a := range c.watches.armed {
		child := what == proto.EventNodeChildrenChanged
		if a.path == path && (a.child == child || what == proto.EventNodeDeleted) {
			if ch, ok := c.w.history.model.first(&a); ok && (what != proto.EventNodeDeleted || !child) && ch.zxid > 0 {
				told = true
				continue
			}
		}
		kept = append(kept, a)
	}
	c.watches.armed = kept
	if !told || !c.watches.asking {
		c.w.violated("client %d is told that meanwhile %s was: %v; it watches %+v", c.id, path, what, c.watches)
	}
}

func (w *watching) none() bool { return len(w.armed)+len(w.bases) == 0 }

// lost notes that the server that knew of the watches is gone.
func (w *watching) lost() {
	w.asking = false
	for i := range w.bases {
		w.bases[i].live = false
	}
}

// remove forgets the watches of a path.
func (w *watching) remove(path string) (had bool) {
	kept := w.armed[:0]
	for _, a := range w.armed {
		if a.path == path {
			had = true
			continue
		}
		kept = append(kept, a)
	}
	w.armed = kept
	return had
}

// rewatch tells a new server what the client watches. Some clients do not.
func (c *client) rewatch() {
	ws := &c.watches
	if c.w.chance(20) || len(ws.armed) > maxArmed {
		*ws = watching{}
	}
	if ws.none() {
		return
	}
	ws.asking = true
	c.send(&asked{op: proto.OpSetWatches2, since: c.seen})
}

// encode encodes the lists of a setWatches2 request.
func (w *watching) encode(b []byte, since proto.Zxid, m *model) []byte {
	b = jute.AppendLong(b, int64(since))
	var lists [5][]string
	for _, a := range w.armed {
		switch {
		case a.child:
			lists[2] = append(lists[2], a.path)
		case m.at(a.path, a.from).exists:
			lists[0] = append(lists[0], a.path)
		default:
			lists[1] = append(lists[1], a.path)
		}
	}
	for _, base := range w.bases {
		lists[4] = append(lists[4], base.path)
	}
	for _, l := range lists {
		b = jute.AppendInt(b, int32(len(l)))
		for _, path := range l {
			b = jute.AppendString(b, path)
		}
	}
	return b
}

// rewatched takes the reply: what is watched still has not changed meanwhile. Only a
// znode that came and went again nobody can tell of.
func (c *client) rewatched(a *asked, zxid proto.Zxid) {
	ws, m := &c.watches, &c.w.history.model
	ws.asking = false
	for i := range ws.armed {
		at := &ws.armed[i]
		ch, changed := m.first(at)
		changed = changed && ch.zxid <= zxid
		absent := !at.child && !m.at(at.path, at.from).exists
		if changed && (!absent || m.at(at.path, zxid).exists) {
			c.w.violated("client %d was not told that after %v, at %v, %s was: %v",
				c.id, a.since, ch.zxid, ch.path, ch.what)
		}
		at.from = max(at.from, zxid)
	}
	for i := range ws.bases {
		ws.bases[i].live, ws.bases[i].next = true, m.nextChange(zxid)
	}
}
