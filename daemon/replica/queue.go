package replica

// pendingQueue holds the transactions that this server proposed and that are not
// committed, in zxid order.
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

// clear drops everything.
func (q *pendingQueue) clear() {
	clear(q.txns)
	q.txns, q.head = q.txns[:0], 0
}
