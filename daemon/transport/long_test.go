package transport

import (
	"errors"
	"math"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
)

// patient is a recorder that takes packets of any length, and counts their bytes.
type patient struct {
	*recorder
	bytes int
}

func (r *patient) Packets(_ *Link, b []byte) (used int, snap bool, err error) {
	for {
		var p proto.Packet
		n, err := p.Decode(b[used:], math.MaxInt)
		if errors.Is(err, proto.ErrShort) {
			return used, false, nil
		}
		if err != nil {
			return used, false, err
		}
		used += n
		r.locked(func() { r.got, r.bytes = append(r.got, p.Zxid), r.bytes+len(p.Data) })
	}
}

// TestLongPackets sends packets that are longer than any buffer is at first: how long they may be
// is for the handler to say.
func TestLongPackets(t *testing.T) {
	list := listOf(t, 1, 2)
	b, rb := run(t, Options{ID: 2, Ensemble: list})
	defer b.Close()
	h := &patient{recorder: &recorder{up: make(map[int64]bool)}}
	a, err := Listen(Options{ID: 1, Ensemble: list, Log: b.opts.Log}, h)
	if err != nil {
		t.Fatal(err)
	}
	a.Serve()
	defer a.Close()
	a.DialLeader(2, false)
	rb.await(t, "a link", func() bool { return len(rb.links) == 1 })
	sizes, total := []int{10, 70 << 20, 10, 1 << 20, 3 << 20, 10}, 0
	for i, n := range sizes {
		total += n
		rb.links[0].Queue(proto.AppendPacket(nil, proto.PacketProposal, proto.Zxid(i), make([]byte, n)))
		rb.links[0].Flush()
	}
	h.await(t, "all packets", func() bool { return len(h.got) == len(sizes) })
	if h.bytes != total {
		t.Errorf("%d bytes came, %d were sent", h.bytes, total)
	}
}
