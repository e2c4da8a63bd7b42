package zab

import (
	"slices"

	"github.com/zkd-project/zkd/daemon/proto"
)

// entry is a transaction of the history.
type entry struct {
	zxid  proto.Zxid
	pos   uint64 // of its write
	batch *proto.LogBatch
	index int
}

func (e *entry) txn() []byte { return e.batch.Txn(e.index) }

// history holds the end of the log: what is not committed yet, and the committed
// transactions before it that learners may lack. The log batches that it fills are used
// again once nothing needs them.
type history struct {
	base    proto.Zxid // everything up to here is not in entries
	entries []entry
	head    int // entries before it are gone
	applied int // entries before it were handed out as committed
	commit  int // entries before it are committed
	durable int // entries before it are durable
	bytes   int // of entries[head:]

	asked  uint64 // position of the last write
	stored uint64 // position up to which everything is durable

	fill   *proto.LogBatch
	spare  []*proto.LogBatch
	writes []Write
}

// maxSpareBytes is the largest buffer that is kept for use again.
const maxSpareBytes = 4 << 20

// last is the zxid of the last transaction, durable or not.
func (h *history) last() proto.Zxid { return h.before(len(h.entries)) }

// before is the zxid of the transaction in front of entry i.
func (h *history) before(i int) proto.Zxid {
	if i == h.head {
		return h.base
	}
	return h.entries[i-1].zxid
}

func (h *history) committed() proto.Zxid { return h.before(h.commit) }

func (h *history) lastDurable() proto.Zxid { return h.before(h.durable) }

// idle says whether all writes are durable.
func (h *history) idle() bool { return h.stored == h.asked }

// after is the index of the first entry above zxid.
func (h *history) after(zxid proto.Zxid) int {
	i, found := slices.BinarySearchFunc(h.entries[h.head:], zxid, func(e entry, z proto.Zxid) int {
		switch {
		case e.zxid < z:
			return -1
		case e.zxid > z:
			return 1
		}
		return 0
	})
	if found {
		i++
	}
	return h.head + i
}

// batch is the log batch that takes new transactions.
func (h *history) batch() *proto.LogBatch {
	if h.fill == nil {
		if n := len(h.spare); n > 0 {
			h.fill, h.spare = h.spare[n-1], h.spare[:n-1]
		} else {
			h.fill = new(proto.LogBatch)
		}
	}
	return h.fill
}

// added makes the last transaction of the batch the last one of the history.
func (h *history) added(b *proto.LogBatch) {
	h.asked++
	if h.head > 1024 && h.head > len(h.entries)/2 {
		h.compact()
	}
	i := b.Len() - 1
	h.entries = append(h.entries, entry{b.Entries[i].Zxid, h.asked, b, i})
	h.bytes += b.Entries[i].End - b.Entries[i].Off
}

func (h *history) compact() {
	n := copy(h.entries, h.entries[h.head:])
	clear(h.entries[n:])
	h.entries = h.entries[:n]
	h.applied, h.commit, h.durable = h.applied-h.head, h.commit-h.head, h.durable-h.head
	h.head = 0
}

// flush queues the batch that is being filled.
func (h *history) flush() {
	if h.fill != nil {
		h.writes = append(h.writes, Write{Kind: WriteLog, Pos: h.asked, Log: h.fill})
		h.fill = nil
	}
}

// write queues a write other than that of transactions and returns its position.
func (h *history) write(w Write) uint64 {
	h.flush()
	h.asked++
	w.Pos = h.asked
	h.writes = append(h.writes, w)
	return w.Pos
}

// confirm notes that everything up to a position is durable.
func (h *history) confirm(pos uint64) {
	h.stored = pos
	for h.durable < len(h.entries) && h.entries[h.durable].pos <= pos {
		h.durable++
	}
}

// cut drops everything above zxid, which must not be below what is committed.
func (h *history) cut(zxid proto.Zxid) {
	i := h.after(zxid)
	if i < h.commit {
		panic("zab: a committed transaction would be cut off")
	}
	for _, e := range h.entries[i:] {
		h.bytes -= len(e.txn())
	}
	clear(h.entries[i:])
	h.entries = h.entries[:i]
	h.durable = min(h.durable, i)
	h.write(Write{Kind: WriteTruncate, Zxid: zxid})
}

// restart forgets everything: the history goes on after zxid, up to which a snapshot
// holds it.
func (h *history) restart(zxid proto.Zxid) {
	h.forget(zxid)
	h.write(Write{Kind: WriteInstall, Zxid: zxid})
}

// forget is restart where the snapshot is on the disk already.
func (h *history) forget(zxid proto.Zxid) {
	clear(h.entries)
	h.entries, h.base, h.bytes = h.entries[:0], zxid, 0
	h.head, h.applied, h.commit, h.durable = 0, 0, 0, 0
	h.fill = nil
}

// next hands out the next committed transaction.
func (h *history) next() ([]byte, bool) {
	if h.applied == h.commit {
		return nil, false
	}
	h.applied++
	return h.entries[h.applied-1].txn(), true
}

// trim forgets transactions up to needed that are applied and durable, as far as they
// are more than is to be kept.
func (h *history) trim(needed proto.Zxid, txns, bytes int) {
	for h.head < min(h.applied, h.durable) && (len(h.entries)-h.head > txns || h.bytes > bytes) {
		e := &h.entries[h.head]
		if e.zxid > needed {
			break
		}
		h.base = e.zxid
		h.bytes -= len(e.txn())
		b := e.batch
		*e = entry{}
		h.head++
		if h.head == len(h.entries) || h.entries[h.head].batch != b {
			h.recycle(b)
		}
	}
	if h.head > 0 && h.head == len(h.entries) {
		h.entries, h.head, h.applied, h.commit, h.durable = h.entries[:0], 0, 0, 0, 0
	}
}

func (h *history) recycle(b *proto.LogBatch) {
	if b != h.fill && cap(b.Buf) <= maxSpareBytes && len(h.spare) < 4 {
		b.Reset()
		h.spare = append(h.spare, b)
	}
}
