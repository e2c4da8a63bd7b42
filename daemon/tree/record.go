package tree

import (
	"encoding/binary"
	"fmt"

	"github.com/zkd-project/zkd/daemon/proto"
)

// A znode's record in the image: its parent's number and czxid and ctime in full, what
// is usually small or close to one of them as a varint, then name and data. A znode that
// was never changed takes 29 bytes and its name and data.
const (
	recordFixed = 1 + 4 + 8 + 8
	nodeFixed   = 32 // roughly, without name and data

	recordNull  = 1 << 0 // the data is null
	recordOwner = 1 << 1 // an owner follows
)

// appendRecord appends a znode's record.
func (t *Tree) appendRecord(b []byte, n *node) []byte {
	var z full
	t.load(n, &z)
	r := record{node: *n, history: z.history, pzxid: z.pzxid, cversion: z.cversion, name: t.nameOf(n), data: z.data}
	return r.append(b, n.size&flagNull != 0)
}

// append appends the encoded record; null says that the data is null.
func (r *record) append(b []byte, null bool) []byte {
	be, flags := binary.BigEndian, byte(0)
	if null {
		flags |= recordNull
	}
	if r.owner != 0 {
		flags |= recordOwner
	}
	b = append(b, flags)
	b = be.AppendUint32(b, uint32(r.parent))
	b = be.AppendUint64(b, uint64(r.czxid))
	b = be.AppendUint64(b, uint64(r.ctime))
	if r.owner != 0 {
		b = be.AppendUint64(b, uint64(r.owner))
	}
	for _, v := range [...]int64{
		int64(r.mzxid - r.czxid), int64(r.pzxid - r.czxid), int64(r.mtime - r.ctime),
		int64(r.version), int64(r.cversion), int64(r.aversion), int64(r.acl), int64(len(r.name)),
	} {
		b = binary.AppendVarint(b, v)
	}
	return append(append(b, r.name...), r.data...)
}

// record is a decoded record: the fields of a znode, and what stands elsewhere.
type record struct {
	node
	history
	pzxid      proto.Zxid
	cversion   int32
	name, data []byte // they alias the record; data is nil for null
}

// decodeRecord reads a record.
func decodeRecord(v []byte) (r record, err error) {
	if len(v) < recordFixed {
		return r, fmt.Errorf("%w: a record of %d bytes", ErrImage, len(v))
	}
	be := binary.BigEndian
	flags := v[0]
	r.parent = nodeID(be.Uint32(v[1:]))
	r.czxid, r.ctime = proto.Zxid(be.Uint64(v[5:])), proto.Millis(be.Uint64(v[13:]))
	v = v[recordFixed:]
	if flags&recordOwner != 0 && len(v) >= 8 {
		r.owner = int64(be.Uint64(v))
		v = v[8:]
	}
	var f [8]int64
	for i := range f {
		var size int
		if len(v) > 0 && v[0] < 0x80 { // one byte, as nearly always
			f[i], size = int64(v[0]>>1)^-int64(v[0]&1), 1
		} else if f[i], size = binary.Varint(v); size <= 0 {
			return r, fmt.Errorf("%w: field %d of a record does not decode", ErrImage, i)
		}
		v = v[size:]
	}
	r.mzxid, r.pzxid = r.czxid+proto.Zxid(f[0]), r.czxid+proto.Zxid(f[1])
	r.mtime = r.ctime + proto.Millis(f[2])
	r.version, r.cversion, r.aversion, r.acl = int32(f[3]), int32(f[4]), int32(f[5]), ACLID(f[6])
	if f[7] < 0 || f[7] > int64(len(v)) {
		return r, fmt.Errorf("%w: a name of %d bytes in a record with %d left", ErrImage, f[7], len(v))
	}
	r.name, r.data = v[:f[7]], v[f[7]:]
	if flags&recordNull == 0 {
		return r, nil
	}
	if len(r.data) > 0 {
		return r, fmt.Errorf("%w: null data of %d bytes", ErrImage, len(r.data))
	}
	r.data = nil
	return r, nil
}

// metaLen is the length of the meta record.
const metaLen = 44

// meta is the record about the image as a whole.
type meta struct {
	zxid                  proto.Zxid
	digest                uint64
	nodes, sessions, acls uint64
}

func (m *image) appendMeta(b []byte, t *Tree) []byte {
	be := binary.BigEndian
	b = be.AppendUint32(b, imageFormat)
	b = be.AppendUint64(b, uint64(t.last))
	b = be.AppendUint64(b, t.digest.sum)
	b = be.AppendUint64(b, uint64(t.numNodes))
	b = be.AppendUint64(b, uint64(len(t.sessions)))
	return be.AppendUint64(b, uint64(t.acls.live))
}

func decodeMeta(b []byte) (meta, error) {
	be := binary.BigEndian
	if len(b) != metaLen {
		return meta{}, fmt.Errorf("%w: it has no meta record", ErrImage)
	}
	if f := be.Uint32(b); f != imageFormat {
		return meta{}, fmt.Errorf("%w: its format is %d, and this version reads %d", ErrImage, f, imageFormat)
	}
	return meta{
		proto.Zxid(be.Uint64(b[4:])), be.Uint64(b[12:]), be.Uint64(b[20:]), be.Uint64(b[28:]), be.Uint64(b[36:]),
	}, nil
}
