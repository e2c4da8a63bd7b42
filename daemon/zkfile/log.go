package zkfile

import (
	"bufio"
	"errors"
	"fmt"
	"hash/adler32"
	"io"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

const (
	logMagic     = "ZKLG"
	recordHeader = 8 + 4 // checksum, length
	recordEnd    = 'B'
	scanWindow   = 1 << 20
)

// BadRecord says where a log stops to be whole. It is torn if no whole record comes behind
// it: then it is what was being written at the end. Otherwise it is damage, and what comes
// behind it was written after it.
type BadRecord struct {
	Offset int64  // of the record
	Reason string // what is wrong with it
	Next   int64  // offset of the next whole record; 0 if there is none
	Txn    []byte // of a record of which only the checksum is wrong
}

// Torn says whether nothing whole follows.
func (e *BadRecord) Torn() bool { return e.Next == 0 }

// Error implements error.
func (e *BadRecord) Error() string {
	if e.Torn() {
		return fmt.Sprintf("zkfile: the last record, at byte %d, is not whole: %s", e.Offset, e.Reason)
	}
	return fmt.Sprintf("zkfile: damaged: the record at byte %d is broken: %s; the next whole one is at byte %d",
		e.Offset, e.Reason, e.Next)
}

// Unwrap lets callers ask for ErrFormat.
func (e *BadRecord) Unwrap() error { return ErrFormat }

// LogReader reads the records of a log.
type LogReader struct {
	file io.ReaderAt
	size int64
	at   int64 // of the next record
	in   *bufio.Reader
	buf  []byte
}

// NewLogReader starts to read a log of so many bytes. A file without a single byte is one:
// its maker did not get as far as the header.
func NewLogReader(file io.ReaderAt, size int64) (*LogReader, error) {
	l := &LogReader{file: file, size: size}
	l.Resume(0)
	if size == 0 {
		return l, nil
	}
	var head [fileHeader]byte
	if _, err := io.ReadFull(l.in, head[:]); err != nil {
		return nil, early(err)
	}
	if string(head[:4]) != logMagic {
		return nil, fmt.Errorf("%w: it does not begin with %s", ErrFormat, logMagic)
	}
	if v := jute.Int(head[4:]); v != fileVersion {
		return nil, fmt.Errorf("%w: it has version %d and not %d", ErrFormat, v, fileVersion)
	}
	l.at = fileHeader
	return l, nil
}

// Offset is where the next record begins.
func (l *LogReader) Offset() int64 { return l.at }

// Resume goes on at the record at an offset, for example behind damage.
func (l *LogReader) Resume(offset int64) {
	l.at = offset
	l.in = bufio.NewReaderSize(io.NewSectionReader(l.file, offset, l.size-offset), bufferSize)
}

// Next is the next txn, which is good until the call after it. The log's end is io.EOF, and
// what is wrong with it a *BadRecord. Source: FileTxnLog.java and Util.java, readTxnBytes.
func (l *LogReader) Next() ([]byte, error) {
	if l.at >= l.size {
		return nil, io.EOF
	}
	var head [recordHeader]byte
	n, err := io.ReadFull(l.in, head[:])
	if errors.Is(err, io.ErrUnexpectedEOF) && allZero(head[:n]) {
		return nil, io.EOF
	}
	if err != nil {
		return nil, l.bad(err, "it ends in the record's header", nil)
	}
	sum, length := jute.Long(head[:]), int64(jute.Int(head[8:]))
	switch {
	case length == 0 && sum == 0:
		return nil, l.padding()
	case length < proto.TxnHeaderLen:
		return nil, l.bad(nil, fmt.Sprintf("a txn cannot have %d bytes", length), nil)
	case length+1 > l.size-l.at-recordHeader:
		return nil, l.bad(nil, fmt.Sprintf("it should have %d bytes, but the file ends before", length), nil)
	}
	if int64(cap(l.buf)) < length+1 {
		l.buf = make([]byte, length+1)
	}
	b := l.buf[:length+1]
	if _, err := io.ReadFull(l.in, b); err != nil {
		return nil, l.bad(err, "the file ends in it", nil)
	}
	txn := b[:length]
	switch {
	case b[length] != recordEnd:
		return nil, l.bad(nil, "its end mark is missing", nil)
	case sum != int64(adler32.Checksum(txn)):
		return nil, l.bad(nil, "its checksum is wrong", txn)
	}
	l.at += recordHeader + length + 1
	return txn, nil
}

// bad makes the error for the record at l.at. An error of the disk is passed on.
func (l *LogReader) bad(err error, reason string, txn []byte) error {
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	next, err := l.findRecord(l.at + 1)
	if err != nil {
		return err
	}
	return &BadRecord{Offset: l.at, Reason: reason, Next: next, Txn: txn}
}

// padding checks that nothing follows the zeros that end a log.
func (l *LogReader) padding() error {
	next, err := l.findRecord(l.at + 1)
	if err != nil {
		return err
	}
	if next > 0 {
		return &BadRecord{Offset: l.at, Reason: "there are zeros in its place", Next: next}
	}
	return io.EOF
}

// findRecord looks for a whole record from an offset on; 0 is none.
func (l *LogReader) findRecord(from int64) (int64, error) {
	window := make([]byte, min(scanWindow, max(0, l.size-from)))
	for from+recordHeader < l.size {
		n, err := l.file.ReadAt(window[:min(int64(len(window)), l.size-from)], from)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if n < recordHeader {
			return 0, nil
		}
		last := n - recordHeader
		for i := 0; i <= last; i++ {
			if window[i] != 0 || window[i+1] != 0 { // of the checksum, which has 32 bits
				continue
			}
			length := int64(jute.Int(window[i+8:]))
			if length < proto.TxnHeaderLen {
				continue
			}
			whole, err := l.isRecord(from+int64(i), window[i:min(n, i+recordHeader)])
			if whole || err != nil {
				return from + int64(i), err
			}
		}
		from += int64(last) + 1
	}
	return 0, nil
}

// isRecord says whether a whole record begins at an offset.
func (l *LogReader) isRecord(at int64, head []byte) (bool, error) {
	sum, length := jute.Long(head), int64(jute.Int(head[8:]))
	if sum>>32 != 0 || at+recordHeader+length+1 > l.size {
		return false, nil
	}
	var mark [1]byte
	var header [proto.TxnHeaderLen]byte
	_, err := l.file.ReadAt(mark[:], at+recordHeader+length)
	if err == nil {
		_, err = l.file.ReadAt(header[:], at+recordHeader)
	}
	if err != nil || mark[0] != recordEnd || !proto.Op(jute.Int(header[proto.TxnHeaderLen-4:])).IsTxn() {
		return false, err
	}
	digest := adler32.New()
	if _, err := io.Copy(digest, io.NewSectionReader(l.file, at+recordHeader, length)); err != nil {
		return false, err
	}
	return int64(digest.Sum32()) == sum, nil
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// LogWriter writes a log, without padding.
type LogWriter struct {
	w   io.Writer
	buf []byte
}

// NewLogWriter starts a log.
func NewLogWriter(w io.Writer) (*LogWriter, error) {
	_, err := w.Write(jute.AppendLong(jute.AppendInt([]byte(logMagic), fileVersion), 0))
	return &LogWriter{w: w}, err
}

// Append writes a txn.
func (l *LogWriter) Append(txn []byte) error {
	l.buf = jute.AppendBuffer(jute.AppendLong(l.buf[:0], int64(adler32.Checksum(txn))), txn)
	l.buf = append(l.buf, recordEnd)
	_, err := l.w.Write(l.buf)
	return err
}
