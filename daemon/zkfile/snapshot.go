package zkfile

import (
	"errors"
	"fmt"
	"hash"
	"hash/adler32"
	"io"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

const (
	snapshotMagic = "ZKSN"
	fileVersion   = 2
	fileHeader    = 4 + 4 + 8 // magic, version, database
	sealLength    = 8 + 4 + 1 // checksum of all before it, and "/"
	maxTail       = 4 << 10   // more than what follows a body
)

// Trailer is what a snapshot's file says behind its body. Both parts may be missing.
type Trailer struct {
	HasDigest     bool
	DigestZxid    proto.Zxid // the last txn that the body may hold
	DigestVersion int32
	Digest        uint64 // of the tree after it; 0 if the version is not proto.DigestVersion

	HasLast bool
	Last    proto.Zxid // the last txn when writing ended
}

// ReadSnapshot reads an uncompressed snapshot and checks all its checksums. Which parts
// follow the body depends on the release and the settings of who wrote it, and is told by
// the length of what is there.
func ReadSnapshot(r io.Reader, sink Sink) (Trailer, error) {
	sum := adler32.New()
	in := io.TeeReader(r, sum)
	var head [fileHeader]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return Trailer{}, early(err)
	}
	if string(head[:4]) != snapshotMagic {
		return Trailer{}, fmt.Errorf("%w: it does not begin with %s", ErrFormat, snapshotMagic)
	}
	if v := jute.Int(head[4:]); v != fileVersion {
		return Trailer{}, fmt.Errorf("%w: it has version %d and not %d", ErrFormat, v, fileVersion)
	}
	if err := ReadBody(in, sink); err != nil {
		return Trailer{}, err
	}
	tail, err := io.ReadAll(io.LimitReader(r, maxTail+1))
	if err != nil {
		return Trailer{}, early(err)
	}
	if len(tail) > maxTail {
		return Trailer{}, fmt.Errorf("%w: more than %d bytes follow the znodes", ErrFormat, maxTail)
	}
	return readTail(tail, sum)
}

// tailReader reads what follows a body; sum is the checksum of all before all.
type tailReader struct {
	d   jute.Decoder
	all []byte
	sum hash.Hash32
}

func readTail(tail []byte, sum hash.Hash32) (t Trailer, err error) {
	r := &tailReader{jute.NewDecoder(tail), tail, sum}
	if err := r.seal("the znodes"); err != nil {
		return t, err
	}
	if n := len(r.d.Rest()); n > 0 && n != 8+sealLength {
		t.HasDigest = true
		t.DigestZxid, t.DigestVersion = proto.Zxid(r.d.Long()), r.d.Int()
		switch {
		case t.DigestVersion < proto.DigestVersion:
			r.d.Buffer()
		case t.DigestVersion == proto.DigestVersion:
			t.Digest = uint64(r.d.Long())
		default:
			r.d.Long()
		}
		if err := r.seal("the digest"); err != nil {
			return t, err
		}
	}
	if len(r.d.Rest()) > 0 {
		t.HasLast, t.Last = true, proto.Zxid(r.d.Long())
		if err := r.seal("the last zxid"); err != nil {
			return t, err
		}
	}
	if n := len(r.d.Rest()); n > 0 {
		return t, fmt.Errorf("%w: %d bytes follow its end", ErrFormat, n)
	}
	return t, nil
}

// seal checks the checksum behind what.
func (r *tailReader) seal(what string) error {
	if err := r.d.Err(); err != nil {
		return fmt.Errorf("%w: it ends in %s", ErrFormat, what)
	}
	r.count()
	want := r.sum.Sum32()
	got, mark := r.d.Long(), r.d.Buffer()
	switch {
	case r.d.Err() != nil || string(mark) != "/":
		return fmt.Errorf("%w: no checksum follows %s", ErrFormat, what)
	case got != int64(want):
		return fmt.Errorf("%w: the checksum behind %s is wrong", ErrFormat, what)
	}
	r.count()
	return nil
}

// count takes what has been read into the checksum.
func (r *tailReader) count() {
	read := len(r.all) - len(r.d.Rest())
	r.sum.Write(r.all[:read])
	r.all = r.all[read:]
}

// WriteSnapshot writes an uncompressed snapshot. body hands over the body in parts, as
// tree.WriteBody does. With an empty trailer all releases can read it, whatever their settings.
func WriteSnapshot(w io.Writer, t Trailer, body func(flush func(b []byte) error) error) error {
	sum := adler32.New()
	put := func(b []byte) error {
		sum.Write(b)
		_, err := w.Write(b)
		return err
	}
	seal := func() error {
		return put(jute.AppendString(jute.AppendLong(nil, int64(sum.Sum32())), "/"))
	}
	head := jute.AppendLong(jute.AppendInt([]byte(snapshotMagic), fileVersion), -1)
	if err := errors.Join(put(head), body(put), seal()); err != nil {
		return err
	}
	if t.HasDigest {
		b := jute.AppendInt(jute.AppendLong(nil, int64(t.DigestZxid)), proto.DigestVersion)
		if err := errors.Join(put(jute.AppendLong(b, int64(t.Digest))), seal()); err != nil {
			return err
		}
	}
	if t.HasLast {
		return errors.Join(put(jute.AppendLong(nil, int64(t.Last))), seal())
	}
	return nil
}
