package zkfile

import (
	"bytes"
	"encoding/hex"
	"errors"
	"hash/adler32"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

func sealOf(b []byte) []byte {
	return jute.AppendString(jute.AppendLong(nil, int64(adler32.Checksum(b))), "/")
}

// firstLog is how a log of Apache's begins: a session, and a znode.
const firstLog = "5a4b4c47 00000002 0000000000000000" +
	"00000000ae20092a 00000030 01000012dd830000 00000000 0000000100000001 000001a20305216f fffffff6" +
	"00002710 00000002 0000000051c6d660 42" +
	"00000000dd570ccd 0000005b 01000012dd830000 00000001 0000000100000002 000001a203052193 00000001" +
	"00000002 2f61 00000005 68656c6c6f 00000001 0000001f 00000005 776f726c64 00000006 616e796f6e65 00 00000001" +
	"00000002 00000001dba9a243 42"

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// records reads a log up to its end or what is wrong with it.
func records(b []byte) (txns [][]byte, err error) {
	l, err := NewLogReader(bytes.NewReader(b), int64(len(b)))
	for err == nil {
		var txn []byte
		if txn, err = l.Next(); err == nil {
			txns = append(txns, bytes.Clone(txn))
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return txns, err
}

func TestLogByHand(t *testing.T) {
	b := unhex(t, firstLog)
	for _, pad := range []int{0, 1, 11, 12, 13, 4096, scanWindow + 100} {
		txns, err := records(append(bytes.Clone(b), make([]byte, pad)...))
		if err != nil || len(txns) != 2 {
			t.Fatalf("%d bytes of padding: %d txns, %v", pad, len(txns), err)
		}
		var txn proto.Txn
		if err := txn.Decode(txns[1]); err != nil || string(txn.Path) != "/a" || !txn.HasDigest || txn.Digest != 0x1dba9a243 {
			t.Errorf("%+v, %v", txn, err)
		}
	}
	var out bytes.Buffer
	w, err := NewLogWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	txns, _ := records(b)
	for _, txn := range txns {
		w.Append(txn)
	}
	if !bytes.Equal(out.Bytes(), b) {
		t.Errorf("written again it is\n%x", out.Bytes())
	}
}

func TestJavaLogs(t *testing.T) {
	for _, file := range javaFiles(t, "log.*") {
		txns, err := records(readFile(t, file))
		if err != nil || len(txns) == 0 {
			t.Fatalf("%s: %d txns, %v", file, len(txns), err)
		}
		first, _ := ParseLogName(filepath.Base(file))
		for i, b := range txns {
			var txn proto.Txn
			if err := txn.Decode(b); err != nil || txn.Zxid != first+proto.Zxid(i) || txn.HasDigest == (txn.Type == proto.OpError) {
				t.Errorf("%s: %v, %v, digest %v", file, txn.Zxid, err, txn.HasDigest)
			}
			if again := txn.Append(nil); !bytes.Equal(again, b) {
				t.Errorf("%s: %v is encoded again as %x and not %x", file, txn.Zxid, again, b)
			}
		}
	}
}

// TestTornLog cuts a log everywhere: what is left is whole records, and perhaps a torn one.
func TestTornLog(t *testing.T) {
	b := unhex(t, firstLog)
	second := bytes.IndexByte(b, 'B') + 1
	for n := fileHeader; n < len(b); n++ {
		for _, pad := range []int{0, 200} {
			cut := append(bytes.Clone(b[:n]), make([]byte, pad)...)
			txns, err := records(cut)
			want := 0
			if n >= second {
				want = 1
			}
			var bad *BadRecord
			if len(txns) != want || err != nil && (!errors.As(err, &bad) || !bad.Torn()) {
				t.Errorf("%d bytes and %d zeros: %d txns, %v", n, pad, len(txns), err)
			}
			whole := n == fileHeader || n == second
			if zeros := allZero(b[fileHeader:n]) || n > second && allZero(b[second:n]); (err == nil) != (whole || zeros) {
				t.Errorf("%d bytes and %d zeros: %v", n, pad, err)
			}
		}
	}
	for n := range fileHeader {
		if _, err := records(b[:n]); (err == nil) != (n == 0) {
			t.Errorf("a header of %d bytes: %v", n, err)
		}
	}
}

// TestDamagedLog changes each byte: what is behind the change tells damage from a torn end.
func TestDamagedLog(t *testing.T) {
	b := unhex(t, firstLog)
	second := bytes.IndexByte(b, 'B') + 1
	for i := fileHeader; i < len(b); i++ {
		bad := append(bytes.Clone(b), make([]byte, 50)...)
		bad[i] ^= 0x41
		txns, err := records(bad)
		var what *BadRecord
		if !errors.As(err, &what) {
			t.Errorf("byte %d: %v", i, err)
			continue
		}
		if i < second && (len(txns) > 0 || what.Torn() || what.Next != int64(second) || what.Offset != fileHeader) {
			t.Errorf("byte %d: %d txns, %v", i, len(txns), err)
		}
		if i >= second && (len(txns) != 1 || !what.Torn() || what.Offset != int64(second)) {
			t.Errorf("byte %d: %d txns, %v", i, len(txns), err)
		}
	}
	clear(b[fileHeader:second]) // Apache's servers take that for the end
	var what *BadRecord
	if _, err := records(b); !errors.As(err, &what) || what.Next != int64(second) {
		t.Errorf("zeros in the middle: %v", err)
	}
}

// TestFindAcrossWindows puts a whole record at and around a window's end.
func TestFindAcrossWindows(t *testing.T) {
	b := unhex(t, firstLog)
	second := bytes.IndexByte(b, 'B') + 1
	for _, gap := range []int{scanWindow - 14, scanWindow - 1, scanWindow, scanWindow + 1, 2*scanWindow - 12} {
		far := append(bytes.Clone(b[:fileHeader]), make([]byte, gap)...)
		far = append(far, b[second:]...)
		var what *BadRecord
		if _, err := records(far); !errors.As(err, &what) || what.Next != int64(fileHeader+gap) {
			t.Errorf("a gap of %d: %v", gap, err)
		}
	}
}

func FuzzLog(f *testing.F) {
	for _, file := range javaFiles(f, "log.*") {
		f.Add(readFile(f, file))
	}
	f.Add(unhex(f, firstLog))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 64<<10 {
			return
		}
		txns, err := records(b)
		if err != nil || len(b) == 0 {
			return
		}
		var out bytes.Buffer
		w, _ := NewLogWriter(&out)
		for _, txn := range txns {
			w.Append(txn)
		}
		copy(b[8:16], make([]byte, 8)) // the database's number is not kept
		if !bytes.HasPrefix(b, out.Bytes()) {
			t.Errorf("%x is written again as %x", b, out.Bytes())
		}
	})
}

func FuzzSnapshot(f *testing.F) {
	for _, file := range javaFiles(f, "snapshot.*") {
		_, c, _ := ParseSnapshotName(filepath.Base(file))
		f.Add(int(c), readFile(f, file))
	}
	f.Fuzz(func(t *testing.T, how int, b []byte) {
		if how < 0 || how > int(Snappy) || len(b) > 64<<10 {
			return
		}
		name := SnapshotName(1, Compression(how))
		var c tally
		_, err := readSnapshot(name, b, &c)
		if err == nil && c.sessions+c.lists+c.znodes > 1000*len(b) {
			t.Errorf("%+v out of %d bytes", c, len(b))
		}
	})
}
