package zab

import (
	"slices"

	"github.com/zkd-project/zkd/daemon/proto"
)

// Peer is one server of an ensemble. See the package documentation.
type Peer struct {
	cfg  Config
	ids  []int64 // of all members, in order
	text []byte  // the configuration
	now  proto.Millis
	history
	hard  HardState // as it is on disk
	above int64     // an epoch that the next one of this server's has to be above
	healing

	role      proto.State
	serving   bool
	replacing bool  // a write is under way that replaces the history, see Replace
	epoch     int64 // in which this server serves
	vote      proto.Vote
	election  election
	reachable []bool // by the election's connections; indexed as ids is
	leading   leading
	following following
	waits     []wait
	diffs     int64 // learners that were synchronized from memory

	effects Effects
	touched []*Link
}

// wait is what is to be done once a write is durable.
type wait struct {
	pos uint64
	do  func()
}

// Recovered is what a server finds on its disk when it starts.
type Recovered struct {
	Hard HardState
	// Committed is the position of the tree; Suffix are the logged transactions above it,
	// of which nobody knows yet whether they are committed. It may be nil.
	Committed proto.Zxid
	Suffix    *proto.LogBatch
	// Healing tells that the server has lost what it had promised, see Peer.voter.
	Healing bool
}

// New makes the peer of a server that starts. It does nothing before Start.
func New(cfg Config, r Recovered) *Peer {
	p := &Peer{cfg: cfg, hard: r.Hard}
	p.base = r.Committed
	if r.Suffix != nil {
		for i, e := range r.Suffix.Entries {
			p.entries = append(p.entries, entry{zxid: e.Zxid, batch: r.Suffix, index: i})
			p.bytes += e.End - e.Off
		}
		p.durable = len(p.entries)
	}
	if cfg.MinNotify == 0 {
		p.cfg.MinNotify = 200
	}
	if cfg.MaxNotify == 0 {
		p.cfg.MaxNotify = 60_000
	}
	if cfg.EpochSize == 0 {
		p.cfg.EpochSize = 1<<32 - 1
	}
	if cfg.Ensemble != nil {
		for i := range cfg.Ensemble.Members {
			p.ids = append(p.ids, cfg.Ensemble.Members[i].ID)
		}
		p.text = []byte(cfg.Ensemble.String())
	}
	p.reachable, p.lacking = make([]bool, len(p.ids)), make([]bool, len(p.ids))
	p.lost = r.Healing && cfg.Ensemble != nil
	return p
}

// Start begins: a server on its own serves at once, any other looks for a leader.
func (p *Peer) Start(now proto.Millis) {
	p.now = now
	if p.cfg.Ensemble == nil {
		p.commit = len(p.entries)
		p.serveAlone()
		return
	}
	p.look("start")
}

// Solo says whether the server is on its own, an ensemble of one that needs no epochs.
func (p *Peer) Solo() bool { return p.cfg.Ensemble == nil }

// Role is what the server is doing.
func (p *Peer) Role() proto.State { return p.role }

// Serving says whether the server is an active part of an ensemble that has a quorum.
func (p *Peer) Serving() bool { return p.serving }

// Leads says whether the server is the active leader, or on its own.
func (p *Peer) Leads() bool { return p.serving && p.role == proto.Leading }

// LastProposed is the zxid of the last transaction that is logged or being logged.
func (p *Peer) LastProposed() proto.Zxid { return p.last() }

// Durable tells that all writes up to a position are on disk.
func (p *Peer) Durable(now proto.Millis, pos uint64) {
	p.at(now)
	p.confirm(pos)
	for len(p.waits) > 0 && p.waits[0].pos <= pos {
		do := p.waits[0].do
		p.waits = slices.Delete(p.waits, 0, 1)
		do()
	}
	switch {
	case p.Solo():
		p.commit = p.durable
	case p.role == proto.Leading:
		p.leading.dirty, p.leading.ownSince = true, p.now
	case p.role == proto.Following:
		p.ack()
	case p.role == proto.Looking && p.election.draining && p.idle():
		p.startElection()
	}
}

