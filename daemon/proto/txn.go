package proto

import (
	"fmt"

	"github.com/zkd-project/zkd/daemon/jute"
)

// TxnHeaderLen is the length of an encoded TxnHeader in bytes.
const TxnHeaderLen = 32

// DigestLen is the length of the digest behind a transaction in bytes.
const DigestLen = 12

// DigestVersion is the version of the tree digest that a txn may carry.
const DigestVersion int32 = 2

// TxnHeader says whose request became a transaction, when and where in history.
type TxnHeader struct {
	Session SessionID
	Cxid    int32
	Zxid    Zxid
	Time    Millis // the leader's wall clock
	Type    Op
}

// Txn is the idempotent change that a request became. Which fields are set depends
// on Type; the slices of a decoded one alias its encoding.
//
// Source: zookeeper.jute and SerializeUtils.java.
type Txn struct {
	TxnHeader
	Path           []byte
	Data           []byte // create family, setData, reconfig; nil is null
	ACL            []byte // create family, setACL: an encoded list
	Ephemeral      bool   // create, create2
	ParentCversion int32  // create family
	TTL            int64  // createTTL; milliseconds
	Version        int32  // setData, setACL, check: the version after it
	Timeout        int32  // createSession; milliseconds
	Err            ErrCode
	Paths          [][]byte // closeSession: ephemerals to delete, along with all others of the session
	Ops            []Txn    // multi; of their headers only Type is set

	HasDigest bool
	Digest    uint64 // of the tree after the transaction
}

// Append appends the encoded transaction: header, record and, if there is one, digest.
func (t *Txn) Append(b []byte) []byte {
	b = jute.AppendLong(b, int64(t.Session))
	b = jute.AppendInt(b, t.Cxid)
	b = jute.AppendLong(b, int64(t.Zxid))
	b = jute.AppendLong(b, int64(t.Time))
	b = jute.AppendInt(b, int32(t.Type))
	b = t.appendRecord(b)
	if t.HasDigest {
		b = jute.AppendInt(b, DigestVersion)
		b = jute.AppendLong(b, int64(t.Digest))
	}
	return b
}

func (t *Txn) appendRecord(b []byte) []byte {
	switch t.Type {
	case OpCreate, OpCreate2:
		b = appendCreate(b, t)
		b = jute.AppendBool(b, t.Ephemeral)
		b = jute.AppendInt(b, t.ParentCversion)
	case OpCreateContainer:
		b = jute.AppendInt(appendCreate(b, t), t.ParentCversion)
	case OpCreateTTL:
		b = jute.AppendInt(appendCreate(b, t), t.ParentCversion)
		b = jute.AppendLong(b, t.TTL)
	case OpDelete, OpDeleteContainer:
		b = jute.AppendBuffer(b, t.Path)
	case OpSetData, OpReconfig:
		b = jute.AppendBuffer(b, t.Path)
		b = jute.AppendBuffer(b, t.Data)
		b = jute.AppendInt(b, t.Version)
	case OpSetACL:
		b = append(jute.AppendBuffer(b, t.Path), t.ACL...)
		b = jute.AppendInt(b, t.Version)
	case OpCheck:
		b = jute.AppendInt(jute.AppendBuffer(b, t.Path), t.Version)
	case OpCreateSession:
		b = jute.AppendInt(b, t.Timeout)
	case OpCloseSession:
		b = jute.AppendInt(b, int32(len(t.Paths)))
		for _, p := range t.Paths {
			b = jute.AppendBuffer(b, p)
		}
	case OpError:
		b = jute.AppendInt(b, int32(t.Err))
	case OpMulti:
		b = t.appendMulti(b)
	}
	return b
}

// RecordLen is the length of the encoded record in bytes, without header and digest.
func (t *Txn) RecordLen() int {
	const number = 4 // and the length of a buffer
	switch t.Type {
	case OpCreate, OpCreate2:
		return 2*number + len(t.Path) + len(t.Data) + len(t.ACL) + 1 + number
	case OpCreateContainer:
		return 2*number + len(t.Path) + len(t.Data) + len(t.ACL) + number
	case OpCreateTTL:
		return 2*number + len(t.Path) + len(t.Data) + len(t.ACL) + number + 8
	case OpDelete, OpDeleteContainer:
		return number + len(t.Path)
	case OpSetData, OpReconfig:
		return 2*number + len(t.Path) + len(t.Data) + number
	case OpSetACL:
		return number + len(t.Path) + len(t.ACL) + number
	case OpCheck:
		return number + len(t.Path) + number
	case OpCreateSession, OpError:
		return number
	case OpCloseSession:
		n := number
		for _, p := range t.Paths {
			n += number + len(p)
		}
		return n
	case OpMulti:
		n := number
		for i := range t.Ops {
			n += 2*number + t.Ops[i].RecordLen()
		}
		return n
	}
	return 0
}

