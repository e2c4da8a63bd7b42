package server

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/zkd-project/zkd/daemon/proto"
)

// unruly is a client that sends valid requests in odd pieces, stops reading, and leaves in
// every possible way.
func (r *rig) unruly(seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 7))
	c, err := net.Dial("tcp", r.s.Addrs()[0].String())
	if err != nil {
		r.t.Error(err)
		return
	}
	defer c.Close()
	if rnd.IntN(4) == 0 {
		_ = c.(*net.TCPConn).SetLinger(0) // Close resets the connection
	}
	if rnd.IntN(3) > 0 {
		go func() { _, _ = io.Copy(io.Discard, c) }() // ends when the connection does
	}
	out := framed((&proto.ConnectRequest{Timeout: 30_000, Password: make([]byte, 16)}).Append(nil))
	if rnd.IntN(10) == 0 {
		out = []byte("ruok")
	}
	path := fmt.Sprintf("/u%d", rnd.IntN(20))
	for xid := range int32(rnd.IntN(300)) {
		switch rnd.IntN(8) {
		case 0:
			out = append(out, create(xid, path, nil)...)
		case 1, 2:
			out = append(out, set(xid, path, make([]byte, rnd.IntN(20_000)))...)
		case 3:
			watched := get(xid, path)
			watched[len(watched)-1] = 1
			out = append(out, watched...)
		case 4:
			out = append(out, ping()...)
		default:
			out = append(out, get(xid, path)...)
		}
	}
	switch rnd.IntN(4) {
	case 0:
		out = append(out, framed(request(9999, proto.OpCloseSession))...)
	case 1:
		out = append(out, 0xff, 0xff)
	}
	_ = c.SetWriteDeadline(time.Now().Add(time.Duration(rnd.IntN(300)+1) * time.Millisecond))
	for len(out) > 0 {
		n, err := c.Write(out[:min(len(out), rnd.IntN(5000)+1)])
		if err != nil {
			return // the server does not read because we do not, or has closed
		}
		out = out[n:]
	}
}

// TestUnrulyClients lets many of them loose and checks that nothing of them is left.
func TestUnrulyClients(t *testing.T) {
	const clients, atOnce = 200, 40
	r := newRig(t, Options{Outstanding: 100}, func(r *rig) {
		r.s.opts.Ports.Pollers, r.s.opts.Ports.QueueSoft, r.s.opts.Ports.QueueHard = 2, 64<<10, 128<<10
	})
	good := r.user()
	var wg sync.WaitGroup
	for i := range atOnce {
		wg.Go(func() {
			for n := i; n < clients; n += atOnce {
				r.unruly(uint64(n))
			}
		})
	}
	for i := range int32(200) {
		good.send(create(2*i, "/good", nil))
		good.send(get(2*i+1, "/good"))
		if code := codeOf(good.frame()); code != proto.ErrOK && code != proto.ErrNodeExists {
			t.Fatalf("a good client got %d", code)
		}
		good.want(2*i+1, proto.ErrOK)
	}
	wg.Wait()
	r.until("only the good client is left", func() bool {
		st := r.s.Status()
		return st.Replica.Connections == 1 && st.Ports.Connections == 1 && st.Replica.Outstanding == 0
	})
	good.send(get(1, "/good"))
	good.want(1, proto.ErrOK)
	r.s.hold(func() {
		if n := len(r.s.step.stalled); n > 0 {
			t.Errorf("%d connections are still stalled", n)
		}
	})
}

// codeOf is the error code in a reply's header.
func codeOf(reply []byte) proto.ErrCode {
	return proto.ErrCode(int32(reply[12])<<24 | int32(reply[13])<<16 | int32(reply[14])<<8 | int32(reply[15]))
}
