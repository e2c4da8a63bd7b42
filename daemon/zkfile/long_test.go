package zkfile

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"testing"

	"github.com/zkd-project/zkd/daemon/jute"
)

// dataSink keeps the length of each znode's data.
type dataSink struct {
	tally
	lengths []int
}

func (s *dataSink) Znode(z *Znode) error {
	s.lengths = append(s.lengths, len(z.Data))
	return nil
}

// znodes is a body of znodes without lists, each with data of so many bytes.
func znodes(lengths ...int) []byte {
	b := make([]byte, 8) // no sessions, no lists
	for _, n := range lengths {
		b = jute.AppendBuffer(jute.AppendString(b, "/a"), make([]byte, n))
		b = append(b, make([]byte, 68)...) // its list, and its stat
	}
	return jute.AppendString(b, "/")
}

// TestLongParts reads znodes and txns as long as jute.maxbuffer may let them be. What says to be
// longer than all that comes takes no memory for the rest.
func TestLongParts(t *testing.T) {
	const long = 70 << 20
	var sink dataSink
	if err := ReadBody(bytes.NewReader(znodes(10, long, 10)), &sink); err != nil || len(sink.lengths) != 3 || sink.lengths[1] != long {
		t.Errorf("znodes of %v bytes: %v", sink.lengths, err)
	}
	var file bytes.Buffer
	w, err := NewLogWriter(&file)
	for _, n := range []int{100, long, 100} {
		err = errors.Join(err, w.Append(make([]byte, n)))
	}
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewLogReader(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{100, long, 100} {
		if txn, err := r.Next(); err != nil || len(txn) != n {
			t.Errorf("a txn of %d bytes was read as %d: %v", n, len(txn), err)
		}
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
	lie := jute.AppendInt(jute.AppendString(make([]byte, 8), "/a"), 1<<31-1)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err = ReadBody(bytes.NewReader(append(lie, make([]byte, 1000)...)), &sink)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, ErrFormat) || n > 1<<20 {
		t.Errorf("what is not there took %d bytes: %v", n, err)
	}
}
