package sim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zkd-project/zkd/daemon/proto"
)

// model is the tree as plain as can be, through all of time: what is committed is applied
// to it, and what clients are told is compared with it.
type model struct {
	nodes    map[string]*node
	sessions map[proto.SessionID]*session
	births   map[proto.Zxid]proto.SessionID
	renewed  map[proto.SessionID]bool // more than one process has numbered its requests
	changes  []change
}

// node is the history of a path.
type node struct {
	states []state
	lists  []list
}

// state is a znode from a transaction on.
type state struct {
	zxid    proto.Zxid
	exists  bool
	version int32
	czxid   proto.Zxid
	owner   proto.SessionID
}

// list is a list of children from a transaction on.
type list struct {
	zxid     proto.Zxid
	creates  int32
	children int32
}

// change is what a watcher of everything sees.
type change struct {
	zxid proto.Zxid
	what proto.EventType
	path string
}

// session is a session of a client's.
type session struct {
	timeout proto.Millis
	owned   []string       // ephemerals
	closed  proto.Zxid     // 0 while it is open
	local   bool           // only its own server knows it, and when it ends
	last    int32          // cxid of the last request done
	moved   map[int32]bool // requests refused because they came through the wrong server
}

func newModel() model {
	m := model{
		nodes: make(map[string]*node), sessions: make(map[proto.SessionID]*session),
		births: make(map[proto.Zxid]proto.SessionID), renewed: make(map[proto.SessionID]bool),
	}
	m.nodes["/"] = &node{states: []state{{exists: true}}, lists: []list{{children: 1}}}
	return m
}

// at is a path's state after a transaction.
func (m *model) at(path string, zxid proto.Zxid) state {
	n := m.nodes[path]
	if n == nil {
		return state{}
	}
	for i := len(n.states) - 1; i >= 0; i-- {
		if n.states[i].zxid <= zxid {
			return n.states[i]
		}
	}
	return state{}
}

// listAt is a path's list of children after a transaction.
func (m *model) listAt(path string, zxid proto.Zxid) list {
	if n := m.nodes[path]; n != nil {
		for i := len(n.lists) - 1; i >= 0; i-- {
			if n.lists[i].zxid <= zxid {
				return n.lists[i]
			}
		}
	}
	return list{}
}

const everything = 1<<63 - 1

// container is the owner of containers.
const container = -1 << 63

func (m *model) timeoutOf(id proto.SessionID) proto.Millis {
	if s := m.sessions[id]; s != nil {
		return s.timeout
	}
	return 0
}

func parentOf(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	}
	return "/"
}

// apply applies a committed transaction; it returns what is wrong with it.
func (m *model) apply(w *world, t *proto.Txn) string {
	if reason := m.inTurn(w, t); reason != "" {
		return reason
	}
	switch t.Type {
	case proto.OpCreateSession:
		s := m.sessions[t.Session]
		switch {
		case s == nil:
			s = &session{moved: make(map[int32]bool)}
			m.sessions[t.Session] = s
		case !w.shape.local || s.closed != 0: // one that becomes global may have to ask twice
			return "the session exists already"
		}
		s.timeout, s.local = proto.Millis(t.Timeout), false
		m.births[t.Zxid] = t.Session
	case proto.OpCloseSession:
		return m.close(t)
	case proto.OpMulti:
		if codeOf(t) != proto.ErrOK {
			return ""
		}
		for i := range t.Ops {
			op := &t.Ops[i]
			op.TxnHeader = proto.TxnHeader{Session: t.Session, Zxid: t.Zxid, Type: op.Type}
			if reason := m.change(op); reason != "" {
				return reason
			}
		}
	case proto.OpError:
	default:
		return m.change(t)
	}
	return ""
}

// codeOf is what a transaction tells its client.
func codeOf(t *proto.Txn) proto.ErrCode {
	if t.Type == proto.OpError {
		return t.Err
	}
	for i := range t.Ops {
		op := &t.Ops[i]
		if op.Type == proto.OpError && op.Err != proto.ErrOK && op.Err != proto.ErrRuntimeInconsistency {
			return op.Err
		}
	}
	return proto.ErrOK
}

// inTurn checks that a request of a client's is done once, and after those before it.
func (m *model) inTurn(w *world, t *proto.Txn) string {
	if t.Type == proto.OpCreateSession {
		return ""
	}
	s := m.sessions[t.Session]
	if s == nil && w.shape.local && t.Type != proto.OpCloseSession && t.Session != 0 {
		s = &session{local: true, moved: make(map[int32]bool)}
		m.sessions[t.Session] = s
	}
	if s == nil || s.closed != 0 {
		if t.Type == proto.OpError || t.Session == 0 && t.Type == proto.OpDeleteContainer {
			return ""
		}
		if w.shape.local { // a leader takes what comes late of a closed session for a local one's, as Apache's do
			return ""
		}
		return "there is no such session"
	}
	if t.Cxid == 0 {
		return ""
	}
	if t.Type == proto.OpError && t.Err == proto.ErrSessionMoved {
		s.moved[t.Cxid] = true
		return ""
	}
	if m.renewed[t.Session] {
		return "" // numbers tell nothing
	}
	if t.Cxid <= s.last {
		return fmt.Sprintf("request %d is done after %d", t.Cxid, s.last)
	}
	before := s.last
	s.last = t.Cxid
	c := w.clientOf(t.Session)
	if c == nil {
		return ""
	}
	a := c.asks[t.Cxid]
	switch {
	case a == nil:
		return fmt.Sprintf("nobody asked for %d", t.Cxid)
	case a.before != 0 && a.before != before && !s.moved[a.before]:
		return fmt.Sprintf("request %d is done, and not %d before it, but %d", t.Cxid, a.before, before)
	case t.Type != proto.OpError && t.Type != a.op:
		return fmt.Sprintf("request %d asked for %v and became %v", t.Cxid, a.op, t.Type)
	case t.Path != nil && !strings.HasPrefix(string(t.Path), a.path):
		return fmt.Sprintf("request %d asked for %s and became %s", t.Cxid, a.path, t.Path)
	}
	return ""
}

