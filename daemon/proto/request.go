package proto

import (
	"errors"
	"fmt"

	"github.com/zkd-project/zkd/daemon/jute"
)

// ErrNull says that a field that must not be null is.
var ErrNull = errors.New("proto: null in a field that needs a value")

// ErrOp says that a record of this type is not known, or not allowed where it stands.
var ErrOp = errors.New("proto: operation not known or not allowed here")

// RequestHeaderLen is the length of a request's header: xid and type.
const RequestHeaderLen = 8

// Request is one client request, decoded in place: every slice aliases the frame and
// is nil only for null. Which fields are set depends on Op; the others are zero.
type Request struct {
	Xid  int32
	Op   Op
	Path []byte // all operations with one path; sync, getEphemerals, reconfig's joining: may be nil
	Data []byte // create family, setData, auth, sasl
	ACL  []byte // create family, setACL: the encoded list, see DecodeACLs

	Flags   int32 // create family: FlagPersistent…
	TTL     int64 // createTTL, else -1; milliseconds
	Version int32 // delete, setData, setACL, check
	Watch   bool  // exists, getData, getChildren, getChildren2
	Mode    int32 // addWatch: mode; check-, removeWatches: watcher type; auth: ignored; createSession: timeout

	Scheme     []byte // auth
	Relative   Zxid   // setWatches, setWatches2
	Lists      []byte // setWatches, setWatches2: the encoded lists, see WatchLists
	Ops        []byte // multi, multiRead: the encoded operations, see MultiIter
	Leaving    []byte // reconfig; Path holds joining
	NewMembers []byte // reconfig
	ConfigID   int64  // reconfig
}

// DecodeHeader reads the xid and the type of a request frame and returns its body.
func (r *Request) DecodeHeader(frame []byte) (body []byte, err error) {
	d := jute.NewDecoder(frame)
	*r = Request{Xid: d.Int(), Op: Op(d.Int())}
	return d.Rest(), d.Err()
}

// DecodeBody reads the body that belongs to r.Op. Bytes after it are ignored, as
// Apache's server does. ErrOp is returned for an operation that has no request.
func (r *Request) DecodeBody(body []byte) error {
	d := jute.NewDecoder(body)
	if err := r.decodeBody(&d); err != nil {
		return err
	}
	return d.Err()
}

func (r *Request) decodeBody(d *jute.Decoder) error {
	r.TTL = -1
	switch r.Op {
	case OpPing, OpCloseSession, OpWhoAmI:
	case OpCreate, OpCreate2, OpCreateContainer, OpCreateTTL:
		r.Path, r.Data, r.ACL, r.Flags = notNull(d), d.Buffer(), skipACLs(d), d.Int()
		if r.Op == OpCreateTTL {
			r.TTL = d.Long()
		}
	case OpDelete, OpCheck:
		r.Path, r.Version = notNull(d), d.Int()
	case OpExists, OpGetData, OpGetChildren, OpGetChildren2:
		r.Path, r.Watch = notNull(d), d.Bool()
	case OpSetData:
		r.Path, r.Data, r.Version = notNull(d), d.Buffer(), d.Int()
	case OpSetACL:
		r.Path, r.ACL, r.Version = notNull(d), skipACLs(d), d.Int()
	case OpGetACL, OpGetAllChildrenNumber, OpDeleteContainer:
		r.Path = notNull(d)
	case OpSync, OpGetEphemerals:
		r.Path = d.Buffer()
	case OpCheckWatches, OpRemoveWatches, OpAddWatch:
		r.Path, r.Mode = notNull(d), d.Int()
	case OpAuth:
		r.Mode, r.Scheme, r.Data = d.Int(), d.Buffer(), d.Buffer()
	case OpSASL:
		r.Data = d.Buffer()
	case OpCreateSession:
		r.Mode = d.Int()
	default:
		return r.decodeLong(d)
	}
	return nil
}

// decodeLong reads the requests whose body is a list.
func (r *Request) decodeLong(d *jute.Decoder) error {
	switch r.Op {
	case OpSetWatches, OpSetWatches2:
		r.Relative, r.Lists = Zxid(d.Long()), d.Rest()
		for range r.NumLists() {
			visitList(d, func([]byte) {})
		}
	case OpMulti, OpMultiRead:
		r.Ops = d.Rest()
	case OpReconfig:
		r.Path, r.Leaving, r.NewMembers, r.ConfigID = d.Buffer(), d.Buffer(), d.Buffer(), d.Long()
	default:
		return fmt.Errorf("%w: %v", ErrOp, r.Op)
	}
	return nil
}

// notNull reads a string and fails if it is null.
func notNull(d *jute.Decoder) []byte {
	b := d.Buffer()
	if b == nil {
		d.Fail(ErrNull)
	}
	return b
}

// NumLists is how many lists a setWatches (3) or setWatches2 (5) request carries.
func (r *Request) NumLists() int {
	if r.Op == OpSetWatches {
		return 3
	}
	return 5
}

// WatchLists walks the lists of a setWatches request. Their order is data, exist,
// child and, in setWatches2, persistent, persistent recursive.
type WatchLists struct{ dec jute.Decoder }

