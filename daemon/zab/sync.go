package zab

import (
	"github.com/zkd-project/zkd/daemon/proto"
)

// synchronize queues everything that a learner lacks, and NEWLEADER. From here on every
// proposal goes to the learner, too; commits wait for UPTODATE, because most releases of
// Apache's cannot take one between NEWLEADER and it.
//
// Before the leadership is confirmed its whole history is sent as committed: a learner of
// Apache's has nothing else on its disk when it acknowledges NEWLEADER.
//
// Source of the packets: LearnerHandler.java, syncFollower. The decision is stricter: a
// learner is told to cut only to a transaction that it is certain to have.
func (p *Peer) synchronize(l *Link) {
	l.stage = stageSyncing
	end := p.committed()
	if p.leading.stage != leadActive {
		end = p.last()
	}
	i := p.after(min(l.zxid, end))
	before := p.before(i)
	switch {
	case l.zxid != 0 && l.zxid.Epoch() == 0:
		// It was on its own when it wrote that, as others were: equal zxids mean nothing.
		p.sendSnap(l, end)
	case l.zxid == before, l.zxid.Counter() == 0 && l.zxid > p.base && p.holdsStart(l.zxid.Epoch64(), i):
		if p.isMuch(i) {
			p.sendLog(l, before, end)
			break
		}
		p.diffs++
		p.send(l, proto.PacketDiff, end, nil)
		p.sendHistory(l, before, end)
	case l.zxid < p.base:
		p.sendLog(l, l.zxid, end)
	case l.zxid.Epoch() == before.Epoch() && before.Counter() != 0:
		p.diffs++
		p.send(l, proto.PacketTrunc, before, nil)
		p.sendHistory(l, before, end)
	default:
		p.sendSnap(l, end)
	}
	p.send(l, proto.PacketNewLeader, p.epochZxid(), p.text)
	l.zxid, l.commits, l.acksSince = end, end, p.now
}

// holdsStart says whether this history is known to hold what epoch began with, and so all of a
// learner that stands at that epoch's start; entry i is the first one after it. A leader that never
// was confirmed may have left a learner there with what nobody else has.
func (p *Peer) holdsStart(epoch int64, i int) bool {
	return epoch == p.leading.epoch || epoch == p.leading.current ||
		i < len(p.entries) && p.entries[i].zxid.Epoch64() == epoch
}

// sendSnap sends the tree and the history beyond it, in place of all that the learner has.
func (p *Peer) sendSnap(l *Link, end proto.Zxid) {
	// The packet's zxid must be above everything that the learner has, lest old files
	// of an Apache server come to life again.
	at := p.committed()
	if l.zxid > at {
		at = max(at, p.epochZxid())
	}
	p.bulk(l, Bulk{Kind: BulkSnap, After: l.zxid, Zxid: at})
	p.sendHistory(l, p.committed(), end)
}

// maxCopied is how many bytes of history are sent from memory, which takes a part of a step: who
// lacks more waits longer for them than for the disk.
const maxCopied = 1 << 20

// isMuch says whether the committed history from an entry on is to be sent from the log.
func (p *Peer) isMuch(i int) bool {
	n := 0
	for ; i < p.commit && n <= maxCopied; i++ {
		n += len(p.entries[i].txn())
	}
	return n > maxCopied
}

// sendLog sends the committed history after a zxid from the log, and what is beyond from memory.
func (p *Peer) sendLog(l *Link, after, end proto.Zxid) {
	p.bulk(l, Bulk{Kind: BulkLog, After: after, Zxid: p.committed()})
	p.sendHistory(l, p.committed(), end)
}

func (p *Peer) bulk(l *Link, b Bulk) {
	b.At, b.End = len(l.Out), p.committed()
	l.Bulks = append(l.Bulks, b)
	p.touch(l)
}

// sendHistory sends the history after a zxid: proposals with their commits up to end, and
// to followers what is beyond as proposals only.
func (p *Peer) sendHistory(l *Link, after, end proto.Zxid) {
	l.proposed = after
	for i := p.after(after); i < len(p.entries); i++ {
		e := &p.entries[i]
		if e.zxid > end && l.observer {
			return
		}
		p.send(l, proto.PacketProposal, e.zxid, e.txn())
		l.proposed = e.zxid
		if e.zxid <= end {
			p.send(l, proto.PacketCommit, e.zxid, nil)
		}
	}
}
