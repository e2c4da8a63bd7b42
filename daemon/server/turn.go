package server

import "time"

// A connection's input may hold thousands of requests, some of which take milliseconds. So whose turn
// has taken long makes room: for the clock and the other servers, above all, which wait for the step lock.
const (
	turnTime  = 20 * time.Millisecond
	turnCheck = 4 // requests between two looks at the clock
)

// overtime says whether the step has taken long; the step lock is held.
func (s *Server) overtime() bool { return time.Since(started)-s.step.began > turnTime }

// rest leaves the input of c for later; the step lock is held.
func (s *Server) rest(c *client) {
	if !c.rests {
		c.rests = true
		s.step.resting = append(s.step.resting, c)
	}
	s.signalTurns()
}

func (s *Server) signalTurns() {
	select {
	case s.turns <- struct{}{}:
	default: // it is signalled already
	}
}

// takeTurns is the goroutine that goes on with input that was left for later, so that who reads
// sockets is not kept from it.
func (s *Server) takeTurns() {
	for {
		select {
		case <-s.stopped:
			return
		case <-s.turns:
			s.hold(s.wake)
		}
	}
}

// wake goes on with input that was left for later, oldest first; the step lock is held.
func (s *Server) wake() {
	st := &s.step
	list := st.resting
	st.resting = nil
	for i, c := range list {
		if i > 0 && s.overtime() {
			st.resting = append(list[i:], st.resting...)
			s.signalTurns()
			return
		}
		c.rests = false
		s.eat(c)
	}
}
