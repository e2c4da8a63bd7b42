package replica_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/zkd-project/zkd/daemon/ensemble"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zab"
)

// trio runs an ensemble of three replicas from a script. Disks take no time, nor does the
// network unless the script holds a server's packets back. A connection's name begins with
// its server's number.
type trio struct {
	*world
	nodes  [3]*node
	config *ensemble.Config
	words  []string // settings
}

type node struct {
	id    int64
	r     *replica.Replica
	cut   bool              // reaches nobody
	held  bool              // what it sends to others waits
	image map[string][]byte // of the tree, as of the last snapshot
	wire  []*wire
}

// wire is one end of a connection of the quorum port.
type wire struct {
	n    *node
	link *zab.Link
	peer *wire
	sent []byte // and not delivered
	in   []byte
	down bool
}

func (w *trio) boot(id int64) {
	has := func(word string) bool { // of all, or of this one
		return slices.Contains(w.words, word) || slices.Contains(w.words, fmt.Sprint(word, id))
	}
	n := &node{id: id, image: make(map[string][]byte)}
	w.nodes[id-1] = n
	least, window := proto.Millis(2000), 1000
	if has("forgetful") {
		window = 2
	}
	if has("patient") {
		least = 20_000
	}
	n.r = replica.New(replica.Config{
		ServerID: id, TickTime: 1000, MinTimeout: least, MaxTimeout: 40000,
		ReapInterval: 60_000, ReapPerMinute: 10_000, Auth: w.auth,
		LocalSessions: has("local"), Upgrading: has("upgrading"), ReadOnly: has("read-only"),
		LeaderRefuses: has("aloof"),
		Zab: zab.Config{
			ID: id, Ensemble: w.config, TickTime: 1000, InitLimit: 5, SyncLimit: int(least) / 1000, MinNotify: 20, MaxNotify: 200,
			WindowTxns: window, WindowBytes: 1 << 20,
		},
	}, w.now, tree.New(tree.Options{Match: w.auth}), zab.Recovered{Suffix: new(proto.LogBatch), Healing: has("lost")})
	n.cut = has("cut")
}

// Put implements tree.DeltaSink.
func (n *node) Put(key, value []byte) { n.image[string(key)] = slices.Clone(value) }

// Delete implements tree.DeltaSink.
func (n *node) Delete(key []byte) { delete(n.image, string(key)) }

// snapshot is a copy of the server's tree.
func (w *trio) snapshot(n *node) *tree.Tree {
	n.r.Tree().Cut(n)
	for !n.r.Tree().Drain(1 << 20) {
	}
	l := tree.NewLoader(tree.Options{Match: w.auth})
	for k, v := range n.image {
		if err := l.Put([]byte(k), v); err != nil {
			w.t.Fatal(err)
		}
	}
	t, err := l.Finish()
	if err != nil {
		w.t.Fatal(err)
	}
	t.Advance(n.r.Tree().LastZxid())
	return t
}

// all runs something on each server that is there.
func (w *trio) all(f func(n *node)) {
	for _, n := range w.nodes {
		f(n)
	}
}

func (w *trio) reaches(a, b *node) bool { return !a.cut && !b.cut }

// run does what the replicas want done until they want nothing more.
func (w *trio) run() {
	for busy := true; busy; {
		busy = false
		w.all(func(n *node) { busy = w.step(n) || busy })
	}
}

func (w *trio) step(n *node) (busy bool) {
	var e replica.Effects
	n.r.Effects(&e)
	w.r = n.r
	for _, c := range e.Conns {
		w.conn(c)
	}
	for _, wr := range e.Writes {
		n.r.Durable(w.now, wr.Pos)
	}
	for _, note := range e.Notices {
		if to := w.nodes[note.To-1]; w.reaches(n, to) {
			to.r.Notification(w.now, n.id, &note.N)
		}
	}
	for _, l := range e.Links {
		end := l.Owner.(*wire)
		at := 0
		for _, b := range l.Bulks { // a snapshot may stand for any
			end.sent = append(end.sent, l.Out[at:b.At]...)
			at = b.At
			w.deliver(n)
			t := w.snapshot(n)
			end.peer.n.r.Snap(w.now, end.peer.link, t, t.LastZxid())
			end.peer.n.image = maps.Clone(n.image)
		}
		end.sent = append(end.sent, l.Out[at:]...)
		l.Out, l.Bulks = l.Out[:0], nil
		if l.Close != "" {
			w.breakOff(end, l.Close)
		}
	}
	if e.Dialling && e.Dial != 0 {
		w.dial(n, w.nodes[e.Dial-1])
	}
	busy = len(e.Conns)+len(e.Writes)+len(e.Notices)+len(e.Links) > 0 || e.Dialling
	return w.deliver(n) || busy
}

