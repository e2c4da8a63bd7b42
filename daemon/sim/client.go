package sim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
	"github.com/zkd-project/zkd/daemon/tree"
)

// nobody knows no scheme.
type nobody struct{}

// Authenticate implements replica.Authenticator.
func (nobody) Authenticate(string, []byte, proto.ID) ([]proto.ID, proto.ErrCode) {
	return nil, proto.ErrAuthFailed
}

// User implements replica.Authenticator.
func (nobody) User(id proto.ID) string { return id.ID }

// Satisfied implements replica.Authenticator.
func (nobody) Satisfied([]proto.ID) bool { return true }

// Matches implements tree.Matcher.
func (nobody) Matches(have, want proto.ID) bool { return have == want }

// Valid implements tree.Matcher.
func (nobody) Valid(proto.ID) bool { return true }

// Authenticated implements tree.Matcher.
func (nobody) Authenticated(string) bool { return false }

func treeOptions() tree.Options { return tree.Options{Match: nobody{}} }

func exists(t *tree.Tree, path string) bool {
	var out proto.Out
	req := proto.Request{Op: proto.OpExists, Path: []byte(path)}
	return t.Read(&tree.Caller{}, &req, &out) == proto.ErrOK
}

// asked is a request without a reply.
type asked struct {
	xid  int32
	op   proto.Op
	path string
}

// client is a client with one session, which goes from server to server.
type client struct {
	w       *world
	id      int
	conn    *replica.Conn
	server  *server
	life    int // of the server
	try     int // counts connections
	up      bool
	session proto.SessionID
	seen    proto.Zxid
	xid     int32
	made    int
	pending []asked
	acked   []string // created for certain, and not asked to be deleted
	sweep   bool
	there   int64 // when the last request arrives: nothing overtakes
	here    int64 // when the last replies arrive
}

const clientTimeout = 3000

// connect opens a connection to some server.
func (c *client) connect() {
	w := c.w
	s := w.servers[w.rnd.IntN(len(w.servers))]
	c.try++
	try := c.try
	if s.r == nil || s.paused > w.now {
		w.after(w.between(10_000, 100_000), c.connect)
		return
	}
	c.server, c.life, c.up, c.pending = s, s.life, false, nil
	c.conn = &replica.Conn{Owner: c, IDs: []proto.ID{{Scheme: "ip", ID: "127.0.0.1"}}}
	conn := c.conn
	req := proto.ConnectRequest{Timeout: clientTimeout, Session: c.session, LastZxidSeen: c.seen, HasReadOnly: true}
	password := c.session.Password()
	req.Password = password[:]
	s.step(func(r *replica.Replica) {
		r.Connect(s.clock(), conn)
		r.Input(s.clock(), conn, req.Append(nil))
	})
	w.after(2_000_000, func() {
		if c.try == try && !c.up {
			c.drop()
		}
	})
}

// drop closes the connection from the client's side.
func (c *client) drop() {
	conn, s, life := c.conn, c.server, c.life
	c.lost()
	if conn != nil && s.life == life {
		s.step(func(r *replica.Replica) { r.Disconnect(conn) })
	}
}

// lost notes that the connection is gone: what was asked may have been done, or not.
func (c *client) lost() {
	c.conn, c.server, c.up, c.pending = nil, nil, false, nil
	c.try++
	c.w.after(c.w.between(1000, 50_000), c.connect)
}

// receive takes what a server has for the client.
func (c *client) receive(s *server, conn *replica.Conn) {
	frames := append([]byte(nil), conn.Out.B...)
	conn.Out.Reset()
	ended := conn.Close || conn.Abort
	if conn != c.conn {
		if ended {
			s.r.Disconnect(conn)
		}
		return
	}
	try := c.try
	c.here = max(c.here, c.w.now+c.w.between(20, 1000))
	c.w.after(c.here-c.w.now, func() {
		if c.try != try {
			return
		}
		for len(frames) > 0 && c.try == try {
			d := jute.NewDecoder(frames)
			frame := d.Buffer()
			frames = d.Rest()
			c.frame(frame)
		}
		if ended && c.try == try {
			c.drop()
		}
	})
}

