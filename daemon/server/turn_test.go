package server

import (
	"bytes"
	"testing"
	"time"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
)

// laborious is a replica that takes a millisecond for each request.
type laborious struct{ stepper }

func (l laborious) Input(now replica.Now, c *replica.Conn, frame []byte) {
	time.Sleep(time.Millisecond)
	l.stepper.Input(now, c, frame)
}

// TestTurns: what else the server has to do does not wait for all requests of a connection.
func TestTurns(t *testing.T) {
	r := newRig(t, Options{}, func(r *rig) {
		r.s.step.replica = laborious{r.replica}
		r.s.opts.Ports.Pollers = 1
	})
	busy, other := r.user(), r.user()
	const many = 1500
	busy.send(bytes.Repeat(framed(request(proto.XidPing, proto.OpPing)), many))
	other.send(framed(request(1, proto.OpPing)))
	r.until("the requests are being answered", func() bool { return r.replica.inputs.Load() > 10 })
	for _, what := range []struct {
		name string
		do   func()
	}{
		{"a step of the server's own", func() { r.s.hold(func() {}) }},
		{"a request of another client", func() { other.frame() }},
	} {
		start := time.Now()
		if what.do(); time.Since(start) > 700*time.Millisecond {
			t.Errorf("%s waited for %v", what.name, time.Since(start))
		}
	}
	for range many {
		busy.frame()
	}
	r.until("no connection rests, also none that has made room behind its last request", func() (none bool) {
		r.s.hold(func() { none = len(r.s.step.resting) == 0 })
		return none
	})
}
