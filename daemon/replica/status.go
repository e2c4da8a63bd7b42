package replica

import (
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/zab"
)

// Stats counts what a replica did since it started, or since ResetStats.
// Latencies are milliseconds between a request's arrival and its reply.
type Stats struct {
	Connections int64 // open now
	Outstanding int64 // requests without a reply now
	Received    int64
	Sent        int64 // replies and events
	Expired     int64 // sessions
	AuthFailed  int64
	Replies     int64
	Latency     proto.Millis // sum over Replies
	MinLatency  proto.Millis
	MaxLatency  proto.Millis
}

func (s *Stats) answered(latency proto.Millis) {
	if s.Replies == 0 || latency < s.MinLatency {
		s.MinLatency = latency
	}
	s.MaxLatency = max(s.MaxLatency, latency)
	s.Latency += latency
	s.Replies++
	s.Sent++
}

// Status is a replica's state in a few numbers.
type Status struct {
	Stats
	Zxid     proto.Zxid // of the last applied transaction
	Proposed proto.Zxid // of the last proposed one
	Sessions int        // that everybody knows
	Local    int        // sessions that only this server knows
	Role     proto.State
	Settled  bool // nothing is proposed that is not committed
	Serving  bool // is an active part of an ensemble that has a quorum, or on its own
	Solo     bool // is on its own
	ReadOnly bool // serves from its tree, without a quorum
	Welcomes bool // takes clients
	Quorum   zab.Status
	Syncs    int // that wait for what was proposed before them
}

// Status describes the replica. It costs the same whatever the tree holds.
func (r *Replica) Status() Status {
	return Status{
		Stats:    r.stats,
		Zxid:     r.tree.LastZxid(),
		Proposed: r.zab.LastProposed(),
		Sessions: len(r.sessions.byID) - r.sessions.locals,
		Local:    r.sessions.locals,
		Role:     r.zab.Role(),
		Settled:  r.zab.Settled(),
		Serving:  r.zab.Serving(),
		Solo:     r.zab.Solo(),
		ReadOnly: r.quorum.readOnly,
		Welcomes: r.Welcomes(),
		Quorum:   r.zab.Status(),
		Syncs:    len(r.quorum.owed),
	}
}

// Outstanding is the number of requests without a reply.
func (r *Replica) Outstanding() int64 { return r.stats.Outstanding }

// ResetStats forgets counters and latencies, as the word "srst" asks.
func (r *Replica) ResetStats() {
	r.stats = Stats{Connections: r.stats.Connections, Outstanding: r.stats.Outstanding}
	r.meters.reset()
}

// VisitConns calls f for each connection.
func (r *Replica) VisitConns(f func(*Conn)) {
	for _, c := range r.conns {
		if c != nil {
			f(c)
		}
	}
}

// Session describes a session.
type Session struct {
	ID      proto.SessionID
	Timeout proto.Millis
	Expiry  proto.Millis // monotonic time at which it will have expired; 0 where its leader knows
	Local   bool         // is known to this server only
}

// VisitSessions calls f for each session in the order of their ids.
func (r *Replica) VisitSessions(f func(Session)) {
	for _, id := range r.sessions.ids() {
		s := r.sessions.byID[id]
		told := Session{ID: id, Timeout: s.timeout, Local: s.local}
		if s.local || !r.sessions.learner {
			told.Expiry = s.expiry
		}
		f(told)
	}
}

// ConnOf is the connection in the watcher slot of the tree's watch tables, or nil.
func (r *Replica) ConnOf(watcher uint32) *Conn {
	if int(watcher) >= len(r.conns) {
		return nil
	}
	return r.conns[watcher]
}

// Serving says whether the server takes part in an ensemble that has a quorum, or is on
// its own.
func (r *Replica) Serving() bool { return r.zab.Serving() }
