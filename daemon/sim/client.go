package sim

import (
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

// client is a client with one session at a time, which goes from server to server.
type client struct {
	w       *world
	id      int
	timeout proto.Millis
	conn    *replica.Conn
	server  *server
	life    int // of the server
	try     int // counts connections
	up      bool
	since   int64 // when it was connected
	asleep  int64 // until when the client does nothing

	process  int // as new processes take sessions over
	session  proto.SessionID
	seen     proto.Zxid // the last zxid it was told
	xid      int32
	before   int32            // the last write asked for on this connection
	asks     map[int32]*asked // of the session
	pending  []*asked
	versions map[string]int32 // as it was told last
	below    []string         // sequential znodes it knows of
	watches  watching

	gone    bool  // does not come back
	ending  bool  // only looks whether everything is as it should be
	ended   bool  // and it is
	arrived int64 // when the last request arrives: nothing overtakes
	heard   int64 // when the last replies arrive
}

func newClient(w *world, id int) *client {
	c := &client{w: w, id: id}
	c.timeout = proto.Millis(w.between(int64(w.shape.clientTimeout[0]), int64(w.shape.clientTimeout[1])))
	c.forget()
	return c
}

// forget drops everything that belongs to a session.
func (c *client) forget() {
	c.session, c.asks, c.versions, c.below = 0, make(map[int32]*asked), make(map[string]int32), nil
	c.watches = watching{}
}

// renew has a new process take the session over. It numbers its requests as the one before did, and
// knows nothing of what that one has seen.
func (c *client) renew() {
	id := c.session
	c.forget()
	c.session, c.xid, c.seen = id, 0, 0
	c.process++
	c.w.history.model.renewed[id] = true
}

// clientOf is whose session it is.
func (w *world) clientOf(id proto.SessionID) *client {
	for _, c := range w.clients {
		if c.session == id {
			return c
		}
	}
	return nil
}

// connect opens a connection to some server.
func (c *client) connect() {
	w := c.w
	if c.gone {
		return
	}
	s := w.servers[w.rnd.IntN(len(w.servers))]
	if w.shape.renews && c.session != 0 && !c.ending && w.chance(20) {
		c.renew()
	}
	c.try++
	try := c.try
	if s.r == nil || s.paused > w.now || c.asleep > w.now {
		w.after(w.between(3_000, 50_000), c.connect)
		return
	}
	c.server, c.life, c.up, c.pending, c.before = s, s.life, false, nil, 0
	c.conn = &replica.Conn{Owner: c, IDs: []proto.ID{{Scheme: "ip", ID: "127.0.0.1"}}}
	conn := c.conn
	req := proto.ConnectRequest{Timeout: int32(c.timeout), Session: c.session, LastZxidSeen: c.seen, HasReadOnly: true}
	password := c.session.Password()
	req.Password = password[:]
	s.step(func() {
		s.r.Connect(s.clock(), conn)
		s.r.Input(s.clock(), conn, req.Append(nil))
		s.hears(conn)
	})
	for n := w.rnd.IntN(3); w.shape.eager && c.session != 0 && c.watches.none() && n > 0; n-- {
		c.hurry()
	}
	w.after(int64(c.timeout)*1000, func() {
		if c.try == try && !c.up {
			c.drop()
		}
	})
}

// hurry asks for something on a connection that has not been answered.
func (c *client) hurry() {
	a := &asked{op: proto.OpPing, path: c.leaf(), version: -1}
	switch c.w.rnd.IntN(4) {
	case 0:
		a.op = proto.OpSetData
	case 1:
		a.op = proto.OpCreate
	case 2:
		a.op = proto.OpGetData
	}
	c.send(a)
}

// hears notes that a server has heard of the session of a connection.
func (s *server) hears(conn *replica.Conn) {
	if id := conn.Session(); id != 0 && conn.Open() {
		s.part.touch(id, s.clock().Mono)
	}
}

// drop closes the connection from the client's side. The server may notice much later.
func (c *client) drop() {
	conn, s, life := c.conn, c.server, c.life
	c.lost()
	if conn == nil || s.life != life {
		return
	}
	if c.w.chance(60) {
		s.step(func() { s.r.Disconnect(conn) })
		return
	}
	s.later(c.w.between(1000, 1_000_000), func() { s.r.Disconnect(conn) })
}

// lost notes that the connection is gone: what was asked may have been done, or not.
func (c *client) lost() {
	if c.up {
		c.w.trace("client %d leaves %d", c.id, c.server.id)
	}
	c.conn, c.server, c.up, c.pending = nil, nil, false, nil
	c.watches.lost()
	c.try++
	c.w.after(c.w.between(1000, 30_000), c.connect)
}

// receive takes what a server has for the client.
func (c *client) receive(s *server, conn *replica.Conn) {
	ended := conn.Close || conn.Abort
	if conn != c.conn {
		conn.Out.Reset()
		if ended {
			s.r.Disconnect(conn)
		}
		return
	}
	frames := append([]byte(nil), conn.Out.B...)
	conn.Out.Reset()
	try := c.try
	c.heard = max(c.heard, c.w.now+c.w.between(20, 1000))
	c.w.after(c.heard-c.w.now, func() {
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

// frame takes one reply or event.
func (c *client) frame(frame []byte) {
	if !c.up {
		c.welcome(frame)
		return
	}
	d := jute.NewDecoder(frame)
	xid, zxid, code := d.Int(), proto.Zxid(d.Long()), proto.ErrCode(d.Int())
	if xid == proto.XidNotification {
		c.event(zxid, &d)
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
	if a.op != proto.OpSetWatches2 {
		c.missed(zxid)
	}
	c.reply(a, zxid, code, &d)
}

// welcome takes the answer to the connect request.
func (c *client) welcome(frame []byte) {
	var res proto.ConnectResponse
	if res.Decode(frame) != nil || res.Timeout == 0 {
		if c.session != 0 && c.w.calm() && c.w.history.model.open(c.session) {
			c.w.violated("client %d is told that its session %v has expired, and it has not", c.id, c.session)
		}
		c.forget() // expired; a new one is opened
		c.drop()
		return
	}
	if c.session != 0 && res.Session != c.session {
		c.w.violated("client %d gets the session %v for %v", c.id, res.Session, c.session)
	}
	c.up, c.session, c.since = true, res.Session, c.w.now
	c.w.trace("client %d is with %d, session %v", c.id, c.server.id, c.session)
	c.rewatch()
	try := c.try
	c.w.after(c.w.between(0, 10_000), func() { c.work(try) })
}

// work sends requests as long as the connection lasts.
func (c *client) work(try int) {
	w := c.w
	if c.try != try || c.server == nil || c.server.life != c.life || c.server.r == nil {
		return
	}
	if w.done {
		return
	}
	pause := w.between(1000, 30_000)
	switch {
	case c.asleep > w.now:
		pause = c.asleep - w.now
	case c.ending:
		c.finish()
		pause = int64(c.timeout) * 300
	case w.chance(2) && !w.healing:
		c.drop()
		return
	case w.shape.lazy && w.chance(70):
		if len(c.pending) == 0 {
			c.send(&asked{op: proto.OpPing})
		}
		pause = min(w.between(30_000, 200_000), int64(c.timeout)*300)
	case len(c.pending) < 20:
		for range 1 + w.rnd.IntN(3) {
			c.ask()
		}
	default:
		pause = w.between(10_000, 50_000)
	}
	w.after(pause, func() { c.work(try) })
}

// finish syncs, and looks once more at what is watched: then a change of which the client
// was not told would show.
func (c *client) finish() {
	if c.ended || len(c.pending) > 0 {
		if len(c.pending) == 0 {
			c.send(&asked{op: proto.OpPing})
		}
		return
	}
	c.send(&asked{op: proto.OpSync, path: "/", last: true})
}

// open says whether a session exists.
func (m *model) open(id proto.SessionID) bool {
	s := m.sessions[id]
	return s != nil && s.closed == 0 && !s.local
}
