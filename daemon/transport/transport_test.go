package transport

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/zkd-project/zkd/daemon/ensemble"
	"github.com/zkd-project/zkd/daemon/proto"
)

// recorder is a handler that keeps what it is told.
type recorder struct {
	mu     sync.Mutex
	votes  []string // "from: leader"
	up     map[int64]bool
	links  []*Link
	downs  []string
	got    []proto.Zxid
	snaps  []string
	failed []int64
	going  map[*Link]int // how often progress was told
}

func (r *recorder) locked(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

func (r *recorder) Notification(from int64, n *proto.Notification) {
	r.locked(func() { r.votes = append(r.votes, fmt.Sprintf("%d: %d", from, n.Vote.Leader)) })
}

func (r *recorder) Peer(id int64, up bool) { r.locked(func() { r.up[id] = up }) }

func (r *recorder) LinkUp(l *Link) { r.locked(func() { r.links = append(r.links, l) }) }

func (r *recorder) Packets(_ *Link, b []byte) (used int, snap bool, err error) {
	for {
		var p proto.Packet
		n, err := p.Decode(b[used:], 1<<20)
		if errors.Is(err, proto.ErrShort) {
			return used, false, nil
		}
		if err != nil {
			return used, false, err
		}
		used += n
		if p.Type == proto.PacketSnap {
			return used, true, nil
		}
		r.locked(func() { r.got = append(r.got, p.Zxid) })
	}
}

func (r *recorder) Snap(_ *Link, rd *bufio.Reader) error {
	line, err := rd.ReadString('\n')
	r.locked(func() { r.snaps = append(r.snaps, line) })
	return err
}

func (r *recorder) Progress(l *Link) {
	r.locked(func() {
		if r.going == nil {
			r.going = make(map[*Link]int)
		}
		r.going[l]++
	})
}

func (r *recorder) LinkDown(_ *Link, err error) {
	r.locked(func() { r.downs = append(r.downs, fmt.Sprint(err)) })
}

func (r *recorder) DialFailed(id int64, _ error) {
	r.locked(func() { r.failed = append(r.failed, id) })
}

// await waits until ok holds.
func (r *recorder) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		done := false
		r.locked(func() { done = ok() })
		if done {
			return
		}
	}
	r.locked(func() { t.Fatalf("waited in vain for %s; votes %v, up %v, downs %v", what, r.votes, r.up, r.downs) })
}

// given are the ports that tests have got: none gets one that another one has.
var given sync.Map

func port(t *testing.T) int {
	t.Helper()
	for range 200 {
		p := 15000 + rand.IntN(15000)
		if l, err := net.Listen("tcp", fmt.Sprintf(":%d", p)); err == nil {
			l.Close()
			if _, taken := given.LoadOrStore(p, true); !taken {
				return p
			}
		}
	}
	t.Fatal("no free port")
	return 0
}