// change applies one change.
func (m *model) change(t *proto.Txn) string {
	path := string(t.Path)
	now := m.at(path, everything)
	switch t.Type {
	case proto.OpCreate, proto.OpCreate2, proto.OpCreateContainer:
		return m.create(t, path, now)
	case proto.OpDelete, proto.OpDeleteContainer:
		if !now.exists {
			return "deletes " + path + ", which is not there"
		}
		return m.remove(t.Zxid, path, now)
	case proto.OpSetData:
		if !now.exists || t.Version != now.version+1 {
			return fmt.Sprintf("sets %s to version %d, from %d", path, t.Version, now.version)
		}
		now.zxid, now.version = t.Zxid, t.Version
		m.nodes[path].states = append(m.nodes[path].states, now)
		m.changed(t.Zxid, proto.EventNodeDataChanged, path)
	case proto.OpCheck:
	default:
		return "is a " + t.Type.String()
	}
	return ""
}

func (m *model) create(t *proto.Txn, path string, now state) string {
	above := parentOf(path)
	parent, l := m.at(above, everything), m.listAt(above, everything)
	switch {
	case now.exists:
		return "creates " + path + ", which exists"
	case !parent.exists:
		return "creates " + path + " below nothing"
	case parent.owner > 0:
		return "creates " + path + " below an ephemeral"
	case t.ParentCversion != l.creates+1:
		return fmt.Sprintf("creates %s as child %d, after %d", path, t.ParentCversion, l.creates)
	}
	n := m.nodes[path]
	if n == nil {
		n = new(node)
		m.nodes[path] = n
	}
	s := state{zxid: t.Zxid, exists: true, czxid: t.Zxid}
	if t.Type == proto.OpCreateContainer {
		s.owner = container
	}
	if t.Ephemeral {
		s.owner = t.Session
		owner := m.sessions[t.Session]
		if owner.local {
			return "makes an ephemeral of a local session"
		}
		owner.owned = append(owner.owned, path)
	}
	n.states = append(n.states, s)
	n.lists = append(n.lists, list{zxid: t.Zxid})
	m.nodes[above].lists = append(m.nodes[above].lists, list{t.Zxid, l.creates + 1, l.children + 1})
	m.changed(t.Zxid, proto.EventNodeCreated, path)
	return ""
}

func (m *model) remove(z proto.Zxid, path string, now state) string {
	if m.listAt(path, everything).children != 0 {
		return "deletes " + path + ", which has children"
	}
	n, above := m.nodes[path], parentOf(path)
	n.states = append(n.states, state{zxid: z})
	n.lists = append(n.lists, list{zxid: z})
	l := m.listAt(above, everything)
	m.nodes[above].lists = append(m.nodes[above].lists, list{z, l.creates, l.children - 1})
	if now.owner > 0 {
		s := m.sessions[now.owner]
		s.owned = slices.DeleteFunc(s.owned, func(p string) bool { return p == path })
	}
	m.changed(z, proto.EventNodeDeleted, path)
	return ""
}

func (m *model) close(t *proto.Txn) string {
	s := m.sessions[t.Session]
	have := make([]string, 0, len(t.Paths))
	for _, p := range t.Paths {
		have = append(have, string(p))
	}
	slices.Sort(s.owned)
	slices.Sort(have)
	if !slices.Equal(have, s.owned) {
		return fmt.Sprintf("closes the session and deletes %v; its ephemerals are %v", have, s.owned)
	}
	for _, p := range t.Paths {
		path := string(p)
		if reason := m.remove(t.Zxid, path, m.at(path, everything)); reason != "" {
			return reason
		}
	}
	s.closed = t.Zxid
	return ""
}

func (m *model) changed(z proto.Zxid, what proto.EventType, path string) {
	m.changes = append(m.changes, change{z, what, path})
}

// dataChange is the first change of a znode itself after a zxid.
func (m *model) dataChange(path string, after proto.Zxid) (change, bool) {
	n := m.nodes[path]
	if n == nil {
		return change{}, false
	}
	i := len(n.states)
	for i > 0 && n.states[i-1].zxid > after {
		i--
	}
	if i == len(n.states) {
		return change{}, false
	}
	ch := change{n.states[i].zxid, proto.EventNodeDataChanged, path}
	was := i > 0 && n.states[i-1].exists
	switch {
	case !n.states[i].exists:
		ch.what = proto.EventNodeDeleted
	case !was:
		ch.what = proto.EventNodeCreated
	}
	return ch, true
}

// childChange is the first change of a list of children after a zxid.
func (m *model) childChange(path string, after proto.Zxid) (change, bool) {
	n := m.nodes[path]
	if n == nil {
		return change{}, false
	}
	i := len(n.lists)
	for i > 0 && n.lists[i-1].zxid > after {
		i--
	}
	if i == len(n.lists) {
		return change{}, false
	}
	ch := change{n.lists[i].zxid, proto.EventNodeChildrenChanged, path}
	if !m.at(path, ch.zxid).exists {
		ch.what = proto.EventNodeDeleted
	}
	return ch, true
}
