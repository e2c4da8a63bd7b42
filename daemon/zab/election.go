package zab

import (
	"github.com/zkd-project/zkd/daemon/proto"
)

// heardVote is what another server said last.
type heardVote struct {
	vote  proto.Vote
	state proto.State
	old   bool // sent without a version
	known bool
}

// election is one search for a leader. The tables are indexed as Peer.ids is.
//
// Source: FastLeaderElection.java, lookForLeader.
type election struct {
	round     int64 // logicalclock: counts elections
	proposal  proto.Vote
	initial   proto.Vote
	votes     []heardVote // of this round
	outside   []heardVote // of servers that do not look for a leader
	pause     proto.Millis
	resendAt  proto.Millis
	decideAt  proto.Millis // when to believe the quorum for the proposal; 0 if there is none
	draining  bool         // waits for writes that are under way before it votes
	held      []heldNotice // came while draining
	failed    int          // roles in a row that ended before they came to serve
	notUntil  proto.Millis // those make the next election wait
	observed  int64        // how often an observer has chosen whom to come to
	observing proto.Millis // when it first did
	warned    bool         // that too many have lost what they had promised
}

type heldNotice struct {
	from int64
	n    proto.Notification
}

// look starts the search for a leader.
func (p *Peer) look(reason string) {
	p.role = proto.Looking
	p.event(Event{What: "looking", Epoch: p.hard.Current, Zxid: p.last(), Reason: reason})
	e := &p.election
	e.draining = true
	p.startElection()
}

// startElection sends the first vote, once nothing is being written any more: a vote
// must say what is on disk.
func (p *Peer) startElection() {
	e := &p.election
	if !p.idle() || p.now < e.notUntil {
		return
	}
	e.draining = false
	if p.last().Epoch64() > p.hard.Current {
		// A crash or a lost link came between the history and the epoch. A log without a
		// gap that holds a transaction of an epoch holds the epoch's whole initial history.
		p.writeHard(HardState{max(p.hard.Accepted, p.last().Epoch64()), p.last().Epoch64()}, func() {
			p.startElection()
		})
		e.draining = true
		return
	}
	e.round++
	e.initial = proto.Vote{
		Leader: p.cfg.ID, Zxid: p.last(), ElectionEpoch: e.round, PeerEpoch: p.hard.Current,
	}
	if !p.voter() {
		e.round, e.initial.ElectionEpoch = 0, 0 // that of the others will do
		e.initial.Leader, e.initial.Zxid, e.initial.PeerEpoch = proto.NoLeader, -1<<63, -1<<63
	}
	e.proposal, e.decideAt, e.warned = e.initial, 0, false
	e.votes, e.outside = make([]heardVote, len(p.ids)), make([]heardVote, len(p.ids))
	e.pause = p.cfg.MinNotify
	e.resendAt = p.now + e.pause
	p.proposeVote()
	held := e.held
	e.held = nil
	for i := range held {
		p.Notification(p.now, held[i].from, &held[i].n)
	}
	p.judge()
}

// proposeVote tells everybody who votes, this server included, whom it proposes.
func (p *Peer) proposeVote() {
	e := &p.election
	e.decideAt = 0
	for i, id := range p.ids {
		if !p.cfg.Ensemble.Votes(id) {
			continue
		}
		switch {
		case id != p.cfg.ID:
			p.notify(id)
		case p.voter():
			e.votes[i] = heardVote{vote: e.proposal, known: true}
		}
	}
}

// notify sends this server's state and vote to another one.
func (p *Peer) notify(to int64) {
	n := proto.Notification{State: p.role, Vote: p.vote, Config: p.text}
	if p.role == proto.Looking {
		n.Vote = p.election.proposal
	}
	p.hushed(&n)
	p.effects.Notices = append(p.effects.Notices, Notice{to, n})
}

