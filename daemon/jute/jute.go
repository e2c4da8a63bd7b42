package jute

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrShort says that a record ends before its last field.
var ErrShort = errors.New("jute: record is shorter than its fields")

// ErrLength says that a length or count field cannot be true: it is below -1, or
// larger than what is left of the input.
var ErrLength = errors.New("jute: unreasonable length")

// AppendInt appends a 32-bit integer.
func AppendInt(b []byte, v int32) []byte { return binary.BigEndian.AppendUint32(b, uint32(v)) }

// AppendLong appends a 64-bit integer.
func AppendLong(b []byte, v int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(v)) }

// AppendBool appends a boolean as one byte, 0 or 1.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// AppendBuffer appends a buffer; a nil slice is written as null.
func AppendBuffer(b, v []byte) []byte {
	if v == nil {
		return AppendInt(b, -1)
	}
	return append(AppendInt(b, int32(len(v))), v...)
}

// AppendString appends a string. It cannot be null.
func AppendString(b []byte, v string) []byte {
	return append(AppendInt(b, int32(len(v))), v...)
}

// PutInt overwrites the integer at the start of b.
func PutInt(b []byte, v int32) { binary.BigEndian.PutUint32(b, uint32(v)) }

// Int reads the integer at the start of b, which must be long enough.
func Int(b []byte) int32 { return int32(binary.BigEndian.Uint32(b)) }

// Long reads the long integer at the start of b, which must be long enough.
func Long(b []byte) int64 { return int64(binary.BigEndian.Uint64(b)) }

// Decoder reads fields off the front of a byte slice.
// The zero value reads an empty input; set it up with NewDecoder or Reset.
type Decoder struct {
	rest []byte
	err  error
}

// NewDecoder reads from b, which it aliases.
func NewDecoder(b []byte) Decoder { return Decoder{rest: b} }

// Reset makes d read from b and forgets an earlier error.
func (d *Decoder) Reset(b []byte) { d.rest, d.err = b, nil }

// Err is the first error met, or nil.
func (d *Decoder) Err() error { return d.err }

// Rest is what has not been read.
func (d *Decoder) Rest() []byte { return d.rest }

// Fail records err as the decoder's error unless it has one already.
func (d *Decoder) Fail(err error) {
	if d.err == nil {
		d.err, d.rest = err, nil
	}
}

// take returns the next n bytes, or nil and an error.
func (d *Decoder) take(n int) []byte {
	if len(d.rest) < n {
		d.Fail(ErrShort)
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

// Byte reads one byte.
func (d *Decoder) Byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

// Bool reads a boolean; any byte but 0 is true.
func (d *Decoder) Bool() bool { return d.Byte() != 0 }

// Int reads a 32-bit integer.
func (d *Decoder) Int() int32 {
	if b := d.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

// Long reads a 64-bit integer.
func (d *Decoder) Long() int64 {
	if b := d.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// Buffer reads a buffer or a string. It returns nil for null and a slice that is
// not nil, and aliases the input, for everything else.
func (d *Decoder) Buffer() []byte {
	n := d.Int()
	switch {
	case d.err != nil || n == -1:
		return nil
	case n < -1 || int(n) > len(d.rest):
		d.Fail(fmt.Errorf("%w %d, %d bytes are left", ErrLength, n, len(d.rest)))
		return nil
	}
	return d.take(int(n))
}

// Count reads the number of items of a vector: -1 for null, and 0 for any other
// number below 1. Each item takes at least minItem bytes, so a count that the rest
// of the input cannot hold is an error; callers may size a slice by the result.
func (d *Decoder) Count(minItem int) int {
	n := d.Int()
	switch {
	case d.err != nil || n == -1:
		return -1
	case n <= 0:
		return 0
	case int64(n)*int64(minItem) > int64(len(d.rest)):
		d.Fail(fmt.Errorf("%w: %d items, %d bytes are left", ErrLength, n, len(d.rest)))
		return -1
	}
	return int(n)
}
