package server

import (
	"encoding/binary"

	"github.com/zkd-project/zkd/daemon/store"
)

// deltaBlock is the size of the blocks that records are collected in.
const deltaBlock = 64 << 10

// delta collects records of the image under the step lock, in blocks that never move, so
// that each takes the same short time. They are put into a batch without the lock.
type delta struct{ blocks [][]byte }

// deleted marks a record without a value.
const deleted = ^uint32(0)

// Put implements tree.DeltaSink.
func (d *delta) Put(key, value []byte) { d.add(key, value, uint32(len(value))) }

// Delete implements tree.DeltaSink.
func (d *delta) Delete(key []byte) { d.add(key, nil, deleted) }

func (d *delta) add(key, value []byte, mark uint32) {
	const head = 8 // the lengths of key and value
	need := head + len(key) + len(value)
	last := len(d.blocks) - 1
	if last < 0 || cap(d.blocks[last])-len(d.blocks[last]) < need {
		d.blocks = append(d.blocks, make([]byte, 0, max(need, deltaBlock)))
		last++
	}
	b := binary.BigEndian.AppendUint32(d.blocks[last], uint32(len(key)))
	b = binary.BigEndian.AppendUint32(b, mark)
	d.blocks[last] = append(append(b, key...), value...)
}

// take hands over what has been collected.
func (d *delta) take() [][]byte {
	blocks := d.blocks
	d.blocks = nil
	return blocks
}

// fill puts records that were collected into a batch.
func fill(batch *store.ImageBatch, blocks [][]byte) {
	for _, b := range blocks {
		for len(b) > 0 {
			keyLen, mark := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
			key := b[8 : 8+keyLen]
			b = b[8+keyLen:]
			if mark == deleted {
				batch.Delete(key)
				continue
			}
			batch.Put(key, b[:mark])
			b = b[mark:]
		}
	}
}
