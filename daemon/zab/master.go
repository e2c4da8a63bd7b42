package zab

import "github.com/zkd-project/zkd/daemon/proto"

// A follower may have learners of its own: observers, which it serves in the leader's
// place, from what it knows to be committed. Source: ObserverMaster.java.

// beMaster gets ready for observers, or notes that an observer has found whom it comes to.
func (p *Peer) beMaster() {
	if p.role == proto.Following {
		lead := &p.leading
		lead.stage, lead.epoch, lead.pingAt = leadActive, p.following.epoch, p.now+p.cfg.TickTime/2
	}
	p.election.observed = 0
}

// takeObserver synchronizes an observer with this follower. One that has more than this
// follower knows to be committed must not go back; it had better ask another one. But what
// is of earlier epochs and not in this history was never committed.
func (p *Peer) takeObserver(l *Link) {
	if l.zxid != -1 && l.zxid > p.committed() && l.zxid > p.epochZxid() {
		p.hangUp(l, "it is ahead of this server")
		return
	}
	p.gatherAcks()
}

// observe begins to observe a leader, or a follower of it where those take observers: each
// time another one, and the leader where none has taken this one for long.
func (p *Peer) observe(leader int64) {
	p.follow(proto.Observing, leader)
	if !p.cfg.Masters || p.cfg.Ensemble.Votes(p.cfg.ID) {
		return
	}
	var masters []int64
	for _, id := range p.ids {
		if p.cfg.Ensemble.Votes(id) && id != leader {
			masters = append(masters, id)
		}
	}
	f, e := &p.following, &p.election
	if e.observed == 0 {
		e.observing = p.now
	}
	if n := int64(len(masters)); n > 0 && p.now-e.observing < p.init() {
		f.dialled = masters[(p.cfg.ID+e.observed)%n]
	}
	e.observed++
	p.effects.Dial, p.effects.Master = f.dialled, f.dialled != leader
}

// ThroughMaster says whether this server is an observer of a follower.
func (p *Peer) ThroughMaster() bool {
	return p.role == proto.Observing && p.following.dialled != p.following.leader
}
