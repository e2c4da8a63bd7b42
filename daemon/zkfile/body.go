package zkfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// ErrFormat says that a file or stream is not what it should be.
var ErrFormat = errors.New("zkfile: wrong format")

// signature ends the body that follows a SNAP packet. Source: LearnerHandler.java.
const signature = "BenWasHere"

// Znode is a znode of a snapshot. Its slices are good during the call that gets it.
type Znode struct {
	Path        []byte // "" for the root
	Data        []byte // nil for null
	ACL         int64  // number of its list; -1 lets anyone do anything
	Czxid       proto.Zxid
	Mzxid       proto.Zxid
	Ctime       proto.Millis
	Mtime       proto.Millis
	Version     int32
	Cversion    int32 // counts creations of children
	Aversion    int32
	EphemeralOf int64 // the owner as it is stored
	Pzxid       proto.Zxid
}

// Sink takes the parts of a snapshot's body in their order.
type Sink interface {
	Session(id proto.SessionID, timeout int32) error
	ACL(number int64, encoded []byte) error
	Znode(z *Znode) error
}

// bodyReader reads fields off a stream.
type bodyReader struct {
	r   io.Reader
	buf bytes.Buffer
	fix [8]byte
	err error
}

func (b *bodyReader) fixed(n int) []byte {
	if b.err == nil {
		_, b.err = io.ReadFull(b.r, b.fix[:n])
	}
	if b.err != nil {
		clear(b.fix[:])
	}
	return b.fix[:n]
}

func (b *bodyReader) int() int32  { return jute.Int(b.fixed(4)) }
func (b *bodyReader) long() int64 { return jute.Long(b.fixed(8)) }

// part appends a string or buffer to buf, which grows as its bytes come; null says that it is null.
func (b *bodyReader) part() (n int, null bool) {
	n = int(b.int())
	switch {
	case b.err != nil || n == -1:
		return 0, true
	case n < 0:
		b.err = fmt.Errorf("%w: a part cannot have %d bytes", ErrFormat, n)
		return 0, true
	}
	_, b.err = io.CopyN(&b.buf, b.r, int64(n))
	return n, false
}

// ReadBody reads a body up to its end mark.
func ReadBody(r io.Reader, sink Sink) error {
	b := &bodyReader{r: r}
	for n := b.count("sessions"); n > 0 && b.err == nil; n-- {
		id, timeout := proto.SessionID(b.long()), b.int()
		if b.err == nil {
			b.err = sink.Session(id, timeout)
		}
	}
	for n := b.count("lists"); n > 0 && b.err == nil; n-- {
		number := b.long()
		b.list()
		if b.err == nil {
			b.err = sink.ACL(number, b.buf.Bytes())
		}
	}
	for b.err == nil && b.znode(sink) {
	}
	if errors.Is(b.err, io.EOF) {
		b.err = fmt.Errorf("%w: it ends too early", ErrFormat)
	}
	return b.err
}

func (b *bodyReader) count(what string) int32 {
	n := b.int()
	if n < 0 && b.err == nil {
		b.err = fmt.Errorf("%w: it has %d %s", ErrFormat, n, what)
	}
	return n
}

// list reads an access control list into buf, encoded as it came.
func (b *bodyReader) list() {
	b.buf.Reset()
	n := b.int()
	b.buf.Write(jute.AppendInt(nil, max(n, 0)))
	for ; n > 0 && b.err == nil; n-- {
		b.buf.Write(jute.AppendInt(nil, b.int()))
		for range 2 {
			at := b.buf.Len()
			b.buf.Write([]byte{0, 0, 0, 0})
			size, _ := b.part()
			jute.PutInt(b.buf.Bytes()[at:], int32(size))
		}
	}
}

// znode reads a znode; false is the end mark.
func (b *bodyReader) znode(sink Sink) bool {
	b.buf.Reset()
	size, null := b.part()
	if b.err != nil || null || size == 1 && b.buf.Bytes()[0] == '/' {
		return false
	}
	length, null := b.part()
	z := Znode{
		ACL: b.long(), Czxid: proto.Zxid(b.long()), Mzxid: proto.Zxid(b.long()), Ctime: proto.Millis(b.long()),
		Mtime: proto.Millis(b.long()), Version: b.int(), Cversion: b.int(), Aversion: b.int(), EphemeralOf: b.long(),
		Pzxid: proto.Zxid(b.long()),
	}
	if b.err != nil {
		return false
	}
	all := b.buf.Bytes()
	z.Path = all[:size]
	if !null {
		z.Data = all[size : size+length : size+length]
	}
	b.err = sink.Znode(&z)
	return b.err == nil
}

// ReadSignature reads what ends the body after a SNAP packet.
func ReadSignature(r io.Reader) error {
	want := jute.AppendString(nil, signature)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%w: it does not end in its signature", ErrFormat)
	}
	return nil
}

// AppendSignature appends what ends the body after a SNAP packet.
func AppendSignature(b []byte) []byte { return jute.AppendString(b, signature) }
