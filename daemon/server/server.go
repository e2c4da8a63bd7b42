package server

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zkd-project/zkd/daemon/cnxn"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
	"github.com/zkd-project/zkd/daemon/transport"
)

// tickPeriod is how often the replica learns that time has passed.
const tickPeriod = 50 * time.Millisecond

// hurriedPeriod is the same while no leader is known.
const hurriedPeriod = 5 * time.Millisecond

// Server drives one replica.
type Server struct {
	opts   Options
	ports  *cnxn.Ports
	step   stepping
	log    logWriter
	image  imageWriter
	quorum quorum
	count  counters

	ticked    atomic.Int64  // monotonic ms of the last tick that was handled
	failing   chan struct{} // closed when the server cannot go on
	failure   error         // why; set before failing is closed
	failOnce  sync.Once
	turns     chan struct{} // signals that there is something in step.resting
	halted    chan struct{} // closed when the ticker is to end
	lastImage chan struct{} // closed when the image is to be written for the last time
	stopped   chan struct{} // closed when all is done
	ticking   sync.WaitGroup
	imaging   sync.WaitGroup
	running   sync.WaitGroup // the other goroutines
	senders   sync.WaitGroup // goroutines that send the output of a step to many
	backups   sync.WaitGroup // that are being made from the store, or replace it
	restoring restoring
}

// counters are the parts of Status that the server counts.
type counters struct {
	appends, txns, images, stalled, diffs, snaps atomic.Int64
}

// New binds the client ports and gets ready to run. The replica must have recovered what
// the store holds.
func New(o Options) (*Server, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	s := newServer(o)
	s.step.replica, s.image.tree = o.Replica, o.Replica.Tree()
	s.log.store, s.image.store = o.Store, o.Store
	if o.Quorum != nil {
		var err error
		if s.quorum.net, err = transport.Listen(*o.Quorum, peers{s}); err != nil {
			return nil, err
		}
	}
	return s, s.listen()
}

// newServer makes a server that lacks its parts.
func newServer(o Options) *Server {
	s := &Server{
		opts: o, failing: make(chan struct{}), halted: make(chan struct{}), turns: make(chan struct{}, 1),
		lastImage: make(chan struct{}), stopped: make(chan struct{}),
	}
	s.ticked.Store(int64(Now().Mono))
	s.log.wake = make(chan struct{}, 1)
	s.quorum.links, s.quorum.trees = make(map[*quorumLink]struct{}), make(chan struct{}, maxTrees)
	return s
}

func (s *Server) listen() (err error) {
	s.ports, err = cnxn.Listen(s.opts.Ports, handler{s})
	return err
}

// Addrs are the addresses of the client ports.
func (s *Server) Addrs() []net.Addr { return s.ports.Addrs() }

// Ports are the client ports, for their limits and for what is shown of connections.
func (s *Server) Ports() *cnxn.Ports { return s.ports }

// Run serves until ctx is done, and then stops in order, or until the log or the image
// cannot be written, and returns why. ready is called once, when the server serves.
func (s *Server) Run(ctx context.Context, ready func()) error {
	s.running.Go(s.writeLog)
	s.running.Go(s.paceGC)
	s.running.Go(s.takeTurns)
	s.imaging.Go(s.writeImages)
	s.ticking.Go(s.tick)
	s.startQuorum()
	s.ports.Serve()
	ready()
	select {
	case <-ctx.Done():
	case <-s.failing:
	}
	s.stop()
	select {
	case <-s.failing:
		return s.failure
	default:
		return nil
	}
}

// stop ends everything, in this order: a leader resigns; no new connections; no more requests, while those
// under way are answered; the connections, so that clients go elsewhere before the disk is
// done; the clock, so that nothing changes any more; the image, so that the next start has
// nothing to replay; the log writer.
func (s *Server) stop() {
	s.ports.StopAccepting()
	s.hold(func() {
		s.step.stopping = true
		s.step.replica.Resign()
	})
	s.await(s.quiet)
	s.opts.Progress()
	if err := s.ports.Close(); err != nil {
		s.opts.Log.WithError(err).Warn("Closing the client ports failed")
	}
	s.stopQuorum()
	s.opts.Progress()
	close(s.halted)
	s.ticking.Wait()
	s.backups.Wait()
	s.await(s.log.idle)
	s.opts.Progress()
	close(s.lastImage)
	s.imaging.Wait()
	s.opts.Progress()
	close(s.stopped)
	s.running.Wait()
	s.image.arrivals.take(nil)
	s.senders.Wait()
}

// quiet says whether all requests are answered and all answers are sent.
func (s *Server) quiet() bool {
	var st replica.Status
	s.hold(func() { st = s.step.replica.Status() })
	if st.Outstanding > 0 || !s.log.idle() || st.Role == proto.Leading && !st.Settled {
		return false
	}
	var queued int64
	s.ports.Visit(func(c *cnxn.Conn) { queued += c.Queued() })
	return queued == 0
}

// await waits until done, for a bounded time, and not at all when the server has failed.
func (s *Server) await(done func() bool) {
	limit := time.After(s.opts.Drain)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-limit:
			return
		case <-s.failing:
			return
		}
	}
}

// fail ends the server because of err.
func (s *Server) fail(err error) {
	s.failOnce.Do(func() {
		s.failure = err
		s.opts.Log.WithError(err).Error("The server cannot go on")
		close(s.failing)
	})
}

// tick is the ticker goroutine. Without a leader it hurries.
func (s *Server) tick() {
	tick := time.NewTicker(tickPeriod)
	defer tick.Stop()
	hurry := false
	for {
		select {
		case <-s.halted:
			return
		case <-tick.C:
			s.submit(input{kind: kindTick})
			s.log.wakeIfDue()
		}
		if without := !s.quorum.serving.Load() && s.quorum.net != nil; without != hurry {
			hurry = without
			if hurry {
				tick.Reset(hurriedPeriod)
			} else {
				tick.Reset(tickPeriod)
			}
		}
	}
}

// Ask lets f look at the replica, or step it, between steps. f must be short.
func (s *Server) Ask(f func(*replica.Replica)) {
	s.hold(func() { f(s.opts.Replica) })
}

// Alive says whether the server turns: its clock is handled, and no write to the log takes
// longer than limit. It returns why not.
func (s *Server) Alive(limit time.Duration) error {
	if idle := time.Duration(int64(Now().Mono)-s.ticked.Load()) * time.Millisecond; idle > limit {
		return fmt.Errorf("server: no step for %v", idle)
	}
	if began := s.log.began.Load(); began != 0 {
		if took := time.Since(time.Unix(0, began)); took > limit {
			return fmt.Errorf("server: a write to the log has taken %v so far", took)
		}
	}
	return nil
}