// Notification takes a message of the election from another server.
// Source: FastLeaderElection.java, WorkerReceiver and lookForLeader.
func (p *Peer) Notification(now proto.Millis, from int64, n *proto.Notification) {
	p.at(now)
	e := &p.election
	i := p.indexOf(from)
	if i < 0 || !p.cfg.Ensemble.Votes(from) {
		// Observers, and servers that are to join: they learn who leads, and have no say.
		if p.role != proto.Looking || !e.draining {
			p.answerOutsider(from)
		}
		return
	}
	p.lacking[i] = lacks(n)
	if p.lacking[i] {
		if e.votes != nil {
			e.votes[i], e.outside[i] = heardVote{}, heardVote{} // what it said before it forgot
		}
		if p.voter() && n.State == proto.Looking && (p.role != proto.Looking || !e.draining) {
			p.answerOutsider(from)
		}
		return
	}
	if p.role != proto.Looking {
		if n.State == proto.Looking {
			p.notify(from)
		}
		return
	}
	if e.draining {
		if len(e.held) < 4*len(p.ids) {
			e.held = append(e.held, heldNotice{from, proto.Notification{State: n.State, Vote: n.Vote, Old: n.Old}})
		}
		return
	}
	switch n.State {
	case proto.Looking:
		p.heardLooking(i, n)
	case proto.Following, proto.Leading:
		p.heardSettled(i, n)
	}
}

// answerOutsider tells a server that does not vote what this one knows. Its round goes
// along, whatever the vote's was.
func (p *Peer) answerOutsider(to int64) {
	n := proto.Notification{State: p.role, Vote: p.vote, Config: p.text}
	if p.role == proto.Looking {
		n.Vote = p.election.proposal
	}
	n.Vote.ElectionEpoch = p.election.round
	p.hushed(&n)
	p.effects.Notices = append(p.effects.Notices, Notice{to, n})
}

// heardLooking takes the vote of a server that looks for a leader, too.
func (p *Peer) heardLooking(i int, n *proto.Notification) {
	e := &p.election
	if n.Vote.Zxid == -1 || !p.cfg.Ensemble.Votes(n.Vote.Leader) || p.lost && n.Vote.Leader == p.cfg.ID {
		return
	}
	if n.Vote.Leader == p.cfg.ID && n.Vote.ElectionEpoch >= e.round && p.beats(n.Vote, e.initial) {
		// It speaks of history that this server has lost since: everybody votes anew.
		p.nextRound(n.Vote.ElectionEpoch + 1)
		p.proposeVote()
		return
	}
	switch {
	case n.Vote.ElectionEpoch < e.round:
		if p.voter() {
			p.notify(p.ids[i])
		}
		return
	case n.Vote.ElectionEpoch > e.round:
		p.nextRound(n.Vote.ElectionEpoch)
		if p.beats(n.Vote, e.initial) {
			e.proposal = n.Vote
		}
		p.proposeVote()
	case p.beats(n.Vote, e.proposal):
		e.proposal = n.Vote
		p.proposeVote()
	case p.beats(e.proposal, n.Vote) && p.voter():
		p.notify(p.ids[i]) // it may not have looked for a leader yet when this vote was sent
	}
	e.votes[i] = heardVote{vote: n.Vote, old: n.Old, known: true}
	p.judge()
}

// nextRound forgets what was heard in earlier rounds.
func (p *Peer) nextRound(round int64) {
	e := &p.election
	e.round = round
	clear(e.votes)
	e.initial.ElectionEpoch = round
	e.proposal = e.initial
}

// heardSettled takes the vote of a server that follows or leads.
func (p *Peer) heardSettled(i int, n *proto.Notification) {
	e := &p.election
	if !p.cfg.Ensemble.Votes(n.Vote.Leader) {
		return
	}
	said := heardVote{n.Vote, n.State, n.Old, true}
	if n.Vote.ElectionEpoch == e.round {
		e.votes[i] = said
		if p.quorumFor(e.votes, said) && p.leads(e.votes, n.Vote) {
			p.decide(n.Vote)
			return
		}
	}
	e.outside[i] = said
	if p.quorumFor(e.outside, said) && p.leads(e.outside, n.Vote) {
		e.round = n.Vote.ElectionEpoch
		p.decide(n.Vote)
	}
}

