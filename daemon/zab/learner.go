package zab

import (
	"fmt"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// followStage is how far a learner has come with its leader.
type followStage uint8

const (
	followDialling followStage = iota
	followInfo                 // has said who it is
	followEpoch                // the accepted epoch is being written
	followSync                 // waits for DIFF, TRUNC or SNAP
	followHistory              // takes history, up to NEWLEADER
	followWriting              // what NEWLEADER asks for is being written
	followSynced               // has acknowledged NEWLEADER
	followActive               // has got UPTODATE
)

// following is a server's part as a learner. Source: Learner.java, and Follower.java.
type following struct {
	leader   int64
	dialled  int64 // the leader, or the follower through which it is observed
	link     *Link
	stage    followStage
	epoch    int64
	heard    proto.Millis
	deadline proto.Millis // to be synchronized
	// tentative is up to where the leader says that history is committed; it is believed at
	// UPTODATE.
	tentative proto.Zxid
	acked     proto.Zxid // up to here nothing is to be acknowledged any more

	snap    bool       // synchronizes by a snapshot
	at      proto.Zxid // of the snapshot, with what was committed on top of it
	pending []proposal // came on top of a snapshot

	// scratch tells to ask the leader of this epoch for everything: it had this server cut
	// off something that cannot be cut off.
	scratch int64

	rejoins int64 // the epoch of the leadership that this server is to come back to as a voter
}

// proposal is a transaction that waits for the snapshot below it.
type proposal struct {
	zxid proto.Zxid
	txn  []byte
}

// end forgets a part that is over.
func (f *following) end() following { return following{scratch: f.scratch, heard: f.heard} }

// follow begins to follow a leader.
func (p *Peer) follow(role proto.State, leader int64) {
	p.role = role
	for _, l := range p.leading.links {
		p.hangUp(l, "this server does not lead")
	}
	p.leading = leading{}
	p.following = following{
		leader: leader, dialled: leader, heard: p.now, deadline: p.now + p.init(), scratch: p.following.scratch,
	}
	p.effects.Dial, p.effects.Dialling, p.effects.Master = leader, true, false
	what := "following"
	if role == proto.Observing {
		what = "observing"
	}
	p.event(Event{What: what, Peer: leader, Epoch: p.hard.Current, Zxid: p.last()})
}

// greet tells the leader who this server is.
func (p *Peer) greet(l *Link) {
	f := &p.following
	if p.role != proto.Following && p.role != proto.Observing || f.link != nil {
		p.hangUp(l, "it is not wanted any more")
		return
	}
	l.id, f.link, f.stage, f.heard = f.dialled, l, followInfo, p.now
	kind := proto.PacketFollowerInfo
	if p.role == proto.Observing {
		kind = proto.PacketObserverInfo
	}
	info := proto.LearnerInfo{
		ID: p.learnerID(), Version: proto.LearnerVersion, ConfigVersion: proto.Zxid(p.cfg.Ensemble.Version),
	}
	p.send(l, kind, proto.Zxid(p.hard.Accepted<<32), info.Append(nil))
}

// fromLeader takes a packet from the leader.
func (p *Peer) fromLeader(l *Link, packet *proto.Packet) bool {
	f := &p.following
	switch packet.Type {
	case proto.PacketPing, proto.PacketRevalidate, proto.PacketSync:
		return f.stage >= followSynced
	case proto.PacketProposal:
		p.proposed(packet.Zxid, packet.Data)
	case proto.PacketCommit, proto.PacketCommitAndActivate:
		p.commitTold(packet.Zxid)
	case proto.PacketInform:
		p.informed(packet.Zxid, packet.Data)
	case proto.PacketInformAndActivate:
		if len(packet.Data) < 8 {
			p.leave("the leader sent an INFORMANDACTIVATE that is too short")
			break
		}
		p.informed(packet.Zxid, packet.Data[8:])
	case proto.PacketLeaderInfo:
		p.leaderInfo(l, packet)
	case proto.PacketDiff, proto.PacketTrunc:
		p.resume(packet)
	case proto.PacketNewLeader:
		p.newLeader(packet)
	case proto.PacketUpToDate:
		p.told()
	default:
		p.leave("the leader sent an unexpected " + packet.Type.String())
	}
	return false
}

// leaderInfo takes the leader's new epoch.
func (p *Peer) leaderInfo(l *Link, packet *proto.Packet) {
	f := &p.following
	epoch := packet.Zxid.Epoch64()
	switch {
	case f.stage != followInfo:
		p.leave("the leader sent LEADERINFO out of turn")
	case f.rejoins != 0 && epoch != f.rejoins:
		p.leave("the leader has begun anew, and this server does not vote yet")
	case epoch < p.hard.Accepted:
		p.leave(fmt.Sprintf("the leader's epoch %d is below the accepted one, %d", epoch, p.hard.Accepted))
	case epoch == p.hard.Accepted:
		f.epoch, f.stage = epoch, followSync
		p.ackEpoch(l, -1)
	default:
		f.epoch, f.stage = epoch, followEpoch
		p.writeHard(HardState{epoch, p.hard.Current}, func() {
			if p.following.link == l && !l.closed {
				p.following.stage = followSync
				p.ackEpoch(l, int32(p.hard.Current))
			}
		})
	}
}

// ackEpoch tells the leader where this server's history ends.
func (p *Peer) ackEpoch(l *Link, current int32) {
	zxid := p.last()
	if p.following.scratch == p.following.epoch {
		zxid = -1 // what no history ends at
	}
	p.send(l, proto.PacketAckEpoch, zxid, jute.AppendInt(nil, current))
}

// resume takes DIFF or TRUNC: the leader holds this server's history, or the part of it
// up to where it is to be cut.
func (p *Peer) resume(packet *proto.Packet) {
	f := &p.following
	if f.stage != followSync {
		p.leave("the leader sent " + packet.Type.String() + " out of turn")
		return
	}
	f.stage = followHistory
	if f.scratch == f.epoch {
		p.leave("the leader sent history where a snapshot was needed")
		return
	}
	if packet.Type == proto.PacketTrunc {
		i := p.after(packet.Zxid)
		if packet.Zxid < p.committed() || p.before(i) != packet.Zxid {
			f.scratch = f.epoch
			p.again(fmt.Sprintf("history cannot be cut at %v, everything is needed anew", packet.Zxid))
			return
		}
		if i < len(p.entries) {
			p.event(Event{What: "truncated", Peer: f.leader, Epoch: f.epoch, Zxid: packet.Zxid})
			p.cut(packet.Zxid)
		}
	}
	f.tentative = p.last()
}

// again greets the leader anew. A follower goes back to it without an election: the leader may
// need it for its quorum, and as long as it does, no election could end with this leader.
func (p *Peer) again(reason string) {
	if p.role != proto.Following {
		p.leave(reason)
		return
	}
	p.rejoin(p.following.rejoins, reason)
}

// rejoin follows the same leader anew; rejoins is the epoch that it has to be in, 0 for any.
func (p *Peer) rejoin(rejoins int64, reason string) {
	p.hangUp(p.following.link, reason)
	p.follow(proto.Following, p.following.leader)
	p.following.rejoins = rejoins
}

// Snap takes a snapshot from the leader, which replaces everything once it is on disk.
// It returns false for one that is not wanted.
func (p *Peer) Snap(now proto.Millis, l *Link, zxid proto.Zxid) bool {
	p.at(now)
	f := &p.following
	if l.closed || l != f.link {
		return false
	}
	if f.stage != followSync {
		p.leave("the leader sent SNAP out of turn")
		return false
	}
	l.heard, f.heard = now, now
	f.stage, f.snap, f.at, f.tentative = followHistory, true, zxid, zxid
	return true
}

// Incoming is the next transaction to be applied to a snapshot that is being taken over.
// In contrast to Next, transactions may come that the snapshot holds already.
func (p *Peer) Incoming() ([]byte, bool) {
	f := &p.following
	if !f.snap || f.stage != followHistory || len(f.pending) == 0 || f.pending[0].zxid > f.tentative {
		return nil, false
	}
	txn := f.pending[0].txn
	f.at = max(f.at, f.pending[0].zxid)
	f.pending = f.pending[1:]
	return txn, true
}

// follows says whether next can come after last: no transaction of an epoch is left out.
func follows(last, next proto.Zxid) bool {
	return next == last+1 || next.Epoch() > last.Epoch() && next.Counter() > 0
}

// proposed takes a proposal.
func (p *Peer) proposed(zxid proto.Zxid, txn []byte) {
	f := &p.following
	switch {
	case f.stage < followHistory:
		p.leave("the leader sent a proposal out of turn")
	case len(txn) < proto.TxnHeaderLen:
		p.leave(fmt.Sprintf("the leader's proposal %v is too short", zxid))
	case f.snap && f.stage == followHistory:
		if n := len(f.pending); n > 0 && !follows(f.pending[n-1].zxid, zxid) {
			p.leave(fmt.Sprintf("the leader proposed %v after %v", zxid, f.pending[n-1].zxid))
			return
		}
		f.pending = append(f.pending, proposal{zxid, append([]byte(nil), txn...)})
	case !follows(p.last(), zxid):
		p.leave(fmt.Sprintf("the leader proposed %v after %v", zxid, p.last()))
	case p.role == proto.Observing && f.stage == followActive:
	default:
		p.logTxn(zxid, txn)
	}
}

func (p *Peer) logTxn(zxid proto.Zxid, txn []byte) {
	b := p.batch()
	b.AddBytes(zxid, txn)
	p.added(b)
}

// commitTold takes a COMMIT. Before UPTODATE it is kept in mind only.
func (p *Peer) commitTold(zxid proto.Zxid) {
	f := &p.following
	if f.stage < followHistory {
		p.leave("the leader sent a commit out of turn")
		return
	}
	if f.stage < followActive {
		f.tentative = max(f.tentative, zxid)
		return
	}
	p.commitTo(zxid)
}

// commitTo commits everything up to a zxid.
func (p *Peer) commitTo(zxid proto.Zxid) {
	i := p.after(zxid)
	if zxid > p.committed() && p.before(i) != zxid {
		p.leave(fmt.Sprintf("the leader committed %v, which it has not proposed", zxid))
		return
	}
	p.commit = max(p.commit, i)
	p.leading.dirty = len(p.leading.links) > 0
}

// informed takes a transaction that is committed already.
func (p *Peer) informed(zxid proto.Zxid, txn []byte) {
	switch f := &p.following; {
	case p.role != proto.Observing || f.stage < followHistory:
		p.leave("the leader sent an INFORM out of turn")
	case f.stage < followActive:
		p.proposed(zxid, txn)
		p.commitTold(zxid)
	case zxid <= p.last():
	case !follows(p.last(), zxid) || len(txn) < proto.TxnHeaderLen:
		p.leave(fmt.Sprintf("the leader sent %v after %v", zxid, p.last()))
	default:
		p.logTxn(zxid, txn)
		p.commit = len(p.entries)
	}
}

// newLeader takes NEWLEADER: everything that came has to be on disk, and then the epoch,
// before it is acknowledged.
func (p *Peer) newLeader(packet *proto.Packet) {
	f := &p.following
	if f.stage != followHistory || packet.Zxid.Epoch64() != f.epoch {
		p.leave("the leader sent NEWLEADER out of turn")
		return
	}
	f.stage = followWriting
	if f.snap {
		p.restart(f.at)
		for _, q := range f.pending {
			if q.zxid > f.at {
				p.logTxn(q.zxid, q.txn)
			}
		}
		f.pending, f.tentative = nil, max(f.tentative, f.at)
	}
	l := f.link
	p.writeHard(HardState{max(p.hard.Accepted, f.epoch), f.epoch}, func() {
		if p.following.link != l || l.closed {
			return
		}
		f.stage, f.acked, f.scratch = followSynced, f.tentative, 0
		p.send(l, proto.PacketAck, packet.Zxid, nil)
		p.ack()
	})
}

// ack acknowledges what has become durable.
func (p *Peer) ack() {
	f := &p.following
	if f.stage < followSynced || p.role != proto.Following {
		return
	}
	for i := p.after(f.acked); i < p.durable; i++ {
		f.acked = p.entries[i].zxid
		p.send(f.link, proto.PacketAck, f.acked, nil)
	}
}

// told takes UPTODATE: the leader is confirmed, and this server may serve.
func (p *Peer) told() {
	f := &p.following
	if f.stage != followSynced {
		p.leave("the leader sent UPTODATE out of turn")
		return
	}
	f.stage = followActive
	p.commitTo(f.tentative)
	if p.role == proto.Looking {
		return
	}
	p.send(f.link, proto.PacketAck, proto.Zxid(f.epoch<<32), nil)
	if p.lost && !p.heal() {
		return
	}
	p.serving, p.epoch, p.vote.PeerEpoch = true, f.epoch, f.epoch
	p.beMaster()
	p.event(Event{What: "serving", Peer: f.leader, Epoch: f.epoch, Zxid: p.last()})
}

// ToLeader queues a packet for the leader; false says that there is none.
func (p *Peer) ToLeader(packet *proto.Packet) bool {
	f := &p.following
	if !p.serving || f.link == nil {
		return false
	}
	p.Send(f.link, packet)
	return true
}

// tickLearner looks whether the leader can still be heard.
func (p *Peer) tickLearner() {
	f := &p.following
	p.tendLearners()
	switch silent := p.now - f.heard; {
	case f.stage == followActive && silent > p.sync():
		p.leave("the leader is silent")
	case f.stage < followWriting && p.now > f.deadline && silent > p.sync():
		p.leave("synchronizing with the leader takes too long")
	case f.stage >= followWriting && f.stage < followActive && silent > p.init()+p.sync():
		p.leave("the leader is not confirmed in time")
	}
}
