package zab

import (
	"fmt"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
)

// Scripts for faults that Apache's servers had, by the numbers of their tickets; see
// docs/robustness.md. More of them are in zab_test.go.

// voteNow has a peer that has lost its leader finish its writes and vote.
func (g *rig) voteNow() proto.Vote {
	g.t.Helper()
	for len(g.notes) == 0 && g.now < 100_000 {
		g.durable(1)
		g.now += 100
		g.p.Tick(g.now)
		g.take()
	}
	if len(g.notes) == 0 {
		g.t.Fatal("no vote")
	}
	return g.notes[0].N.Vote
}

// elect has server 2 vote as the peer does until that leads.
func (g *rig) elect() {
	g.t.Helper()
	for range 100 {
		if g.p.Role() == proto.Leading {
			return
		}
		g.vote(2, proto.Looking, g.p.election.proposal)
		g.now += 100
		g.p.Tick(g.now)
	}
	g.t.Fatalf("role %v", g.p.Role())
}

// TestDiffIsNoHistory: the zxid of a DIFF packet is the leader's, not this server's, until
// the transactions have come. ZOOKEEPER-2355.
func TestDiffIsNoHistory(t *testing.T) {
	g, l := followed(t, Recovered{Hard: HardState{1, 1}, Committed: z(1, 1)})
	g.packet(l, proto.PacketDiff, z(1, 4), nil)
	g.p.LinkDown(g.now, l, "test")
	g.notes = nil
	if v := g.voteNow(); v.Zxid != z(1, 1) {
		t.Errorf("it votes with %v", v.Zxid)
	}
}

// TestLogCountsUncommitted: what is logged counts, though nobody has said that it is
// committed, in votes as to the leader. ZOOKEEPER-2678, 2845, 1549, 2832.
func TestLogCountsUncommitted(t *testing.T) {
	g, l := followed(t, Recovered{Hard: HardState{1, 1}, Committed: z(1, 1), Suffix: logOf(z(1, 2), z(1, 3))})
	g.wants(l, fmt.Sprintf("ACKEPOCH(%v)", z(1, 3)))
	g.p.LinkDown(g.now, l, "test")
	g.notes = nil
	if v := g.voteNow(); v.Zxid != z(1, 3) || g.p.committed() != z(1, 1) {
		t.Errorf("it votes with %v, committed is %v", v.Zxid, g.p.committed())
	}
}

// TestSnapshotThatBreaksOff: a snapshot that is not followed by NEWLEADER leaves nothing
// behind, neither in memory nor on the disk. ZOOKEEPER-3642, 5094.
func TestSnapshotThatBreaksOff(t *testing.T) {
	g, l := followed(t, Recovered{Hard: HardState{1, 1}, Suffix: logOf(z(1, 1))})
	if !g.p.Snap(g.now, l, z(1, 9)) {
		t.Fatal("the snapshot was not taken")
	}
	g.packet(l, proto.PacketProposal, z(1, 10), txn(z(1, 10)))
	g.packet(l, proto.PacketCommit, z(1, 10), nil)
	g.p.LinkDown(g.now, l, "test")
	g.take()
	for _, w := range g.writes {
		t.Errorf("a write of kind %d", w.Kind)
	}
	g.notes = nil
	if v := g.voteNow(); v.Zxid != z(1, 1) || v.PeerEpoch != 1 {
		t.Errorf("it votes with %v of epoch %d", v.Zxid, v.PeerEpoch)
	}
}

// TestTruncationThatBreaksOff: after TRUNC what is cut is gone, and what came before the
// break is there, in the log as in the vote. ZOOKEEPER-5094.
func TestTruncationThatBreaksOff(t *testing.T) {
	g, l := followed(t, Recovered{Hard: HardState{1, 1}, Suffix: logOf(z(1, 1), z(1, 2), z(1, 3))})
	g.packet(l, proto.PacketTrunc, z(1, 1), nil)
	g.packet(l, proto.PacketProposal, z(2, 1), txn(z(2, 1)))
	g.packet(l, proto.PacketCommit, z(2, 1), nil)
	g.p.LinkDown(g.now, l, "test")
	g.take()
	if len(g.writes) < 2 || g.writes[0].Kind != WriteTruncate || g.writes[1].Kind != WriteLog {
		t.Fatalf("writes %+v", g.writes)
	}
	g.notes = nil
	if v := g.voteNow(); v.Zxid != z(2, 1) || g.p.committed() != 0 {
		t.Errorf("it votes with %v, committed is %v", v.Zxid, g.p.committed())
	}
}

