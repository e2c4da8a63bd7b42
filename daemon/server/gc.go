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
	gcTimes       = 4        // collections in a second while much is allocated, up to that headroom
	gcPercentMin  = 2
	gcPercentMax  = 400

	idleMemory   = 32 << 20  // free bytes from which memory is given back
	quietMemory  = 4 << 20   // the same, while next to nothing is allocated
	quietRate    = 400 << 10 // bytes in a second that are next to nothing
	quietSeconds = 2         // in a row
	idleMinimum  = 10        // seconds between two times, but for the first one of a quiet while
)

// paceGC keeps the memory that waits to be collected within bounds: GOGC alone would let
// a tree of a gigabyte grow to two. It is cheap to collect often, since the tree has next
// to no pointers.
func (s *Server) paceGC() {
	sample := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/memory/classes/heap/objects:bytes"},
	}
	tick := time.NewTicker(gcPeriod)
	defer tick.Stop()
	percent, idle, before := 0, newIdleness(), uint64(0)
	for {
		metrics.Read(sample)
		live, allocated := sample[0].Value.Uint64(), sample[2].Value.Uint64()
		want := gcPercent(live, allocated-before)
		before = allocated
		if want*10 < percent*9 || want*9 > percent*10 {
			percent = want
			debug.SetGCPercent(want)
		}
		objects := sample[3].Value.Uint64()
		if idle.second(sample[1].Value.Uint64(), objects-min(live, objects), allocated) {
			debug.FreeOSMemory()
		}
		select {
		case <-s.stopped:
			return
		case <-tick.C:
		}
	}
}

// idleness says when to give back what a load left behind: the runtime itself takes its
// time over it.
type idleness struct {
	allocated uint64 // in all, up to the last second
	quiet     int    // seconds in a row in which next to nothing was
	since     int    // seconds since memory was given back
}

func newIdleness() *idleness { return &idleness{since: idleMinimum} }

// second tells of one second more: what is free, what is garbage or was when it was last
// looked for, and what has been allocated in all.
func (i *idleness) second(free, garbage, allocated uint64) (giveBack bool) {
	rate := allocated - i.allocated
	if rate < quietRate {
		i.quiet++
	} else {
		i.quiet = 0
	}
	i.allocated = allocated
	i.since++
	much := free > max(idleMemory, rate) // more than is used again at once
	left := i.quiet >= quietSeconds && free+garbage > quietMemory
	giveBack = (much || left) && (i.since >= idleMinimum || i.quiet == quietSeconds)
	if giveBack {
		i.since = 0
	}
	return giveBack
}

// gcPercent is the GOGC for so many bytes of live heap, and so many that were allocated in the last second.
func gcPercent(live, rate uint64) int {
	live = max(live, 1<<20)
	headroom := min(max(live/16, rate/gcTimes, gcHeadroomMin), gcHeadroomMax)
	return int(min(max(headroom*100/live, gcPercentMin), gcPercentMax))
}
