package zab

import "github.com/zkd-project/zkd/daemon/proto"

// healing is the way back of a server that has lost what it had promised: transactions that
// it had acknowledged, and epochs that it had agreed to. Such a server
//
//   - has no vote: others do not get one from it, and it takes nobody's claim to lead but
//     that of a quorum without it;
//   - greets the leader as an observer, under an id that is no member's, so that it counts
//     in none of the leader's quorums, whoever made the leader;
//   - once it has what the leader's quorum has committed, comes back to the same leadership
//     as a follower, and so gets what is proposed only, which it may have acknowledged;
//   - has a vote again once that is on its disk, and it has noted that it is.
//
// Quorums without it meet every quorum that it was part of in a server that remembers. So
// whoever leads by one of them has what had been acknowledged, and an epoch above those that
// had been agreed to.
type healing struct {
	lost    bool   // has lost what it had promised
	lacking []bool // the same of the others; indexed as ids is
}

// voter says whether this server has a say.
func (p *Peer) voter() bool { return !p.lost && p.cfg.Ensemble.Votes(p.cfg.ID) }

// learnerID is the id with which this server greets its leader.
func (p *Peer) learnerID() int64 {
	if p.lost && p.role == proto.Observing && p.cfg.Ensemble.Votes(p.cfg.ID) {
		return ^p.cfg.ID
	}
	return p.cfg.ID
}

// lacks says whether a voter tells that it has lost what it had promised.
func lacks(n *proto.Notification) bool {
	return n.State == proto.Observing || n.State == proto.Looking && n.Vote.Leader == proto.NoLeader
}

// hushed makes a notification one that nobody counts, where this server has no say though
// it is listed as a voter.
func (p *Peer) hushed(n *proto.Notification) {
	switch {
	case !p.lost || !p.cfg.Ensemble.Votes(p.cfg.ID):
	case n.State == proto.Looking:
		n.Vote = p.election.initial
		n.Vote.ElectionEpoch = p.election.round
	default:
		n.State = proto.Observing
	}
}

// heal takes UPTODATE of a server that has lost what it had promised. It returns false if
// the server has to come back as a follower first.
func (p *Peer) heal() bool {
	f := p.following
	if p.role == proto.Observing && p.cfg.Ensemble.Votes(p.cfg.ID) {
		p.rejoin(f.epoch, "it comes back as a follower")
		return false
	}
	p.onDisk(p.write(Write{Kind: WriteHealed}), func() {
		p.lost = false
		p.event(Event{What: "healed", Peer: f.leader, Epoch: f.epoch, Zxid: p.lastDurable()})
	})
	return true
}

// warnLacking tells when nobody can be elected because too many servers have lost what they
// had promised.
func (p *Peer) warnLacking() {
	whole := p.cfg.Ensemble.HasQuorum(func(id int64) bool {
		if id == p.cfg.ID {
			return p.voter()
		}
		return !p.lacking[p.indexOf(id)]
	})
	if !whole && !p.election.warned {
		p.election.warned = true
		p.event(Event{What: "lost", Epoch: p.hard.Current, Zxid: p.last()})
	}
}