// TestNewLeaderComesLast: nothing that a learner lacks is sent behind NEWLEADER, whichever
// way it is synchronized. ZOOKEEPER-3104.
func TestNewLeaderComesLast(t *testing.T) {
	for _, at := range []proto.Zxid{0, z(1, 2), z(2, 7), z(3, 9)} {
		g, l := led(t, members(t, 3, 0), Recovered{
			Hard: HardState{3, 3}, Committed: z(1, 1), Suffix: logOf(z(1, 2), z(3, 1), z(3, 2))})
		g.durable(1)
		g.out(l)
		g.ackEpoch(l, at, 2)
		g.durable(1)
		if got := g.out(l); !strings.HasSuffix(got, fmt.Sprintf("NEWLEADER(%v)", z(4, 0))) {
			t.Errorf("%v: sent %q", at, got)
		}
	}
}

// TestOldSynchronizationIsOver: what an earlier leader asked for and is written only now is
// not acknowledged to the next one. ZOOKEEPER-4712, 4541, 4409.
func TestOldSynchronizationIsOver(t *testing.T) {
	g, l := followed(t, Recovered{Hard: HardState{1, 1}})
	g.packet(l, proto.PacketDiff, 0, nil)
	g.packet(l, proto.PacketProposal, z(2, 1), txn(z(2, 1)))
	g.packet(l, proto.PacketNewLeader, z(2, 0), nil)
	g.p.LinkDown(g.now, l, "test")
	g.take()
	g.out(l)
	g.durable(9)
	g.wants(l, "")
	if g.p.Role() != proto.Looking || g.p.Serving() {
		t.Errorf("role %v, serving %v", g.p.Role(), g.p.Serving())
	}
}

// TestLedAfterFollowing: a server that was synchronized by DIFF and leads next has no hole
// in what it sends. ZOOKEEPER-4925.
func TestLedAfterFollowing(t *testing.T) {
	g, l := followed(t, Recovered{Hard: HardState{1, 1}, Suffix: logOf(z(1, 1))})
	g.packet(l, proto.PacketDiff, z(1, 3), nil)
	for _, at := range []proto.Zxid{z(1, 2), z(1, 3)} {
		g.packet(l, proto.PacketProposal, at, txn(at))
		g.packet(l, proto.PacketCommit, at, nil)
	}
	g.packet(l, proto.PacketNewLeader, z(2, 0), nil)
	g.durable(9)
	g.packet(l, proto.PacketUpToDate, -1, nil)
	g.packet(l, proto.PacketProposal, z(2, 1), txn(z(2, 1)))
	g.packet(l, proto.PacketCommit, z(2, 1), nil)
	g.durable(9)
	g.p.LinkDown(g.now, l, "test")
	g.voteNow()
	g.p.PeerUp(g.now, 2)
	g.elect()
	l = join(g, 2, proto.PacketFollowerInfo, 2)
	g.durable(1)
	g.ackEpoch(l, z(1, 1), 2)
	g.durable(1)
	got := g.out(l)
	for _, at := range []proto.Zxid{z(1, 2), z(1, 3), z(2, 1)} {
		if !strings.Contains(got, fmt.Sprintf("PROPOSAL(%v)", at)) {
			t.Errorf("%v is missing in %q", at, got)
		}
	}
}

// TestServingVotesCarryTheEpoch: a server that serves votes with the epoch in which it
// does, or a server that restarts would find no quorum. ZOOKEEPER-1732, 1805.
func TestServingVotesCarryTheEpoch(t *testing.T) {
	g, l := followed(t, Recovered{Hard: HardState{1, 1}})
	g.packet(l, proto.PacketDiff, 0, nil)
	g.packet(l, proto.PacketNewLeader, z(2, 0), nil)
	g.durable(9)
	g.packet(l, proto.PacketUpToDate, -1, nil)
	leader, other := led(t, members(t, 3, 0), Recovered{Hard: HardState{4, 4}})
	leader.durable(1)
	leader.ackEpoch(other, 0, 4)
	leader.durable(1)
	leader.packet(other, proto.PacketAck, z(5, 0), nil)
	for r, epoch := range map[*rig]int64{g: 2, leader: 5} {
		r.notes = nil
		r.vote(2, proto.Looking, proto.Vote{Leader: 2, ElectionEpoch: 9, PeerEpoch: 1})
		if len(r.notes) != 1 || r.notes[0].N.Vote.PeerEpoch != epoch {
			t.Errorf("epoch %d: answers %+v", epoch, r.notes)
		}
	}
}

// TestSettledVotesMayDiffer: those who follow and lead count for the same leader though
// their zxids and rounds are not the same. ZOOKEEPER-1818.
func TestSettledVotesMayDiffer(t *testing.T) {
	g := newRig(t, 1, members(t, 5, 0), Recovered{Hard: HardState{1, 1}})
	g.vote(5, proto.Leading, proto.Vote{Leader: 5, Zxid: z(1, 9), ElectionEpoch: 7, PeerEpoch: 2})
	g.vote(2, proto.Following, proto.Vote{Leader: 5, Zxid: z(1, 4), ElectionEpoch: 9, PeerEpoch: 2})
	g.vote(3, proto.Following, proto.Vote{Leader: 5, Zxid: z(2, 1), ElectionEpoch: 3, PeerEpoch: 2})
	if g.p.Role() != proto.Following || g.dial != 5 {
		t.Errorf("role %v, follows %d", g.p.Role(), g.dial)
	}
}

