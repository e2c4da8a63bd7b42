package replica

import (
	"github.com/zkd-project/zkd/daemon/meter"
	"github.com/zkd-project/zkd/daemon/proto"
)

// opSlots is the number of operations that are counted apart.
const opSlots = 42

// Meters are what a replica counts and measures beside Stats, since its start or since
// ResetStats. Durations are milliseconds.
//
// Source of what is counted where: the users of ServerMetrics.java.
type Meters struct {
	BytesReceived   int64 // of frames, with their lengths
	BytesSent       int64 // of replies and events
	WatchBytes      int64 // of events
	Connects        int64 // connect requests
	Reconnects      int64 // of them those that name a session, with its right password
	Revalidations   int64 // sessions that learners asked this leader for
	Proposals       int64 // of this leader
	Commits         int64 // of this leader
	LearnerCommits  int64 // that a leader told this server
	LearnerProposed int64 // proposals that a leader sent to this follower
	Elections       int64 // times that this server began to look for a leader

	Read, Update meter.Dist // from a request's arrival to its reply
	Propagation  meter.Dist // from a transaction's making, by the leader's clock, to its taking effect here
	QuorumAck    meter.Dist // from a proposal of this leader to its commit

	// Watchers that an event went to.
	Created, Deleted, Changed, Children meter.Dist

	Election          meter.Dist // from LOOKING to another role
	Unavailable       meter.Dist // between two times of serving
	LeaderUnavailable meter.Dist // the same, of a server that leads then
	FollowerSync      meter.Dist // from following to serving
	ObserverSync      meter.Dist // from observing to serving

	ReplySize    meter.Size // of replies in bytes
	ProposalSize meter.Size // of transactions of this leader in bytes

	ops [opSlots]int64 // requests that were answered without an error in their preparation

	role   proto.State
	since  proto.Millis // of the role
	idle   proto.Millis // when serving ended
	begun  proto.Millis // when it began
	served bool
}

// Meters shows what is counted and measured, to be read or copied between steps.
func (r *Replica) Meters() *Meters { return &r.meters }

func opSlot(op proto.Op) int {
	switch {
	case op >= proto.OpCloseSession && op <= proto.OpMultiRead:
		return int(op - proto.OpCloseSession)
	case op >= proto.OpAuth && op <= proto.OpWhoAmI:
		return int(op-proto.OpAuth) + opSlots - 8
	}
	return int(proto.OpError - proto.OpCloseSession)
}

// Ops is the number of requests of some operations that were served.
func (m *Meters) Ops(ops ...proto.Op) (n int64) {
	for _, op := range ops {
		n += m.ops[opSlot(op)]
	}
	return n
}

// Served is the number of requests of all operations that were served.
func (m *Meters) Served() (n int64) {
	for _, k := range m.ops {
		n += k
	}
	return n - m.ops[opSlot(proto.OpError)]
}

// LeadingFor is how long this server has led an ensemble that has a quorum; ok says whether it does.
func (m *Meters) LeadingFor(now proto.Millis) (d proto.Millis, ok bool) {
	return now - m.begun, m.served && m.role == proto.Leading
}

// begin starts the clocks of a server of an ensemble, which looks for a leader.
func (m *Meters) begin(now proto.Millis, solo bool) {
	if !solo {
		m.Elections, m.since, m.idle = 1, now, now
	}
}

// reset forgets all but what is going on.
func (m *Meters) reset() {
	*m = Meters{role: m.role, since: m.since, idle: m.idle, begun: m.begun, served: m.served}
}

// reply measures a reply, whose frame has size bytes without its length.
func (m *Meters) reply(op proto.Op, latency proto.Millis, size int) {
	if op.IsWrite() {
		m.Update.Add(int64(latency))
	} else {
		m.Read.Add(int64(latency))
	}
	m.ReplySize.Set(int64(size))
}

// applied measures a transaction that took effect, age milliseconds after it was made.
func (m *Meters) applied(age proto.Millis, leads, solo bool) {
	m.Propagation.Add(int64(age))
	switch {
	case solo:
	case leads:
		m.Commits++
	default:
		m.LearnerCommits++
	}
}

// event measures an event that went to some watchers.
func (m *Meters) event(typ proto.EventType, watchers, bytes int) {
	if watchers == 0 {
		return
	}
	m.WatchBytes += int64(bytes)
	switch typ {
	case proto.EventNodeCreated:
		m.Created.Add(int64(watchers))
	case proto.EventNodeDeleted:
		m.Deleted.Add(int64(watchers))
	case proto.EventNodeDataChanged:
		m.Changed.Add(int64(watchers))
	case proto.EventNodeChildrenChanged:
		m.Children.Add(int64(watchers))
	}
}

// observe measures roles that begin and end.
func (m *Meters) observe(now proto.Millis, role proto.State, serving, solo bool) {
	if solo {
		return
	}
	if role != m.role {
		if role == proto.Looking {
			m.Elections++
		} else if m.role == proto.Looking {
			m.Election.Add(int64(now - m.since))
		}
		m.role, m.since = role, now
	}
	if serving == m.served {
		return
	}
	m.served = serving
	if !serving {
		m.idle = now
		return
	}
	m.begun = now
	m.Unavailable.Add(int64(now - m.idle))
	switch role {
	case proto.Leading:
		m.LeaderUnavailable.Add(int64(now - m.idle))
	case proto.Following:
		m.FollowerSync.Add(int64(now - m.since))
	case proto.Observing:
		m.ObserverSync.Add(int64(now - m.since))
	}
}