// onDisk has something done when a write is durable.
func (p *Peer) onDisk(pos uint64, do func()) { p.waits = append(p.waits, wait{pos, do}) }

// writeHard makes new epochs durable, and then takes them over and goes on.
func (p *Peer) writeHard(h HardState, then func()) {
	p.onDisk(p.write(Write{Kind: WriteHard, Hard: h}), func() {
		p.hard = h
		then()
	})
}

// Next is the next committed transaction, to be applied; it is valid until the next call
// of any other method but Next.
func (p *Peer) Next() ([]byte, bool) { return p.next() }

// Tick tells that time has passed.
func (p *Peer) Tick(now proto.Millis) {
	p.at(now)
	if p.Solo() {
		return
	}
	switch p.role {
	case proto.Looking:
		for _, l := range p.leading.links {
			if now-l.heard > p.init()+p.sync() {
				p.hangUp(l, "this server does not lead")
			}
		}
		p.leading.links = slices.DeleteFunc(p.leading.links, func(l *Link) bool { return l.closed })
		p.tickElection()
	case proto.Leading:
		p.tickLeader()
	case proto.Following, proto.Observing:
		p.tickLearner()
	}
}

// at is the time of a call. Where the process did not run before it, the deadlines move: nobody's silence may be
// judged by a time in which it could not be heard. They move before the call does anything, as
// what it hears has come now.
func (p *Peer) at(now proto.Millis) {
	gap := now - p.now
	p.now = now
	if gap < p.cfg.TickTime {
		return
	}
	for _, l := range p.leading.links {
		l.heard += gap
		l.acksSince += gap
	}
	p.leading.deadline += gap
	p.leading.quorumAt += gap
	p.leading.ownSince += gap
	p.following.heard += gap
	p.following.deadline += gap
}

// Effects moves what came up since the last call into e, which the caller owns until it
// calls again with it.
func (p *Peer) Effects(e *Effects) {
	if p.leading.dirty {
		p.advance()
	}
	p.flush()
	*e, p.effects = p.effects, Effects{
		Writes: e.Writes[:0], Notices: e.Notices[:0], Links: e.Links[:0], Events: e.Events[:0],
	}
	e.Writes, p.writes = p.writes, e.Writes[:0]
	e.Links, p.touched = p.touched, e.Links[:0]
	for _, l := range e.Links {
		l.touched = false
	}
}

// Settle brings what is committed up to date; to be called before Next after a step.
func (p *Peer) Settle() {
	if p.leading.dirty {
		p.advance()
	}
}

// Applied tells that everything handed out by Next has been applied.
func (p *Peer) Applied() {
	needed := p.last()
	for _, l := range p.leading.links {
		if l.stage >= stageSyncing && !l.closed {
			needed = min(needed, l.commits) // what comes after it has to be told yet
		}
	}
	p.trim(needed, p.cfg.WindowTxns, p.cfg.WindowBytes)
}

func (p *Peer) event(e Event) { p.effects.Events = append(p.effects.Events, e) }

func (p *Peer) indexOf(id int64) int {
	for i, have := range p.ids {
		if have == id {
			return i
		}
	}
	return -1
}

func (p *Peer) touch(l *Link) {
	if !l.touched {
		l.touched = true
		p.touched = append(p.touched, l)
	}
}

// send queues a packet on a link.
func (p *Peer) send(l *Link, t proto.PacketType, zxid proto.Zxid, data []byte) {
	l.Out = proto.AppendPacket(l.Out, t, zxid, data)
	p.touch(l)
}

// Send queues a packet of somebody else's making on a link.
func (p *Peer) Send(l *Link, packet *proto.Packet) {
	if !l.closed {
		l.Out = packet.Append(l.Out)
		p.touch(l)
	}
}

// hangUp closes a link.
func (p *Peer) hangUp(l *Link, reason string) {
	if !l.closed {
		if l.stage >= stageSynced {
			p.event(Event{What: "learner gone", Peer: l.id, Epoch: p.leading.epoch, Reason: reason})
		}
		l.closed, l.Close = true, reason
		p.touch(l)
	}
}

