package zab

import (
	"fmt"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// stage is how far a learner has come, as its leader sees it.
type stage uint8

const (
	stageNew     stage = iota // has not said who it is
	stageWaiting              // waits for LEADERINFO
	stageInfo                 // has got LEADERINFO
	stageAcked                // has acknowledged the epoch; waits for a quorum to have done so
	stageSyncing              // everything up to NEWLEADER is on its way
	stageSynced               // has acknowledged NEWLEADER
	stageActive               // has got UPTODATE
)

// learner is what a leader knows of a learner.
type learner struct {
	id        int64
	observer  bool // gets INFORM instead of PROPOSAL and COMMIT
	stage     stage
	accepted  int64        // its accepted epoch
	agreed    bool         // its ACKEPOCH counts
	zxid      proto.Zxid   // where its history ended
	acked     proto.Zxid   // everything up to here is on its disk
	proposed  proto.Zxid   // the last PROPOSAL to it
	commits   proto.Zxid   // everything up to here it knows to be committed
	syncs     []proto.Zxid // the SYNCs it waits for: each behind the commit of one
	heard     proto.Millis
	acksSince proto.Millis // since when it owes an ACK
}

// leadStage is how far a leadership has come.
type leadStage uint8

const (
	leadEpochs leadStage = iota // waits for a quorum to tell its accepted epochs
	leadAcks                    // waits for a quorum to acknowledge the epoch
	leadSync                    // waits for a quorum to acknowledge NEWLEADER
	leadActive
)

// leading is a leadership. Source: Leader.java.
type leading struct {
	links    []*Link // of learners, and of those who come before there is a leader
	stage    leadStage
	epoch    int64      // the new one, once stage is leadAcks
	written  bool       // the epoch of this stage is on disk
	initial  proto.Zxid // where the history ended when the leadership began
	current  int64      // the current epoch before it
	deadline proto.Millis
	pingAt   proto.Millis
	quorumAt proto.Millis
	dirty    bool         // commits may be due
	ownSince proto.Millis // since when this server's own disk owes something
	resigned bool         // is about to leave
}

// lead begins a leadership.
func (p *Peer) lead() {
	l := &p.leading
	*l = leading{links: l.links, initial: p.last(), current: p.hard.Current}
	p.role = proto.Leading
	p.event(Event{What: "leading", Peer: p.cfg.ID, Epoch: p.hard.Current, Zxid: p.last()})
	l.deadline = p.now + p.init()
	for _, link := range l.links {
		link.heard = p.now
	}
	p.gatherEpochs()
}

func (p *Peer) init() proto.Millis { return proto.Millis(p.cfg.InitLimit) * p.cfg.TickTime }
func (p *Peer) sync() proto.Millis { return proto.Millis(p.cfg.SyncLimit) * p.cfg.TickTime }

// epochZxid is the zxid that stands for the start of the leader's epoch.
func (p *Peer) epochZxid() proto.Zxid { return proto.Zxid(p.leading.epoch << 32) }

// quorumOf says whether this server and the learners for which in is true are a quorum.
func (p *Peer) quorumOf(in func(l *Link) bool) bool {
	return p.cfg.Ensemble.HasQuorum(func(id int64) bool {
		if id == p.cfg.ID {
			return true
		}
		for _, l := range p.leading.links {
			if l.id == id && !l.closed && in(l) {
				return true
			}
		}
		return false
	})
}

// fromLearner takes a packet from a learner.
func (p *Peer) fromLearner(l *Link, packet *proto.Packet) bool {
	switch t := packet.Type; {
	case t == proto.PacketFollowerInfo, t == proto.PacketObserverInfo:
		p.learnerInfo(l, packet)
	case l.stage == stageNew:
		p.refuse(l, t.String()+" from one that has not said who it is")
	case t == proto.PacketAckEpoch:
		p.epochAcked(l, packet)
	case t == proto.PacketAck:
		p.acked(l, packet.Zxid)
	case t == proto.PacketRequest, t == proto.PacketRevalidate, t == proto.PacketPing:
		return p.serving && l.stage == stageActive
	default:
		p.refuse(l, "unexpected "+t.String())
	}
	return false
}

// learnerInfo takes a learner's greeting.
func (p *Peer) learnerInfo(l *Link, packet *proto.Packet) {
	var info proto.LearnerInfo
	err := info.Decode(packet.Data)
	switch {
	case err != nil:
		p.refuse(l, err.Error())
		return
	case info.ID == p.cfg.ID:
		p.refuse(l, "it has this server's own id; every server needs an id of its own")
		return
	case l.Master && packet.Type != proto.PacketObserverInfo:
		p.refuse(l, "it is no observer, and this port is for observers")
		return
	case l.stage != stageNew:
		p.refuse(l, "a second "+packet.Type.String())
		return
	case info.Version < proto.LearnerVersion:
		p.refuse(l, "a learner of a version before 3.4")
		return
	case int64(info.ConfigVersion) > p.cfg.Ensemble.Version:
		p.refuse(l, "its configuration is newer than this server's")
		return
	}
	if !p.takeOver(l, info.ID) {
		return
	}
	l.id, l.stage, l.accepted = info.ID, stageWaiting, packet.Zxid.Epoch64()
	l.observer = packet.Type == proto.PacketObserverInfo
	switch {
	case p.role == proto.Leading && p.passed(l):
	case p.role == proto.Leading:
		p.gatherEpochs()
	case l.Master:
		p.tellEpoch()
	}
}

// takeOver lets a learner take the place of an older connection with its id; but one that
// was heard of just now is not the one that has come back. A server that heals comes as an observer
// of another id, and what that has it cut may be what its connection as a follower acknowledged.
func (p *Peer) takeOver(l *Link, id int64) bool {
	for _, other := range p.leading.links {
		switch {
		case other == l || other.id != id && other.id != ^id || other.closed:
		case id >= 0 && other.id == ^id:
			p.hangUp(other, "it comes back as a follower")
		case other.stage == stageActive && p.now-other.heard < p.cfg.TickTime:
			p.refuse(l, fmt.Sprintf("server %d is connected already; every server needs an id of its own", id))
			return false
		default:
			p.hangUp(other, "it has connected again")
		}
	}
	return true
}

// passed gives a leadership up that a voter has passed by: it agreed to a later epoch, of
// a leadership that came to nothing, and could not follow before this one ends by itself.
func (p *Peer) passed(l *Link) bool {
	lead := &p.leading
	if lead.epoch == 0 || l.accepted <= lead.epoch || l.observer || !p.cfg.Ensemble.Votes(l.id) {
		return false
	}
	p.above = max(p.above, l.accepted)
	p.leave(fmt.Sprintf("server %d has accepted the epoch %d, and this one is %d", l.id, l.accepted, lead.epoch))
	return true
}

// gatherEpochs chooses the new epoch as soon as a quorum has told its accepted ones, and
// tells it to the learners that wait for it.
func (p *Peer) gatherEpochs() {
	lead := &p.leading
	if lead.stage == leadEpochs {
		known := func(l *Link) bool { return l.stage == stageWaiting && !l.observer }
		if lead.epoch != 0 || !p.quorumOf(known) {
			return
		}
		lead.epoch = max(p.hard.Accepted, p.above)
		for _, l := range lead.links {
			if known(l) && p.cfg.Ensemble.Votes(l.id) {
				lead.epoch = max(lead.epoch, l.accepted)
			}
		}
		lead.epoch++
		p.ifLeading(HardState{lead.epoch, p.hard.Current}, func() {
			lead.stage, lead.deadline = leadAcks, p.now+p.init()
			p.gatherEpochs()
			p.gatherAcks()
		})
		return
	}
	p.tellEpoch()
}

// tellEpoch tells the epoch to the learners that wait for it.
func (p *Peer) tellEpoch() {
	for _, l := range p.leading.links {
		if l.stage == stageWaiting && !l.closed {
			l.stage = stageInfo
			p.send(l, proto.PacketLeaderInfo, p.epochZxid(), jute.AppendInt(nil, proto.LearnerVersion))
		}
	}
}

// ifLeading writes epochs, and goes on if this leadership goes on.
func (p *Peer) ifLeading(h HardState, then func()) {
	epoch := p.leading.epoch
	p.writeHard(h, func() {
		if p.role == proto.Leading && p.leading.epoch == epoch {
			then()
		}
	})
}

// epochAcked takes a learner's ACKEPOCH.
func (p *Peer) epochAcked(l *Link, packet *proto.Packet) {
	lead := &p.leading
	if l.stage != stageInfo || len(packet.Data) < 4 {
		p.refuse(l, "unexpected ACKEPOCH")
		return
	}
	current := int64(jute.Int(packet.Data))
	l.zxid, l.stage = packet.Zxid, stageAcked
	if p.role == proto.Following {
		p.takeObserver(l)
		return
	}
	if current >= 0 {
		if current > lead.current || current == lead.current && l.zxid > lead.initial && !p.Leads() {
			p.hangUp(l, "its history is more recent than this leader's")
			return
		}
		l.agreed = l.zxid != -1
	}
	p.gatherAcks()
}

// gatherAcks makes the epoch the current one as soon as a quorum has acknowledged it, and
// synchronizes the learners that wait for that.
func (p *Peer) gatherAcks() {
	lead := &p.leading
	if lead.stage == leadAcks {
		agreed := func(l *Link) bool { return l.stage == stageAcked && l.agreed && !l.observer }
		if lead.written || !p.quorumOf(agreed) {
			return
		}
		lead.written = true
		p.ifLeading(HardState{p.hard.Accepted, lead.epoch}, func() {
			lead.stage, lead.deadline = leadSync, p.now+p.init()
			p.gatherAcks()
			p.activate()
		})
		return
	}
	if lead.stage < leadSync {
		return
	}
	for _, l := range lead.links {
		if l.stage == stageAcked && !l.closed {
			p.synchronize(l)
		}
	}
}

// acked takes an ACK.
func (p *Peer) acked(l *Link, zxid proto.Zxid) {
	switch {
	case l.stage < stageSyncing:
		p.refuse(l, "unexpected ACK")
	case l.stage == stageSyncing:
		// Some releases of Apache's send ACKs of proposals first; they do not count.
		if zxid != p.epochZxid() {
			return
		}
		l.stage, l.acked = stageSynced, l.zxid
		p.event(Event{What: "learner", Peer: l.id, Epoch: p.leading.epoch, Zxid: l.zxid})
		if p.leading.stage == leadActive {
			p.upToDate(l)
			return
		}
		p.activate()
	case zxid.Counter() == 0 || zxid <= l.acked || zxid > l.proposed:
	default:
		l.acked, l.acksSince = zxid, p.now
		p.leading.dirty = true
	}
}

// activate begins to serve once a quorum has acknowledged NEWLEADER: the history up to
// here is committed.
func (p *Peer) activate() {
	lead := &p.leading
	synced := func(l *Link) bool { return l.stage >= stageSynced && !l.observer }
	if lead.stage != leadSync || !p.quorumOf(synced) {
		return
	}
	lead.stage = leadActive
	p.commit = len(p.entries)
	p.serving, p.epoch, p.vote.PeerEpoch = true, lead.epoch, lead.epoch
	lead.pingAt, lead.quorumAt = p.now+p.cfg.TickTime/2, p.now+p.cfg.TickTime
	p.event(Event{What: "serving", Peer: p.cfg.ID, Epoch: lead.epoch, Zxid: p.last()})
	for _, l := range lead.links {
		if l.stage == stageSynced {
			p.upToDate(l)
		}
	}
}

// upToDate lets a learner serve, and then tells it what has been committed meanwhile.
func (p *Peer) upToDate(l *Link) {
	p.send(l, proto.PacketUpToDate, -1, nil)
	l.stage, l.acksSince = stageActive, p.now
	p.tellCommits(l)
	p.leading.dirty = true
}

// NextZxid is the zxid of the next proposal. ok is false when the epoch has no more.
func (p *Peer) NextZxid() (zxid proto.Zxid, ok bool) {
	last := p.last()
	if p.Solo() {
		return last + 1, true
	}
	if last.Epoch64() < p.epoch {
		return proto.Zxid(p.epoch<<32) + 1, true
	}
	return last + 1, last.Counter() < p.cfg.EpochSize
}

// Propose logs a transaction and sends it to the followers. The server must lead, and
// the zxid must be NextZxid's. It returns the transaction's length in bytes.
func (p *Peer) Propose(txn *proto.Txn) (size int) {
	if p.lastDurable() >= p.last() {
		p.leading.ownSince = p.now
	}
	b := p.batch()
	b.Add(txn.Zxid, txn)
	p.added(b)
	for _, l := range p.leading.links {
		if l.stage >= stageSyncing && !l.observer && !l.closed {
			p.sendProposal(l, txn.Zxid, b.Txn(b.Len()-1))
		}
	}
	return len(b.Txn(b.Len() - 1))
}

func (p *Peer) sendProposal(l *Link, zxid proto.Zxid, txn []byte) {
	if l.acked >= l.proposed {
		l.acksSince = p.now
	}
	l.proposed = zxid
	p.send(l, proto.PacketProposal, zxid, txn)
}

// advance commits what can be, and tells the learners.
func (p *Peer) advance() {
	lead := &p.leading
	lead.dirty = false
	if lead.stage != leadActive {
		return
	}
	if p.role == proto.Leading {
		p.countAcks()
	}
	for _, l := range lead.links {
		if l.stage == stageActive && !l.closed {
			p.tellCommits(l)
		}
	}
}

// countAcks commits what a quorum has on its disks.
func (p *Peer) countAcks() {
	lead := &p.leading
	own := p.lastDurable()
	best := p.committed()
	try := func(zxid proto.Zxid) {
		if zxid <= best {
			return
		}
		has := p.cfg.Ensemble.HasQuorum(func(id int64) bool {
			if id == p.cfg.ID {
				return own >= zxid
			}
			for _, l := range lead.links {
				if l.id == id && !l.closed && l.stage == stageActive {
					return l.acked >= zxid
				}
			}
			return false
		})
		if has {
			best = zxid
		}
	}
	try(own)
	for _, l := range lead.links {
		if l.stage == stageActive {
			try(l.acked)
		}
	}
	p.commit = max(p.commit, p.after(best))
}

// tellCommits tells a learner of everything committed that it does not know of.
func (p *Peer) tellCommits(l *Link) {
	for i := p.after(l.commits); i < p.commit; i++ {
		e := &p.entries[i]
		if l.observer {
			p.send(l, proto.PacketInform, e.zxid, e.txn())
		} else {
			p.send(l, proto.PacketCommit, e.zxid, nil)
		}
		l.commits = e.zxid
		for len(l.syncs) > 0 && l.syncs[0] <= l.commits {
			p.send(l, proto.PacketSync, 0, nil)
			l.syncs = l.syncs[1:]
		}
	}
}

// SyncAfter answers a learner's sync behind the commit of a transaction, and before that of
// any later one: Apache's learners take both for the answers to what they sent on, in order.
func (p *Peer) SyncAfter(l *Link, zxid proto.Zxid) {
	if zxid <= l.commits {
		p.send(l, proto.PacketSync, 0, nil)
		return
	}
	l.syncs = append(l.syncs, zxid)
}