// frame takes one reply.
func (c *client) frame(frame []byte) {
	if !c.up {
		c.welcome(frame)
		return
	}
	d := jute.NewDecoder(frame)
	xid, zxid, code := d.Int(), proto.Zxid(d.Long()), proto.ErrCode(d.Int())
	if xid == proto.XidNotification || xid == proto.XidPing {
		return
	}
	if len(c.pending) == 0 || c.pending[0].xid != xid {
		c.w.violated("client %d got the reply %d, which is not the next one", c.id, xid)
		return
	}
	a := c.pending[0]
	c.pending = c.pending[1:]
	if zxid < c.seen {
		c.w.violated("client %d saw %v and then %v", c.id, c.seen, zxid)
	}
	c.seen = max(c.seen, zxid)
	switch {
	case code == proto.ErrSessionExpired:
		c.session = 0
		c.drop()
	case a.op == proto.OpCreate && code == proto.ErrOK:
		if a.path[1] == 'c' { // an ephemeral goes with the session
			c.acked = append(c.acked, a.path)
		}
	case a.op == proto.OpCreate: // each path is asked for once: one that exists was made twice
		c.w.violated("client %d: create of %s: %v", c.id, a.path, code)
	case code != proto.ErrOK:
		c.w.violated("client %d created %s and was told so, and now %v gets %v", c.id, a.path, a.op, code)
	}
}

// welcome takes the answer to the connect request.
func (c *client) welcome(frame []byte) {
	var res proto.ConnectResponse
	if res.Decode(frame) != nil || res.Timeout == 0 {
		c.session = 0 // expired; a new one is opened
		c.drop()
		return
	}
	c.up, c.session = true, res.Session
	try := c.try
	c.w.after(c.w.between(0, 20_000), func() { c.work(try) })
}

// work sends requests as long as the connection lasts.
func (c *client) work(try int) {
	if c.try != try || c.server == nil || c.server.life != c.life || c.server.r == nil {
		return
	}
	w := c.w
	if w.healing && c.sweep {
		return
	}
	switch {
	case w.chance(3) && !w.healing:
		c.drop()
		return
	case len(c.pending) < 20:
		for range 1 + w.rnd.IntN(4) {
			c.ask()
		}
	}
	w.after(w.between(1000, 60_000), func() { c.work(try) })
}

// ask sends one request: a write of something new, a read of something old, a sync.
func (c *client) ask() {
	c.xid++
	a := asked{xid: c.xid}
	b := jute.AppendInt(nil, c.xid)
	head := func(op proto.Op, path string) []byte {
		a.op, a.path = op, path
		return jute.AppendString(jute.AppendInt(b, int32(op)), path)
	}
	data := strings.Repeat("x", c.w.rnd.IntN(30))
	create := func(path string, flags int32) []byte {
		b := jute.AppendString(head(proto.OpCreate, path), data)
		return jute.AppendInt(proto.AppendACLs(b, proto.OpenACLUnsafe), flags)
	}
	switch n := c.w.rnd.IntN(14); {
	case n < 6:
		c.made++
		b = create(fmt.Sprintf("/c%d-%d", c.id, c.made), proto.FlagPersistent)
	case n == 6:
		c.made++
		b = create(fmt.Sprintf("/e%d-%d", c.id, c.made), proto.FlagEphemeral)
	case n == 7 && len(c.acked) > 5: // whether it is there afterwards is known only with the answer
		i := c.w.rnd.IntN(len(c.acked))
		path := c.acked[i]
		c.acked = slices.Delete(c.acked, i, i+1)
		b = jute.AppendInt(head(proto.OpDelete, path), -1)
	case n < 10 && len(c.acked) > 0:
		b = jute.AppendString(head(proto.OpSetData, c.acked[c.w.rnd.IntN(len(c.acked))]), data)
		b = jute.AppendInt(b, -1)
	case n < 13 && len(c.acked) > 0:
		b = jute.AppendBool(head(proto.OpExists, c.acked[len(c.acked)-1]), false)
	default:
		b = head(proto.OpSync, "/")
	}
	c.pending = append(c.pending, a)
	conn, s, life := c.conn, c.server, c.life
	c.there = max(c.there, c.w.now+c.w.between(20, 1000))
	c.w.after(c.there-c.w.now, func() {
		if s.life == life {
			s.step(func(r *replica.Replica) { r.Input(s.clock(), conn, b) })
		}
	})
}
