package server

import (
	"slices"
	"sync/atomic"

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

	pending int            // requests without a reply, as counted in stepping.outstanding
	wait    []*cnxn.Buffer // input that has to wait, oldest first
	queued  bool           // listed in stepping.stalled
	gone    bool           // its socket is closed
	ending  bool           // its socket is to be closed

	stuck atomic.Bool // input waits for the output to drain
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
	if c.gone {
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
		for s.mayGo(c) {
			frame, ok := buf.Next()
			if !ok {
				break
			}
			s.step.replica.Input(s.step.now, &c.Conn, frame)
			s.count(c)
		}
		if buf.Frames() > 0 {
			return
		}
		buf.Release()
		c.wait = slices.Delete(c.wait, 0, 1)
	}
	c.wait = nil
	if c.pending == 0 {
		cnxn.Reclaim(&c.Out)
	}
}

// mayGo says whether the next request of c may be taken up; if not, what it waits for
// will call eat again.
func (s *Server) mayGo(c *client) bool {
	switch st := &s.step; {
	case st.stopping:
		return false
	case c.pending > 0 && (st.outstanding >= s.opts.Outstanding || c.pending >= pipelineMax):
		if !c.queued {
			c.queued = true
			st.stalled = append(st.stalled, c)
			s.stats.stalled.Add(1)
		}
		return false
	case c.cn.Full(c.Out.Len()):
		c.stuck.Store(true)
		return false
	}
	return true
}

// count brings outstanding up to date with c.
func (s *Server) count(c *client) {
	n := c.Pending()
	s.step.outstanding += n - c.pending
	c.pending = n
}

// settle queues what the replica has for a connection.
func (s *Server) settle(c *client) {
	if c.gone {
		c.Out.Reset()
		cnxn.Reclaim(&c.Out)
		return
	}
	s.count(c)
	c.cn.Queue(&c.Out)
	if c.pending > 0 {
		cnxn.Lend(&c.Out, c.pending)
	}
	if (c.Close || c.Abort) && !c.ending {
		c.ending = true
		s.drop(c)
		if c.Abort {
			c.cn.Abort()
		} else {
			c.cn.CloseAfterFlush()
		}
	}
}

// resume goes on with the input of a connection whose output has drained.
func (s *Server) resume(c *client) {
	c.stuck.Store(false)
	if !c.gone {
		s.eat(c)
	}
}

// resumeStalled goes on with input that waited for requests of others, oldest first.
func (s *Server) resumeStalled() {
	st := &s.step
	if st.outstanding >= s.opts.Outstanding {
		return
	}
	list := st.stalled
	st.stalled = nil
	for i, c := range list {
		if st.outstanding >= s.opts.Outstanding {
			st.stalled = append(list[i:], st.stalled...)
			return
		}
		c.queued = false
		s.eat(c)
	}
}

// drop lets go of input that nobody will ever take up.
func (s *Server) drop(c *client) {
	for _, buf := range c.wait {
		buf.Release()
	}
	c.wait = nil
}

// forget ends a connection whose socket is closed.
func (s *Server) forget(c *client) {
	s.step.replica.Disconnect(&c.Conn)
	s.count(c)
	s.drop(c)
	c.gone = true
	c.Out.Reset()
	cnxn.Reclaim(&c.Out)
}
