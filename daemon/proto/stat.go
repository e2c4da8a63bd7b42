package proto

import (
	"encoding/binary"

	"github.com/zkd-project/zkd/daemon/jute"
)

// StatLen is the length of an encoded Stat in bytes.
const StatLen = 68

// Stat is what a client is told about a znode.
type Stat struct {
	Czxid, Mzxid                Zxid
	Ctime, Mtime                Millis
	Version, Cversion, Aversion int32
	EphemeralOwner              SessionID
	DataLength, NumChildren     int32
	Pzxid                       Zxid
}

// Append appends the encoded Stat.
func (s *Stat) Append(b []byte) []byte {
	be := binary.BigEndian
	b = be.AppendUint64(b, uint64(s.Czxid))
	b = be.AppendUint64(b, uint64(s.Mzxid))
	b = be.AppendUint64(b, uint64(s.Ctime))
	b = be.AppendUint64(b, uint64(s.Mtime))
	b = be.AppendUint32(b, uint32(s.Version))
	b = be.AppendUint32(b, uint32(s.Cversion))
	b = be.AppendUint32(b, uint32(s.Aversion))
	b = be.AppendUint64(b, uint64(s.EphemeralOwner))
	b = be.AppendUint32(b, uint32(s.DataLength))
	b = be.AppendUint32(b, uint32(s.NumChildren))
	return be.AppendUint64(b, uint64(s.Pzxid))
}

// DecodeStat reads a Stat.
func DecodeStat(d *jute.Decoder) Stat {
	return Stat{
		Czxid: Zxid(d.Long()), Mzxid: Zxid(d.Long()),
		Ctime: Millis(d.Long()), Mtime: Millis(d.Long()),
		Version: d.Int(), Cversion: d.Int(), Aversion: d.Int(),
		EphemeralOwner: SessionID(d.Long()),
		DataLength:     d.Int(), NumChildren: d.Int(),
		Pzxid: Zxid(d.Long()),
	}
}

// ID is an identity: of a client connection, or in an ACL entry.
type ID struct{ Scheme, ID string }

// ACL is one entry of an access control list.
type ACL struct {
	Perms Perms
	ID    ID
}

// aclMin is the shortest encoding of an ACL entry: perms and two null strings.
const aclMin = 12

// OpenACLUnsafe lets anyone do anything.
var OpenACLUnsafe = []ACL{{PermAll, ID{"world", "anyone"}}}

// AppendACLs appends the encoded list; nil is written as null.
func AppendACLs(b []byte, acls []ACL) []byte {
	if acls == nil {
		return jute.AppendInt(b, -1)
	}
	b = jute.AppendInt(b, int32(len(acls)))
	for _, a := range acls {
		b = jute.AppendInt(b, int32(a.Perms))
		b = jute.AppendString(b, a.ID.Scheme)
		b = jute.AppendString(b, a.ID.ID)
	}
	return b
}

// DecodeACLs reads a list of ACL entries, nil for a null or empty one. nulls says
// for each entry whether its scheme or id was null, and is nil when none was: a
// null scheme, and a null id outside the scheme "auth", are invalid.
func DecodeACLs(d *jute.Decoder) (acls []ACL, nulls []bool) {
	n := d.Count(aclMin)
	for i := 0; i < n && d.Err() == nil; i++ {
		perms, scheme, id := Perms(d.Int()), d.Buffer(), d.Buffer()
		acls = append(acls, ACL{perms, ID{string(scheme), string(id)}})
		if scheme == nil || id == nil {
			if nulls == nil {
				nulls = make([]bool, n)
			}
			nulls[i] = true
		}
	}
	if d.Err() != nil {
		return nil, nil
	}
	return acls, nulls
}

// skipACLs reads over a list of ACL entries and returns its encoding, count included.
func skipACLs(d *jute.Decoder) []byte {
	start := d.Rest()
	n := d.Count(aclMin)
	for i := 0; i < n; i++ {
		d.Int()
		d.Buffer()
		d.Buffer()
	}
	if d.Err() != nil {
		return nil
	}
	return start[:len(start)-len(d.Rest())]
}