func appendCreate(b []byte, t *Txn) []byte {
	b = jute.AppendBuffer(b, t.Path)
	b = jute.AppendBuffer(b, t.Data)
	return append(b, t.ACL...)
}

func (t *Txn) appendMulti(b []byte) []byte {
	b = jute.AppendInt(b, int32(len(t.Ops)))
	for i := range t.Ops {
		b = jute.AppendInt(b, int32(t.Ops[i].Type))
		mark := len(b)
		b = append(b, 0, 0, 0, 0)
		b = t.Ops[i].appendRecord(b)
		jute.PutInt(b[mark:], int32(len(b)-mark-4))
	}
	return b
}

// Decode reads a transaction from b, which it aliases. Bytes after it are ignored, and
// a closeSession record may be missing, as Apache's servers of 3.5 write none.
func (t *Txn) Decode(b []byte) error {
	d := jute.NewDecoder(b)
	ops, paths := t.Ops[:0], t.Paths[:0]
	*t = Txn{TxnHeader: TxnHeader{
		Session: SessionID(d.Long()), Cxid: d.Int(), Zxid: Zxid(d.Long()),
		Time: Millis(d.Long()), Type: Op(d.Int()),
	}}
	t.Ops, t.Paths = ops, paths
	if d.Err() != nil {
		return fmt.Errorf("txn header: %w", d.Err())
	}
	if err := t.decodeRecord(&d); err != nil {
		return fmt.Errorf("txn %v of type %v: %w", t.Zxid, t.Type, err)
	}
	if rest := d.Rest(); len(rest) >= 12 {
		version, digest := d.Int(), d.Long()
		t.HasDigest, t.Digest = version == DigestVersion, uint64(digest)
	}
	return nil
}

func (t *Txn) decodeRecord(d *jute.Decoder) error {
	switch t.Type {
	case OpCreate, OpCreate2:
		t.decodeCreate(d)
		t.Ephemeral, t.ParentCversion = d.Bool(), d.Int()
	case OpCreateContainer:
		t.decodeCreate(d)
		t.ParentCversion = d.Int()
	case OpCreateTTL:
		t.decodeCreate(d)
		t.ParentCversion, t.TTL = d.Int(), d.Long()
	case OpDelete, OpDeleteContainer:
		t.Path = notNull(d)
	case OpSetData, OpReconfig:
		t.Path, t.Data, t.Version = notNull(d), d.Buffer(), d.Int()
	case OpSetACL:
		t.Path, t.ACL, t.Version = notNull(d), skipACLs(d), d.Int()
	case OpCheck:
		t.Path, t.Version = notNull(d), d.Int()
	case OpCreateSession:
		t.Timeout = d.Int()
	case OpCloseSession:
		t.decodePaths(d)
	case OpError:
		t.Err = ErrCode(d.Int())
	case OpMulti:
		return t.decodeMulti(d)
	default:
		return ErrOp
	}
	return d.Err()
}

func (t *Txn) decodeCreate(d *jute.Decoder) {
	t.Path, t.Data, t.ACL = notNull(d), d.Buffer(), skipACLs(d)
}

func (t *Txn) decodePaths(d *jute.Decoder) {
	if len(d.Rest()) == 0 {
		return
	}
	n := d.Count(4)
	for i := 0; i < n && d.Err() == nil; i++ {
		t.Paths = append(t.Paths, notNull(d))
	}
}

func (t *Txn) decodeMulti(d *jute.Decoder) error {
	n := d.Count(8)
	for i := 0; i < n; i++ {
		sub := Txn{TxnHeader: TxnHeader{Type: Op(d.Int())}}
		body := jute.NewDecoder(d.Buffer())
		if d.Err() != nil {
			return d.Err()
		}
		if sub.Type == OpMulti || sub.Type == OpCreateSession || sub.Type == OpCloseSession {
			return fmt.Errorf("%w: %v in a multi", ErrOp, sub.Type)
		}
		if err := sub.decodeRecord(&body); err != nil {
			return err
		}
		t.Ops = append(t.Ops, sub)
	}
	return d.Err()
}
