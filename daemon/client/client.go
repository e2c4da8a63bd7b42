package client

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// ErrSession says that the server refused the session.
var ErrSession = errors.New("client: the server refused the session")

// maxReply bounds the length of a reply that is believed.
const maxReply = 1 << 30

// Client is one session. Its methods must not be called concurrently.
type Client struct {
	conn    net.Conn
	r       *bufio.Reader
	timeout time.Duration
	pause   time.Duration // after which the server has to hear something
	xid     int32
	id      proto.SessionID
	sent    time.Time // when the last request was

	// Watch lets Get, Stat and Children leave a watch.
	Watch bool

	// OnEvent, if it is set, is called for each event, in order, while a request or Await waits.
	OnEvent func(Event)
}

// Event is what a watch tells.
type Event struct {
	Type proto.EventType
	Path string
}

// Dial opens a session with the first of the servers, "host:port" each and commas
// between them, that answers. Port 2181 may be left out.
func Dial(servers string, timeout time.Duration) (*Client, error) {
	var errs []error
	for addr := range strings.SplitSeq(servers, ",") {
		c, err := dial(withPort(strings.TrimSpace(addr)), timeout)
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func withPort(addr string) string {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return net.JoinHostPort(strings.Trim(addr, "[]"), "2181")
	}
	return addr
}

func dial(addr string, timeout time.Duration) (*Client, error) {
	conn, err := net.DialTimeout("tcp", addr, timeout)
	if err != nil {
		return nil, fmt.Errorf("client: %w; is the server running, and is this its client port?", err)
	}
	c := &Client{conn: conn, r: bufio.NewReader(conn), timeout: timeout}
	req := proto.ConnectRequest{
		Timeout: int32(timeout.Milliseconds()), Password: make([]byte, proto.PasswordLen), HasReadOnly: true,
	}
	frame, err := c.exchange(req.Append(nil))
	var res proto.ConnectResponse
	if err == nil {
		err = res.Decode(frame)
	}
	if err == nil && res.Session == 0 {
		err = ErrSession
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("client: %s: %w", addr, err), conn.Close())
	}
	c.id = res.Session
	c.pause = min(timeout, time.Duration(res.Timeout)*time.Millisecond) / 3 // it may be less than was asked for
	return c, nil
}

// Session is the id of the client's session.
func (c *Client) Session() proto.SessionID { return c.id }

// exchange sends a frame and returns the next one that is no event.
func (c *Client) exchange(frame []byte) ([]byte, error) {
	if err := c.conn.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return nil, err
	}
	c.sent = time.Now()
	if _, err := c.conn.Write(append(jute.AppendInt(nil, int32(len(frame))), frame...)); err != nil {
		return nil, err
	}
	for {
		b, err := c.frame()
		if err != nil || !c.event(b) {
			return b, err
		}
	}
}

// frame reads the next frame.
func (c *Client) frame() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxReply {
		return nil, fmt.Errorf("a reply of %d bytes", n)
	}
	b, err := io.ReadAll(io.LimitReader(c.r, int64(n)))
	if err != nil || len(b) < int(n) {
		return nil, errors.Join(io.ErrUnexpectedEOF, err)
	}
	return b, nil
}

// event takes a frame that is an event.
func (c *Client) event(b []byte) bool {
	if len(b) < 4 || int32(binary.BigEndian.Uint32(b)) != proto.XidNotification {
		return false
	}
	const header = 16 // xid, zxid, error
	if c.OnEvent != nil && len(b) > header {
		d := jute.NewDecoder(b[header:])
		typ, _ := d.Int(), d.Int()
		if path := string(d.Buffer()); d.Err() == nil {
			c.OnEvent(Event{proto.EventType(typ), path})
		}
	}
	return true
}

// Await waits for events for so long, and keeps the session alive.
func (c *Client) Await(d time.Duration) error {
	for end := time.Now().Add(d); ; {
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		if err := c.conn.SetReadDeadline(time.Now().Add(min(left, c.pause))); err != nil {
			return err
		}
		if _, err := c.r.Peek(4); errors.Is(err, os.ErrDeadlineExceeded) {
			if time.Since(c.sent) < c.pause {
				continue
			}
			if _, err := c.Do(proto.OpPing, nil); err != nil {
				return err
			}
			continue
		} else if err != nil {
			return err
		}
		if err := c.conn.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
			return err
		}
		b, err := c.frame()
		if err != nil {
			return err
		}
		c.event(b)
	}
}

// Do sends a request, whose body is given, and returns the body of its reply.
func (c *Client) Do(op proto.Op, body []byte) (jute.Decoder, error) {
	c.xid++
	xid := c.xid
	switch op {
	case proto.OpAuth:
		xid = proto.XidAuth
	case proto.OpPing:
		xid = proto.XidPing
	}
	frame, err := c.exchange(append(jute.AppendInt(jute.AppendInt(nil, xid), int32(op)), body...))
	if err != nil {
		return jute.Decoder{}, fmt.Errorf("client: %v: %w", op, err)
	}
	d := jute.NewDecoder(frame)
	got, _, code := d.Int(), d.Long(), proto.ErrCode(d.Int())
	if d.Err() != nil || got != xid {
		return d, fmt.Errorf("client: %v: a reply to request %d came for request %d", op, got, xid)
	}
	if code != proto.ErrOK {
		return d, code
	}
	return d, nil
}

// Close ends the session.
func (c *Client) Close() error {
	_, err := c.Do(proto.OpCloseSession, nil)
	return errors.Join(err, c.conn.Close())
}

// Word asks a server a four-letter word.
func Word(addr, word string, timeout time.Duration) (string, error) {
	conn, err := net.DialTimeout("tcp", withPort(addr), timeout)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return "", err
	}
	if _, err := conn.Write([]byte(word)); err != nil {
		return "", err
	}
	b, err := io.ReadAll(io.LimitReader(conn, 64<<20))
	return string(b), err
}