// refuse closes a link to one that does not belong at its other end.
func (p *Peer) refuse(l *Link, reason string) {
	if !l.closed {
		l.Refused = true
		p.hangUp(l, reason)
	}
}

// leave ends a role: all links are closed, and a leader is looked for.
func (p *Peer) leave(reason string) {
	for _, l := range p.leading.links {
		p.hangUp(l, reason)
	}
	if l := p.following.link; l != nil {
		p.hangUp(l, reason)
	}
	p.effects.Dial, p.effects.Dialling, p.effects.Master = 0, true, false
	p.slowDown()
	if p.lost && p.role == proto.Following {
		// What it acknowledged may yet be counted, and must not be cut before: a leader of Apache's
		// does not know that the observer that comes next is the same server.
		p.election.notUntil = max(p.election.notUntil, p.now+p.init()+p.sync()+p.cfg.TickTime)
	}
	if p.role == proto.Observing && !p.lost {
		p.election.notUntil = max(p.election.notUntil, p.now+p.cfg.ObserverPause)
	}
	p.serving, p.leading, p.following = false, leading{}, p.following.end()
	p.look(reason)
}

// Pauses after roles that came to nothing, so that a learner that cannot be synchronized
// does not keep its leader busy.
const (
	firstPause = 10
	lastPause  = 1000
)

func (p *Peer) slowDown() {
	e := &p.election
	if p.serving {
		e.failed = 0
		return
	}
	if e.failed++; e.failed > 1 { // one may just have come too early
		e.notUntil = p.now + min(proto.Millis(firstPause)<<min(e.failed, 8), lastPause)
	}
}

// Leave ends the server's part for a reason that its owner knows.
func (p *Peer) Leave(now proto.Millis, reason string) {
	p.at(now)
	if p.role != proto.Looking {
		p.leave(reason)
	}
}

// LinkUp takes on a connection of the quorum port. dialled tells that this server made it.
func (p *Peer) LinkUp(now proto.Millis, l *Link, dialled bool) {
	p.at(now)
	l.dialled, l.heard = dialled, now
	switch {
	case dialled:
		p.greet(l)
	case l.Master && p.role == proto.Following && p.serving:
		p.leading.links = append(p.leading.links, l)
	case l.Master:
		p.hangUp(l, "this server does not follow a leader")
	case p.role == proto.Looking || p.role == proto.Leading:
		p.leading.links = append(p.leading.links, l)
	default:
		p.hangUp(l, "this server does not lead")
	}
}

// DialFailed tells that the leader's quorum port cannot be reached.
func (p *Peer) DialFailed(now proto.Millis, id int64, reason string) {
	p.at(now)
	f := &p.following
	if (p.role == proto.Following || p.role == proto.Observing) && f.dialled == id && f.link == nil {
		p.leave("the leader cannot be reached: " + reason)
	}
}

// LinkDown tells that a connection of the quorum port is gone.
func (p *Peer) LinkDown(now proto.Millis, l *Link, reason string) {
	p.at(now)
	if l.closed {
		return
	}
	l.closed = true
	if l == p.following.link {
		p.leave("the leader is gone: " + reason)
		return
	}
	if i := slices.Index(p.leading.links, l); i >= 0 {
		p.leading.links = slices.Delete(p.leading.links, i, i+1)
		if l.stage >= stageSynced {
			p.event(Event{What: "learner gone", Peer: l.id, Epoch: p.leading.epoch, Reason: reason})
		}
	}
}

// Packet takes a packet from a link. It returns true for packets that are not zab's but
// concern requests and sessions: REQUEST, REVALIDATE, SYNC, and PING with its table.
func (p *Peer) Packet(now proto.Millis, l *Link, packet *proto.Packet) bool {
	p.at(now)
	if l.closed {
		return false
	}
	l.heard = now
	if l.dialled {
		p.following.heard = now
		return p.fromLeader(l, packet)
	}
	return p.fromLearner(l, packet)
}

// Heard tells that bytes have come from a link which are no packet yet.
func (p *Peer) Heard(now proto.Millis, l *Link) {
	p.at(now)
	l.heard = now
	if l == p.following.link {
		p.following.heard = now
	}
}