func listOf(t *testing.T, ids ...int64) *ensemble.Config {
	t.Helper()
	var settings []ensemble.Setting
	for _, id := range ids {
		settings = append(settings, ensemble.Setting{
			Key: fmt.Sprintf("server.%d", id), Value: fmt.Sprintf("127.0.0.1:%d:%d", port(t), port(t)),
		})
	}
	c, err := ensemble.Parse(settings)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func run(t *testing.T, o Options) (*Transport, *recorder) {
	t.Helper()
	if o.Log == nil {
		log := logrus.New()
		log.SetOutput(io.Discard)
		o.Log = log
	}
	r := &recorder{up: make(map[int64]bool)}
	tr, err := Listen(o, r)
	if err != nil {
		t.Fatal(err)
	}
	tr.Serve()
	return tr, r
}

func vote(leader int64) *proto.Notification {
	return &proto.Notification{Vote: proto.Vote{Leader: leader}, Config: []byte("version=0")}
}

// TestNotifications has either of two servers speak first, whichever dials.
func TestNotifications(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, first := range []int64{1, 2} {
		list := listOf(t, 1, 2)
		a, ra := run(t, Options{ID: 1, Ensemble: list})
		b, rb := run(t, Options{ID: 2, Ensemble: list})
		from, to := a, rb
		if first == 2 {
			from, to = b, ra
		}
		from.Notify(3-first, vote(7))
		to.await(t, "the first vote", func() bool { return len(to.votes) > 0 })
		if want := fmt.Sprintf("%d: 7", first); to.votes[0] != want {
			t.Errorf("got %q, want %q", to.votes[0], want)
		}
		a.Notify(2, vote(8))
		b.Notify(1, vote(9))
		ra.await(t, "an answer", func() bool { return len(ra.votes) > 0 && ra.votes[len(ra.votes)-1] == "2: 9" })
		rb.await(t, "an answer", func() bool { return rb.votes[len(rb.votes)-1] == "1: 8" })
		if err := errors.Join(a.Close(), b.Close()); err != nil {
			t.Error(err)
		}
	}
}

// TestRestart has a server come back: the other one connects anew and says again what it
// said last.
func TestRestart(t *testing.T) {
	defer goleak.VerifyNone(t)
	list := listOf(t, 1, 2)
	a, ra := run(t, Options{ID: 1, Ensemble: list})
	defer a.Close()
	b, rb := run(t, Options{ID: 2, Ensemble: list})
	a.Notify(2, vote(5))
	rb.await(t, "a vote", func() bool { return len(rb.votes) > 0 })
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	ra.await(t, "the end of the connection", func() bool { return !ra.up[2] })
	b, rb = run(t, Options{ID: 2, Ensemble: list})
	defer b.Close()
	rb.await(t, "the last vote again", func() bool { return len(rb.votes) > 0 && rb.votes[0] == "1: 5" })
	ra.await(t, "a connection", func() bool { return ra.up[2] })
}

// TestNewestVoteWins sends many votes to a server that is not there yet.
func TestNewestVoteWins(t *testing.T) {
	list := listOf(t, 1, 2)
	b, _ := run(t, Options{ID: 2, Ensemble: list})
	defer b.Close()
	for i := range int64(100) {
		b.Notify(1, vote(i))
	}
	a, ra := run(t, Options{ID: 1, Ensemble: list})
	defer a.Close()
	ra.await(t, "a vote", func() bool { return len(ra.votes) > 0 })
	if ra.votes[0] != "2: 99" {
		t.Errorf("got %q first", ra.votes[0])
	}
}

// TestLinks sends packets, a snapshot in between, and more packets, both ways.
func TestLinks(t *testing.T) {
	defer goleak.VerifyNone(t)
	list := listOf(t, 1, 2)
	a, ra := run(t, Options{ID: 1, Ensemble: list})
	defer a.Close()
	b, rb := run(t, Options{ID: 2, Ensemble: list})
	defer b.Close()
	a.DialLeader(2, false)
	ra.await(t, "a link", func() bool { return len(ra.links) == 1 })
	up := ra.links[0]
	up.Queue(proto.AppendPacket(nil, proto.PacketAck, 1, nil))
	up.Flush()
	rb.await(t, "a packet", func() bool { return len(rb.got) == 1 })
	down := rb.links[0]
	if down.Dialled() || !up.Dialled() {
		t.Error("who dialled?")
	}
	const many = 20_000
	for i := range many {
		switch i {
		case many / 2:
			down.QueueBulk(func(w io.Writer) error {
				_, err := w.Write(append(proto.AppendPacket(nil, proto.PacketSnap, 0, nil), "body\n"...))
				return err
			})
		default:
			down.Queue(proto.AppendPacket(nil, proto.PacketProposal, proto.Zxid(i), make([]byte, i%500)))
		}
		if i%7 == 0 {
			down.Flush()
		}
	}
	down.Flush()
	ra.await(t, "all packets", func() bool { return len(ra.got) == many-1 })
	want := proto.Zxid(0)
	for _, z := range ra.got {
		if want == many/2 {
			want++
		}
		if z != want {
			t.Fatalf("got %v, want %v", z, want)
		}
		want++
	}
	if len(ra.snaps) != 1 || ra.snaps[0] != "body\n" {
		t.Errorf("snapshots %q", ra.snaps)
	}
	up.Queue(proto.AppendPacket(nil, proto.PacketAck, 2, nil))
	up.End(errors.New("enough"), false)
	up.Flush()
	rb.await(t, "the last packet and the end", func() bool { return len(rb.got) == 2 && len(rb.downs) == 1 })
	ra.await(t, "the end", func() bool { return len(ra.downs) == 1 && ra.downs[0] == "enough" })
}

func TestSendLimit(t *testing.T) {
	list := listOf(t, 1, 2)
	b, rb := run(t, Options{ID: 2, Ensemble: list, SendLimit: 1 << 20})
	defer b.Close()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", list.Member(2).Addresses[0].Quorum))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	rb.await(t, "a link", func() bool { return len(rb.links) == 1 })
	packet := proto.AppendPacket(nil, proto.PacketProposal, 1, make([]byte, 64<<10))
	for range 1000 {
		rb.links[0].Queue(packet)
		rb.links[0].Flush()
	}
	rb.await(t, "the end", func() bool { return len(rb.downs) == 1 })
	if !strings.Contains(rb.downs[0], "does not keep up") {
		t.Errorf("it ended with %q", rb.downs[0])
	}
}

// TestStrangers has all sorts of bytes come to both ports: a log line for the address,
// and the others are not disturbed.
func TestStrangers(t *testing.T) {
	var text bytes.Buffer
	log := logrus.New()
	log.SetOutput(&text)
	list := listOf(t, 1, 2)
	b, rb := run(t, Options{ID: 2, Ensemble: list, FirstTimeout: 200 * time.Millisecond, Log: log})
	a, _ := run(t, Options{ID: 1, Ensemble: list})
	defer a.Close()
	ports := list.Member(2).Addresses[0]
	for _, p := range []int{ports.Quorum, ports.Election} {
		for _, garbage := range []string{
			"", "GET / HTTP/1.1\r\n\r\n", "\x7f\xff\xff\xff\xff\xff\xff\xff", strings.Repeat("\xff", 100), "\x00",
			"\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x09\x00\x00\x00\x01a",
			"\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x01a",
		} {
			conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p))
			if err != nil {
				t.Fatal(err)
			}
			conn.Write([]byte(garbage))
			conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			if n, err := io.Copy(io.Discard, conn); n > 0 || errors.Is(err, net.ErrClosed) {
				t.Errorf("%q: %d bytes back, %v", garbage, n, err)
			}
			conn.Close()
		}
	}
	a.Notify(2, vote(3))
	rb.await(t, "a vote after all that", func() bool { return len(rb.votes) > 0 })
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if n := strings.Count(text.String(), "Refused"); n != 1 {
		t.Errorf("%d log lines:\n%s", n, text.String())
	}
}

