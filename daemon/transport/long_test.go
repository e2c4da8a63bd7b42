package transport

import (
	"errors"
	"io"
	"math"
	"testing"
	"time"

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
		if p.Type == proto.PacketSnap {
			return used, true, nil
		}
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

// TestProgressIsTold: what takes long to come or to go is told of meanwhile, or its ends would take
// each other for silent.
func TestProgressIsTold(t *testing.T) {
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
	h.await(t, "a link", func() bool { return len(h.links) == 1 })
	down := rb.links[0]
	const pieces = 12
	slowly := func(body []byte) {
		down.QueueBulk(func(w io.Writer) error {
			for i := range pieces {
				if _, err := w.Write(body[i*len(body)/pieces : (i+1)*len(body)/pieces]); err != nil {
					return err
				}
				time.Sleep(60 * time.Millisecond)
			}
			return nil
		})
		down.Flush()
	}
	// The buffer of what is sent is 256 KiB, so each piece is sent at once.
	slowly(proto.AppendPacket(nil, proto.PacketProposal, 1, make([]byte, pieces*300<<10)))
	h.await(t, "a long packet", func() bool { return len(h.got) == 1 })
	told(t, "a packet", rb, h.recorder)
	body := append(make([]byte, pieces*300<<10), '\n')
	slowly(append(proto.AppendPacket(nil, proto.PacketSnap, 2, nil), body...))
	h.await(t, "a snapshot", func() bool { return len(h.snaps) == 1 })
	told(t, "a snapshot", rb, h.recorder)
}

// told checks how often each end was told since the last time, and that it was not for each read or write.
func told(t *testing.T, what string, ends ...*recorder) {
	t.Helper()
	for _, r := range ends {
		r.locked(func() {
			if n := r.going[r.links[0]]; n < 3 || n > 40 {
				t.Errorf("%s: end %v was told %d times", what, r.links[0].Dialled(), n)
			}
			r.going = nil
		})
	}
}
