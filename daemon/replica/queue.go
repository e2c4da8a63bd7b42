package replica

import (
	"github.com/zkd-project/zkd/daemon/proto"
)

// logQueue fills log batches and uses them again once all that they hold is durable
// and applied.
type logQueue struct {
	last  proto.Zxid        // of the newest proposal
	fill  *proto.LogBatch   // takes new transactions
	taken []*proto.LogBatch // with the adapter, oldest first
	spare []*proto.LogBatch
}

// maxSpareBytes is the largest buffer that is kept for use again.
const maxSpareBytes = 4 << 20

// add queues a transaction and returns the batch whose last entry it is.
func (q *logQueue) add(zxid proto.Zxid, txn *proto.Txn) *proto.LogBatch {
	if q.fill == nil {
		q.fill = q.fresh()
	}
	q.fill.Add(zxid, txn)
	q.last = zxid
	return q.fill
}

func (q *logQueue) fresh() *proto.LogBatch {
	if n := len(q.spare); n > 0 {
		b := q.spare[n-1]
		q.spare = q.spare[:n-1]
		return b
	}
	return new(proto.LogBatch)
}

// take hands out what has been queued, nil if nothing has.
func (q *logQueue) take() *proto.LogBatch {
	b := q.fill
	if b != nil {
		q.fill = nil
		q.taken = append(q.taken, b)
	}
	return b
}

// release takes back the batches of which nothing is above zxid.
func (q *logQueue) release(zxid proto.Zxid) {
	n := 0
	for n < len(q.taken) && q.taken[n].Last() <= zxid {
		b := q.taken[n]
		if cap(b.Buf) <= maxSpareBytes && len(q.spare) < 4 {
			b.Reset()
			q.spare = append(q.spare, b)
		}
		n++
	}
	if n > 0 {
		m := copy(q.taken, q.taken[n:])
		clear(q.taken[m:])
		q.taken = q.taken[:m]
	}
}

// pendingQueue holds the transactions on their way to the log, in zxid order.
type pendingQueue struct {
	txns []pendingTxn
	head int
}

func (q *pendingQueue) len() int { return len(q.txns) - q.head }

func (q *pendingQueue) first() *pendingTxn { return &q.txns[q.head] }

func (q *pendingQueue) push(p pendingTxn) {
	if q.head > 1024 && q.head > len(q.txns)/2 {
		n := copy(q.txns, q.txns[q.head:])
		clear(q.txns[n:])
		q.txns, q.head = q.txns[:n], 0
	}
	q.txns = append(q.txns, p)
}

func (q *pendingQueue) pop() {
	q.txns[q.head] = pendingTxn{}
	q.head++
	if q.head == len(q.txns) {
		q.txns, q.head = q.txns[:0], 0
	}
}
