package transport

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/zkd-project/zkd/daemon/ensemble"
	"github.com/zkd-project/zkd/daemon/proto"
)

// Scripts for faults of election connections that Apache's servers had, by the numbers of their
// tickets; see docs/robustness.md.

// weary is a listener that fails a few times before it has a connection to give.
type weary struct {
	net.Listener
	failures int
}

func (w *weary) Accept() (net.Conn, error) {
	if w.failures--; w.failures >= 0 {
		return nil, errors.New("too many open files")
	}
	return w.Listener.Accept()
}

// TestListenerLasts: whatever fails when a connection is accepted, the port is served on.
// ZOOKEEPER-2836, 3320.
func TestListenerLasts(t *testing.T) {
	log := logrus.New()
	log.SetOutput(io.Discard)
	list := listOf(t, 1, 2)
	r := &recorder{up: make(map[int64]bool)}
	b, err := Listen(Options{ID: 1, Ensemble: list, Log: log}, r)
	if err != nil {
		t.Fatal(err)
	}
	for _, ls := range [][]net.Listener{b.listeners, b.elections} {
		ls[0] = &weary{ls[0], 2}
	}
	b.Serve()
	defer b.Close()
	a, ra := run(t, Options{ID: 2, Ensemble: list})
	defer a.Close()
	a.Notify(1, vote(2))
	r.await(t, "a vote", func() bool { return len(r.votes) > 0 })
	a.DialLeader(1, false)
	ra.await(t, "a link", func() bool { return len(ra.links) > 0 })
	r.await(t, "a link", func() bool { return len(r.links) > 0 })
}

// TestFirstMessage: a server with one address says so in the way that releases before 3.6
// understand. ZOOKEEPER-3720.
func TestFirstMessage(t *testing.T) {
	for value, want := range map[string]string{
		"a:1:2":               "ffffffffffff0000 0000000000000007 00000003 a:2",
		"a:1:2|[::1]:1:3":     "ffffffffffff0001 0000000000000007 0000000b a:2|[::1]:3",
		"a:1:2:observer;2181": "ffffffffffff0000 0000000000000007 00000003 a:2",
	} {
		list, err := ensemble.Parse([]ensemble.Setting{
			{Key: "server.1", Value: "z:1:2"}, {Key: "server.7", Value: value},
		})
		if err != nil {
			t.Fatal(err)
		}
		b := (&Transport{opts: Options{ID: 7, Ensemble: list}}).initial()
		if got := fmt.Sprintf("%x %x %x %s", b[:8], b[8:16], b[16:20], b[20:]); got != want {
			t.Errorf("%s: sends %q, want %q", value, got, want)
		}
	}
}

// TestVoteThatCannotBeRead: it is told of and dropped, and those behind it are taken from the same
// connection. ZOOKEEPER-3769.
func TestVoteThatCannotBeRead(t *testing.T) {
	var text bytes.Buffer
	log := logrus.New()
	log.SetOutput(&text)
	list := listOf(t, 1, 2)
	b, rb := run(t, Options{ID: 1, Ensemble: list, Log: log})
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", list.Member(1).Addresses[0].Election))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	packet := (&Transport{opts: Options{ID: 2, Ensemble: list}}).initial()
	for _, note := range [][]byte{make([]byte, 12), bytes.Repeat([]byte{0xff}, 60), vote(6).Append(nil)} {
		packet = append(binary.BigEndian.AppendUint32(packet, uint32(len(note))), note...)
	}
	if _, err := conn.Write(packet); err != nil {
		t.Fatal(err)
	}
	rb.await(t, "the vote behind", func() bool { return len(rb.votes) == 1 && rb.votes[0] == "2: 6" })
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if n := strings.Count(text.String(), "it says to be server 2"); n != 1 {
		t.Errorf("%d log lines:\n%s", n, text.String())
	}
}

// TestSeveralAddresses: all addresses of a server are listened on, and whichever answers is used.
func TestSeveralAddresses(t *testing.T) {
	right := listOf(t, 1, 2, 3)
	one := right.Member(1)
	second := one.Addresses[0]
	second.Host = "127.0.0.2"
	one.Addresses = append(one.Addresses, second)
	b, rb := run(t, Options{ID: 1, Ensemble: right})
	defer b.Close()
	for i, a := range one.Addresses {
		conn, err := net.Dial("tcp", net.JoinHostPort(a.Host, fmt.Sprint(a.Quorum)))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		rb.await(t, "a link", func() bool { return len(rb.links) == i+1 })
	}
	for id, dead := range map[int64]int{2: 0, 3: 1} {
		list := listOf(t, 1, 2, 3)
		m := list.Member(1)
		m.Addresses = append([]ensemble.Address(nil), one.Addresses...)
		m.Addresses[dead].Quorum, m.Addresses[dead].Election = port(t), port(t)
		a, ra := run(t, Options{ID: id, Ensemble: list})
		defer a.Close()
		a.Notify(1, vote(id))
		want := fmt.Sprintf("%d: %d", id, id)
		rb.await(t, "the vote "+want, func() bool { return len(rb.votes) > 0 && rb.votes[len(rb.votes)-1] == want })
		a.DialLeader(1, false)
		ra.await(t, "a link", func() bool { return len(ra.links) == 1 })
	}
}

