package store

import (
	"sync"

	"github.com/syndtr/goleveldb/leveldb/iterator"
)

// readers are those who read an image that may be closed meanwhile. LevelDB must not be closed while it is
// read, nor before all its iterators are released; and whoever closes it cannot wait for readers, who may be
// waiting for a network.
type readers struct {
	mu     sync.RWMutex // held for reading for each step of a reader
	closed bool
	open   map[iterator.Iterator]struct{}
}

// do runs one step of a reader, unless the image is closed.
func (r *readers) do(step func() error) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.closed {
		return ErrReplaced
	}
	return step()
}

// begin opens an iterator.
func (r *readers) begin(open func() iterator.Iterator) (iterator.Iterator, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, ErrReplaced
	}
	it := open()
	if r.open == nil {
		r.open = make(map[iterator.Iterator]struct{})
	}
	r.open[it] = struct{}{}
	return it, nil
}

// end releases an iterator.
func (r *readers) end(it iterator.Iterator) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.open[it]; ok {
		delete(r.open, it)
		it.Release()
	}
}

// close has all readers stop where they are, and then closes what they read.
func (r *readers) close(db func() error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for it := range r.open {
		it.Release()
	}
	r.open = nil
	return db()
}

// each calls f for every record that an iterator comes to, with copies that are good during the call.
func (r *readers) each(it iterator.Iterator, f func(key, value []byte) error) error {
	var key, value []byte
	for more := true; ; {
		err := r.do(func() error {
			if more = it.Next(); !more {
				return it.Error()
			}
			key, value = append(key[:0], it.Key()...), append(value[:0], it.Value()...)
			return nil
		})
		if err == nil && more {
			err = f(key, value)
		}
		if err != nil || !more {
			return err
		}
	}
}