// TestLeaderMustSayItLeads: votes for somebody who does not say so himself elect nobody,
// and neither does what he said in another round. ZOOKEEPER-3537.
func TestLeaderMustSayItLeads(t *testing.T) {
	g := newRig(t, 1, members(t, 5, 0), Recovered{Hard: HardState{1, 1}})
	round := g.p.election.round
	g.vote(5, proto.Leading, proto.Vote{Leader: 5, ElectionEpoch: round + 4, PeerEpoch: 1})
	v := proto.Vote{Leader: 5, ElectionEpoch: round, PeerEpoch: 2}
	g.p.election.outside = make([]heardVote, len(g.p.ids))
	for id := int64(2); id <= 4; id++ {
		g.vote(id, proto.Following, v)
	}
	if g.p.Role() != proto.Looking {
		t.Errorf("role %v", g.p.Role())
	}
}

// TestEpochAboveAllAccepted: the new epoch is above every one that a voter of the quorum
// has accepted. ZOOKEEPER-335, 1081.
func TestEpochAboveAllAccepted(t *testing.T) {
	g := newRig(t, 3, members(t, 3, 0), Recovered{Hard: HardState{2, 2}})
	g.p.PeerUp(g.now, 2)
	g.vote(2, proto.Looking, g.p.election.proposal)
	l := join(g, 2, proto.PacketFollowerInfo, 9)
	g.wants(l, "") // the epoch is not on the disk yet
	g.durable(1)
	g.wants(l, fmt.Sprintf("LEADERINFO(%v)", z(10, 0)))
	if g.p.hard.Accepted != 10 {
		t.Errorf("accepted %d", g.p.hard.Accepted)
	}
}

// TestLongerLogOfTheAbsent: one who had more when it went away has exactly that cut off.
// ZOOKEEPER-1154, 1156.
func TestLongerLogOfTheAbsent(t *testing.T) {
	g, l2 := led(t, members(t, 3, 0), Recovered{Hard: HardState{4, 4}, Suffix: logOf(z(4, 1), z(4, 2))})
	g.durable(1)
	g.ackEpoch(l2, z(4, 2), 4)
	g.durable(1)
	g.packet(l2, proto.PacketAck, z(5, 0), nil)
	g.p.Propose(&proto.Txn{TxnHeader: proto.TxnHeader{Zxid: z(5, 1), Type: proto.OpError}})
	g.durable(1)
	g.packet(l2, proto.PacketAck, z(5, 1), nil)
	l1 := join(g, 1, proto.PacketFollowerInfo, 4)
	g.ackEpoch(l1, z(4, 7), 4)
	want := fmt.Sprintf("TRUNC(%v) PROPOSAL(%v) COMMIT(%v) NEWLEADER(%v)", z(4, 2), z(5, 1), z(5, 1), z(5, 0))
	if got := g.out(l1); !strings.HasSuffix(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
}

// TestOnlyCommittedHistoryFromTheLog: what is served from the log ends where the memory
// begins, and all of it is committed. ZOOKEEPER-2846, 3526, 4352.
func TestOnlyCommittedHistoryFromTheLog(t *testing.T) {
	for _, committed := range []proto.Zxid{0, z(1, 5)} {
		g, l := led(t, members(t, 3, 0), Recovered{Hard: HardState{2, 2}, Committed: committed, Suffix: logOf(z(2, 1))})
		g.durable(1)
		g.out(l)
		g.ackEpoch(l, 0, 1)
		g.durable(1)
		want := fmt.Sprintf("BULK1(%v,%v)", proto.Zxid(0), committed)
		if committed == 0 {
			want = "DIFF"
		}
		if got := g.out(l); !strings.HasPrefix(got, want) {
			t.Errorf("committed %v: sent %q", committed, got)
		}
	}
}

// TestVoterThatHasPassedTheLeader: a voter that has accepted a later epoch, of a leader
// that came to nothing, could not follow; so the leader begins a later epoch still.
func TestVoterThatHasPassedTheLeader(t *testing.T) {
	g, l := led(t, members(t, 3, 1), Recovered{Hard: HardState{4, 4}})
	g.durable(1)
	g.ackEpoch(l, 0, 4)
	g.durable(1)
	g.packet(l, proto.PacketAck, z(5, 0), nil)
	join(g, 4, proto.PacketObserverInfo, 9)
	if !g.p.Leads() {
		t.Fatal("an observer ended the leadership")
	}
	join(g, 1, proto.PacketFollowerInfo, 9)
	if g.p.Role() != proto.Looking {
		t.Fatalf("role %v", g.p.Role())
	}
	g.elect()
	l = join(g, 2, proto.PacketFollowerInfo, 5)
	g.durable(1)
	g.wants(l, fmt.Sprintf("LEADERINFO(%v)", z(10, 0)))
}
