//go:build interop

package interop

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/zkd-project/zkd/daemon/proto"
)

// TestEnsembleHistories kills, stops and restarts servers, leaders more often than others,
// under clients whose whole history is checked.
func TestEnsembleHistories(t *testing.T) {
	c := newCluster(t, "zkd", "zkd", "zkd")
	c.start()
	c.disturb(count("ROUNDS", 10))
}

// disturb does something bad to one server after the other.
func (c *cluster) disturb(rounds int) {
	l := c.load(9, proto.OpSync)
	var worst time.Duration
	for range rounds {
		time.Sleep(time.Duration(rand.IntN(600)) * time.Millisecond)
		victim := rand.IntN(len(c.servers))
		if rand.IntN(2) == 0 {
			victim = c.leader()
		}
		p := c.servers[victim]
		switch rand.IntN(3) {
		case 0:
			p.kill()
			time.Sleep(time.Duration(rand.IntN(800)) * time.Millisecond)
			p.launch()
		case 1:
			p.signal(syscall.SIGTERM)
			p.launch()
		default:
			p.cmd.Process.Signal(syscall.SIGSTOP)
			time.Sleep(time.Duration(rand.IntN(2500)) * time.Millisecond)
			p.cmd.Process.Signal(syscall.SIGCONT)
		}
		worst = max(worst, l.flows())
		c.awaitAll()
	}
	l.check()
	c.t.Logf("the longest time until all clients got writes answered again is %v", worst)
}

// TestEnsembleChecker has the check of histories refuse what it must.
func TestEnsembleChecker(t *testing.T) {
	op := func(call, end int64, in input, out output) porcupine.Operation {
		return porcupine.Operation{Input: in, Call: call, Output: out, Return: end}
	}
	create := op(0, 1, input{kind: kindCreate, value: "a"}, output{})
	lost := op(2, 3, input{kind: kindSet, value: "b", version: -1}, output{unknown: true})
	get := func(value string, version int32) porcupine.Operation {
		return op(4, 5, input{kind: kindGet}, output{value: value, version: version})
	}
	late := lost
	late.Return = 9
	for name, c := range map[string]struct {
		history []porcupine.Operation
		good    bool
	}{
		"plain":             {[]porcupine.Operation{create, get("a", 0)}, true},
		"a lost write":      {[]porcupine.Operation{create, op(4, 5, input{kind: kindGet}, output{code: proto.ErrNoNode})}, false},
		"unknown, done":     {[]porcupine.Operation{create, lost, get("b", 1)}, true},
		"unknown, not done": {[]porcupine.Operation{create, lost, get("a", 0)}, true},
		"half done":         {[]porcupine.Operation{create, lost, get("b", 0)}, false},
		"done too late": {[]porcupine.Operation{create, lost, get("a", 0),
			op(6, 7, input{kind: kindGet}, output{value: "b", version: 1})}, false},
		"done late": {[]porcupine.Operation{create, late, get("a", 0),
			op(6, 7, input{kind: kindGet}, output{value: "b", version: 1})}, true},
		"created twice": {[]porcupine.Operation{create, op(2, 3, input{kind: kindCreate, value: "b"}, output{})}, false},
	} {
		if got := porcupine.CheckOperations(znodes.ToModel(), c.history); got != c.good {
			t.Errorf("%s: %v", name, got)
		}
	}
}
