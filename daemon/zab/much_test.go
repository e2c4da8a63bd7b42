package zab

import (
	"fmt"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
)

// TestMuchHistory: what a learner lacks is copied from memory while it is little. More comes from the
// log, but for what is not committed.
func TestMuchHistory(t *testing.T) {
	g, l2 := led(t, members(t, 3, 0), Recovered{Hard: HardState{4, 4}})
	g.p.cfg.WindowTxns, g.p.cfg.WindowBytes = 100, 64<<20
	g.durable(1)
	g.ackEpoch(l2, 0, 4)
	g.durable(1)
	g.packet(l2, proto.PacketAck, z(5, 0), nil)
	const txns = 5
	for i := range uint32(txns) {
		g.p.Propose(&proto.Txn{
			TxnHeader: proto.TxnHeader{Zxid: z(5, i+1), Type: proto.OpCreate}, Path: []byte("/a"), Data: make([]byte, maxCopied/3),
		})
	}
	g.packet(l2, proto.PacketAck, z(5, txns-1), nil)
	g.durable(1)
	committed := z(5, txns-1)
	if g.p.committed() != committed {
		t.Fatalf("committed %v", g.p.committed())
	}
	for at, want := range map[proto.Zxid]string{
		z(5, 1): fmt.Sprintf("BULK1(%v,%v) PROPOSAL(%v) NEWLEADER", z(5, 1), committed, z(5, txns)),
		z(5, 2): fmt.Sprintf("DIFF(%v) PROPOSAL(%v) COMMIT(%v) PROPOSAL(%v)", committed, z(5, 3), z(5, 3), z(5, 4)),
		z(5, 4): fmt.Sprintf("DIFF(%v) PROPOSAL(%v) NEWLEADER", committed, z(5, txns)),
	} {
		l := join(g, 1, proto.PacketFollowerInfo, 5)
		g.ackEpoch(l, at, 4)
		if got := g.out(l); !strings.Contains(got, want) {
			t.Errorf("%v: sent %q, want %q", at, got, want)
		}
	}
}
