package server

import (
	"sync"

	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/tree"
)

// arrivals has a new image written while the tree for it is still being received, which takes
// about as long. That saves time and no more: where it fails, as on a full disk, the image is
// written from the tree in the end.
type arrivals struct {
	mu    sync.Mutex
	now   *arrival // the latest one whose image is neither given up nor taken
	taken bool     // an image is being installed: no other one may be begun
}

// arrival is a tree on its way. Its znodes' records are collected by the goroutine that receives
// it, and written by one of its own.
type arrival struct {
	all   *arrivals
	batch *store.ImageBatch
	full  chan *store.ImageBatch
	empty chan *store.ImageBatch
	done  chan struct{} // closed when all that was collected is written

	// Guarded by all.mu.
	image *store.Installation
	tree  *tree.Tree // once it is whole
	err   error      // why the image is not written any more
}

const (
	arrivalBytes   = 1 << 20 // of records that are written at a time
	arrivalBatches = 3       // one that is filled, one that waits, one that is written
)

// begin starts to write the image of a tree that comes. It is the only one: what another link
// brought before is written from its tree, if it should still be needed.
func (s *arrivals) begin(log appender, image imager) *arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.giveUp()
	a := &arrival{
		all: s, full: make(chan *store.ImageBatch, arrivalBatches),
		empty: make(chan *store.ImageBatch, arrivalBatches), done: make(chan struct{}),
	}
	if !s.taken {
		if a.image, a.err = log.Install(); a.err == nil {
			s.now = a
		}
	}
	for range arrivalBatches {
		a.empty <- image.NewImageBatch()
	}
	a.batch = <-a.empty
	a.batch.Reserve(arrivalBytes)
	go func() {
		_ = inBackground(a.write)
	}()
	return a
}

// Put implements tree.DeltaSink.
func (a *arrival) Put(key, value []byte) {
	a.batch.Put(key, value)
	if a.batch.Bytes() < arrivalBytes {
		return
	}
	a.full <- a.batch
	a.batch = <-a.empty
	a.batch.Reserve(arrivalBytes)
}

// Delete implements tree.DeltaSink.
func (a *arrival) Delete(key []byte) { a.batch.Delete(key) }

// end says that everything has come, as the given tree, or with nil that something went wrong.
func (a *arrival) end(t *tree.Tree) {
	a.full <- a.batch
	close(a.full)
	<-a.done
	a.all.mu.Lock()
	defer a.all.mu.Unlock()
	if a.tree = t; t == nil && a.all.now == a {
		a.all.giveUp()
	}
}

// failed says why no image is written that could be installed, if there is none.
func (a *arrival) failed() error {
	a.all.mu.Lock()
	defer a.all.mu.Unlock()
	if a.err == nil && a.all.now != a {
		return errStopped
	}
	return a.err
}

// write is the writing goroutine.
func (a *arrival) write() error {
	defer close(a.done)
	for b := range a.full {
		a.all.mu.Lock()
		if a.all.now == a {
			if a.err = a.image.Write(b); a.err != nil {
				a.all.giveUp()
			}
		}
		a.all.mu.Unlock()
		b.Reset()
		a.empty <- b
	}
	return nil
}

// take hands over the image that has been written for a tree, or nil if there is none. No other
// one is written until done is called.
func (s *arrivals) take(t *tree.Tree) *store.Installation {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken = true
	if a := s.now; a != nil && t != nil && a.tree == t {
		s.now = nil
		return a.image
	}
	s.giveUp()
	return nil
}

// done says that an image that was taken, or made in place of one, is installed or given up.
func (s *arrivals) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken = false
}

// abandon gives the image up, and the tree with it: its leader is gone, or it cannot be restored.
func (s *arrivals) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.giveUp()
}

// giveUp removes the image that is being written; mu is held.
func (s *arrivals) giveUp() {
	if s.now == nil {
		return
	}
	s.now.image.Abort()
	s.now = nil
}