// WatchLists starts a walk over the lists of r, which has been decoded without error.
func (r *Request) WatchLists() WatchLists { return WatchLists{jute.NewDecoder(r.Lists)} }

// Next calls visit for each path of the next list.
func (w *WatchLists) Next(visit func(path []byte)) error {
	visitList(&w.dec, visit)
	return w.dec.Err()
}

func visitList(d *jute.Decoder, visit func(path []byte)) {
	n := d.Count(4)
	if n < 0 {
		d.Fail(ErrNull)
	}
	for i := 0; i < n && d.Err() == nil; i++ {
		if p := notNull(d); p != nil {
			visit(p)
		}
	}
}

// MultiIter walks the operations of a multi or multiRead request.
type MultiIter struct{ dec jute.Decoder }

// MultiIter starts a walk over the operations of r.
func (r *Request) MultiIter() MultiIter { return MultiIter{jute.NewDecoder(r.Ops)} }

// Next decodes the next operation into sub; more is false at the end of the list.
// The xid of sub is 0. An operation that may not stand in a multi gives ErrOp; which
// ones may stand in a multi and which in a multiRead is for the caller to check.
func (it *MultiIter) Next(sub *Request) (more bool, err error) {
	d := &it.dec
	op, done := Op(d.Int()), d.Bool()
	d.Int()
	if d.Err() != nil || done {
		return false, d.Err()
	}
	*sub = Request{Op: op}
	switch op {
	case OpCreate, OpCreate2, OpCreateContainer, OpCreateTTL, OpDelete, OpSetData, OpCheck,
		OpGetData, OpGetChildren:
	default:
		return false, fmt.Errorf("%w: %v in a multi", ErrOp, op)
	}
	if err := sub.decodeBody(d); err != nil {
		return false, err
	}
	return d.Err() == nil, d.Err()
}

// WantsEphemeral says whether the request, which has been decoded, or one of a multi's
// operations creates an ephemeral. A multi that cannot be read to its end creates nothing.
func (r *Request) WantsEphemeral() bool {
	switch r.Op {
	case OpCreate, OpCreate2:
		return r.Flags == FlagEphemeral || r.Flags == FlagEphemeralSequential
	case OpMulti:
	default:
		return false
	}
	wants := false
	it := r.MultiIter()
	var sub Request
	for {
		more, err := it.Next(&sub)
		if err != nil || !more {
			return wants && err == nil
		}
		if sub.Op == OpCreateTTL { // in a multi the flags count
			sub.Op = OpCreate
		}
		wants = wants || sub.WantsEphemeral()
	}
}

// ConnectRequest is the first frame of a connection.
type ConnectRequest struct {
	ProtocolVersion int32
	LastZxidSeen    Zxid
	Timeout         int32 // milliseconds
	Session         SessionID
	Password        []byte // aliases the frame
	ReadOnly        bool
	HasReadOnly     bool // clients before 3.4 end the record before the field
}

// Decode reads a connect request. Bytes after it are ignored.
func (c *ConnectRequest) Decode(frame []byte) error {
	d := jute.NewDecoder(frame)
	*c = ConnectRequest{
		ProtocolVersion: d.Int(), LastZxidSeen: Zxid(d.Long()), Timeout: d.Int(),
		Session: SessionID(d.Long()), Password: d.Buffer(),
	}
	if d.Err() == nil && len(d.Rest()) > 0 {
		c.ReadOnly, c.HasReadOnly = d.Bool(), true
	}
	return d.Err()
}

// Append appends the encoded request without a frame length.
func (c *ConnectRequest) Append(b []byte) []byte {
	b = jute.AppendInt(b, c.ProtocolVersion)
	b = jute.AppendLong(b, int64(c.LastZxidSeen))
	b = jute.AppendInt(b, c.Timeout)
	b = jute.AppendLong(b, int64(c.Session))
	b = jute.AppendBuffer(b, c.Password)
	if c.HasReadOnly {
		b = jute.AppendBool(b, c.ReadOnly)
	}
	return b
}

// ConnectResponse answers a ConnectRequest. Timeout and Session 0 refuse the session.
type ConnectResponse struct {
	Timeout     int32 // milliseconds, as negotiated
	Session     SessionID
	Password    [PasswordLen]byte
	ReadOnly    bool
	HasReadOnly bool // only if the request had the field
}

// Append appends the encoded response without a frame length.
func (c *ConnectResponse) Append(b []byte) []byte {
	b = jute.AppendInt(b, 0)
	b = jute.AppendInt(b, c.Timeout)
	b = jute.AppendLong(b, int64(c.Session))
	b = jute.AppendBuffer(b, c.Password[:])
	if c.HasReadOnly {
		b = jute.AppendBool(b, c.ReadOnly)
	}
	return b
}

// Decode reads a connect response.
func (c *ConnectResponse) Decode(frame []byte) error {
	d := jute.NewDecoder(frame)
	d.Int()
	*c = ConnectResponse{Timeout: d.Int(), Session: SessionID(d.Long())}
	copy(c.Password[:], d.Buffer())
	if d.Err() == nil && len(d.Rest()) > 0 {
		c.ReadOnly, c.HasReadOnly = d.Bool(), true
	}
	return d.Err()
}
