package store

import (
	"encoding/binary"
	"hash/crc32"
	"io"
)

// LevelDB writes journals and manifests as blocks of 32 KiB that hold chunks: a masked
// CRC-32C of type and data, a length, a type, data.
const (
	blockSize   = 32 << 10
	chunkHeader = 7
	chunkFull   = 1
	chunkFirst  = 2
	chunkLast   = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// extent is what a scan found out about a journal.
type extent struct {
	valid int64 // bytes up to the end of the last whole record
	size  int64 // bytes up to the last one that is not zero
	after bool  // a later record begins somewhere behind the first bad chunk
}

// torn says that the journal ends in a record that was not written to its end.
func (e extent) torn() bool { return e.size > e.valid }

// scanJournal finds the end of a journal's whole records. A reader that is given no
// more than that meets no error; whether it may be given less than the file's length is
// for the caller to judge.
func scanJournal(r io.ReaderAt, size int64) (extent, error) {
	var e extent
	buf := make([]byte, blockSize)
	bad := false
	for off := int64(0); off < size; off += blockSize {
		n, err := r.ReadAt(buf[:min(blockSize, size-off)], off)
		if err != nil && err != io.EOF {
			return e, err
		}
		block := buf[:n]
		if end := lastNonZero(block); end > 0 {
			e.size = off + int64(end)
		}
		for pos := 0; pos+chunkHeader <= len(block); {
			length, typ, ok := chunkAt(block[pos:])
			if !ok {
				bad = true
				e.after = e.after || beginsLater(block[pos+1:])
				break
			}
			pos += chunkHeader + length
			switch {
			case bad:
				e.after = e.after || typ == chunkFull || typ == chunkFirst
			case typ == chunkFull || typ == chunkLast:
				e.valid = off + int64(pos)
			}
		}
	}
	e.size = max(e.size, e.valid)
	return e, nil
}

// beginsLater looks for the beginning of a record anywhere in the rest of a block whose
// chunks cannot be followed any more.
func beginsLater(b []byte) bool {
	for pos := 0; pos+chunkHeader <= len(b); pos++ {
		if length, typ, ok := chunkAt(b[pos:]); ok && length > 0 && (typ == chunkFull || typ == chunkFirst) {
			return true
		}
	}
	return false
}

func chunkAt(b []byte) (length int, typ byte, ok bool) {
	length, typ = int(binary.LittleEndian.Uint16(b[4:])), b[6]
	if typ < chunkFull || typ > chunkLast || chunkHeader+length > len(b) {
		return 0, 0, false
	}
	crc := crc32.Checksum(b[6:chunkHeader+length], castagnoli)
	masked := crc>>15 | crc<<17
	return length, typ, masked+0xa282ead8 == binary.LittleEndian.Uint32(b)
}

func lastNonZero(b []byte) int {
	for i := len(b); i > 0; i-- {
		if b[i-1] != 0 {
			return i
		}
	}
	return 0
}
