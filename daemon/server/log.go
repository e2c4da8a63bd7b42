package server

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zkd-project/zkd/daemon/meter"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zab"
)

// retryPeriod is the time between attempts to write to a disk that is full.
const retryPeriod = 100 * time.Millisecond

// keepMerged is the size in bytes of the memory that is kept for merged batches.
const keepMerged = 4 << 20

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
	pending []work // oldest first
	taken   bool   // somebody has the role
	batches meter.Dist

	// Whoever has the role owns these.
	merged proto.LogBatch
	retry  *work // found the disk full
}

// work is something to be written.
type work struct {
	zab.Write
	tree  *tree.Tree // of an install
	rifts []proto.Rift
}

// add leaves writes to be done, after those that were left before.
func (l *logWriter) add(e *replica.Effects) {
	l.mu.Lock()
	for i := range e.Writes {
		w := work{Write: e.Writes[i]}
		if w.Kind == zab.WriteInstall {
			w.tree, w.rifts = e.Install, e.Rifts
		}
		l.pending = append(l.pending, w)
	}
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

// next is what is to be written now: all transactions up to the next write of another
// kind, as one batch, or that write. It is nil if there is nothing; then the role is free
// again.
func (l *logWriter) next() *work {
	if w := l.retry; w != nil {
		l.retry = nil
		return w
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending) == 0 {
		l.taken = false
		return nil
	}
	w, n := l.pending[0], 1
	for w.Kind == zab.WriteLog && n < len(l.pending) && l.pending[n].Kind == zab.WriteLog {
		n++
	}
	if n > 1 {
		if l.merged.Reset(); cap(l.merged.Buf) > keepMerged {
			l.merged.Buf = nil
		}
		for _, p := range l.pending[:n] {
			for i, e := range p.Log.Entries {
				l.merged.AddBytes(e.Zxid, p.Log.Txn(i))
			}
		}
		w.Log, w.Pos = &l.merged, l.pending[n-1].Pos
	}
	m := copy(l.pending, l.pending[n:])
	clear(l.pending[m:])
	l.pending = l.pending[:m]
	return &w
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
	if !s.perform(l.next()) {
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
			if !s.perform(b) {
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

// perform does a write and tells that it is durable. When the disk is full the write is
// left in retry. Any other failure ends the server: it returns false, and the role must
// never be given up, so that nothing is written behind a hole.
func (s *Server) perform(w *work) bool {
	l := &s.log
	if w.Kind != zab.WriteInstall { // that one takes its time
		l.began.Store(time.Now().UnixNano())
	}
	err := s.write(w)
	l.began.Store(0)
	switch {
	case err == nil:
		if l.full.CompareAndSwap(true, false) {
			s.opts.Log.WithField("event", "log-writable").Info("The log can be written again: writes are answered")
		}
		s.confirm(w.Pos)
	case errors.Is(err, store.ErrNoSpace) && w.Kind == zab.WriteInstall && s.giveUpRestore(err):
		s.confirm(w.Pos)
	case errors.Is(err, store.ErrNoSpace):
		l.retry = w
		if l.full.CompareAndSwap(false, true) {
			s.opts.Log.WithError(err).WithField("event", "log-full").
				Error("The log's disk is full: writes wait until there is space, reads go on")
		}
	default:
		s.fail(fmt.Errorf("server: write the log: %w", err))
		return false
	}
	return true
}

// write does a write.
func (s *Server) write(w *work) error {
	switch w.Kind {
	case zab.WriteHard:
		return s.log.store.SetHardState(store.HardState{
			AcceptedEpoch: w.Hard.Accepted, CurrentEpoch: w.Hard.Current,
		})
	case zab.WriteTruncate:
		return s.log.store.TruncateAfter(w.Zxid)
	case zab.WriteInstall:
		return s.install(w.tree, w.Zxid, w.rifts)
	case zab.WriteHealed:
		return s.log.store.Healed()
	}
	s.count.appends.Add(1)
	s.count.txns.Add(int64(w.Log.Len()))
	s.log.mu.Lock()
	s.log.batches.Add(int64(w.Log.Len()))
	s.log.mu.Unlock()
	return s.log.store.Append(w.Log)
}
