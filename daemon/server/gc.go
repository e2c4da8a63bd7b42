package server

import (
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	gcPeriod      = time.Second
	gcHeadroomMin = 8 << 20  // bytes that may become garbage before it is collected
	gcHeadroomMax = 64 << 20 // the same, for a large tree
	gcPercentMin  = 2
	gcPercentMax  = 400

	idleMemory  = 32 << 20 // free bytes from which memory is given back
	quietMemory = 4 << 20  // the same, while next to nothing is allocated
	idleMinimum = 10       // seconds between two times
)

// paceGC keeps the memory that waits to be collected within bounds: GOGC alone would let
// a tree of a gigabyte grow to two. It is cheap to collect often, since the tree has next
// to no pointers.
func (s *Server) paceGC() {
	sample := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/memory/classes/heap/objects:bytes"},
	}
	allocated := uint64(0) // when memory was last looked at
	tick := time.NewTicker(gcPeriod)
	defer tick.Stop()
	percent := 0
	for second := 1; ; second++ {
		metrics.Read(sample)
		if want := gcPercent(sample[0].Value.Uint64()); want*10 < percent*9 || want*9 > percent*10 {
			percent = want
			debug.SetGCPercent(want)
		}
		// What a load left behind is given back: the runtime itself takes its time over it.
		if second%idleMinimum == 0 {
			free, bound := sample[1].Value.Uint64(), uint64(idleMemory)
			if total := sample[2].Value.Uint64(); total-allocated < quietMemory {
				// Garbage may not have been found yet.
				free += sample[3].Value.Uint64() - min(sample[0].Value.Uint64(), sample[3].Value.Uint64())
				bound = quietMemory
			}
			allocated = sample[2].Value.Uint64()
			if free > bound {
				debug.FreeOSMemory()
			}
		}
		select {
		case <-s.stopped:
			return
		case <-tick.C:
		}
	}
}

// gcPercent is the GOGC for so many bytes of live heap.
func gcPercent(live uint64) int {
	live = max(live, 1<<20)
	headroom := min(max(live/16, gcHeadroomMin), gcHeadroomMax)
	return int(min(max(headroom*100/live, gcPercentMin), gcPercentMax))
}
