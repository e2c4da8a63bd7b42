package proto

// LogBatch is a run of encoded transactions on their way to the log, in zxid order.
type LogBatch struct {
	Buf     []byte
	Entries []LogEntry
}

// LogEntry is one transaction of a LogBatch: Buf[Off:End].
type LogEntry struct {
	Zxid     Zxid
	Off, End int
}

// Add appends a transaction.
func (b *LogBatch) Add(zxid Zxid, t *Txn) {
	off := len(b.Buf)
	b.Buf = t.Append(b.Buf)
	b.Entries = append(b.Entries, LogEntry{zxid, off, len(b.Buf)})
}

// AddBytes appends a transaction that is encoded already.
func (b *LogBatch) AddBytes(zxid Zxid, txn []byte) {
	off := len(b.Buf)
	b.Buf = append(b.Buf, txn...)
	b.Entries = append(b.Entries, LogEntry{zxid, off, len(b.Buf)})
}

// Txn is the encoded transaction of entry i.
func (b *LogBatch) Txn(i int) []byte { return b.Buf[b.Entries[i].Off:b.Entries[i].End] }

// Len is the number of transactions.
func (b *LogBatch) Len() int { return len(b.Entries) }

// First is the zxid of the first transaction; the batch must not be empty.
func (b *LogBatch) First() Zxid { return b.Entries[0].Zxid }

// Last is the zxid of the last transaction; the batch must not be empty.
func (b *LogBatch) Last() Zxid { return b.Entries[len(b.Entries)-1].Zxid }

// Reset empties the batch and keeps its memory.
func (b *LogBatch) Reset() { b.Buf, b.Entries = b.Buf[:0], b.Entries[:0] }