// beats says whether vote a is for a better leader than b: the larger epoch wins, then
// the larger zxid, then the larger id. Source: totalOrderPredicate.
func (p *Peer) beats(a, b proto.Vote) bool {
	switch {
	case p.cfg.Ensemble.Weight(a.Leader) == 0:
		return false
	case a.PeerEpoch != b.PeerEpoch:
		return a.PeerEpoch > b.PeerEpoch
	case a.Zxid != b.Zxid:
		return a.Zxid > b.Zxid
	}
	return a.Leader > b.Leader
}

// same says whether two votes are for the same. The zxid and the round of servers that
// have settled may differ. Source: Vote.java, equals.
func same(a, b heardVote) bool {
	switch {
	case a.state == proto.Looking || b.state == proto.Looking:
		return a.vote == b.vote
	case a.old != b.old:
		return a.vote.Leader == b.vote.Leader
	}
	return a.vote.Leader == b.vote.Leader && a.vote.PeerEpoch == b.vote.PeerEpoch
}

func (p *Peer) quorumFor(votes []heardVote, want heardVote) bool {
	return p.cfg.Ensemble.HasQuorum(func(id int64) bool {
		v := &votes[p.indexOf(id)]
		return v.known && same(*v, want)
	})
}

// leads says whether the one whom the votes elect says so itself.
func (p *Peer) leads(votes []heardVote, v proto.Vote) bool {
	if v.Leader == p.cfg.ID {
		return !p.lost && v.ElectionEpoch == p.election.round
	}
	said := &votes[p.indexOf(v.Leader)]
	return said.known && said.state == proto.Leading
}

// judge looks whether a quorum votes as this server does. A better vote may be under way
// still, so the decision waits; but not when all who can be reached agree.
func (p *Peer) judge() {
	e := &p.election
	if p.role != proto.Looking || e.draining || !p.cfg.Ensemble.Votes(e.proposal.Leader) {
		return
	}
	want := heardVote{vote: e.proposal, known: true}
	if !p.quorumFor(e.votes, want) {
		e.decideAt = 0
		return
	}
	all := true
	for i, id := range p.ids {
		if p.cfg.Ensemble.Votes(id) && (id == p.cfg.ID || p.reachable[i]) {
			all = all && e.votes[i].known && same(e.votes[i], want)
		}
	}
	switch {
	case all:
		p.decide(e.proposal)
	case e.decideAt == 0:
		e.decideAt = p.now + p.cfg.MinNotify
	}
}

// decide ends the election.
func (p *Peer) decide(v proto.Vote) {
	p.vote = v
	switch {
	case v.Leader == p.cfg.ID:
		p.lead()
	case p.voter():
		p.follow(proto.Following, v.Leader)
	default:
		p.observe(v.Leader)
	}
}

// PeerUp tells that there is a connection of the election to another server.
func (p *Peer) PeerUp(now proto.Millis, id int64) { p.reached(now, id, true) }

// PeerDown tells that there is no connection of the election to another server any more.
func (p *Peer) PeerDown(now proto.Millis, id int64) { p.reached(now, id, false) }

func (p *Peer) reached(now proto.Millis, id int64, up bool) {
	p.at(now)
	if i := p.indexOf(id); i >= 0 {
		p.reachable[i] = up
		p.judge()
	}
}

// tickElection sends votes again that nobody may have got, and decides when no better
// vote has come.
func (p *Peer) tickElection() {
	e := &p.election
	if e.draining {
		p.startElection()
		return
	}
	if e.decideAt != 0 && p.now >= e.decideAt {
		p.decide(e.proposal)
		return
	}
	if p.now >= e.resendAt {
		e.pause = min(2*e.pause, p.cfg.MaxNotify)
		e.resendAt = p.now + e.pause
		for _, id := range p.ids {
			if id != p.cfg.ID && p.cfg.Ensemble.Votes(id) {
				p.notify(id)
			}
		}
		p.effects.Redial = true
		p.warnLacking()
	}
}
