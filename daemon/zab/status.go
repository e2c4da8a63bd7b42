package zab

import (
	"slices"

	"github.com/zkd-project/zkd/daemon/ensemble"
	"github.com/zkd-project/zkd/daemon/proto"
)

// Status describes a server's part in the ensemble.
type Status struct {
	ID       int64
	Leader   int64 // whom this server follows or is; 0 while it looks for a leader
	Epoch    int64 // in which it serves, or the current one on disk
	Accepted int64
	Round    int64 // of the election
	Logged   proto.Zxid
	Durable  proto.Zxid
	Commit   proto.Zxid
	Members  int             // of the ensemble
	Learners []LearnerStatus // of a leader, and the observers of a follower
	Looking  proto.Vote      // what this server proposes while it looks for a leader
	Diffs    int64           // learners that were synchronized from memory, since the start
	Healing  bool            // has lost what it had promised, and does not vote until it is there again
}

// LearnerStatus describes a learner as its leader sees it.
type LearnerStatus struct {
	ID       int64
	Voter    bool
	Observer bool
	Synced   bool // serves
	Acked    proto.Zxid
	LastSeen proto.Millis // since it was heard of
}

// Status describes the peer.
func (p *Peer) Status() Status {
	s := Status{
		ID: p.cfg.ID, Epoch: p.hard.Current, Accepted: p.hard.Accepted, Round: p.election.round,
		Members: len(p.ids), Logged: p.last(), Durable: p.lastDurable(), Commit: p.committed(), Healing: p.lost,
		Diffs: p.diffs,
	}
	switch p.role {
	case proto.Leading:
		s.Leader = p.cfg.ID
	case proto.Following, proto.Observing:
		s.Leader = p.following.leader
	case proto.Looking:
		s.Looking = p.election.proposal
	}
	if p.role != proto.Looking {
		for _, l := range p.leading.links {
			if l.id != 0 && !l.closed {
				s.Learners = append(s.Learners, LearnerStatus{
					l.id, !l.observer && p.cfg.Ensemble.Votes(l.id), l.observer, l.stage == stageActive, l.acked,
					p.now - l.heard,
				})
			}
		}
	}
	if p.serving {
		s.Epoch = p.epoch
	}
	return s
}

// Healing says whether the server has lost what it had promised, and not got it back yet.
func (p *Peer) Healing() bool { return p.lost }

// ConfigText is the text of the ensemble's configuration, nil for a server on its own.
func (p *Peer) ConfigText() []byte { return p.text }

// Readdress takes over the addresses of a list that has the same servers.
func (p *Peer) Readdress(list *ensemble.Config) {
	p.cfg.Ensemble, p.text = list, []byte(list.String())
}

// EpochZxid is the start of the epoch in which the server serves, 0 if it does not.
func (p *Peer) EpochZxid() proto.Zxid {
	if !p.serving {
		return 0
	}
	return proto.Zxid(p.epoch << 32)
}

// LastHeard is when the leader was heard last, of a server that followed until now.
func (p *Peer) LastHeard() proto.Millis { return p.following.heard }

// SilenceLimit is how long a silent leader is believed to lead.
func (p *Peer) SilenceLimit() proto.Millis { return p.sync() }

// TakesSnap says whether a snapshot from the leader is being taken over.
func (p *Peer) TakesSnap() bool { return p.following.snap }

// Installs says whether a snapshot has been taken whose write is not among the effects yet.
func (p *Peer) Installs() bool {
	return slices.ContainsFunc(p.writes, func(w Write) bool { return w.Kind == WriteInstall })
}

// HangUp closes a link for a reason that its user knows.
func (p *Peer) HangUp(l *Link, reason string) { p.hangUp(l, reason) }

// Resign tells a leader that it is about to leave.
func (p *Peer) Resign() { p.leading.resigned = true }

// Resigned says whether a leader is about to leave: it should propose no more.
func (p *Peer) Resigned() bool { return p.leading.resigned }

// Settled says whether everything proposed is committed.
func (p *Peer) Settled() bool { return p.commit == len(p.entries) }