// nameServer answers every question for an IPv4 address with the one that it holds.
func nameServer(t *testing.T) (addr string, ip *atomic.Pointer[net.IP]) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	ip = new(atomic.Pointer[net.IP])
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			end := 12
			for end < n && buf[end] != 0 {
				end += int(buf[end]) + 1
			}
			end += 5 // the end of the name, type and class
			if end > n {
				continue
			}
			answer := append([]byte{buf[0], buf[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, buf[12:end]...)
			if binary.BigEndian.Uint16(buf[end-4:]) == 1 {
				answer[7] = 1
				answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4)
				answer = append(answer, ip.Load().To4()...)
			}
			if _, err := conn.WriteTo(answer, from); err != nil {
				return
			}
		}
	}()
	return conn.LocalAddr().String(), ip
}

// TestNamesAreResolvedAnew: a server that has moved is found by its name, without a restart.
func TestNamesAreResolvedAnew(t *testing.T) {
	addr, ip := nameServer(t)
	defer func(old *net.Resolver) { net.DefaultResolver = old }(net.DefaultResolver)
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("udp", addr)
	}}
	nowhere, here := net.ParseIP("127.0.0.3"), net.ParseIP("127.0.0.2")
	ip.Store(&nowhere)
	list, named := listOf(t, 1, 2), listOf(t, 1, 2)
	list.Members[0].Addresses[0].Host = here.String()
	named.Members[0].Addresses[0] = list.Members[0].Addresses[0]
	named.Members[0].Addresses[0].Host = "one.zkd.test."
	a, _ := run(t, Options{ID: 1, Ensemble: list})
	defer a.Close()
	b, rb := run(t, Options{ID: 2, Ensemble: named, DialLimit: time.Minute})
	defer b.Close()
	b.DialLeader(1, false)
	time.Sleep(100 * time.Millisecond)
	if n := b.Connected(); n != 0 {
		t.Fatalf("%d connections to where nobody is", n)
	}
	ip.Store(&here)
	rb.await(t, "a connection of the election", func() bool { return rb.up[1] })
	rb.await(t, "a link to the leader", func() bool { return len(rb.links) == 1 })
}

// TestLeaveElection: a server that is about to end is not reached by votes any more, and says none,
// while its links last: its learners are to be told all that is committed.
func TestLeaveElection(t *testing.T) {
	list := listOf(t, 1, 2)
	a, ra := run(t, Options{ID: 1, Ensemble: list})
	defer a.Close()
	b, rb := run(t, Options{ID: 2, Ensemble: list})
	defer b.Close()
	a.DialLeader(2, false)
	ra.await(t, "a connection and a link", func() bool { return ra.up[2] && len(ra.links) == 1 })
	rb.await(t, "both here", func() bool { return rb.up[1] && len(rb.links) == 1 })
	b.LeaveElection()
	ra.await(t, "the end of the connection", func() bool { return !ra.up[2] })
	b.Notify(1, vote(2))
	a.Notify(2, vote(1))
	rb.links[0].Queue(proto.AppendPacket(nil, proto.PacketCommit, 7, nil))
	rb.links[0].Flush()
	ra.await(t, "a packet over the link", func() bool { return len(ra.got) == 1 && ra.got[0] == 7 })
	time.Sleep(100 * time.Millisecond)
	ra.locked(func() {
		if ra.up[2] || len(ra.votes) > 0 || len(ra.downs) > 0 {
			t.Errorf("up %v, votes %v, links that are gone: %v", ra.up, ra.votes, ra.downs)
		}
	})
}

// TestNameThatIsNotResolved: while no name server answers for one address of a server, or for another
// server, the rest is reached as ever. ZOOKEEPER-2930, 3756.
func TestNameThatIsNotResolved(t *testing.T) {
	over := make(chan struct{})
	defer close(over)
	defer func(old *net.Resolver) { net.DefaultResolver = old }(net.DefaultResolver)
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		<-over
		return nil, errors.New("no name server")
	}}
	right, half := listOf(t, 1, 2), listOf(t, 1, 2, 3)
	one := right.Member(1).Addresses[0]
	lost := one
	lost.Host = "lost.zkd.test."
	half.Member(1).Addresses = []ensemble.Address{lost, one}
	half.Member(2).Addresses[0].Host = "lost.zkd.test."
	half.Member(3).Addresses = right.Member(2).Addresses
	right.Members[1].ID = 3
	a, ra := run(t, Options{ID: 1, Ensemble: right})
	defer a.Close()
	b, rb := run(t, Options{ID: 3, Ensemble: half})
	defer b.Close()
	start := time.Now()
	b.Notify(2, vote(7))
	b.Notify(1, vote(8))
	b.DialLeader(1, false)
	ra.await(t, "a vote", func() bool { return len(ra.votes) > 0 && ra.votes[0] == "3: 8" })
	rb.await(t, "a link", func() bool { return len(rb.links) == 1 })
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("that took %v", took)
	}
}
