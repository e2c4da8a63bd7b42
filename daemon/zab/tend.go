package zab

import (
	"slices"

	"github.com/zkd-project/zkd/daemon/proto"
)

// tickLeader looks after the learners, and whether a quorum can still be heard.
func (p *Peer) tickLeader() {
	lead := &p.leading
	if lead.stage != leadActive {
		if p.now >= lead.deadline {
			p.leave("no quorum of learners has come forward in time")
			return
		}
	}
	p.tendLearners()
	if lead.stage == leadActive && p.now >= lead.quorumAt {
		lead.quorumAt = p.now + p.cfg.TickTime
		if p.diskStands() {
			p.leave("the own disk takes no writes, and others can go on without it")
			return
		}
		alive := func(l *Link) bool { return l.stage >= stageSynced && !l.observer }
		if !p.quorumOf(alive) {
			p.leave("there is no quorum any more")
		}
	}
}

// tendLearners sends pings, and drops learners that are silent.
func (p *Peer) tendLearners() {
	lead := &p.leading
	for _, l := range lead.links {
		silent := p.now - l.heard
		switch {
		case l.stage == stageActive && silent > p.sync():
			p.hangUp(l, "the learner is silent")
		case l.stage < stageActive && silent > p.init()+p.sync():
			p.hangUp(l, "the learner does not synchronize in time")
		case l.stage == stageActive && !l.observer && l.acked < l.proposed && p.now-l.acksSince > p.sync():
			p.hangUp(l, "the learner does not acknowledge")
		}
	}
	lead.links = slices.DeleteFunc(lead.links, func(l *Link) bool { return l.closed })
	if p.now >= lead.pingAt {
		lead.pingAt = p.now + p.cfg.TickTime/2
		last := p.last()
		if p.role != proto.Leading {
			last = p.committed()
		}
		for _, l := range lead.links {
			if l.stage >= stageSyncing {
				p.send(l, proto.PacketPing, max(last, p.epochZxid()), nil)
			}
		}
	}
}

// diskStands says whether this server's own log has stood still for as long as no learner
// may keep its leader waiting, while the others are a quorum that keeps up. What is waiting
// to be written must not grow for ever, and anybody of them is a better leader.
func (p *Peer) diskStands() bool {
	if p.lastDurable() >= p.last() || p.now-p.leading.ownSince <= p.sync() {
		return false
	}
	return p.cfg.Ensemble.HasQuorum(func(id int64) bool {
		for _, l := range p.leading.links {
			if l.id == id && !l.closed && l.stage == stageActive && l.acked > p.lastDurable() {
				return true
			}
		}
		return false
	})
}
