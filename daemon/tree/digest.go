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
	buf        []byte // scratch
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

// maxGather is the size of data up to which it is copied together with path and stat,
// as one checksum over all of it is faster than three.
const maxGather = 1024

// redigest brings a znode's digest, and with it the tree's, up to date. path is the
// znode's.
func (t *Tree) redigest(id nodeID, path []byte) {
	n := t.nodes.at(id)
	var z full
	t.load(n, &z)
	t.setDigest(n, path, &z)
}

func (t *Tree) setDigest(n *node, path []byte, z *full) {
	d := t.digest.of(n, path, z)
	t.digest.sum += uint64(d) - uint64(n.digest)
	n.digest = d
}

// of is the CRC-32 of a znode's path, data and stored stat. What lies below
// /zookeeper does not count.
func (d *digest) of(n *node, path []byte, z *full) uint32 {
	if len(path) == 1 {
		path = nil
	}
	if len(path) > len(systemPath) && path[len(systemPath)] == '/' && string(path[:len(systemPath)]) == systemPath {
		return 0
	}
	b := append(d.buf[:0], path...)
	crc := uint32(0)
	if len(z.data) > maxGather {
		crc = crc32.Update(crc32.ChecksumIEEE(b), crc32.IEEETable, z.data)
		b = b[:0]
	} else {
		b = append(b, z.data...)
	}
	d.buf = n.appendStat(b, z)
	return crc32.Update(crc, crc32.IEEETable, d.buf)
}

// appendStat appends the fields that the digest covers.
func (n *node) appendStat(b []byte, z *full) []byte {
	be := binary.BigEndian
	b = be.AppendUint64(b, uint64(n.czxid))
	b = be.AppendUint64(b, uint64(z.mzxid))
	b = be.AppendUint64(b, uint64(z.pzxid))
	b = be.AppendUint64(b, uint64(n.ctime))
	b = be.AppendUint64(b, uint64(z.mtime))
	b = be.AppendUint32(b, uint32(z.version))
	b = be.AppendUint32(b, uint32(z.cversion))
	b = be.AppendUint32(b, uint32(z.aversion))
	return be.AppendUint64(b, uint64(z.owner))
}
