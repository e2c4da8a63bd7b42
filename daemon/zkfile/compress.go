package zkfile

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/golang/snappy"
)

// Compression is how a snapshot is compressed.
type Compression int

// The ways that Apache's servers of 3.6 and later know. Source: SnapStream.java.
const (
	Plain Compression = iota
	Gzip
	Snappy
)

// maxBlock is the longest compressed block that is read, in bytes.
const maxBlock = 64 << 20

func (c Compression) extension() string { return [...]string{"", ".gz", ".snappy"}[c] }

// ParseCompression reads the setting snapshot.compression.method.
func ParseCompression(method string) (Compression, error) {
	for _, c := range []Compression{Plain, Gzip, Snappy} {
		if method == c.String() {
			return c, nil
		}
	}
	return Plain, fmt.Errorf("%w: there is no compression %q; give gz or snappy", ErrFormat, method)
}

// String is the value of the setting snapshot.compression.method.
func (c Compression) String() string { return [...]string{"", "gz", "snappy"}[c] }

// NewReader reads what was compressed.
func (c Compression) NewReader(r io.Reader) (io.Reader, error) {
	switch c {
	case Gzip:
		return gzip.NewReader(bufio.NewReaderSize(r, bufferSize))
	case Snappy:
		s := &snappyReader{r: bufio.NewReaderSize(r, bufferSize)}
		return s, s.header()
	}
	return bufio.NewReaderSize(r, bufferSize), nil
}

// NewWriter compresses. What it writes to is complete only after Close.
func (c Compression) NewWriter(w io.Writer) io.WriteCloser {
	switch c {
	case Gzip:
		return gzip.NewWriter(w)
	case Snappy:
		return &snappyWriter{w: w}
	}
	return plainWriter{bufio.NewWriterSize(w, bufferSize)}
}

const bufferSize = 64 << 10

type plainWriter struct{ *bufio.Writer }

// Close writes out what is left.
func (p plainWriter) Close() error { return p.Flush() }

// The framing of snappy-java: a header, then blocks, each a length and raw Snappy. A second
// stream may follow the first one, with its header in a block's place.
const (
	snappyMagic   = "\x82SNAPPY\x00"
	snappyVersion = 1
	snappyHeader  = len(snappyMagic) + 4 + 4 // magic, version, oldest version that can read it
	snappyBlock   = 32 << 10
	snappyRatio   = 64 // more than what a byte of Snappy may stand for
)

type snappyReader struct {
	r     io.Reader
	block bytes.Buffer // compressed
	plain []byte
	rest  []byte // of plain
}

func (s *snappyReader) header() error {
	var head [snappyHeader]byte
	if _, err := io.ReadFull(s.r, head[:]); err != nil {
		return early(err)
	}
	return checkSnappy(head[:])
}

func checkSnappy(head []byte) error {
	magic := len(snappyMagic)
	if string(head[:magic]) != snappyMagic {
		return fmt.Errorf("%w: it does not begin as snappy-java's streams do", ErrFormat)
	}
	if v := binary.BigEndian.Uint32(head[magic+4:]); v > snappyVersion {
		return fmt.Errorf("%w: it needs a reader of version %d of snappy-java's streams", ErrFormat, v)
	}
	return nil
}

// Read implements io.Reader.
func (s *snappyReader) Read(b []byte) (int, error) {
	for len(s.rest) == 0 {
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// next reads a block. io.EOF is a good end.
func (s *snappyReader) next() error {
	var head [snappyHeader]byte
	if _, err := io.ReadFull(s.r, head[:4]); err != nil {
		return err
	}
	if string(head[:4]) == snappyMagic[:4] {
		if _, err := io.ReadFull(s.r, head[4:]); err != nil {
			return early(err)
		}
		return checkSnappy(head[:])
	}
	size := int64(binary.BigEndian.Uint32(head[:]))
	if size > maxBlock {
		return fmt.Errorf("%w: a block cannot have %d bytes", ErrFormat, size)
	}
	s.block.Reset()
	if _, err := io.CopyN(&s.block, s.r, size); err != nil {
		return early(err)
	}
	length, err := snappy.DecodedLen(s.block.Bytes())
	if err == nil && int64(length) > size*snappyRatio {
		err = snappy.ErrCorrupt
	}
	if err == nil {
		s.plain, err = snappy.Decode(s.plain[:cap(s.plain)], s.block.Bytes())
	}
	if err != nil {
		return fmt.Errorf("%w: a block of %d bytes: %w", ErrFormat, size, err)
	}
	s.rest = s.plain
	return nil
}

// early turns the end of a stream into an error that says so.
func early(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early", ErrFormat)
	}
	return err
}

type snappyWriter struct {
	w       io.Writer
	buf     []byte
	out     []byte
	started bool
}

// Write implements io.Writer.
func (s *snappyWriter) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		take := min(len(b), snappyBlock-len(s.buf))
		s.buf = append(s.buf, b[:take]...)
		b = b[take:]
		if len(s.buf) == snappyBlock {
			if err := s.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

func (s *snappyWriter) flush() error {
	s.out = s.out[:0]
	if !s.started {
		s.started = true
		s.out = append(s.out, snappyMagic...)
		s.out = binary.BigEndian.AppendUint32(s.out, snappyVersion)
		s.out = binary.BigEndian.AppendUint32(s.out, snappyVersion)
	}
	if len(s.buf) > 0 {
		block := snappy.Encode(nil, s.buf)
		s.out = append(binary.BigEndian.AppendUint32(s.out, uint32(len(block))), block...)
		s.buf = s.buf[:0]
	}
	_, err := s.w.Write(s.out)
	return err
}

// Close writes out what is left.
func (s *snappyWriter) Close() error { return s.flush() }
