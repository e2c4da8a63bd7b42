package store

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/zkd-project/zkd/daemon/proto"
)

// A group is what one Append makes durable: a header, the txns, each with its zxid and
// length, and a CRC-32C of it all.
const (
	groupFormat  = 1
	groupHeader  = 4 + 4 + 8 + 8 + 8 + 4 // format, count, first, last, previous zxid, previous sum
	groupTrailer = 4
	txnHeader    = 8 + 4
)

// link is the end of a chain of groups: what the next group must name.
type link struct {
	zxid proto.Zxid
	sum  uint32
}

// appendGroup encodes entries [from, to) of a batch as the group that follows prev.
func appendGroup(buf []byte, b *proto.LogBatch, from, to int, prev link) ([]byte, link) {
	be := binary.BigEndian
	start := len(buf)
	first, last := b.Entries[from].Zxid, b.Entries[to-1].Zxid
	buf = be.AppendUint32(buf, groupFormat)
	buf = be.AppendUint32(buf, uint32(to-from))
	buf = be.AppendUint64(buf, uint64(first))
	buf = be.AppendUint64(buf, uint64(last))
	buf = be.AppendUint64(buf, uint64(prev.zxid))
	buf = be.AppendUint32(buf, prev.sum)
	for i := from; i < to; i++ {
		txn := b.Txn(i)
		buf = be.AppendUint64(buf, uint64(b.Entries[i].Zxid))
		buf = be.AppendUint32(buf, uint32(len(txn)))
		buf = append(buf, txn...)
	}
	sum := crc32.Checksum(buf[start:], castagnoli)
	return be.AppendUint32(buf, sum), link{last, sum}
}

// group is a group that has been read. Its txns alias the record.
type group struct {
	count       int
	first, last proto.Zxid
	prev        link
	sum         uint32
	body        []byte
	raw         []byte // the whole record
}

// parseGroup checks a group's record.
func parseGroup(b []byte) (group, error) {
	be := binary.BigEndian
	if len(b) < groupHeader+groupTrailer {
		return group{}, fmt.Errorf("%w: a group of %d bytes", ErrDamaged, len(b))
	}
	body := b[:len(b)-groupTrailer]
	g := group{
		count: int(be.Uint32(b[4:])),
		first: proto.Zxid(be.Uint64(b[8:])), last: proto.Zxid(be.Uint64(b[16:])),
		prev: link{proto.Zxid(be.Uint64(b[24:])), be.Uint32(b[32:])},
		sum:  be.Uint32(b[len(body):]), body: body[groupHeader:], raw: b,
	}
	if crc32.Checksum(body, castagnoli) != g.sum {
		return group{}, fmt.Errorf("%w: the group of %v has a wrong checksum", ErrDamaged, g.first)
	}
	if f := be.Uint32(b); f != groupFormat {
		return group{}, fmt.Errorf("%w: a group of format %d; this version reads %d", ErrForeign, f, groupFormat)
	}
	return g, nil
}

// check says whether a group can come after what it names, and holds what it says.
func (g *group) check() error {
	if !follows(g.prev.zxid, g.first) || g.last < g.first ||
		g.last.Epoch() == g.first.Epoch() && int64(g.last-g.first) != int64(g.count)-1 {
		return fmt.Errorf("%w: in the group of %v, after %v, txns are missing", ErrDamaged, g.first, g.prev.zxid)
	}
	return nil
}

// each calls f for the group's txns.
func (g *group) each(f func(zxid proto.Zxid, txn []byte) error) error {
	be := binary.BigEndian
	b, n := g.body, 0
	for len(b) > 0 {
		if len(b) < txnHeader || len(b)-txnHeader < int(be.Uint32(b[8:])) {
			return fmt.Errorf("%w: the group of %v ends inside a txn", ErrDamaged, g.first)
		}
		end := txnHeader + int(be.Uint32(b[8:]))
		if err := f(proto.Zxid(be.Uint64(b)), b[txnHeader:end:end]); err != nil {
			return err
		}
		b = b[end:]
		n++
	}
	if n != g.count {
		return fmt.Errorf("%w: the group of %v has %d of %d txns", ErrDamaged, g.first, n, g.count)
	}
	return nil
}
