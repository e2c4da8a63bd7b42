package tree

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/zkd-project/zkd/daemon/proto"
)

// digestEvery and digestKept say which digests are remembered. Source: DataTree.java.
const (
	digestEvery = 128
	digestKept  = 1024
)

// DigestAt is the tree's digest after a transaction.
type DigestAt struct {
	Zxid   proto.Zxid
	Digest uint64
}

// digest is the sum over all znodes, and its history.
type digest struct {
	sum        uint64
	ring       []DigestAt
	next       int
	mismatches int64
	stat       [60]byte // scratch
}

// Digest is the sum of the digests of all znodes. It is equal on all servers at the
// same zxid, Apache's included. Source: DigestCalculator.java, version 2.
func (t *Tree) Digest() uint64 { return t.digest.sum }

// Mismatches counts transactions after which the digest was not the one they carried.
func (t *Tree) Mismatches() int64 { return t.digest.mismatches }

// Digests are the digests after each 128th zxid, oldest first.
func (t *Tree) Digests() []DigestAt {
	d := &t.digest
	return append(append([]DigestAt(nil), d.ring[d.next:]...), d.ring[:d.next]...)
}

func (d *digest) record(z proto.Zxid) {
	if z&(digestEvery-1) != 0 {
		return
	}
	if len(d.ring) < digestKept {
		d.ring = append(d.ring, DigestAt{z, d.sum})
		return
	}
	d.ring[d.next] = DigestAt{z, d.sum}
	d.next = (d.next + 1) % digestKept
}

// nodeDigest is the CRC-32 of a znode's path, data and stored stat. What lies below
// /zookeeper does not count.
func (t *Tree) nodeDigest(id nodeID) uint64 {
	n := t.nodes.at(id)
	var path []byte
	if id != root {
		path = t.appendPath(t.pathBuf[:0], id)
		t.pathBuf = path
		if len(path) > len(systemPath) && string(path[:len(systemPath)+1]) == systemPath+"/" {
			return 0
		}
	}
	crc := crc32.ChecksumIEEE(path)
	crc = crc32.Update(crc, crc32.IEEETable, t.dataOf(n))
	b := &t.digest.stat
	be := binary.BigEndian
	be.PutUint64(b[0:], uint64(n.czxid))
	be.PutUint64(b[8:], uint64(n.mzxid))
	be.PutUint64(b[16:], uint64(n.pzxid))
	be.PutUint64(b[24:], uint64(n.ctime))
	be.PutUint64(b[32:], uint64(n.mtime))
	be.PutUint32(b[40:], uint32(n.version))
	be.PutUint32(b[44:], uint32(n.cversion))
	be.PutUint32(b[48:], uint32(n.aversion))
	be.PutUint64(b[52:], uint64(n.owner))
	return uint64(crc32.Update(crc, crc32.IEEETable, b[:]))
}
