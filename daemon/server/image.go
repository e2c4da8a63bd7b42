package server

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/tree"
)

const (
	imagePeriod = 100 * time.Millisecond // between looks at how much the image lacks
	sliceTime   = 500 * time.Microsecond // that a slice of a cut may keep the step lock
	slicePause  = 2 * time.Millisecond   // after each slice
	muchDirty   = 48 << 20               // bytes that the image lacks from which on it is written in a hurry
	keepBatch   = 1 << 20                // bytes of a batch whose memory is kept while nothing changes
	recordHead  = 16                     // bytes of a record in a batch, besides the record
	firstShare  = 20                     // of the transactions that are enough to write it for the first time
)

// imageWriter keeps the image on disk behind the tree.
type imageWriter struct {
	mu    sync.Mutex // held while the image is written, or replaced
	store imager
	tree  changer
	delta delta // of the open cut, as far as it is not in batch
	batch *store.ImageBatch
	size  int         // of the largest batch lately
	clean time.Time   // when nothing was missing the last time
	began bool        // it has been written since the start
	slice int         // records that are drained at a time
	full  atomic.Bool // the last write found the disk full

	arrivals arrivals
}

// writeImages is the image writer goroutine. When it ends the image holds everything that
// has been applied, unless the server failed.
func (s *Server) writeImages() {
	w := &s.image
	w.batch, w.slice, w.clean = w.store.NewImageBatch(), 256, time.Now()
	tick := time.NewTicker(imagePeriod)
	defer tick.Stop()
	for { // at once, too: this life may end before the first tick
		if s.imageDue() && s.writeImage(false) != nil {
			return
		}
		select {
		case <-s.failing:
			return
		case <-s.lastImage:
			if err := s.writeImage(true); err != nil {
				s.opts.Log.WithError(err).
					Warn("The image was not written before the end; the next start replays the log")
			}
			return
		case <-tick.C:
		}
	}
}

// imageDue says whether the image lacks enough to be written.
func (s *Server) imageDue() bool {
	w, p := &s.image, &s.opts.Image
	var records, bytes, txns int
	s.hold(func() { records, bytes, txns = w.tree.Dirty() })
	if txns >= p.Txns || !w.began && txns >= p.Txns/firstShare { // or whose life is short replays ever more
		return true
	}
	if records == 0 {
		w.clean = time.Now()
		if w.size > keepBatch { // its memory is of use only while there is much to do
			w.batch, w.size = w.store.NewImageBatch(), 0
		}
		return false
	}
	return records >= p.Records || bytes >= p.Bytes || time.Since(w.clean) >= p.Age
}

// writeImage writes everything that has changed. hurry leaves out the pauses, and gives
// up when the disk is full.
func (s *Server) writeImage(hurry bool) error {
	w := &s.image
	w.mu.Lock()
	defer w.mu.Unlock()
	if !hurry && s.restoring.still.Load() {
		return nil // it is about to be replaced
	}
	if hurry { // also what LevelDB is at
		w.store.Hurry(true)
	}
	var zxid proto.Zxid
	dirty, bytes, txns := 0, 0, 0
	s.hold(func() {
		if dirty, bytes, txns = w.tree.Dirty(); dirty+txns > 0 {
			zxid = w.tree.Cut(&w.delta)
		}
	})
	if dirty+txns == 0 {
		return nil
	}
	w.store.Hurry(hurry || bytes > muchDirty)
	w.batch.Reserve(bytes + dirty*recordHead)
	cut := time.Now()
	hurry = s.drainImage(hurry)
	w.size = max(w.size, w.batch.Bytes())
	if !s.awaitLogged(zxid) {
		return errStopped
	}
	for {
		err := w.store.WriteImage(w.batch, zxid)
		switch {
		case err == nil:
			w.clean, w.began = cut, true
			w.full.Store(false)
			s.count.images.Add(1)
			return nil
		case !errors.Is(err, store.ErrNoSpace):
			s.fail(fmt.Errorf("server: write the image: %w", err))
			return err
		case hurry:
			return err
		}
		if w.full.CompareAndSwap(false, true) {
			s.opts.Log.WithError(err).WithField("event", "image-full").
				Warn("The image's disk is full: the log grows until there is space")
		}
		select {
		case <-s.failing:
			return err
		case <-s.lastImage:
			hurry = true
		case <-time.After(10 * retryPeriod):
		}
	}
}

// drainImage brings the open cut into the batch, slice by slice, with pauses unless there is a hurry,
// and says whether there is one in the end.
func (s *Server) drainImage(hurry bool) bool {
	w := &s.image
	for done := false; !done; {
		var took time.Duration
		var records [][]byte
		s.hold(func() {
			start := time.Now()
			done = w.tree.Drain(w.slice)
			records = w.delta.take()
			took = time.Since(start)
		})
		w.pace(took)
		fill(w.batch, records)
		switch {
		case hurry:
			s.opts.Progress()
		case s.ending():
			hurry = true
			w.store.Hurry(true)
		case !done:
			time.Sleep(slicePause)
		}
	}
	return hurry
}

// ending says whether the image is to be written for the last time.
func (s *Server) ending() bool {
	select {
	case <-s.lastImage:
		return true
	default:
		return false
	}
}

// pace fits the number of records in a slice to the time that it may take.
func (w *imageWriter) pace(took time.Duration) {
	switch {
	case took > sliceTime && w.slice > 16:
		w.slice /= 2
	case took < sliceTime/3 && w.slice < 4096:
		w.slice *= 2
	}
}

var errStopped = errors.New("server: stopped before the log was written")

// awaitLogged waits until this server's log holds everything up to zxid: the ensemble may
// have committed it before. It returns false if the server ends before that,
// which waits no longer for it than for anything else.
func (s *Server) awaitLogged(zxid proto.Zxid) bool {
	last := s.lastImage
	var limit <-chan time.Time
	for s.log.store.Status().LastLogged < zxid {
		select {
		case <-s.failing:
			return false
		case <-last:
			last, limit = nil, time.After(s.opts.Drain)
		case <-limit:
			return false
		case <-time.After(slicePause):
		}
	}
	return true
}

// install replaces the image and the log by a tree that a leader sent. When the disk is full
// it is called again, and begins anew.
func (s *Server) install(t *tree.Tree, zxid proto.Zxid, rifts []proto.Rift) error {
	w := &s.image
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.store.NewImageBatch()
	n := w.arrivals.take(t)
	defer w.arrivals.done()
	if n != nil {
		t.CutRest(b)
	} else {
		var err error
		if n, err = s.log.store.Install(); err != nil {
			return err
		}
		t.CutWhole(b)
	}
	n.Rifts = rifts
	var err error
	for done := false; !done && err == nil; {
		done = t.Drain(installSlice)
		err = n.Write(b)
	}
	if err == nil {
		err = n.Commit(zxid)
	}
	if err != nil {
		n.Abort()
		return err
	}
	s.hold(func() { w.tree = t })
	return nil
}

// installSlice is how many records of a new image are written at a time.
const installSlice = 8192
