package sim_test

import (
	"flag"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/zkd-project/zkd/daemon/sim"
)

var (
	seeds = flag.Uint64("seeds", 100, "how many seeds to run")
	first = flag.Uint64("first", 1, "the first seed")
	local = flag.Bool("local", false, "the runs begin with local sessions")
	trace = flag.Bool("show", false, "print what happened in a run that fails")
)

// TestSeeds runs as many seeds at a time as -parallel says.
func TestSeeds(t *testing.T) {
	workers, err := strconv.Atoi(flag.Lookup("test.parallel").Value.String())
	if err != nil {
		t.Fatal(err)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(800)) // a run leaves little behind
	next, total := *first-1, sim.Report{}
	var mu sync.Mutex
	var failed atomic.Bool
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for !failed.Load() {
				seed := atomic.AddUint64(&next, 1)
				if seed >= *first+*seeds {
					return
				}
				r := sim.Run(seed, sim.Options{Trace: *trace, Local: *local})
				mu.Lock()
				total.Add(r)
				if r.Err != nil && !failed.Swap(true) {
					for _, line := range r.Trace {
						t.Log(line)
					}
					t.Errorf("%v\nagain: go test ./daemon/sim -v -run TestSeeds -first %d -seeds 1 -show", r, seed)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	t.Logf("%d seeds from %d: %v", *seeds, *first, total.Counts())
	if !failed.Load() && (total.Acked == 0 || total.Leaders == 0) {
		t.Error("nothing happened")
	}
}

func TestSameSeedSameRun(t *testing.T) {
	for seed := uint64(1); seed < 6; seed++ {
		a, b := sim.Run(seed, sim.Options{}), sim.Run(seed, sim.Options{})
		if a.String() != b.String() {
			t.Errorf("%v\n%v", a, b)
		}
	}
}
