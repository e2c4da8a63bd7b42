package server

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zkd-project/zkd/daemon/cnxn"
	"github.com/zkd-project/zkd/daemon/meter"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
)

const (
	// durableSlice is how many transactions are applied before the lock is let go and
	// their replies are sent.
	durableSlice = 256
	// manyConns is the number of connections from which on other goroutines send a
	// step's output: the one who stepped has sockets to read.
	manyConns = 128
	// sendSlice is the number of them that such a goroutine takes at a time.
	sendSlice = 32
)

// kind is what an input is.
type kind uint8

const (
	kindOpen kind = iota
	kindInput
	kindDrained // the connection's output has drained
	kindClosed
	kindTick
)

// input is something the replica is to be stepped with.
type input struct {
	kind kind
	c    *client
	buf  *cnxn.Buffer
}

// stepping is the state of flat combining.
type stepping struct {
	lock    sync.Mutex // the step lock: who has it steps the replica
	replica stepper

	inbox    sync.Mutex // of inputs
	inputs   []input    // brought while somebody else was stepping
	waiting  atomic.Int64
	durable  atomic.Uint64 // position up to which writes are durable
	reported atomic.Uint64 // the same, as far as the replica knows; set under the step lock

	// What follows is guarded by the step lock.
	now      replica.Now
	began    time.Duration // of the step, since started
	steps    meter.Dist    // their lengths in ns
	depths   meter.Dist    // inputs found in the inbox
	taken    []input       // spare for inputs
	stalled  []*client     // have input that waits for replies, oldest first
	resting  []*client     // have input that makes room for others, oldest first
	freed    bool          // there may be room for what is stalled
	stopping bool          // input waits for good
}

var effectsPool = sync.Pool{New: func() any { return new(replica.Effects) }}

// started is the zero of monotonic time.
var started = time.Now()

// Now is the time for an input. Monotonic time counts from the start of the process.
func Now() replica.Now {
	t := time.Now()
	return nowAt(t, t.Sub(started))
}

func nowAt(t time.Time, since time.Duration) replica.Now {
	return replica.Now{Wall: proto.Millis(t.UnixMilli()), Mono: proto.Millis(since / time.Millisecond)}
}

// begin takes the time at which a step begins; the lock is held.
func (st *stepping) begin() {
	t := time.Now()
	st.began = t.Sub(started)
	st.now = nowAt(t, st.began)
}

// submit steps the replica with an input, or leaves it to the one who is stepping.
func (s *Server) submit(in input) {
	st := &s.step
	if !st.busy() && st.lock.TryLock() {
		st.begin()
		s.handle(in)
		s.finish()
	} else {
		st.inbox.Lock()
		st.inputs = append(st.inputs, in)
		st.waiting.Add(1)
		st.inbox.Unlock()
	}
	s.combine()
}

// busy says whether somebody has left work to the one who steps.
func (st *stepping) busy() bool {
	return st.waiting.Load() > 0 || st.durable.Load() > st.reported.Load()
}

// combine steps until nothing waits, or somebody else is at it. Whoever lets go of the
// step lock has to call it, because inputs may have been left to him.
func (s *Server) combine() {
	st := &s.step
	for st.busy() && st.lock.TryLock() {
		st.begin()
		s.handleAll()
		s.finish()
	}
}

// hold runs f under the step lock, as a step of its own.
func (s *Server) hold(f func()) {
	fatally(func() {
		s.step.lock.Lock()
		s.step.begin()
		f()
		s.finish()
		s.combine()
		s.log.wakeIfDue()
	})
}

// fatally has a panic of f's end the process. Who recovers from it, as package http does, would leave the
// step lock locked, and a server that answers nobody.
func fatally(f func()) {
	defer func() {
		if p := recover(); p != nil {
			go panic(fmt.Sprintf("%v\n%s", p, debug.Stack()))
			select {} // until then
		}
	}()
	f()
}

// handleAll empties the inbox; the lock is held.
func (s *Server) handleAll() {
	st := &s.step
	st.inbox.Lock()
	batch := st.inputs
	st.inputs, st.taken = st.taken, nil
	st.inbox.Unlock()
	if len(batch) > 0 {
		st.depths.Add(int64(len(batch)))
	}
	for _, in := range batch {
		s.handle(in)
	}
	st.waiting.Add(-int64(len(batch)))
	clear(batch)
	st.taken = batch[:0]
	s.handleDurable()
}

// handle steps the replica with one input; the lock is held.
func (s *Server) handle(in input) {
	r, now := s.step.replica, s.step.now
	switch in.kind {
	case kindOpen:
		r.Connect(now, &in.c.Conn)
	case kindInput:
		s.feed(in.c, in.buf)
	case kindDrained:
		s.eat(in.c)
	case kindClosed:
		s.forget(in.c)
	case kindTick:
		r.Tick(now)
		s.ticked.Store(int64(now.Mono))
	}
}

// confirm tells that writes are durable up to a position.
func (s *Server) confirm(pos uint64) {
	s.step.durable.Store(pos)
	s.combine()
}

// handleDurable reports a slice of what has become durable; the lock is held.
func (s *Server) handleDurable() {
	st := &s.step
	pos, done := st.durable.Load(), st.reported.Load()
	if pos <= done {
		return
	}
	pos = min(pos, done+durableSlice)
	st.replica.Durable(st.now, pos)
	st.reported.Store(pos)
	st.freed = true
}

// finish ends a step: it takes the effects, lets go of the lock, and sends the output.
func (s *Server) finish() {
	st := &s.step
	if st.freed && len(st.stalled) > 0 {
		s.unstall()
	}
	e := effectsPool.Get().(*replica.Effects)
	st.replica.Effects(e)
	for _, c := range e.Conns {
		s.settle(c.Owner.(*client))
	}
	if len(e.Writes) > 0 {
		s.log.add(e)
	}
	s.settleLinks(e)
	st.steps.Add(int64(time.Since(started) - st.began))
	st.lock.Unlock()
	s.sendLinks(e)
	s.send(e)
}

// send flushes the connections that got output.
func (s *Server) send(e *replica.Effects) {
	if len(e.Conns) < manyConns {
		flushAll(e.Conns)
		recycle(e)
		return
	}
	var next, ended atomic.Int64
	senders := int64(runtime.GOMAXPROCS(0))
	for range senders {
		s.senders.Go(func() {
			for {
				to := int(next.Add(sendSlice))
				if to-sendSlice >= len(e.Conns) {
					break
				}
				flushAll(e.Conns[to-sendSlice : min(to, len(e.Conns))])
			}
			if ended.Add(1) == senders {
				recycle(e)
			}
		})
	}
}

func flushAll(conns []*replica.Conn) {
	for _, c := range conns {
		c.Owner.(*client).cn.Flush()
	}
}

func recycle(e *replica.Effects) {
	clear(e.Conns)
	e.Conns = e.Conns[:0]
	effectsPool.Put(e)
}
