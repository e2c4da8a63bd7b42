package cnxn

import (
	"slices"
	"sync"
	"time"
)

// sweepPeriod is how often the sweeper looks for connections whose time is over.
const sweepPeriod = 250 * time.Millisecond

// sweeper closes connections that take too long for their first frame, or to read their
// last output.
type sweeper struct {
	ports *Ports
	mu    sync.Mutex
	fresh deadlines // accepted, by age
	ended deadlines // closing or lingering, by age
}

// deadlines is a queue of connections in the order in which their time is over.
type deadlines struct {
	list []deadline
	room int // length from which on it is looked at whom nobody needs to look after any more
}

// deadlinesMin is the least length at which that is done.
const deadlinesMin = 1024

type deadline struct {
	c  *Conn
	at time.Time
}

// push adds a connection. Those that are settled go when the queue has grown to twice of what was left,
// lest many that come and go quickly stay in memory until their time would be over.
func (d *deadlines) push(c *Conn, at time.Time, settled func(*Conn) bool) {
	if len(d.list) >= max(d.room, deadlinesMin) {
		d.list = slices.DeleteFunc(d.list, func(l deadline) bool { return settled(l.c) })
		d.room = 2 * len(d.list)
	}
	d.list = append(d.list, deadline{c, at})
}

// pop takes the first connection if its time is over, else nil.
func (d *deadlines) pop(now time.Time) *Conn {
	if len(d.list) == 0 || d.list[0].at.After(now) {
		return nil
	}
	c := d.list[0].c
	d.list[0].c = nil
	if d.list = d.list[1:]; len(d.list) == 0 {
		d.list = nil
	}
	return c
}

func (s *sweeper) accepted(c *Conn) {
	s.mu.Lock()
	s.fresh.push(c, time.Now().Add(s.ports.opts.FirstFrame), func(c *Conn) bool {
		return c.received.Load() > 0 || c.gone.Load()
	})
	s.mu.Unlock()
}

func (s *sweeper) closing(c *Conn) {
	s.mu.Lock()
	s.ended.push(c, time.Now().Add(s.ports.opts.ClosePeriod), func(c *Conn) bool { return c.gone.Load() })
	s.mu.Unlock()
}

func (s *sweeper) run(stop <-chan struct{}) {
	tick := time.NewTicker(sweepPeriod)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case now := <-tick.C:
			s.sweep(now)
			for _, l := range s.ports.listeners {
				l.retry()
			}
		}
	}
}

func (s *sweeper) sweep(now time.Time) {
	var late, over []*Conn
	s.mu.Lock()
	for c := s.fresh.pop(now); c != nil; c = s.fresh.pop(now) {
		late = append(late, c)
	}
	for c := s.ended.pop(now); c != nil; c = s.ended.pop(now) {
		over = append(over, c)
	}
	s.mu.Unlock()
	for _, c := range late {
		if c.received.Load() == 0 && c.abortOpen() {
			s.ports.stats.late.Add(1)
			s.ports.log(c).Debug("Closed a connection that sent no request in time")
		}
	}
	for _, c := range over {
		c.Abort()
		c.Flush()
	}
}

// abortOpen closes a connection that is not ending already, and says whether it was so.
func (c *Conn) abortOpen() bool {
	c.mu.Lock()
	open := c.state == stateOpen
	if open {
		c.state = stateAborted
	}
	c.mu.Unlock()
	if open {
		c.Flush()
	}
	return open
}
