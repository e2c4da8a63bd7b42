//go:build interop

package interop

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// session is one raw connection with a session.
type session struct {
	c      net.Conn
	addr   string
	r      *bufio.Reader
	id     proto.SessionID
	passwd []byte
	closed bool
	ops    map[int32]proto.Op // of the requests without a reply
}

func dial(addr string, timeout int32, id proto.SessionID, passwd []byte) (*session, error) {
	return greet(addr, &proto.ConnectRequest{Timeout: timeout, Session: id, Password: passwd, HasReadOnly: true}, 20*time.Second)
}

// greet connects and asks for a session.
func greet(addr string, req *proto.ConnectRequest, patience time.Duration) (*session, error) {
	c, err := connect(addr, min(patience, 5*time.Second))
	if err != nil {
		return nil, err
	}
	s := &session{c: c, addr: addr, r: bufio.NewReaderSize(c, 64<<10), ops: make(map[int32]proto.Op)}
	if req.Password == nil {
		req.Password = make([]byte, proto.PasswordLen)
	}
	frame, err := []byte(nil), s.send(req.Append(nil))
	if err == nil {
		frame, err = s.await(patience)
	}
	var res proto.ConnectResponse
	if err == nil {
		err = res.Decode(frame)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	s.id, s.passwd = res.Session, res.Password[:]
	return s, nil
}

func (s *session) send(frame []byte) error {
	_, err := s.c.Write(append(jute.AppendInt(nil, int32(len(frame))), frame...))
	return err
}

// forgetful says of a server's address whether it is one of 3.8.0, which may forget a request until another one comes: ZOOKEEPER-4537.
var forgetful sync.Map

// frame waits for a frame for as long as it may take.
func (s *session) frame() ([]byte, error) {
	const soon, long = 3 * time.Second, 17 * time.Second
	b, err := s.await(soon)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return b, err
	}
	if forgets, _ := forgetful.Load(s.addr); forgets == true {
		if other, err := dial(s.addr, 10000, 0, nil); err == nil {
			other.c.Close()
		}
	}
	return s.await(long)
}

// await waits for a frame.
func (s *session) await(patience time.Duration) ([]byte, error) {
	s.c.SetReadDeadline(time.Now().Add(patience))
	var head [4]byte
	if _, err := io.ReadFull(s.r, head[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	_, err := io.ReadFull(s.r, b)
	return b, err
}

// settle sends a ping and returns, as text, everything that came up to its reply.
func (s *session) ping() {
	if !s.closed {
		s.send(jute.AppendInt(jute.AppendInt(nil, proto.XidPing), int32(proto.OpPing)))
	}
}

func (s *session) settle(name func(proto.SessionID) string) []string {
	var lines []string
	for !s.closed {
		f, err := s.frame()
		if err != nil {
			s.closed = true
			s.c.Close()
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				return append(lines, "TIMEOUT")
			}
			return append(lines, "closed")
		}
		d := jute.NewDecoder(f)
		xid, zxid, code := d.Int(), proto.Zxid(d.Long()), proto.ErrCode(d.Int())
		if xid == proto.XidPing {
			return append(lines, fmt.Sprintf("ping %v %d", zxid, code))
		}
		lines = append(lines, s.describe(xid, zxid, code, &d, name))
	}
	return lines
}

// describe renders a reply or an event without what may differ.
func (s *session) describe(xid int32, zxid proto.Zxid, code proto.ErrCode, d *jute.Decoder, name func(proto.SessionID) string) string {
	if xid == proto.XidNotification {
		typ, state, path := d.Int(), d.Int(), d.Buffer()
		return fmt.Sprintf("event %v %d %q zxid %v", proto.EventType(typ), state, path, zxid)
	}
	op := s.ops[xid]
	delete(s.ops, xid)
	line := fmt.Sprintf("reply %d %v zxid %v err %d", xid, op, zxid, code)
	if code != 0 {
		return line
	}
	line += " " + body(op, d, name)
	if len(d.Rest()) > 0 {
		line += fmt.Sprintf(" and %d bytes more", len(d.Rest()))
	}
	if d.Err() != nil {
		line += " SHORT"
	}
	return line
}

func stat(d *jute.Decoder, name func(proto.SessionID) string) string {
	st := proto.DecodeStat(d)
	return fmt.Sprintf("{c%v m%v p%v v%d cv%d av%d %s len %d kids %d t%v}", st.Czxid, st.Mzxid, st.Pzxid, st.Version,
		st.Cversion, st.Aversion, name(st.EphemeralOwner), st.DataLength, st.NumChildren, st.Ctime == st.Mtime || st.Mzxid != st.Czxid)
}

func text(b []byte) string {
	if b == nil {
		return "null"
	}
	return fmt.Sprintf("%q", b)
}

func list(d *jute.Decoder) string {
	n := d.Count(4)
	var names []string
	for range n {
		names = append(names, text(d.Buffer()))
	}
	sort.Strings(names)
	return fmt.Sprintf("%d[%s]", n, strings.Join(names, " "))
}

// body renders the body of a reply.
func body(op proto.Op, d *jute.Decoder, name func(proto.SessionID) string) string {
	switch op {
	case proto.OpCreate, proto.OpSync:
		return text(d.Buffer())
	case proto.OpCreate2, proto.OpCreateContainer, proto.OpCreateTTL:
		return text(d.Buffer()) + stat(d, name)
	case proto.OpExists, proto.OpSetData, proto.OpSetACL:
		return stat(d, name)
	case proto.OpGetData:
		return text(d.Buffer()) + stat(d, name)
	case proto.OpGetChildren, proto.OpGetEphemerals:
		return list(d)
	case proto.OpGetChildren2:
		return list(d) + stat(d, name)
	case proto.OpGetACL:
		acls, _ := proto.DecodeACLs(d)
		return fmt.Sprint(acls) + stat(d, name)
	case proto.OpGetAllChildrenNumber, proto.OpAddWatch:
		return fmt.Sprint(d.Int())
	case proto.OpWhoAmI:
		var ids []string
		for range d.Count(8) {
			ids = append(ids, text(d.Buffer())+":"+text(d.Buffer()))
		}
		sort.Strings(ids)
		return strings.Join(ids, " ")
	case proto.OpMulti, proto.OpMultiRead:
		return multi(d, name)
	}
	return ""
}

func multi(d *jute.Decoder, name func(proto.SessionID) string) string {
	var b strings.Builder
	for d.Err() == nil {
		op, done, code := proto.Op(d.Int()), d.Bool(), d.Int()
		fmt.Fprintf(&b, "(%v %v %d ", op, done, code)
		if done {
			break
		}
		if op == proto.OpError {
			fmt.Fprint(&b, d.Int())
		} else {
			b.WriteString(body(op, d, name))
		}
		b.WriteString(")")
	}
	return b.String()
}
