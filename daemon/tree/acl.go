package tree

import (
	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// ACLID names an access control list in the tree's table of distinct ones.
type ACLID uint32

// aclList is one distinct list.
type aclList struct {
	encoded []byte
	acls    []proto.ACL
	world   proto.Perms // what world:anyone may do
}

// aclTable holds each distinct list once. Lists are never dropped: a deployment has few.
type aclTable struct {
	lists []aclList        // by ACLID
	ids   map[string]ACLID // by encoding
	raw   map[string]ACLID // from what a request carries, where the caller does not matter
	saved int              // lists that the image has
}

// maxRaw bounds the memory of how requests were fixed up.
const maxRaw = 4096

func newACLTable() *aclTable {
	return &aclTable{ids: make(map[string]ACLID), raw: make(map[string]ACLID)}
}

func (a *aclTable) add(acls []proto.ACL) ACLID {
	encoded := proto.AppendACLs(nil, acls)
	if id, ok := a.ids[string(encoded)]; ok {
		return id
	}
	l := aclList{encoded: encoded, acls: acls}
	for _, e := range acls {
		if e.ID.Scheme == "world" && e.ID.ID == "anyone" {
			l.world |= e.Perms
		}
	}
	id := ACLID(len(a.lists))
	a.lists = append(a.lists, l)
	a.ids[string(encoded)] = id
	return id
}

// ofTxn is the id of the list that a transaction carries.
func (a *aclTable) ofTxn(encoded []byte) ACLID {
	if id, ok := a.ids[string(encoded)]; ok {
		return id
	}
	d := jute.NewDecoder(encoded)
	acls, _ := proto.DecodeACLs(&d)
	return a.add(acls)
}

// Allowed says whether a client with these identities has one of the wanted permissions
// under the list. Source: ZooKeeperServer.java, checkACL.
func (t *Tree) Allowed(acl ACLID, want proto.Perms, ids []proto.ID) bool {
	l := &t.acls.lists[acl]
	if l.world&want != 0 || len(l.acls) == 0 || t.opt.SkipACL {
		return true
	}
	for _, id := range ids {
		if id.Scheme == "super" {
			return true
		}
	}
	for _, e := range l.acls {
		if e.Perms&want == 0 {
			continue
		}
		for _, id := range ids {
			if id.Scheme == e.ID.Scheme && t.opt.Match.Matches(id, e.ID) {
				return true
			}
		}
	}
	return false
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
	var fixed []proto.ACL
	personal := false
	for i, e := range acls {
		if duplicate(acls[:i], e) {
			continue
		}
		switch {
		case nulls != nil && nulls[i] && e.ID.Scheme != "auth":
			return 0, proto.ErrInvalidACL
		case e.ID.Scheme == "world" && e.ID.ID == "anyone":
			fixed = append(fixed, e)
		case e.ID.Scheme == "auth":
			personal = true
			before := len(fixed)
			for _, id := range ids {
				if t.opt.Match.Authenticated(id.Scheme) {
					fixed = append(fixed, proto.ACL{Perms: e.Perms, ID: id})
				}
			}
			if len(fixed) == before {
				return 0, proto.ErrInvalidACL
			}
		case e.ID.Scheme != "world" && t.opt.Match.Valid(e.ID):
			fixed = append(fixed, e)
		default:
			return 0, proto.ErrInvalidACL
		}
	}
	id := t.acls.add(fixed)
	if !personal && len(t.acls.raw) < maxRaw {
		t.acls.raw[string(encoded)] = id
	}
	return id, proto.ErrOK
}

func duplicate(before []proto.ACL, e proto.ACL) bool {
	for _, b := range before {
		if b == e {
			return true
		}
	}
	return false
}
