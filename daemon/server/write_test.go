package server

import (
	"errors"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/zab"
)

// broken is a log of which everything fails but appending.
type broken struct {
	*memLog
	err   error
	asked []any
}

func (b *broken) SetHardState(h store.HardState) error {
	b.asked = append(b.asked, h)
	return b.err
}

func (b *broken) TruncateAfter(zxid proto.Zxid) error {
	b.asked = append(b.asked, zxid)
	return b.err
}

func (b *broken) Healed() error {
	b.asked = append(b.asked, "healed")
	return b.err
}

// TestFailingWrites: a server that cannot cut its log, or write its epochs, ends; if it went on, there would
// be two histories. ZOOKEEPER-2247, 3701.
func TestFailingWrites(t *testing.T) {
	for _, c := range []struct {
		write zab.Write
		want  any
	}{
		{zab.Write{Kind: zab.WriteTruncate, Zxid: 7}, proto.Zxid(7)},
		{zab.Write{Kind: zab.WriteHard, Hard: zab.HardState{Accepted: 3, Current: 2}}, store.HardState{AcceptedEpoch: 3, CurrentEpoch: 2}},
		{zab.Write{Kind: zab.WriteHealed}, "healed"},
	} {
		b := &broken{err: errors.New("input/output error")}
		r := newRig(t, Options{}, func(r *rig) { b.memLog, r.s.log.store = r.log, b })
		if r.s.perform(&work{Write: c.write}) {
			t.Errorf("%v: it goes on", c.want)
		}
		if len(b.asked) != 1 || b.asked[0] != c.want {
			t.Errorf("asked for %v, want %v", b.asked, c.want)
		}
		r.until("the server ends", func() bool {
			select {
			case <-r.ended:
				return true
			default:
				return false
			}
		})
		if !errors.Is(r.err, b.err) {
			t.Errorf("%v: Run returned %v", c.want, r.err)
		}
	}
}
