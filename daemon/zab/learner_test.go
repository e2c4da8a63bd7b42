package zab

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

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

// TestHole: history with a hole is not taken, neither behind this server's own nor behind a snapshot.
func TestHole(t *testing.T) {
	for _, snap := range []bool{false, true} {
		g, l := followed(t, Recovered{Hard: HardState{1, 1}, Suffix: logOf(z(1, 1))})
		if !snap {
			g.packet(l, proto.PacketDiff, z(1, 3), nil)
		} else if !g.p.Snap(g.now, l, z(1, 5)) {
			t.Fatal("the snapshot was not taken")
		}
		g.packet(l, proto.PacketProposal, z(1, 2), txn(z(1, 2)))
		g.packet(l, proto.PacketProposal, z(1, 4), txn(z(1, 4)))
		if g.p.Role() != proto.Looking {
			t.Errorf("snapshot %v: a hole in the history was taken", snap)
		}
	}
}

// TestPausesBetweenFailures: who fails to be synchronized again and again does not come back at once.
func TestPausesBetweenFailures(t *testing.T) {
	g, l := followed(t, Recovered{Hard: HardState{1, 1}})
	var pauses []proto.Millis
	for range 9 {
		g.notes = nil
		g.p.LinkDown(g.now, l, "test")
		g.take()
		start := g.now
		for ; len(g.notes) == 0; g.take() {
			g.now += 10
			g.p.Tick(g.now)
		}
		pauses = append(pauses, g.now-start)
		v := proto.Vote{Leader: 3, Zxid: z(1, 9), ElectionEpoch: 1, PeerEpoch: 1}
		g.vote(3, proto.Leading, v)
		g.vote(2, proto.Following, v)
		l = &Link{}
		g.p.LinkUp(g.now, l, true)
		g.take()
	}
	if !slices.IsSorted(pauses) || pauses[0] != 0 || pauses[len(pauses)-1] != lastPause {
		t.Errorf("pauses %v", pauses)
	}
}
