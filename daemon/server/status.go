package server

import (
	"github.com/zkd-project/zkd/daemon/cnxn"
	"github.com/zkd-project/zkd/daemon/meter"
	"github.com/zkd-project/zkd/daemon/replica"
	"github.com/zkd-project/zkd/daemon/store"
)

// Status is a server's state in numbers.
type Status struct {
	Replica replica.Status
	Ports   cnxn.Stats
	Store   store.Status

	LogFull   bool  // the log's disk is full: writes wait, reads go on
	ImageFull bool  // the image's disk is full: the log grows
	Appends   int64 // groups written to the log
	Txns      int64 // in them
	Images    int64 // deltas written to the image
	Stalled   int64 // times that a connection's requests waited because too many were under way
	Diffs     int64 // learners that were synchronized from the log
	Snaps     int64 // learners that were sent a snapshot
	Waiting   int64 // inputs in the inbox
	Dirty     int   // records that the image lacks
}

// Status describes the server.
func (s *Server) Status() Status {
	st := Status{
		Ports: s.ports.Stats(), Store: s.log.store.Status(),
		LogFull: s.log.full.Load(), ImageFull: s.image.full.Load(),
		Appends: s.count.appends.Load(), Txns: s.count.txns.Load(),
		Images: s.count.images.Load(), Stalled: s.count.stalled.Load(),
		Diffs: s.count.diffs.Load(), Snaps: s.count.snaps.Load(),
		Waiting: s.step.waiting.Load(),
	}
	s.hold(func() {
		st.Replica = s.step.replica.Status()
		st.Dirty, _, _ = s.image.tree.Dirty()
	})
	return st
}

// Meters are the distributions that a server keeps, since it started.
type Meters struct {
	Step  meter.Dist // how long steps held the step lock, in ns
	Depth meter.Dist // inputs that a step found in the inbox
	Batch meter.Dist // transactions in a group that was written to the log
}

// Meters copies the distributions.
func (s *Server) Meters() *Meters {
	m := new(Meters)
	s.log.mu.Lock()
	m.Batch = s.log.batches
	s.log.mu.Unlock()
	s.hold(func() { m.Step, m.Depth = s.step.steps, s.step.depths })
	return m
}

// PortOf is the client port's half of a connection that the replica knows.
func PortOf(c *replica.Conn) *cnxn.Conn { return c.Owner.(*client).cn }
