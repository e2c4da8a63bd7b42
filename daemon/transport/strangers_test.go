package transport

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/zkd-project/zkd/daemon/proto"
)

// TestCrowd has one address hold connections that say nothing: it cannot keep others out.
func TestCrowd(t *testing.T) {
	list := listOf(t, 1, 2)
	b, rb := run(t, Options{ID: 2, Ensemble: list})
	defer b.Close()
	to := fmt.Sprintf("127.0.0.1:%d", list.Member(2).Addresses[0].Quorum)
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.9")}}
	for range maxHalfOpen + 10 {
		conn, err := from.Dial("tcp", to)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	conn, err := net.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(proto.AppendPacket(nil, proto.PacketFollowerInfo, 7, nil)); err != nil {
		t.Fatal(err)
	}
	rb.await(t, "a packet through the crowd", func() bool { return len(rb.got) == 1 })
}

// TestFirstPacketIsShort has a stranger announce a huge packet and send it: it is not waited for.
func TestFirstPacketIsShort(t *testing.T) {
	list := listOf(t, 1, 2)
	b, _ := run(t, Options{ID: 2, Ensemble: list})
	defer b.Close()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", list.Member(2).Addresses[0].Quorum))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	sent := 0
	packet := proto.AppendPacket(nil, proto.PacketFollowerInfo, 7, make([]byte, 512<<10))
	for err == nil && sent < len(packet) {
		var n int
		n, err = conn.Write(packet[sent:min(sent+4096, len(packet))])
		sent += n
		time.Sleep(100 * time.Microsecond)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("%d bytes of it were taken: %v", sent, err)
	}
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}
