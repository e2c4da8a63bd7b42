package server

import (
	"slices"

	"github.com/zkd-project/zkd/daemon/cnxn"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
)

// pipelineMax is the number of requests without a reply that one connection may have,
// whatever the others have.
const pipelineMax = 8 << 10

// client is a connection between its socket and the replica. The step lock guards it.
type client struct {
	replica.Conn
	cn *cnxn.Conn

	wait    []*cnxn.Buffer // input that has to wait, oldest first
	stalled bool           // listed in stepping.stalled
	rests   bool           // listed in stepping.resting
	ending  bool           // its socket is to be closed
	gone    bool           // its socket is closed
}

// handler makes a server the handler of its client ports.
type handler struct{ s *Server }

// Open implements cnxn.Handler.
func (h handler) Open(cn *cnxn.Conn) {
	c := &client{cn: cn}
	c.Conn.Owner = c
	c.Conn.IDs = []proto.ID{{Scheme: "ip", ID: cnxn.JavaIP(cn.Peer().Addr())}}
	cn.Owner = c
	h.s.submit(input{kind: kindOpen, c: c})
}

// Input implements cnxn.Handler.
func (h handler) Input(cn *cnxn.Conn, buf *cnxn.Buffer) {
	h.s.submit(input{kind: kindInput, c: cn.Owner.(*client), buf: buf})
}

// Drained implements cnxn.Handler.
func (h handler) Drained(cn *cnxn.Conn) {
	h.s.submit(input{kind: kindDrained, c: cn.Owner.(*client)})
	h.s.log.wakeIfDue() // the caller may be somebody who never calls Idle
}

// Closed implements cnxn.Handler.
func (h handler) Closed(cn *cnxn.Conn) {
	h.s.submit(input{kind: kindClosed, c: cn.Owner.(*client)})
}

// FourLetter implements cnxn.Handler.
func (h handler) FourLetter(cn *cnxn.Conn, word string, arg []byte) ([]byte, bool) {
	return h.s.opts.FourLetter(cn, word, arg)
}

// Due implements cnxn.Handler: it tells that the log is to be written.
func (h handler) Due() bool { return h.s.log.due() }

// Idle implements cnxn.Handler: it writes the log.
func (h handler) Idle(detach func()) { h.s.appendHere(detach) }

// feed takes input from a connection; the step lock is held.
func (s *Server) feed(c *client, buf *cnxn.Buffer) {
	if c.gone || c.ending {
		buf.Release()
		return
	}
	c.wait = append(c.wait, buf)
	if len(c.wait) == 1 {
		s.eat(c)
	}
}

// eat gives the replica as much of a connection's input as may be under way.
func (s *Server) eat(c *client) {
	for len(c.wait) > 0 {
		buf := c.wait[0]
		cnxn.Lend(&c.Out, buf.Frames())
		for n := 1; s.mayGo(c); n++ {
			if n%turnCheck == 0 && s.overtime() {
				s.rest(c)
				break
			}
			frame, ok := buf.Next()
			if !ok {
				break
			}
			s.step.replica.Input(s.step.now, &c.Conn, frame)
		}
		if buf.Frames() > 0 {
			return
		}
		buf.Release()
		c.wait = slices.Delete(c.wait, 0, 1)
	}
	if c.Pending() == 0 {
		cnxn.Reclaim(&c.Out)
	}
}

// mayGo says whether the next request of c may be taken up. If not, eat is called again
// when there is reason to.
func (s *Server) mayGo(c *client) bool {
	switch st := &s.step; {
	case st.stopping:
		return false
	case c.Pending() > 0 && (c.Pending() >= pipelineMax || s.crowded()):
		if !c.stalled {
			c.stalled = true
			st.stalled = append(st.stalled, c)
			s.count.stalled.Add(1)
		}
		return false
	}
	return !c.cn.Full(c.Out.Len())
}

// crowded says whether too many requests are under way.
func (s *Server) crowded() bool { return s.step.replica.Outstanding() >= s.opts.Outstanding }

// unstall goes on with input that waited for replies, oldest first.
func (s *Server) unstall() {
	st := &s.step
	st.freed = false
	list := st.stalled
	st.stalled = nil
	for _, c := range list {
		c.stalled = false
		s.eat(c)
	}
}

// settle takes what the replica has for a connection; the step lock is held.
func (s *Server) settle(c *client) {
	if c.gone {
		c.Out.Reset()
		cnxn.Reclaim(&c.Out)
		return
	}
	c.cn.Queue(&c.Out)
	if n := c.Pending(); n > 0 {
		cnxn.Lend(&c.Out, n)
	}
	if (c.Close || c.Abort) && !c.ending {
		c.ending = true
		c.drop()
		if c.Abort {
			c.cn.Abort()
		} else {
			c.cn.CloseAfterFlush()
		}
	}
}

// drop lets go of input that nobody will ever take up.
func (c *client) drop() {
	for _, buf := range c.wait {
		buf.Release()
	}
	c.wait = nil
}

// forget ends a connection whose socket is closed.
func (s *Server) forget(c *client) {
	s.step.replica.Disconnect(&c.Conn)
	s.step.freed = true
	c.gone = true
	c.drop()
	c.Out.Reset()
	cnxn.Reclaim(&c.Out)
}
