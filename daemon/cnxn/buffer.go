package cnxn

import (
	"encoding/binary"
	"sync"
)

const (
	readSize  = 64 << 10 // of the buffers that sockets are read into
	lengthLen = 4        // of the length in front of each frame
)

// Buffer holds whole frames of one connection.
type Buffer struct {
	b      []byte // frames, each behind its length
	off    int    // of the next frame
	frames int    // not taken yet
	held   int64  // counted against the connection until released
	c      *Conn
}

var buffers = sync.Pool{New: func() any { return &Buffer{b: make([]byte, 0, readSize)} }}

// newBuffer returns an empty buffer of readSize bytes.
func newBuffer() *Buffer { return buffers.Get().(*Buffer) }

// Next takes the next frame, without its length. The slice is valid until Release.
func (b *Buffer) Next() (frame []byte, ok bool) {
	if b.frames == 0 {
		return nil, false
	}
	end := b.off + lengthLen + int(binary.BigEndian.Uint32(b.b[b.off:]))
	frame = b.b[b.off+lengthLen : end : end]
	b.off = end
	b.frames--
	return frame, true
}

// Frames is the number of frames not taken yet.
func (b *Buffer) Frames() int { return b.frames }

// Release gives the buffer back, and lets the connection be read again if it was kept
// from it by what the handler held.
func (b *Buffer) Release() {
	c, held := b.c, b.held
	b.c, b.held = nil, 0
	b.recycle()
	c.held.Add(-held)
	c.resume()
}

// recycle returns memory of the usual size to the pool.
func (b *Buffer) recycle() {
	if cap(b.b) == readSize {
		b.b, b.off, b.frames = b.b[:0], 0, 0
		buffers.Put(b)
	}
}

// withRoom returns a buffer that starts with the part of a frame in b, which may be
// nil, and has room behind it. Memory at most doubles, so that it follows the bytes that
// came and not the length that they announce.
func withRoom(b *Buffer) *Buffer {
	switch {
	case b == nil:
		return newBuffer()
	case len(b.b) < readSize/2 && cap(b.b) < readSize:
		n := newBuffer()
		n.b = append(n.b, b.b...)
		return n
	case len(b.b) < cap(b.b):
		return b
	}
	whole := lengthLen + int(binary.BigEndian.Uint32(b.b))
	grown := make([]byte, len(b.b), min(2*len(b.b), whole))
	copy(grown, b.b)
	b.recycle()
	return &Buffer{b: grown}
}

// tail returns what is behind off in a buffer of its own: the beginning of a frame, in
// memory of at most twice its size. It is nil if there is nothing.
func (b *Buffer) tail(off int) *Buffer {
	n := len(b.b) - off
	if n == 0 {
		return nil
	}
	return &Buffer{b: append(make([]byte, 0, n), b.b[off:]...)}
}

// cut finds the whole frames at the front of b. It returns their number and where they
// end; bad says that what follows them starts with a length out of range.
func cut(b []byte, maxFrame int) (frames, end int, bad bool) {
	for len(b)-end >= lengthLen {
		n := int(int32(binary.BigEndian.Uint32(b[end:])))
		if n < 0 || n > maxFrame {
			return frames, end, true
		}
		if len(b)-end-lengthLen < n {
			break
		}
		end += lengthLen + n
		frames++
	}
	return frames, end, false
}
