package proto

import (
	"github.com/zkd-project/zkd/daemon/jute"
)

// refMin is the length from which Out keeps a reference to an immutable value
// instead of copying it.
const refMin = 8 << 10

// ReplyHeaderLen is the length of a reply's header: xid, zxid and error.
const ReplyHeaderLen = 16

// Out is output for one connection: frames, one after the other. Small values are
// copied into one buffer; large immutable ones are referred to, so that a step of the
// replica copies at most refMin bytes a value.
type Out struct {
	B    []byte // all bytes but the referenced ones
	Refs []Ref  // in order of At

	frame    int // where the length of the open frame stands in B
	frameRef int // bytes referenced when the frame was opened
	refBytes int
}

// Ref is an immutable value that belongs in front of B[At].
type Ref struct {
	At int
	V  []byte
}

// Len is the number of bytes to be sent.
func (o *Out) Len() int { return len(o.B) + o.refBytes }

// Reset empties o and keeps its buffer.
func (o *Out) Reset() {
	clear(o.Refs)
	o.B, o.Refs, o.refBytes = o.B[:0], o.Refs[:0], 0
}

// Begin opens a frame.
func (o *Out) Begin() {
	o.frame, o.frameRef = len(o.B), o.refBytes
	o.B = append(o.B, 0, 0, 0, 0)
}

// End closes the frame that Begin opened, by writing its length.
func (o *Out) End() {
	jute.PutInt(o.B[o.frame:], int32(len(o.B)-o.frame-4+o.refBytes-o.frameRef))
}

// LastFrame is the length of the frame that was opened last, without its own length.
func (o *Out) LastFrame() int { return len(o.B) - o.frame - 4 + o.refBytes - o.frameRef }

// Cut drops everything written since the last Begin, and the frame with it.
func (o *Out) Cut() {
	o.B = o.B[:o.frame]
	for len(o.Refs) > 0 && o.Refs[len(o.Refs)-1].At > o.frame {
		o.refBytes -= len(o.Refs[len(o.Refs)-1].V)
		o.Refs = o.Refs[:len(o.Refs)-1]
	}
}

// Header appends a reply header.
func (o *Out) Header(xid int32, zxid Zxid, code ErrCode) {
	o.B = jute.AppendInt(o.B, xid)
	o.B = jute.AppendLong(o.B, int64(zxid))
	o.B = jute.AppendInt(o.B, int32(code))
}

// Reply appends a whole frame that is a reply header and nothing else.
func (o *Out) Reply(xid int32, zxid Zxid, code ErrCode) {
	o.Begin()
	o.Header(xid, zxid, code)
	o.End()
}

// Event appends a whole frame that is a watch event.
func (o *Out) Event(zxid Zxid, typ EventType, path []byte) {
	o.Begin()
	o.Header(XidNotification, zxid, ErrOK)
	o.B = jute.AppendInt(o.B, int32(typ))
	o.B = jute.AppendInt(o.B, StateSyncConnected)
	o.B = jute.AppendBuffer(o.B, path)
	o.End()
}

// Immutable appends a value that nobody will change any more: by reference if it is large.
func (o *Out) Immutable(v []byte) {
	if len(v) < refMin {
		o.B = append(o.B, v...)
		return
	}
	o.Refs = append(o.Refs, Ref{len(o.B), v})
	o.refBytes += len(v)
}