func (w *trio) dial(n, to *node) {
	if !w.reaches(n, to) {
		n.r.DialFailed(w.now, to.id, "it is cut off")
		return
	}
	a, b := &wire{n: n}, &wire{n: to}
	a.peer, b.peer = b, a
	a.link, b.link = &zab.Link{Owner: a}, &zab.Link{Owner: b}
	n.wire, to.wire = append(n.wire, a), append(to.wire, b)
	to.r.LinkUp(w.now, b.link, false)
	n.r.LinkUp(w.now, a.link, true)
}

// breakOff ends a connection; the server at the other end is told.
func (w *trio) breakOff(end *wire, reason string) {
	for _, x := range []*wire{end, end.peer} {
		x.down = true
		x.n.wire = slices.DeleteFunc(x.n.wire, func(have *wire) bool { return have == x })
	}
	end.peer.n.r.LinkDown(w.now, end.peer.link, reason)
}

// deliver brings what a server sent to the others.
func (w *trio) deliver(n *node) (busy bool) {
	for _, end := range slices.Clone(n.wire) {
		if n.held || end.down || len(end.sent) == 0 {
			continue
		}
		busy = true
		p := end.peer
		p.in, end.sent = append(p.in, end.sent...), nil
		for {
			var packet proto.Packet
			used, err := packet.Decode(p.in, 1<<20)
			if errors.Is(err, proto.ErrShort) {
				break
			} else if err != nil {
				w.t.Fatal(err)
			}
			b := p.in[:used]
			p.in = slices.Clone(p.in[used:])
			if _, err := packet.Decode(b, 1<<20); err != nil {
				w.t.Fatal(err)
			}
			p.n.r.Packet(w.now, p.link, &packet)
		}
		p.n.r.Settled(w.now)
	}
	return busy
}

func (w *trio) pass(ms proto.Millis) {
	for ; ms > 0; ms -= 50 {
		w.now.Wall += 50
		w.now.Mono += 50
		w.all(func(n *node) { n.r.Tick(w.now) })
		w.run()
	}
}

// connected tells two servers that they reach each other, or not.
func (w *trio) connected(n *node) {
	w.all(func(m *node) {
		if m != n && !m.cut {
			n.r.PeerUp(w.now, m.id, !n.cut)
			m.r.PeerUp(w.now, n.id, !n.cut)
		}
	})
}

func TestTrio(t *testing.T) {
	datadriven.Walk(t, "testdata/trio", func(t *testing.T, path string) {
		w := &trio{world: &world{t: t, auth: new(fakeAuth), conns: make(map[string]*replica.Conn)}}
		w.now = replica.Now{Wall: 1_000_000, Mono: 5_000}
		var list []ensemble.Setting
		for _, id := range "123" {
			list = append(list, ensemble.Setting{Key: "server." + string(id), Value: "host" + string(id) + ":2888:3888"})
		}
		var err error
		if w.config, err = ensemble.Parse(list); err != nil {
			t.Fatal(err)
		}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			w.out.Reset()
			if d.Cmd == "boot" {
				for _, a := range d.CmdArgs {
					w.words = append(w.words, a.Key)
				}
				for id := range int64(3) {
					w.boot(id + 1)
				}
				w.all(w.connected)
				w.pass(500)
			}
			for line := range strings.Lines(d.Input) {
				w.do(strings.Fields(line))
				w.run()
			}
			return w.out.String()
		})
	})
}

// do runs one line.
func (w *trio) do(f []string) {
	var n *node
	if len(f) > 1 && f[0] != "tick" {
		last := f[0]
		if last[0] < '1' || last[0] > '3' {
			last = f[1]
		}
		n = w.nodes[last[0]-'1']
	}
	switch f[0] {
	case "tick":
		w.pass(proto.Millis(w.number(f[1])))
	case "cut", "join":
		n.cut = f[0] == "cut"
		for len(n.wire) > 0 && n.cut {
			end := n.wire[0]
			w.breakOff(end, "cut")
			n.r.LinkDown(w.now, end.link, "cut")
		}
		w.connected(n)
	case "hold", "flow":
		n.held = f[0] == "hold"
	case "status":
		s := n.r.Status()
		fmt.Fprintf(&w.out, "%v serving %v read-only %v welcomes %v zxid %v sessions %d local %d outstanding %d\n", s.Role,
			s.Serving, s.ReadOnly, s.Welcomes, s.Zxid, s.Sessions, s.Local, s.Outstanding)
	default:
		w.r = n.r
		w.request(f)
	}
}
