package server

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/store"
)

// retryPeriod is the time between attempts to write to a disk that is full.
const retryPeriod = 100 * time.Millisecond

// logWriter brings batches to the log. One goroutine at a time has the role of writing:
// whoever finds it free, for one append, and after that, if more has come meanwhile, the
// goroutine that is there for it. So a lone write waits for no other goroutine, and no
// connection's goroutine writes for others for long.
type logWriter struct {
	store appender
	wake  chan struct{} // gives the role to the writer goroutine
	ready atomic.Bool   // something is pending and the role is free
	began atomic.Int64  // unix time in ns of the append that is under way, 0 if none is
	full  atomic.Bool   // the disk was full at the last append

	mu      sync.Mutex
	pending []*proto.LogBatch // oldest first
	taken   bool              // somebody has the role

	// Whoever has the role owns these.
	merged proto.LogBatch
	retry  *proto.LogBatch // found the disk full
}

// add leaves a batch to be written, after those that were left before.
func (l *logWriter) add(b *proto.LogBatch) {
	l.mu.Lock()
	l.pending = append(l.pending, b)
	l.ready.Store(!l.taken)
	l.mu.Unlock()
}

// due says whether there is something to write and nobody who does.
func (l *logWriter) due() bool { return l.ready.Load() }

// claim takes the role if there is something to write and nobody who does.
func (l *logWriter) claim() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ready.Load() {
		return false
	}
	l.taken = true
	l.ready.Store(false)
	return true
}

// wakeIfDue has the writer goroutine write what is due.
func (l *logWriter) wakeIfDue() {
	if l.due() && l.claim() {
		l.wake <- struct{}{}
	}
}

// next is everything to be written now, as one batch. It is nil if there is nothing; then
// the role is free again.
func (l *logWriter) next() *proto.LogBatch {
	if b := l.retry; b != nil {
		l.retry = nil
		return b
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending) == 0 {
		l.taken = false
		return nil
	}
	b := l.pending[0]
	if len(l.pending) > 1 {
		b = &l.merged
		b.Reset()
		for _, p := range l.pending {
			for i, e := range p.Entries {
				b.AddBytes(e.Zxid, p.Txn(i))
			}
		}
	}
	clear(l.pending)
	l.pending = l.pending[:0]
	return b
}

// idle says whether nothing is being written or waiting to be.
func (l *logWriter) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.taken && len(l.pending) == 0
}

// appendHere writes the log on the caller's goroutine, once. detach is called before it
// may block.
func (s *Server) appendHere(detach func()) {
	l := &s.log
	if !l.claim() {
		return
	}
	detach()
	if !s.appendBatch(l.next()) {
		return
	}
	l.mu.Lock()
	more := len(l.pending) > 0 || l.retry != nil
	l.taken = more
	l.mu.Unlock()
	if more {
		l.wake <- struct{}{}
	}
}

// writeLog is the writer goroutine.
func (s *Server) writeLog() {
	l := &s.log
	for {
		select {
		case <-s.stopped:
			return
		case <-l.wake:
		}
		for b := l.next(); b != nil; b = l.next() {
			if !s.appendBatch(b) {
				return
			}
			if l.retry == nil {
				continue
			}
			select {
			case <-s.stopped:
				return
			case <-time.After(retryPeriod):
			}
		}
	}
}

// appendBatch writes a batch and tells that it is durable. When the disk is full the
// batch is left in retry. Any other failure ends the server: it returns false, and the
// role must never be given up, so that nothing is appended behind a hole.
func (s *Server) appendBatch(b *proto.LogBatch) bool {
	l := &s.log
	last := b.Last()
	l.began.Store(time.Now().UnixNano())
	err := l.store.Append(b)
	l.began.Store(0)
	switch {
	case err == nil:
		if l.full.CompareAndSwap(true, false) {
			s.opts.Log.Info("The log can be written again: writes are answered")
		}
		s.count.appends.Add(1)
		s.count.txns.Add(int64(b.Len()))
		s.confirm(last)
	case errors.Is(err, store.ErrNoSpace):
		l.retry = b
		if l.full.CompareAndSwap(false, true) {
			s.opts.Log.WithError(err).Error("The log's disk is full: writes wait until there is space, reads go on")
		}
	default:
		s.fail(fmt.Errorf("server: write the log: %w", err))
		return false
	}
	return true
}
