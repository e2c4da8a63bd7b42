package zab

import (
	"fmt"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/ensemble"
	"github.com/zkd-project/zkd/daemon/jute"
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

// followed brings server 1 of three to follow 3, up to where DIFF, TRUNC or SNAP is due.
func followed(t *testing.T, r Recovered) (*rig, *Link) {
	t.Helper()
	g := newRig(t, 1, members(t, 3, 0), r)
	v := proto.Vote{Leader: 3, Zxid: z(1, 9), ElectionEpoch: 1, PeerEpoch: 1}
	g.vote(3, proto.Leading, v)
	g.vote(2, proto.Following, v)
	if g.dial != 3 || g.p.Role() != proto.Following {
		t.Fatalf("role %v, dials %d", g.p.Role(), g.dial)
	}
	l := &Link{}
	g.p.LinkUp(g.now, l, true)
	g.wants(l, fmt.Sprintf("FOLLOWERINFO(%v)", proto.Zxid(r.Hard.Accepted<<32)))
	g.packet(l, proto.PacketLeaderInfo, z(2, 0), jute.AppendInt(nil, proto.LearnerVersion))
	g.wants(l, "") // the accepted epoch is not on disk yet
	if kinds := g.durable(1); len(kinds) != 1 || kinds[0] != WriteHard {
		t.Fatalf("wrote %v", kinds)
	}
	return g, l
}

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

// TestNewLeaderIsAcknowledgedLast: history, then the epoch, then the ACK, each durable.
// Guards against ZOOKEEPER-3911, 4643, 4646 and 4785.
func TestNewLeaderIsAcknowledgedLast(t *testing.T) {
	g, l := followed(t, Recovered{Hard: HardState{1, 1}, Suffix: logOf(z(1, 1))})
	g.wants(l, fmt.Sprintf("ACKEPOCH(%v)", z(1, 1)))
	g.packet(l, proto.PacketDiff, z(1, 2), nil)
	g.packet(l, proto.PacketProposal, z(1, 2), txn(z(1, 2)))
	g.packet(l, proto.PacketCommit, z(1, 2), nil)
	g.packet(l, proto.PacketNewLeader, z(2, 0), nil)
	g.wants(l, "")
	if kinds := g.durable(1); len(kinds) != 1 || kinds[0] != WriteLog {
		t.Fatalf("wrote %v first", kinds)
	}
	g.wants(l, "")
	if kinds := g.durable(1); len(kinds) != 1 || kinds[0] != WriteHard || g.p.hard.Current != 2 {
		t.Fatalf("wrote %v, current epoch %d", kinds, g.p.hard.Current)
	}
	g.wants(l, fmt.Sprintf("ACK(%v)", z(2, 0)))
	if g.p.committed() != 0 || g.p.Serving() {
		t.Fatal("a commit was believed before UPTODATE")
	}
	g.packet(l, proto.PacketUpToDate, -1, nil)
	g.wants(l, fmt.Sprintf("ACK(%v)", z(2, 0)))
	if g.p.committed() != z(1, 2) || !g.p.Serving() {
		t.Fatalf("committed %v, serving %v", g.p.committed(), g.p.Serving())
	}
}

// TestCommitBetweenNewLeaderAndUpToDate: ZOOKEEPER-4394.
func TestCommitBetweenNewLeaderAndUpToDate(t *testing.T) {
	g, l := followed(t, Recovered{Hard: HardState{1, 1}})
	g.packet(l, proto.PacketDiff, 0, nil)
	g.packet(l, proto.PacketProposal, z(2, 1), txn(z(2, 1)))
	g.packet(l, proto.PacketNewLeader, z(2, 0), nil)
	g.packet(l, proto.PacketCommit, z(2, 1), nil)
	g.durable(9)
	g.out(l)
	g.packet(l, proto.PacketUpToDate, -1, nil)
	if g.p.committed() != z(2, 1) {
		t.Errorf("committed %v", g.p.committed())
	}
}

// TestAcksInOrder: a proposal is acknowledged when it is on disk, not before, and never
// before NEWLEADER is. ZOOKEEPER-4685.
func TestAcksInOrder(t *testing.T) {
	g, l := followed(t, Recovered{Hard: HardState{1, 1}})
	g.out(l)
	g.packet(l, proto.PacketDiff, 0, nil)
	g.packet(l, proto.PacketProposal, z(2, 1), txn(z(2, 1)))
	g.packet(l, proto.PacketNewLeader, z(2, 0), nil)
	g.packet(l, proto.PacketProposal, z(2, 2), txn(z(2, 2)))
	g.durable(1)
	g.wants(l, "")
	g.durable(1)
	g.wants(l, fmt.Sprintf("ACK(%v) ACK(%v)", z(2, 0), z(2, 1)))
	g.durable(1)
	g.wants(l, fmt.Sprintf("ACK(%v)", z(2, 2)))
}

// TestTruncate cuts what the leader does not have, and only that.
func TestTruncate(t *testing.T) {
	g, l := followed(t, Recovered{Hard: HardState{1, 1}, Suffix: logOf(z(1, 1), z(1, 2), z(1, 3))})
	g.packet(l, proto.PacketTrunc, z(1, 2), nil)
	if g.p.last() != z(1, 2) {
		t.Fatalf("the history ends at %v", g.p.last())
	}
	g.packet(l, proto.PacketNewLeader, z(2, 0), nil)
	if kinds := g.durable(2); len(kinds) != 2 || kinds[0] != WriteTruncate || kinds[1] != WriteHard {
		t.Errorf("wrote %v", kinds)
	}
}

// TestTruncateBelowTheTree has a leader cut off what cannot be cut off: everything is asked
// for anew, of the same leader and without an election. ZOOKEEPER-4837.
func TestTruncateBelowTheTree(t *testing.T) {
	g, l := followed(t, Recovered{Hard: HardState{1, 1}, Committed: z(1, 5)})
	g.out(l)
	g.packet(l, proto.PacketTrunc, z(1, 4), nil)
	if g.p.Role() != proto.Following || g.p.last() != z(1, 5) {
		t.Fatalf("role %v, history to %v", g.p.Role(), g.p.last())
	}
	if got := g.out(l); !strings.HasPrefix(got, "closed: history cannot be cut") {
		t.Errorf("the first link: %s", got)
	}
	l = &Link{}
	g.p.LinkUp(g.now, l, true)
	g.packet(l, proto.PacketLeaderInfo, z(2, 0), jute.AppendInt(nil, proto.LearnerVersion))
	g.wants(l, fmt.Sprintf("FOLLOWERINFO(%v) ACKEPOCH(%v)", z(2, 0), proto.Zxid(-1)))
	g.packet(l, proto.PacketTrunc, z(1, 4), nil)
	if g.p.Role() != proto.Looking {
		t.Errorf("role %v after a leader that does not send a snapshot", g.p.Role())
	}
}

func TestEpochsOfTheLeader(t *testing.T) {
	for epoch, want := range map[uint32]string{3: "", 4: fmt.Sprintf("ACKEPOCH(%v)", z(1, 1)), 5: ""} {
		g := newRig(t, 1, members(t, 3, 0), Recovered{Hard: HardState{4, 1}, Suffix: logOf(z(1, 1))})
		v := proto.Vote{Leader: 3, ElectionEpoch: 1, PeerEpoch: 4}
		g.vote(3, proto.Leading, v)
		g.vote(2, proto.Following, v)
		l := &Link{}
		g.p.LinkUp(g.now, l, true)
		g.out(l)
		g.packet(l, proto.PacketLeaderInfo, z(epoch, 0), jute.AppendInt(nil, proto.LearnerVersion))
		got := g.out(l)
		if epoch == 3 && !strings.HasPrefix(got, "closed: ") || epoch != 3 && got != want {
			t.Errorf("epoch %d: sent %q, want %q", epoch, got, want)
		}
	}
}

func TestHole(t *testing.T) {
	g, l := followed(t, Recovered{Hard: HardState{1, 1}, Suffix: logOf(z(1, 1))})
	g.packet(l, proto.PacketDiff, z(1, 3), nil)
	g.packet(l, proto.PacketProposal, z(1, 3), txn(z(1, 3)))
	if g.p.Role() != proto.Looking {
		t.Error("a hole in the history was taken")
	}
}

// led brings server 3 of a list to lead, with a link from server 2 that has said who it is.
func led(t *testing.T, c *ensemble.Config, r Recovered) (*rig, *Link) {
	t.Helper()
	g := newRig(t, 3, c, r)
	g.p.PeerUp(g.now, 2)
	v := g.p.election.proposal
	g.vote(2, proto.Looking, v)
	if g.p.Role() != proto.Leading {
		t.Fatalf("role %v", g.p.Role())
	}
	return g, join(g, 2, proto.PacketFollowerInfo, r.Hard.Accepted)
}

func join(g *rig, id int64, kind proto.PacketType, accepted int64) *Link {
	l := &Link{}
	g.p.LinkUp(g.now, l, false)
	info := proto.LearnerInfo{ID: id, Version: proto.LearnerVersion}
	g.packet(l, kind, proto.Zxid(accepted<<32), info.Append(nil))
	return l
}

func (g *rig) ackEpoch(l *Link, zxid proto.Zxid, current int32) {
	g.packet(l, proto.PacketAckEpoch, zxid, jute.AppendInt(nil, current))
}

// TestLeaderActivation walks a leader through its stages; each waits for the disk.
func TestLeaderActivation(t *testing.T) {
	g, l := led(t, members(t, 3, 0), Recovered{Hard: HardState{4, 4}, Suffix: logOf(z(4, 1))})
	g.wants(l, "")
	g.durable(1)
	g.wants(l, fmt.Sprintf("LEADERINFO(%v)", z(5, 0)))
	g.ackEpoch(l, 0, 4)
	g.wants(l, "")
	g.durable(1)
	g.wants(l, fmt.Sprintf("DIFF(%v) PROPOSAL(%v) COMMIT(%v) NEWLEADER(%v)", z(4, 1), z(4, 1), z(4, 1), z(5, 0)))
	g.packet(l, proto.PacketAck, z(4, 1), nil) // as some releases do; it is not the ACK of NEWLEADER
	if g.p.Serving() {
		t.Fatal("serves without an acknowledgement")
	}
	g.packet(l, proto.PacketAck, z(5, 0), nil)
	g.wants(l, fmt.Sprintf("UPTODATE(%v)", proto.Zxid(-1)))
	if !g.p.Leads() || g.p.committed() != z(4, 1) {
		t.Fatalf("leads %v, committed %v", g.p.Leads(), g.p.committed())
	}
	next, _ := g.p.NextZxid()
	if next != z(5, 1) {
		t.Errorf("the next zxid is %v", next)
	}
	g.p.Propose(&proto.Txn{TxnHeader: proto.TxnHeader{Zxid: next, Type: proto.OpError}})
	g.wants(l, fmt.Sprintf("PROPOSAL(%v)", next))
	g.packet(l, proto.PacketAck, next, nil)
	g.wants(l, "") // not on the leader's own disk yet, so no quorum
	g.durable(1)
	g.wants(l, fmt.Sprintf("COMMIT(%v)", next))
}

// TestCommitsWaitForUpToDate: an active leader tells a learner that synchronizes of new
// proposals at once, and of their commits after UPTODATE. ZOOKEEPER-4394.
func TestCommitsWaitForUpToDate(t *testing.T) {
	g, l2 := led(t, members(t, 3, 0), Recovered{Hard: HardState{4, 4}})
	g.durable(1)
	g.ackEpoch(l2, 0, 4)
	g.durable(1)
	g.packet(l2, proto.PacketAck, z(5, 0), nil)
	l1 := join(g, 1, proto.PacketFollowerInfo, 4)
	g.ackEpoch(l1, 0, 4)
	g.out(l1)
	g.p.Propose(&proto.Txn{TxnHeader: proto.TxnHeader{Zxid: z(5, 1), Type: proto.OpError}})
	g.packet(l2, proto.PacketAck, z(5, 1), nil)
	g.durable(1)
	if g.p.committed() != z(5, 1) {
		t.Fatalf("committed %v", g.p.committed())
	}
	g.wants(l1, fmt.Sprintf("PROPOSAL(%v)", z(5, 1)))
	g.packet(l1, proto.PacketAck, z(5, 0), nil)
	g.wants(l1, fmt.Sprintf("UPTODATE(%v) COMMIT(%v)", proto.Zxid(-1), z(5, 1)))
}

// TestObserversDoNotCount: ZOOKEEPER-2959.
func TestObserversDoNotCount(t *testing.T) {
	c := members(t, 3, 2)
	g := newRig(t, 3, c, Recovered{})
	g.vote(4, proto.Looking, g.p.election.proposal)
	g.vote(5, proto.Looking, g.p.election.proposal)
	g.now += 1000
	g.p.Tick(g.now)
	if g.p.Role() != proto.Looking {
		t.Fatal("observers elected a leader")
	}
	g.vote(2, proto.Looking, g.p.election.proposal)
	for g.p.Role() == proto.Looking {
		g.now += 100
		g.p.Tick(g.now)
	}
	join(g, 4, proto.PacketObserverInfo, 0)
	join(g, 5, proto.PacketObserverInfo, 0)
	if g.p.leading.epoch != 0 {
		t.Error("observers were counted for the epoch")
	}
}

// TestMoreRecentLearner: a leader does not overwrite a history that is more recent.
func TestMoreRecentLearner(t *testing.T) {
	g, l := led(t, members(t, 3, 0), Recovered{Hard: HardState{4, 4}, Suffix: logOf(z(4, 1))})
	g.durable(1)
	g.out(l)
	g.ackEpoch(l, z(4, 2), 4)
	if got := g.out(l); !strings.Contains(got, "more recent") {
		t.Errorf("sent %q", got)
	}
}

// TestSyncDecision holds which packet begins the synchronization of a learner whose
// history ends at a zxid.
func TestSyncDecision(t *testing.T) {
	h := logOf(z(1, 2), z(1, 3), z(3, 1), z(3, 2))
	for at, want := range map[proto.Zxid]string{
		z(3, 2): "DIFF", z(1, 3): "DIFF", z(1, 1): "DIFF", z(3, 0): "DIFF", z(4, 0): "DIFF",
		z(1, 9): "TRUNC(" + z(1, 3).String() + ")", z(3, 3): "TRUNC(" + z(3, 2).String() + ")",
		z(2, 7): fmt.Sprintf("BULK0(%v,%v)", z(2, 7), z(4, 0)), // of an epoch that the leader has nothing of
		z(2, 0): fmt.Sprintf("BULK0(%v,%v)", z(2, 0), z(4, 0)), // of a leader that may never have been confirmed
		0:       fmt.Sprintf("BULK1(%v,%v)", proto.Zxid(0), z(1, 1)),
	} {
		g, l := led(t, members(t, 3, 0), Recovered{Hard: HardState{3, 3}, Committed: z(1, 1), Suffix: h})
		g.durable(1)
		g.out(l)
		g.ackEpoch(l, at, 2)
		g.durable(1)
		got := g.out(l)
		if !strings.HasPrefix(got, want) || !strings.HasSuffix(got, fmt.Sprintf("NEWLEADER(%v)", z(4, 0))) {
			t.Errorf("%v: sent %q, want %q first", at, got, want)
		}
	}
}

// TestLearnerThatWasOnItsOwn: zxids of servers that were on their own are equal by chance.
func TestLearnerThatWasOnItsOwn(t *testing.T) {
	for at, want := range map[proto.Zxid]string{
		0: "DIFF", z(0, 1): "BULK0", z(0, 2): "BULK0", z(0, 3): "BULK0",
	} {
		g, l := led(t, members(t, 3, 0), Recovered{Suffix: logOf(z(0, 1), z(0, 2), z(0, 3))})
		g.durable(1)
		g.out(l)
		g.ackEpoch(l, at, 0)
		g.durable(1)
		if got := g.out(l); !strings.HasPrefix(got, want) {
			t.Errorf("%v: sent %q, want %q first", at, got, want)
		}
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

// TestCounterEnds: the last zxid of an epoch is not passed. ZOOKEEPER-1277.
func TestCounterEnds(t *testing.T) {
	g, l := led(t, members(t, 3, 0), Recovered{Hard: HardState{4, 4}})
	g.durable(1)
	g.ackEpoch(l, 0, 4)
	g.durable(1)
	g.packet(l, proto.PacketAck, z(5, 0), nil)
	g.p.Propose(&proto.Txn{TxnHeader: proto.TxnHeader{Zxid: z(5, 1<<32-1), Type: proto.OpError}})
	if next, ok := g.p.NextZxid(); ok {
		t.Errorf("after the last zxid comes %v", next)
	}
}

// TestLeaderWhoseDiskStands: a leader that cannot write leads on as long as it is needed,
// and leaves to others that do without it.
func TestLeaderWhoseDiskStands(t *testing.T) {
	g, l2 := led(t, members(t, 3, 0), Recovered{Hard: HardState{4, 4}})
	g.durable(1)
	g.ackEpoch(l2, 0, 4)
	g.durable(1)
	g.packet(l2, proto.PacketAck, z(5, 0), nil)
	l1 := join(g, 1, proto.PacketFollowerInfo, 4)
	g.ackEpoch(l1, 0, 4)
	g.packet(l1, proto.PacketAck, z(5, 0), nil)
	g.p.Propose(&proto.Txn{TxnHeader: proto.TxnHeader{Zxid: z(5, 1), Type: proto.OpError}})
	pass := func(ms int) {
		for ; ms > 0; ms -= 500 {
			g.now += 500
			g.packet(l1, proto.PacketPing, 0, nil)
			g.packet(l2, proto.PacketPing, 0, nil)
			g.p.Tick(g.now)
			g.take()
		}
	}
	g.packet(l2, proto.PacketAck, z(5, 1), nil)
	pass(4000)
	g.packet(l1, proto.PacketAck, z(5, 1), nil)
	if g.p.committed() != z(5, 1) {
		t.Fatalf("committed %v", g.p.committed())
	}
	g.durable(1) // just in time
	g.p.Propose(&proto.Txn{TxnHeader: proto.TxnHeader{Zxid: z(5, 2), Type: proto.OpError}})
	g.packet(l2, proto.PacketAck, z(5, 2), nil)
	pass(4500)
	g.packet(l1, proto.PacketAck, z(5, 2), nil)
	if !g.p.Leads() {
		t.Fatal("has left early")
	}
	pass(2000)
	if g.p.Leads() {
		t.Fatal("leads on")
	}
	if !strings.Contains(g.out(l1), "closed: the own disk takes no writes") {
		t.Error("a follower is not told")
	}
}

// TestLeaderWhoseDiskStandsIsNeeded: without it there would be no quorum.
func TestLeaderWhoseDiskStandsIsNeeded(t *testing.T) {
	g, l2 := led(t, members(t, 3, 0), Recovered{Hard: HardState{4, 4}})
	g.durable(1)
	g.ackEpoch(l2, 0, 4)
	g.durable(1)
	g.packet(l2, proto.PacketAck, z(5, 0), nil)
	g.p.Propose(&proto.Txn{TxnHeader: proto.TxnHeader{Zxid: z(5, 1), Type: proto.OpError}})
	g.packet(l2, proto.PacketAck, z(5, 1), nil)
	for range 20 {
		g.now += 500
		g.packet(l2, proto.PacketPing, 0, nil)
		g.p.Tick(g.now)
		g.take()
	}
	if !g.p.Leads() {
		t.Fatal("has left, and nobody can do without it")
	}
}

// TestSyncBetweenCommits: a sync is answered before the commit of what was proposed later,
// though both are committed in one step.
func TestSyncBetweenCommits(t *testing.T) {
	g, l := led(t, members(t, 3, 0), Recovered{Hard: HardState{4, 4}})
	g.durable(1)
	g.ackEpoch(l, 0, 4)
	g.durable(1)
	g.packet(l, proto.PacketAck, z(5, 0), nil)
	g.p.Propose(&proto.Txn{TxnHeader: proto.TxnHeader{Zxid: z(5, 1), Type: proto.OpError}})
	g.p.SyncAfter(l, z(5, 1))
	g.p.Propose(&proto.Txn{TxnHeader: proto.TxnHeader{Zxid: z(5, 2), Type: proto.OpError}})
	g.packet(l, proto.PacketAck, z(5, 2), nil)
	g.out(l)
	g.durable(2)
	g.wants(l, fmt.Sprintf("COMMIT(%v) SYNC(%v) COMMIT(%v)", z(5, 1), proto.Zxid(0), z(5, 2)))
	g.p.SyncAfter(l, z(5, 2))
	g.wants(l, fmt.Sprintf("SYNC(%v)", proto.Zxid(0)))
}
