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
	idleMinimum = 10       // seconds between two times
)

// paceGC keeps the memory that waits to be collected within bounds: GOGC alone would let
// a tree of a gigabyte grow to two. It is cheap to collect often, since the tree has next
// to no pointers.
func (s *Server) paceGC() {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
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
		if second%idleMinimum == 0 && sample[1].Value.Uint64() > idleMemory {
			debug.FreeOSMemory()
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
