package sim

import "github.com/zkd-project/zkd/daemon/proto"

// patience is how long an end of a connection may hear nothing: what the protocol allows, and two
// ticks until it is noticed. A leader knows that a learner is active once it has told it to serve.
func (e *end) patience() proto.Millis {
	if e.confirmed {
		return (syncLimit + 2) * tickTime
	}
	return (initLimit + syncLimit + 2) * tickTime
}

// listens checks, after a tick, that the server has given up every connection on which nothing has come for
// too long: a leader that nobody hears would go on to lead, and a learner would wait for ever.
func (s *server) listens() {
	now := s.clock().Mono
	for _, e := range s.ends {
		if silent := now - e.heardAt; !e.down && silent > e.patience() {
			s.w.violated("server %d has heard nothing from server %d for %d ms, and keeps the connection",
				s.id, e.peer.s.id, silent)
		}
	}
}

// awake begins all waiting anew, as for a process that did not run and could not listen.
func (s *server) awake() {
	for _, e := range s.ends {
		e.heardAt = s.clock().Mono
	}
}
