package zab

import (
	"fmt"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/ensemble"
	"github.com/zkd-project/zkd/daemon/proto"
)

func members(t *testing.T, voters, observers int) *ensemble.Config {
	t.Helper()
	var text strings.Builder
	for i := 1; i <= voters+observers; i++ {
		role := "participant"
		if i > voters {
			role = "observer"
		}
		fmt.Fprintf(&text, "server.%d=h%d:1:2:%s\n", i, i, role)
	}
	c, err := ensemble.ParseText(text.String())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// rig is one peer whose disk and network are the test's.
type rig struct {
	t      *testing.T
	p      *Peer
	now    proto.Millis
	writes []Write
	sent   map[*Link][]string
	raw    map[*Link]proto.Packet // the last one sent
	dial   int64
	notes  []Notice
}

func newRig(t *testing.T, id int64, c *ensemble.Config, r Recovered) *rig {
	g := &rig{t: t, now: 1000, sent: make(map[*Link][]string), raw: make(map[*Link]proto.Packet)}
	g.p = New(Config{
		ID: id, Ensemble: c, TickTime: 1000, InitLimit: 10, SyncLimit: 5, WindowTxns: 100, WindowBytes: 1 << 20,
	}, r)
	g.p.Start(g.now)
	g.take()
	return g
}

// take collects what the peer wants done.
func (g *rig) take() {
	var e Effects
	g.p.Settle()
	for {
		if _, ok := g.p.Next(); !ok {
			break
		}
	}
	g.p.Applied()
	g.p.Effects(&e)
	g.writes = append(g.writes, e.Writes...)
	g.notes = append(g.notes, e.Notices...)
	if e.Dialling {
		g.dial = e.Dial
	}
	for _, l := range e.Links {
		for _, b := range l.Bulks {
			g.sent[l] = append(g.sent[l], fmt.Sprintf("BULK%d(%v,%v)", b.Kind, b.After, b.Zxid))
		}
		for b := l.Out; len(b) > 0; {
			var p proto.Packet
			n, err := p.Decode(b, 1<<20)
			if err != nil {
				g.t.Fatal(err)
			}
			b = b[n:]
			g.raw[l] = p
			g.sent[l] = append(g.sent[l], fmt.Sprintf("%v(%v)", p.Type, p.Zxid))
		}
		l.Out, l.Bulks = nil, nil
		if l.Close != "" {
			g.sent[l] = append(g.sent[l], "closed: "+l.Close)
			l.Close = ""
		}
	}
}

// out is what was sent on a link since the last call.
func (g *rig) out(l *Link) string {
	g.take()
	s := strings.Join(g.sent[l], " ")
	delete(g.sent, l)
	return s
}

func (g *rig) wants(l *Link, want string) {
	g.t.Helper()
	if got := g.out(l); got != want {
		g.t.Fatalf("sent %q, want %q", got, want)
	}
}

// durable does the next writes: their kinds are returned.
func (g *rig) durable(n int) (kinds []WriteKind) {
	g.take()
	for ; n > 0 && len(g.writes) > 0; n-- {
		w := g.writes[0]
		g.writes = g.writes[1:]
		kinds = append(kinds, w.Kind)
		g.p.Durable(g.now, w.Pos)
		g.take()
	}
	return kinds
}

func (g *rig) packet(l *Link, t proto.PacketType, zxid proto.Zxid, data []byte) {
	g.p.Packet(g.now, l, &proto.Packet{Type: t, Zxid: zxid, Data: data})
	g.take()
}

func (g *rig) vote(from int64, state proto.State, v proto.Vote) {
	g.p.Notification(g.now, from, &proto.Notification{State: state, Vote: v})
	g.take()
}

func txn(zxid proto.Zxid) []byte {
	t := proto.Txn{TxnHeader: proto.TxnHeader{Zxid: zxid, Type: proto.OpError}}
	return t.Append(nil)
}

func logOf(zxids ...proto.Zxid) *proto.LogBatch {
	b := new(proto.LogBatch)
	for _, z := range zxids {
		b.AddBytes(z, txn(z))
	}
	return b
}

func z(epoch, counter uint32) proto.Zxid { return proto.MakeZxid(proto.Epoch(epoch), counter) }

// TestFirstStart starts five servers one after the other: 1 and 2 look, 3 leads as soon as
// it comes, 4 and 5 follow it though their ids are larger.
func TestFirstStart(t *testing.T) {
	c := members(t, 5, 0)
	rigs := map[int64]*rig{}
	deliver := func() {
		for more := true; more; {
			more = false
			for from := int64(1); from <= 5; from++ {
				g := rigs[from]
				if g == nil {
					continue
				}
				g.take()
				notes := g.notes
				g.notes = nil
				for _, n := range notes {
					if to := rigs[n.To]; to != nil {
						more = true
						to.p.Notification(to.now, from, &n.N)
					}
				}
			}
		}
	}
	roles := func() (s string) {
		for id := int64(1); id <= 5; id++ {
			if g := rigs[id]; g != nil {
				s += g.p.Role().String()[:1]
			}
		}
		return s
	}
	for i, want := range []string{"L", "LL", "FFL", "FFLF", "FFLFF"} {
		id := int64(i + 1)
		rigs[id] = newRig(t, id, c, Recovered{})
		for other, g := range rigs {
			if other != id {
				g.p.PeerUp(g.now, id)
				rigs[id].p.PeerUp(rigs[id].now, other)
			}
		}
		deliver()
		for _, g := range rigs { // the pause after which votes are sent again, and believed
			g.now += 500
			g.p.Tick(g.now)
		}
		deliver()
		if i == 2 && rigs[3].p.Role() != proto.Leading {
			t.Fatalf("3 is %v", rigs[3].p.Role())
		}
		if got := roles(); got != want {
			t.Fatalf("with %d servers the roles are %s, want %s", id, got, want)
		}
	}
	if rigs[4].dial != 3 || rigs[5].dial != 3 {
		t.Errorf("4 follows %d and 5 follows %d", rigs[4].dial, rigs[5].dial)
	}
}

// TestCrashBeforeTheEpoch: history of an epoch is on disk and the epoch is not.
func TestCrashBeforeTheEpoch(t *testing.T) {
	g := newRig(t, 1, members(t, 3, 0), Recovered{Hard: HardState{2, 1}, Suffix: logOf(z(1, 1), z(2, 1))})
	if len(g.notes) > 0 {
		t.Fatal("it votes before the epoch is on disk")
	}
	g.durable(1)
	if g.p.hard != (HardState{2, 2}) || len(g.notes) == 0 || g.notes[0].N.Vote.PeerEpoch != 2 {
		t.Errorf("epochs %v, votes %v", g.p.hard, g.notes)
	}
}

// TestVotesAreWhatIsOnDisk: nothing is voted for while a write is under way.
func TestVotesAreWhatIsOnDisk(t *testing.T) {
	g, l := followed(t, Recovered{Hard: HardState{1, 1}})
	g.packet(l, proto.PacketDiff, 0, nil)
	g.packet(l, proto.PacketProposal, z(2, 1), txn(z(2, 1)))
	g.notes = nil
	g.p.LinkDown(g.now, l, "test")
	g.take()
	if len(g.notes) > 0 {
		t.Fatal("it votes while its log is being written")
	}
	for len(g.notes) == 0 && g.now < 100_000 {
		g.durable(1)
		g.now += 100
		g.p.Tick(g.now)
		g.take()
	}
	if v := g.notes[0].N.Vote; v.Zxid != z(2, 1) || v.PeerEpoch != 2 {
		t.Errorf("the vote is %+v", v)
	}
}

// TestVoteForWhatThereWas: others still vote for a server with the end of a history that it has lost since
// it told them. It does not take that up, and a new round begins with what there is.
func TestVoteForWhatThereWas(t *testing.T) {
	g := newRig(t, 1, members(t, 3, 0), Recovered{Hard: HardState{1, 1}, Suffix: logOf(z(1, 1))})
	had := proto.Vote{Leader: 1, Zxid: z(1, 9), ElectionEpoch: 4, PeerEpoch: 1}
	g.notes = nil
	g.vote(2, proto.Looking, had)
	if len(g.notes) == 0 {
		t.Fatal("it says nothing")
	}
	for _, n := range g.notes {
		if v := n.N.Vote; v.Leader != 1 || v.Zxid != z(1, 1) || v.ElectionEpoch <= had.ElectionEpoch {
			t.Errorf("it votes %+v", v)
		}
	}
	round := g.p.election.round
	g.vote(3, proto.Looking, had) // late
	if g.p.Role() != proto.Looking || g.p.election.round != round {
		t.Errorf("role %v, round %d after %d", g.p.Role(), g.p.election.round, round)
	}
	g.vote(2, proto.Looking, g.p.election.proposal)
	g.now += 500
	g.p.Tick(g.now)
	if g.p.Role() != proto.Leading {
		t.Errorf("role %v when the others know better", g.p.Role())
	}
}
