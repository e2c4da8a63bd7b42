package tree

import (
	"bytes"
	"slices"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// ACLID names an access control list in the tree's table of distinct ones. It is good
// for as long as a znode, a promise or an event has it.
type ACLID uint32

// aclList is one distinct list.
type aclList struct {
	encoded []byte // nil in a free place
	masked  []byte // the same without hashes, once somebody has asked for it
	acls    []proto.ACL
	world   proto.Perms // what world:anyone may do
	refs    int32       // znodes and promises that have it
	idle    bool        // it waits in aclTable.idle
	raw     []string    // what leads to it in aclTable.raw
}

// aclTable holds each distinct list once.
type aclTable struct {
	chunks []*[aclChunk]aclList // nil for a chunk without any list
	used   ACLID                // places ever used
	ids    map[string]ACLID     // by encoding
	raw    map[string]ACLID     // from what a request carries, where the caller does not matter
	free   []ACLID
	idle   []ACLID // lists that nothing referred to at some time, oldest first
	weight int     // bytes of those in idle, encoded
	live   int
}

const aclChunk = 64

// shortList is how many entries are looked through for each other one.
const shortList = 32

const (
	maxIdle   = 1024    // lists kept although nothing refers to them
	maxWeight = 1 << 20 // bytes of them: who may do nothing at all can send long ones
	maxRaw    = 4096    // entries that tell how a request's list was fixed up
	maxRawLen = 1024    // bytes of such an entry
)

func newACLTable() aclTable {
	return aclTable{ids: make(map[string]ACLID), raw: make(map[string]ACLID)}
}

func (a *aclTable) at(id ACLID) *aclList { return &a.chunks[id/aclChunk][id%aclChunk] }

// has says whether there is a list of that number.
func (a *aclTable) has(id ACLID) bool {
	return id < a.used && a.chunks[id/aclChunk] != nil && a.at(id).encoded != nil
}

// add finds the list or makes a place for it.
func (a *aclTable) add(acls []proto.ACL) ACLID {
	encoded := proto.AppendACLs(nil, acls)
	if id, ok := a.ids[string(encoded)]; ok {
		return id
	}
	id := a.used
	if n := len(a.free); n > 0 {
		id = a.free[n-1]
		a.free = a.free[:n-1]
	}
	a.put(id, encoded, acls)
	return id
}

// put fills the place id, which is free.
func (a *aclTable) put(id ACLID, encoded []byte, acls []proto.ACL) {
	c := int(id / aclChunk)
	for c >= len(a.chunks) {
		a.chunks = append(a.chunks, nil)
	}
	if a.chunks[c] == nil {
		a.chunks[c] = new([aclChunk]aclList)
	}
	a.used = max(a.used, id+1)
	l := aclList{encoded: encoded, acls: acls}
	for _, e := range acls {
		if isWorld(e.ID) {
			l.world |= e.Perms
		}
	}
	*a.at(id) = l
	a.ids[string(encoded)] = id
	a.live++
	a.rest(id)
}

func isWorld(id proto.ID) bool { return id.Scheme == "world" && id.ID == "anyone" }

// hold notes that a znode or a promise has the list.
func (a *aclTable) hold(id ACLID) { a.at(id).refs++ }

// drop notes that a znode or a promise has it no more.
func (a *aclTable) drop(id ACLID) {
	l := a.at(id)
	if l.refs--; l.refs == 0 {
		a.rest(id)
	}
}

func (a *aclTable) rest(id ACLID) {
	if l := a.at(id); !l.idle {
		l.idle = true
		a.idle = append(a.idle, id)
		a.weight += len(l.encoded)
	}
}

// crowded says whether there are too many lists that nothing refers to.
func (a *aclTable) crowded() bool { return len(a.idle) > maxIdle || a.weight > maxWeight }

// forgetACLs drops lists that nothing refers to, oldest first, when there are too many.
// It must not be called while an event that has not been delivered has such a list.
func (t *Tree) forgetACLs() {
	a := &t.acls
	for a.crowded() {
		id := a.idle[0]
		a.idle = a.idle[1:]
		l := a.at(id)
		a.weight -= len(l.encoded)
		if l.idle = false; l.refs > 0 {
			continue
		}
		t.image.touchACL(t, id)
		delete(a.ids, string(l.encoded))
		for _, raw := range l.raw {
			delete(a.raw, raw)
		}
		*l = aclList{}
		a.free = append(a.free, id)
		a.live--
	}
}

// addACL is the id of a list, which may be new.
func (t *Tree) addACL(acls []proto.ACL) ACLID {
	before := t.acls.live
	id := t.acls.add(acls)
	if t.acls.live != before {
		t.image.cameACL(id)
	}
	return id
}

// aclOf is the id of the list that a transaction carries.
func (t *Tree) aclOf(encoded []byte) ACLID {
	if t.acls.has(0) && bytes.Equal(encoded, t.acls.at(0).encoded) { // world:anyone, as a rule
		return 0
	}
	if id, ok := t.acls.ids[string(encoded)]; ok {
		return id
	}
	d := jute.NewDecoder(encoded)
	acls, _ := proto.DecodeACLs(&d)
	return t.addACL(acls)
}

// Allowed says whether a client with these identities has one of the wanted permissions
// under the list. Source: ZooKeeperServer.java, checkACL.
func (t *Tree) Allowed(acl ACLID, want proto.Perms, ids []proto.ID) bool {
	l := t.acls.at(acl)
	if l.world&want != 0 || len(l.acls) == 0 || t.opt.SkipACL {
		return true
	}
	for _, id := range ids {
		if id.Scheme == "super" {
			return true
		}
	}
	others := ids
	if len(ids) > shortList && len(l.acls) > shortList {
		t.crowd.take(ids)
		others = t.crowd.others
	}
	for _, e := range l.acls {
		if e.Perms&want == 0 {
			continue
		}
		if len(others) < len(ids) && t.crowd.digests[e.ID] {
			return true
		}
		for _, id := range others {
			if id.Scheme == e.ID.Scheme && t.opt.Match.Matches(id, e.ID) {
				return true
			}
		}
	}
	return false
}

// crowd is the identities of one client that has very many, so that not each has to be compared with
// each entry of a list. Only of the scheme digest can there be many, and these match if they are equal.
type crowd struct {
	of      []proto.ID // all; a client's list is never changed
	digests map[proto.ID]bool
	others  []proto.ID
}

func (c *crowd) take(ids []proto.ID) {
	if len(c.of) == len(ids) && &c.of[0] == &ids[0] {
		return
	}
	*c = crowd{of: ids, digests: make(map[proto.ID]bool, len(ids))}
	for _, id := range ids {
		if id.Scheme == "digest" {
			c.digests[id] = true
		} else {
			c.others = append(c.others, id)
		}
	}
}

// OwnsRoot says whether a client with these identities has every permission on the root.
func (t *Tree) OwnsRoot(ids []proto.ID) bool {
	acl := t.nodes.at(root).acl
	for p := proto.Perms(1); p <= proto.PermAll; p <<= 1 {
		if !t.Allowed(acl, p, ids) {
			return false
		}
	}
	return true
}

// fixACL turns the list of a request into the one to be stored.
// Source: PrepRequestProcessor.java, fixupACL.
func (t *Tree) fixACL(encoded []byte, ids []proto.ID) (ACLID, proto.ErrCode) {
	if id, ok := t.acls.raw[string(encoded)]; ok {
		return id, proto.ErrOK
	}
	d := jute.NewDecoder(encoded)
	acls, nulls := proto.DecodeACLs(&d)
	if len(acls) == 0 {
		return 0, proto.ErrInvalidACL
	}
	fix := aclFixer{match: t.opt.Match, ids: ids, room: t.opt.maxTxn()}
	var seen map[proto.ACL]bool
	if len(acls) > shortList {
		seen = make(map[proto.ACL]bool, len(acls))
	}
	for i, e := range acls {
		null := nulls != nil && nulls[i]
		if !null && (seen[e] || seen == nil && slices.Contains(acls[:i], e)) {
			continue
		}
		if seen != nil {
			seen[e] = true
		}
		if code := fix.entry(e, null); code != proto.ErrOK {
			return 0, code
		}
	}
	id := t.addACL(fix.acls)
	if a := &t.acls; !fix.personal && len(encoded) <= maxRawLen && len(a.raw) < maxRaw {
		key := string(encoded)
		a.raw[key] = id
		l := a.at(id)
		l.raw = append(l.raw, key)
	}
	return id, proto.ErrOK
}

// aclFixer builds the list to be stored.
type aclFixer struct {
	match    Matcher
	ids      []proto.ID // of the caller
	acls     []proto.ACL
	personal bool // the list depends on the caller
	room     int  // bytes that it may still grow by
}

// entry adds what one entry of the request stands for. null says that its scheme or its
// id is null: Apache's server takes a null id for a failure of its own.
func (f *aclFixer) entry(e proto.ACL, null bool) proto.ErrCode {
	switch scheme := e.ID.Scheme; {
	case scheme == "auth":
		return f.auth(e.Perms)
	case null && (scheme == "world" || scheme == "ip" || f.match.Authenticated(scheme)):
		return proto.ErrMarshalling
	case null:
		return proto.ErrInvalidACL
	case isWorld(e.ID):
	case scheme == "world" || !f.match.Valid(e.ID):
		return proto.ErrInvalidACL
	}
	return f.add(e)
}

// add adds an entry as it is.
func (f *aclFixer) add(e proto.ACL) proto.ErrCode {
	if f.room -= 12 + len(e.ID.Scheme) + len(e.ID.ID); f.room < 0 {
		return proto.ErrMarshalling
	}
	f.acls = append(f.acls, e)
	return proto.ErrOK
}

// auth adds the caller's identities.
func (f *aclFixer) auth(perms proto.Perms) proto.ErrCode {
	f.personal = true
	code := proto.ErrInvalidACL
	for _, id := range f.ids {
		if f.match.Authenticated(id.Scheme) {
			if code = f.add(proto.ACL{Perms: perms, ID: id}); code != proto.ErrOK {
				return code
			}
		}
	}
	return code
}
