package cnxn

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

// Conn is a client connection.
type Conn struct {
	// Owner is the handler's to use; cnxn never looks at it.
	Owner any

	p    *poller
	sock socket
	tag  int32 // tells this connection's events from those of an earlier one on the same descriptor
	peer netip.AddrPort

	// The worker that polls owns these.
	part    *Buffer // the beginning of a frame, nil if there is none
	opened  bool    // the handler knows the connection
	discard bool    // a four-letter word came: what follows it is not looked at
	dropped int     // bytes read and thrown away since
	again   bool    // listed in poller.again

	received atomic.Int64 // frames
	sent     atomic.Int64 // frames
	held     atomic.Int64 // bytes of input with the handler
	queued   atomic.Int64 // bytes of output not sent yet
	paused   atomic.Bool  // input is not read until held and queued have gone down
	wanted   atomic.Bool  // the handler waits for queued to go down
	gone     atomic.Bool  // the poller has let go of it

	mu       sync.Mutex // of what follows; held for moments, never over a system call that moves data
	head     *chunk     // output, oldest first; nil if there is none
	tail     *chunk
	flushing bool // somebody is writing head to the socket
	blocked  bool // the socket took no more; the poller goes on when it is writable
	retry    bool // the socket became writable while somebody was writing
	state    state
	ended    bool // an aborted socket has been ended, which its poller will see
	unclosed bool // the poller has let go, but the socket is left for the one who is flushing
}

// state is how a connection is ending.
type state uint8

const (
	stateOpen    state = iota
	stateClosing       // no more output is taken; when all is sent the connection lingers
	stateLinger        // all is sent, and the peer was told; its last input is thrown away
	stateAborted       // neither input nor output matters any more
	stateGone          // the poller has let go of it
)

// Counters are what is counted of one connection.
type Counters struct {
	Received, Sent int64 // frames; an answered four-letter word counts as one received
	Queued         int64 // bytes of output that the socket has not taken yet
	Paused         bool  // input is not read, for back-pressure
}

// Counters returns the connection's counters.
func (c *Conn) Counters() Counters {
	return Counters{
		Received: c.received.Load(), Sent: c.sent.Load(),
		Queued: c.queued.Load(), Paused: c.paused.Load(),
	}
}

// ResetCounters sets the counters of frames to 0.
func (c *Conn) ResetCounters() {
	c.received.Store(0)
	c.sent.Store(0)
}

// Peer is the address of the client.
func (c *Conn) Peer() netip.AddrPort { return c.peer }

// RemoteAddr is the address of the client as Java prints one: /ip:port.
func (c *Conn) RemoteAddr() string { return javaAddr(c.peer) }

// Queued is the number of bytes of output that the socket has not taken yet.
func (c *Conn) Queued() int64 { return c.queued.Load() }

// Full tells that output has piled up so far, more included, that the handler should
// leave further requests of this connection alone. Handler.Drained then tells when.
func (c *Conn) Full(more int) bool {
	if !c.full(more) {
		return false
	}
	c.wanted.Store(true)
	// The output may have drained before it could see that somebody waits.
	return c.full(more) || !c.wanted.CompareAndSwap(true, false)
}

func (c *Conn) full(more int) bool {
	return c.queued.Load()+int64(more) >= int64(c.p.ports.opts.QueueSoft)
}

// CloseAfterFlush has Flush close the connection once all that is queued has been sent.
// No more is taken, and no more input is handed over.
func (c *Conn) CloseAfterFlush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == stateOpen {
		c.state = stateClosing
		c.p.ports.sweeper.closing(c)
	}
}

// Abort has Flush close the connection without regard to what is queued.
func (c *Conn) Abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = max(c.state, stateAborted)
}

// linger ends the output of a connection, of which everything is sent, and leaves it to
// the peer to close. Closing with unread input would reset the connection, and a reset
// destroys what the peer has not read yet. It needs c.mu.
func (c *Conn) linger() {
	c.state = stateLinger
	c.sock.endOutput()
	c.sock.rearm(c.tag)
}

// overfull says whether input has to wait for what is held or queued.
func (c *Conn) overfull() bool { return c.held.Load() >= heldMax || c.full(0) }

// pause stops the reading of input if it has to wait, and says so.
func (c *Conn) pause() bool {
	if !c.overfull() {
		return false
	}
	c.paused.Store(true)
	// What was held or queued may have gone down before it could see that somebody waits.
	if !c.overfull() && c.paused.CompareAndSwap(true, false) {
		return false
	}
	c.p.ports.stats.paused.Add(1)
	return true
}

// resume has a paused connection read again once enough has drained, and tells the
// handler if it waits for that.
func (c *Conn) resume() {
	if c.wanted.Load() && !c.full(0) && c.wanted.CompareAndSwap(true, false) {
		c.p.ports.handler.Drained(c)
	}
	if c.paused.Load() && !c.overfull() && c.paused.CompareAndSwap(true, false) {
		c.mu.Lock()
		if c.state < stateAborted {
			c.sock.rearm(c.tag)
		}
		c.mu.Unlock()
	}
}
