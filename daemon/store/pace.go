package store

import (
	"sync/atomic"
	"time"
)

// Bounds of a pause.
const (
	pauseMin = 2 * time.Millisecond
	pauseMax = 20 * time.Millisecond
)

// pace leaves the log most of the disk, and clients the processors, while the image is
// written or compacted: who writes the image rests after each piece for as long as the disk
// took for it. Somebody waits for the log; nobody waits for the image, until the end.
type pace struct{ hurry atomic.Bool }

// pause rests after a piece that took so long. A nil pace never rests.
func (p *pace) pause(took time.Duration) {
	if p == nil || p.hurry.Load() {
		return
	}
	time.Sleep(min(max(took, pauseMin), pauseMax))
}

// Hurry says whether the image is from now on written as fast as the disk can: because much
// is missing in it, or the process is about to end.
func (s *Store) Hurry(hurry bool) { s.pace.hurry.Store(hurry) }
