package daemon

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// hello is the first message of an election connection.
func hello(version, id int64, addr string) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(version))
	b = binary.BigEndian.AppendUint64(b, uint64(id))
	b = binary.BigEndian.AppendUint32(b, uint32(len(addr)))
	return append(b, addr...)
}

// greeting is the first packet of a learner.
func greeting(kind proto.PacketType, id int64, version int32) []byte {
	info := proto.LearnerInfo{ID: id, Version: version}
	return proto.AppendPacket(nil, kind, 0, info.Append(nil))
}

// oversized is a packet that says to be of nearly 2 GiB, and the beginning of it.
func oversized() []byte {
	b := jute.AppendInt(jute.AppendLong(jute.AppendInt(nil, int32(proto.PacketFollowerInfo)), 0), 1<<31-1)
	return append(b, make([]byte, 64<<10)...)
}

// stranger is what may come to a port for servers.
type stranger struct {
	name string
	port int // index in trio.ports, or 0 for the observer master's
	send []byte
}

func strangersFor(victim int64) []stranger {
	const election, quorum, master = 2, 1, 0
	noise := make([]byte, 8<<10)
	for i := range noise {
		noise[i] = byte(rand.IntN(256))
	}
	big := binary.BigEndian.AppendUint32(hello(-65536, victim, "h:1"), 1<<31-1)
	list := []stranger{
		{"a wrong version", election, hello(-7, 2, "h:1")},
		{"a foreign server", election, hello(-65536, 77, "h:1")},
		{"a list of addresses without end", election, append(hello(-65536, 2, "")[:16], 0x7f, 0xff, 0xff, 0xff)},
		{"a forged id, and an oversized vote", election, append(big, noise...)},
		{"a forged id, and noise for a vote", election, append(append(hello(-65536, victim, "h:1"), 0, 0, 0, 40), noise[:40]...)},
		{"an old learner", quorum, greeting(proto.PacketFollowerInfo, 9, 1)},
		{"a forged learner", quorum, greeting(proto.PacketFollowerInfo, victim, proto.LearnerVersion)},
		{"a leader's packet", quorum, proto.AppendPacket(nil, proto.PacketProposal, 1<<32, []byte("x"))},
		{"a snapshot", quorum, append(proto.AppendPacket(nil, proto.PacketSnap, 1<<32, nil), noise[:60]...)},
		{"a ping", quorum, proto.AppendPacket(nil, proto.PacketPing, 0, nil)},
		{"a follower", master, greeting(proto.PacketFollowerInfo, victim, proto.LearnerVersion)},
	}
	for _, port := range []int{election, quorum, master} {
		list = append(list, stranger{"a scanner", port, nil}, stranger{"noise", port, noise},
			stranger{"HTTP", port, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")}, stranger{"oversized", port, oversized()})
	}
	return list
}

// visit has a stranger come from an address of its own.
func (e *trio) visit(from string, i, port int, send []byte) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: time.Second}
	c, err := d.Dial("tcp", net.JoinHostPort(e.host(i), strconv.Itoa(port)))
	if err != nil {
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(300 * time.Millisecond))
	if _, err := c.Write(send); err == nil && send != nil {
		_, _ = c.Read(make([]byte, 4096))
	}
}

// TestStrangers has all kinds of strangers come to an ensemble again and again: its clients
// do not notice, nobody looks for a leader, and the log tells of each address once a minute.
func TestStrangers(t *testing.T) {
	e := newTrio(t)
	master := freePort(t)
	e.hosts = func(i int) string { return fmt.Sprintf("127.0.0.%d", i+1) }
	e.more = fmt.Sprintf("observerMasterPort=%d\n", master)
	for i := range 3 {
		e.start(i)
	}
	leader := e.leader(0, 1, 2)
	c := connect(t, e.addr((leader+1)%3))
	session := c.SessionID()
	var done atomic.Bool
	var written atomic.Int64
	result := make(chan error, 1)
	go func() {
		for !done.Load() {
			if _, err := c.Create(fmt.Sprintf("/n%d", written.Load()), []byte("x"), 0, zk.WorldACL(zk.PermAll)); err != nil {
				result <- err
				return
			}
			written.Add(1)
		}
		result <- nil
	}()
	before := [3]int{}
	for i := range 3 {
		before[i] = strings.Count(e.logs[i].String(), "Looking for a leader")
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	taken := mem.TotalAlloc
	visits := 0
	for round := range 2 {
		for k, s := range strangersFor(int64((leader+1)%3 + 1)) {
			for i := range 3 {
				port := master
				if s.port > 0 {
					port = e.ports[i][s.port]
				}
				at := written.Load()
				e.visit(fmt.Sprintf("127.0.1.%d", k+1), i, port, s.send)
				visits++
				for deadline := time.Now().Add(10 * time.Second); written.Load() == at; time.Sleep(time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatalf("%s at server %d, round %d: writes stand still", s.name, i+1, round)
					}
				}
			}
		}
	}
	done.Store(true)
	if err := <-result; err != nil || c.SessionID() != session {
		t.Errorf("the client noticed: %v", err)
	}
	c.Close()
	runtime.ReadMemStats(&mem)
	if taken = mem.TotalAlloc - taken; taken > 1<<30 {
		t.Errorf("the process has taken %d MiB", taken>>20)
	}
	told := map[string]int{}
	for i := range 3 {
		text := e.logs[i].String()
		if n := strings.Count(text, "Looking for a leader"); n != before[i] {
			t.Errorf("server %d looked for a leader %d times", i+1, n-before[i])
		}
		for k := range strangersFor(1) {
			from := fmt.Sprintf("127.0.1.%d:", k+1)
			n := strings.Count(text, from)
			told[from] += n
			if n > 1 {
				t.Errorf("server %d told %d times of one stranger", i+1, n)
			}
		}
	}
	for k, s := range strangersFor(1) {
		if told[fmt.Sprintf("127.0.1.%d:", k+1)] == 0 {
			t.Errorf("nobody told of %s at port %d", s.name, s.port)
		}
	}
	t.Logf("%d strangers, %d writes, %d MiB", visits, written.Load(), taken>>20)
	for i := range 3 {
		e.halt(i)
	}
}
