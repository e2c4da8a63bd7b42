package tree

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/zkd-project/zkd/daemon/proto"
)

// modelNode is a znode of the model.
type modelNode struct {
	data                        []byte
	acl                         []proto.ACL
	czxid, mzxid, pzxid         proto.Zxid
	ctime, mtime                proto.Millis
	version, cversion, aversion int32
	owner                       int64
}

// model is the tree as simply as it can be put: a map by path. It takes requests and
// changes at once.
type model struct {
	nodes       map[string]*modelNode
	sessions    map[proto.SessionID]int32
	data, child map[string]map[WatcherID]watchModes
	events      []string
}

func newModel() *model {
	m := &model{
		nodes: make(map[string]*modelNode), sessions: make(map[proto.SessionID]int32),
		data: make(map[string]map[WatcherID]watchModes), child: make(map[string]map[WatcherID]watchModes),
	}
	readable := []proto.ACL{{Perms: proto.PermRead, ID: proto.ID{Scheme: "world", ID: "anyone"}}}
	for _, p := range []string{"/", systemPath, quotaPath} {
		m.nodes[p] = &modelNode{data: []byte{}, acl: proto.OpenACLUnsafe}
	}
	m.nodes[configPath] = &modelNode{data: []byte{}, acl: readable, aversion: -1}
	return m
}

// modelResult is what the model says becomes of a request.
type modelResult struct {
	code proto.ErrCode
	path string
	stat proto.Stat
	ops  []modelResult
}

func parentOf(p string) string {
	if i := strings.LastIndexByte(p, '/'); i > 0 {
		return p[:i]
	}
	return "/"
}

func (m *model) children(p string) (names []string) {
	for q := range m.nodes {
		if q != "/" && parentOf(q) == p {
			names = append(names, q[strings.LastIndexByte(q, '/')+1:])
		}
	}
	sort.Strings(names)
	return names
}

func (m *model) stat(p string) proto.Stat {
	n, kids := m.nodes[p], int32(len(m.children(p)))
	s := proto.Stat{
		Czxid: n.czxid, Mzxid: n.mzxid, Pzxid: n.pzxid, Ctime: n.ctime, Mtime: n.mtime,
		Version: n.version, Cversion: 2*n.cversion - kids, Aversion: n.aversion,
		DataLength: int32(len(n.data)), NumChildren: kids,
	}
	if n.owner > 0 {
		s.EphemeralOwner = proto.SessionID(n.owner)
	}
	return s
}

func modelAllows(acl []proto.ACL, want proto.Perms, ids []proto.ID) bool {
	for _, id := range ids {
		if id.Scheme == "super" {
			return true
		}
	}
	for _, e := range acl {
		if e.Perms&want != 0 && (isWorld(e.ID) || slices.Contains(ids, e.ID)) {
			return true
		}
	}
	return len(acl) == 0
}

// modelReq is a request as the model takes it.
type modelReq struct {
	op      proto.Op
	path    string
	data    []byte
	acl     []proto.ACL
	flags   int32
	ttl     int64
	version int32
	ops     []modelReq
}

// clone is a copy that nobody watches.
func (m *model) clone() *model {
	c := &model{nodes: make(map[string]*modelNode, len(m.nodes)), sessions: make(map[proto.SessionID]int32)}
	for p, n := range m.nodes {
		dup := *n
		c.nodes[p] = &dup
	}
	for s, timeout := range m.sessions {
		c.sessions[s] = timeout
	}
	return c
}

// do takes a request of a client with these identities.
func (m *model) do(h proto.TxnHeader, ids []proto.ID, r modelReq) modelResult {
	switch r.op {
	case proto.OpMulti:
		return m.multi(h, ids, r)
	case proto.OpCreateSession:
		m.sessions[h.Session] = r.version
		return modelResult{}
	case proto.OpCloseSession:
		var mine []string
		for p, n := range m.nodes {
			if n.owner == int64(h.Session) {
				mine = append(mine, p)
			}
		}
		for _, p := range mine {
			m.remove(h, p)
		}
		delete(m.sessions, h.Session)
		return modelResult{}
	}
	return m.one(h, ids, r)
}

func (m *model) multi(h proto.TxnHeader, ids []proto.ID, r modelReq) (res modelResult) {
	trial := m.clone()
	for i, op := range r.ops {
		one := trial.one(h, ids, op)
		if one.code == proto.ErrOK {
			continue
		}
		res.ops = append(make([]modelResult, i), one)
		for range r.ops[i+1:] {
			res.ops = append(res.ops, modelResult{code: proto.ErrRuntimeInconsistency})
		}
		return res
	}
	for _, op := range r.ops {
		res.ops = append(res.ops, m.one(h, ids, op))
	}
	return res
}

