package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// conn is one raw connection with a session. Replies come in the order of the requests,
// so that nothing has to be matched.
type conn struct {
	c   net.Conn
	id  proto.SessionID
	pw  [proto.PasswordLen]byte
	buf []byte // read and not used
	mem []byte
}

const sessionTimeout = 30_000

// dial opens a connection and its session; id 0 is a new one.
// turn is whose turn it is among several servers.
var turn atomic.Int64

// dial connects to a server; of several, with commas between, each has its turn.
func dial(addr string, id proto.SessionID, pw [proto.PasswordLen]byte) (*conn, error) {
	servers := strings.Split(addr, ",")
	c, err := net.DialTimeout("tcp", servers[int(turn.Add(1)-1)%len(servers)], 30*time.Second)
	if err != nil {
		return nil, err
	}
	k := &conn{c: c}
	req := proto.ConnectRequest{Timeout: sessionTimeout, Session: id, Password: pw[:], HasReadOnly: true}
	if _, err := k.c.Write(frame(req.Append(nil))); err != nil {
		return nil, err
	}
	small := make([]byte, 41)
	if err := c.SetReadDeadline(time.Now().Add(60 * time.Second)); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(k.c, small); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	var res proto.ConnectResponse
	if err := res.Decode(small[4:]); err != nil {
		return nil, err
	}
	if res.Session == 0 {
		return nil, errRefused
	}
	k.id, k.pw = res.Session, res.Password
	return k, nil
}

var errRefused = fmt.Errorf("the session was refused")

func frame(b []byte) []byte { return append(jute.AppendInt(nil, int32(len(b))), b...) }

// next returns the next frame, which is good until the call after.
func (k *conn) next() ([]byte, error) {
	for {
		if len(k.buf) >= 4 {
			n := 4 + int(binary.BigEndian.Uint32(k.buf))
			if len(k.buf) >= n {
				f := k.buf[4:n]
				k.buf = k.buf[n:]
				return f, nil
			}
			if n > cap(k.mem) {
				k.grow(n)
			}
		}
		if err := k.fill(); err != nil {
			return nil, err
		}
	}
}

func (k *conn) grow(n int) {
	mem := make([]byte, n+(64<<10))
	k.buf = mem[:copy(mem, k.buf)]
	k.mem = mem
}

func (k *conn) fill() error {
	if k.mem == nil {
		k.mem = make([]byte, 64<<10)
	}
	n := copy(k.mem, k.buf)
	m, err := k.c.Read(k.mem[n:])
	k.buf = k.mem[:n+m]
	return err
}

// reply waits for the next frame that is no watch event, and returns its error code.
func (k *conn) reply() error {
	for {
		f, err := k.next()
		if err != nil {
			return err
		}
		if int32(binary.BigEndian.Uint32(f)) == proto.XidNotification {
			continue
		}
		if code := proto.ErrCode(binary.BigEndian.Uint32(f[12:])); code != proto.ErrOK {
			return code
		}
		return nil
	}
}

// do sends one request and waits for its reply.
func (k *conn) do(req []byte) error {
	if _, err := k.c.Write(req); err != nil {
		return err
	}
	return k.reply()
}

func head(op proto.Op) []byte { return jute.AppendInt(jute.AppendInt(nil, 1), int32(op)) }

func createReq(path string, data []byte) []byte {
	b := jute.AppendBuffer(jute.AppendString(head(proto.OpCreate), path), data)
	return frame(jute.AppendInt(proto.AppendACLs(b, proto.OpenACLUnsafe), proto.FlagPersistent))
}

func setReq(path string, data []byte) []byte {
	return frame(jute.AppendInt(jute.AppendBuffer(jute.AppendString(head(proto.OpSetData), path), data), -1))
}

func getReq(op proto.Op, path string, watch bool) []byte {
	return frame(jute.AppendBool(jute.AppendString(head(op), path), watch))
}

func closeReq() []byte { return frame(head(proto.OpCloseSession)) }

func pingReq() []byte {
	return frame(jute.AppendInt(jute.AppendInt(nil, proto.XidPing), int32(proto.OpPing)))
}
