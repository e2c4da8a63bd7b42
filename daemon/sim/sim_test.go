package sim_test

import (
	"flag"
	"testing"

	"github.com/zkd-project/zkd/daemon/sim"
)

var (
	seeds = flag.Uint64("seeds", 60, "how many seeds to run")
	first = flag.Uint64("first", 1, "the first seed")
	trace = flag.Bool("trace", false, "print what happened in a run that fails")
)

// options shapes a seed's ensemble.
func options(seed uint64) sim.Options {
	o := sim.Options{Servers: 3, Clients: 3, Faulty: 15_000, Quiet: 20_000, Trace: *trace}
	o.Local = seed%4 == 0
	switch seed % 5 {
	case 1:
		o.Servers = 5
	case 2:
		o.Observers = 1
	case 3:
		o.Servers, o.Observers = 2, 1
	}
	return o
}

func TestSeeds(t *testing.T) {
	var acked, leaders, snaps int
	for seed := *first; seed < *first+*seeds; seed++ {
		r := sim.Run(seed, options(seed))
		if r.Err != nil {
			for _, line := range r.Trace {
				t.Log(line)
			}
			t.Fatalf("%v\nagain: go test ./daemon/sim -run TestSeeds -first %d -seeds 1 -trace -v", r, seed)
		}
		acked, leaders, snaps = acked+r.Acked, leaders+r.Leaders, snaps+r.Snaps
	}
	t.Logf("%d seeds from %d: %d leaders, %d snapshots, %d acknowledged writes", *seeds, *first, leaders, snaps, acked)
	if acked == 0 || leaders == 0 {
		t.Error("nothing happened")
	}
}

func TestSameSeedSameRun(t *testing.T) {
	for seed := uint64(1); seed < 4; seed++ {
		a, b := sim.Run(seed, options(seed)), sim.Run(seed, options(seed))
		if a.String() != b.String() {
			t.Errorf("%v\n%v", a, b)
		}
	}
}