func TestPortInUse(t *testing.T) {
	list := listOf(t, 1, 2)
	a, _ := run(t, Options{ID: 1, Ensemble: list})
	defer a.Close()
	_, err := Listen(Options{ID: 1, Ensemble: list, Log: logrus.New()}, &recorder{})
	if err == nil || !strings.Contains(err.Error(), "server.1") {
		t.Errorf("a second server: %v", err)
	}
}

func TestDialFailed(t *testing.T) {
	list := listOf(t, 1, 2)
	a, ra := run(t, Options{ID: 1, Ensemble: list, DialLimit: 50 * time.Millisecond})
	defer a.Close()
	a.DialLeader(2, false)
	ra.await(t, "the failure", func() bool { return len(ra.failed) == 1 && ra.failed[0] == 2 })
}

func FuzzInitial(f *testing.F) {
	f.Add((&Transport{opts: Options{ID: 2, Ensemble: &ensemble.Config{Members: []ensemble.Member{
		{ID: 2, Addresses: []ensemble.Address{{Host: "::1", Quorum: 1, Election: 2}}}}}}}).initial())
	f.Fuzz(func(t *testing.T, b []byte) {
		if id, err := readInitial(bytes.NewReader(b)); err == nil && len(b) < 8 {
			t.Errorf("%x is server %d", b, id)
		}
	})
}

// TestReaddress has a server that was looked for in a wrong place found where it is said to be
// then, and the connection that there is stay.
func TestReaddress(t *testing.T) {
	defer goleak.VerifyNone(t)
	right := listOf(t, 1, 2)
	wrong := &ensemble.Config{Members: slices.Clone(right.Members)}
	wrong.Members[0].Addresses = []ensemble.Address{{Host: "127.0.0.1", Quorum: port(t), Election: port(t)}}
	a, ra := run(t, Options{ID: 1, Ensemble: right})
	b, rb := run(t, Options{ID: 2, Ensemble: wrong, DialLimit: time.Minute})
	b.DialLeader(1, false)
	time.Sleep(50 * time.Millisecond)
	if n := b.Connected(); n != 0 {
		t.Errorf("connected to %d servers at an address where there is none", n)
	}
	b.Readdress(right)
	rb.await(t, "a connection of the election", func() bool { return rb.up[1] })
	ra.await(t, "its other end, before which a would ask for another one", func() bool { return ra.up[2] })
	ra.await(t, "the link of the dialler", func() bool { return len(ra.links) == 1 })
	if n := b.Connected(); n != 1 {
		t.Errorf("connected to %d servers", n)
	}
	b.Readdress(wrong)
	a.Notify(2, vote(9))
	rb.await(t, "a vote over the old connection", func() bool { return len(rb.votes) == 1 })
	if err := errors.Join(a.Close(), b.Close()); err != nil {
		t.Error(err)
	}
}