func (m *model) one(h proto.TxnHeader, ids []proto.ID, r modelReq) modelResult {
	fail := func(code proto.ErrCode) modelResult { return modelResult{code: code} }
	if r.op == proto.OpCreate {
		return m.create(h, ids, r)
	}
	if r.op == proto.OpDelete {
		above, n := m.nodes[parentOf(r.path)], m.nodes[r.path]
		switch {
		case special([]byte(r.path)):
			return fail(proto.ErrBadArguments)
		case above == nil:
			return fail(proto.ErrNoNode)
		case !modelAllows(above.acl, proto.PermDelete, ids):
			return fail(proto.ErrNoAuth)
		case n == nil:
			return fail(proto.ErrNoNode)
		case r.version != -1 && r.version != n.version:
			return fail(proto.ErrBadVersion)
		case len(m.children(r.path)) > 0:
			return fail(proto.ErrNotEmpty)
		}
		m.remove(h, r.path)
		return modelResult{path: r.path}
	}
	need := map[proto.Op]proto.Perms{
		proto.OpSetData: proto.PermWrite, proto.OpSetACL: proto.PermAdmin, proto.OpCheck: proto.PermRead,
	}[r.op]
	n := m.nodes[r.path]
	switch {
	case n == nil:
		return fail(proto.ErrNoNode)
	case !modelAllows(n.acl, need, ids):
		return fail(proto.ErrNoAuth)
	case r.version != -1 && r.op == proto.OpSetACL && r.version != n.aversion,
		r.version != -1 && r.op != proto.OpSetACL && r.version != n.version:
		return fail(proto.ErrBadVersion)
	}
	switch r.op {
	case proto.OpSetData:
		n.data, n.mzxid, n.mtime = r.data, h.Zxid, h.Time
		n.version++
		m.fire(m.data, proto.EventNodeDataChanged, r.path, nil)
	case proto.OpSetACL:
		n.acl = r.acl
		n.aversion++
	case proto.OpCheck:
		return modelResult{path: r.path}
	}
	return modelResult{path: r.path, stat: m.stat(r.path)}
}

func (m *model) create(h proto.TxnHeader, ids []proto.ID, r modelReq) modelResult {
	above := m.nodes[parentOf(r.path)]
	path := r.path
	switch {
	case above == nil:
		return modelResult{code: proto.ErrNoNode}
	case !modelAllows(above.acl, proto.PermCreate, ids):
		return modelResult{code: proto.ErrNoAuth}
	}
	if r.flags == proto.FlagSequential || r.flags == proto.FlagEphemeralSequential {
		path += fmt.Sprintf("%010d", above.cversion)
	}
	switch {
	case m.nodes[path] != nil:
		return modelResult{code: proto.ErrNodeExists}
	case above.owner > 0:
		return modelResult{code: proto.ErrNoChildrenForEphemerals}
	}
	n := &modelNode{
		data: r.data, acl: r.acl, czxid: h.Zxid, mzxid: h.Zxid, pzxid: h.Zxid, ctime: h.Time, mtime: h.Time,
	}
	switch r.flags {
	case proto.FlagEphemeral, proto.FlagEphemeralSequential:
		n.owner = int64(h.Session)
	case proto.FlagTTL:
		n.owner = ownerTTL | r.ttl
	}
	above.cversion++
	above.pzxid = h.Zxid
	m.nodes[path] = n
	m.fire(m.data, proto.EventNodeCreated, path, nil)
	m.fire(m.child, proto.EventNodeChildrenChanged, parentOf(path), nil)
	return modelResult{path: path, stat: m.stat(path)}
}

func (m *model) remove(h proto.TxnHeader, p string) {
	delete(m.nodes, p)
	m.nodes[parentOf(p)].pzxid = h.Zxid
	told := m.fire(m.data, proto.EventNodeDeleted, p, nil)
	m.fire(m.child, proto.EventNodeDeleted, p, told)
	m.fire(m.child, proto.EventNodeChildrenChanged, parentOf(p), nil)
}

func (m *model) watch(table map[string]map[WatcherID]watchModes, p string, w WatcherID, mode watchModes) {
	if table[p] == nil {
		table[p] = make(map[WatcherID]watchModes)
	}
	table[p][w] |= mode
}

// fire is section 7.2 of the client protocol word by word.
func (m *model) fire(
	table map[string]map[WatcherID]watchModes, typ proto.EventType, p string, skip map[WatcherID]bool,
) map[WatcherID]bool {
	told := make(map[WatcherID]bool)
	for w, modes := range table[p] {
		told[w] = true
		if modes &^= watchData | watchChild; modes == 0 {
			delete(table[p], w)
		} else {
			table[p][w] = modes
		}
	}
	for up := p; up != "/"; {
		up = parentOf(up)
		for w, modes := range table[up] {
			if modes&watchRecursive != 0 {
				told[w] = true
			}
		}
	}
	for w := range told {
		if !skip[w] {
			m.events = append(m.events, fmt.Sprintf("%d: %v %s", w, typ, p))
		}
	}
	return told
}
