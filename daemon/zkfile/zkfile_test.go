package zkfile

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
)

// tally counts what a body has.
type tally struct {
	sessions, lists, znodes int
	paths                   []string
}

func (c *tally) Session(proto.SessionID, int32) error { c.sessions++; return nil }
func (c *tally) ACL(int64, []byte) error              { c.lists++; return nil }
func (c *tally) Znode(z *Znode) error {
	c.znodes++
	c.paths = append(c.paths, string(z.Path))
	return nil
}

// javaFiles are files that Apache's servers wrote.
func javaFiles(t testing.TB, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob("../migrate/testdata/*/version-2/" + pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	return files
}

func readFile(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readSnapshot(name string, b []byte, sink Sink) (Trailer, error) {
	_, c, ok := ParseSnapshotName(filepath.Base(name))
	if !ok {
		return Trailer{}, errors.New("that is not a snapshot's name")
	}
	r, err := c.NewReader(bytes.NewReader(b))
	if err != nil {
		return Trailer{}, err
	}
	return ReadSnapshot(r, sink)
}

func TestJavaSnapshots(t *testing.T) {
	for _, file := range javaFiles(t, "snapshot.*") {
		b := readFile(t, file)
		var c tally
		trailer, err := readSnapshot(file, b, &c)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if c.znodes < 5 || c.paths[0] != "" {
			t.Errorf("%s: %+v", file, c)
		}
		zxid, _, _ := ParseSnapshotName(filepath.Base(file))
		last := strings.Contains(file, "3.9.5")
		if !trailer.HasDigest || trailer.DigestVersion != 2 || trailer.DigestZxid < zxid || trailer.HasLast != last {
			t.Errorf("%s: %+v", file, trailer)
		}
		for n := 0; n < len(b); n += 3 { // none of the beginnings passes for the whole, but where its writer could have ended
			if end, err := readSnapshot(file, b[:n], new(tally)); err == nil && end == trailer {
				t.Errorf("%s: the first %d of %d bytes are taken for all", file, n, len(b))
			}
		}
		if strings.Contains(file, "3.9.5-") { // compressed, the same may be said in several ways
			continue
		}
		for i := 0; i < len(b); i += 5 {
			bad := bytes.Clone(b)
			bad[i] ^= 0x20
			if _, err := readSnapshot(file, bad, new(tally)); err == nil {
				t.Errorf("%s: byte %d is wrong, and nobody notices", file, i)
			}
		}
	}
}

// body makes a body of a session, a list and some znodes.
func body(flush func(b []byte) error) error {
	b, err := hex.DecodeString("00000001" + "0100002923e90000" + "00007530" + "00000001" + "0000000000000001" + "00000001" +
		"0000001f" + "00000005" + "776f726c64" + "00000006" + "616e796f6e65")
	if err != nil {
		return err
	}
	if err := flush(b); err != nil {
		return err
	}
	for _, path := range []string{"", "/zookeeper", "/a", "/a/b"} {
		z := fmt.Sprintf("%08x%x%08x%x%016x", len(path), path, 4, "data", 1) + strings.Repeat("00", 8*4+4*3+8+8)
		if b, err = hex.DecodeString(z); err != nil {
			return err
		}
		if err := flush(b); err != nil {
			return err
		}
	}
	return flush([]byte{0, 0, 0, 1, '/'})
}

func TestSnapshotRoundTrip(t *testing.T) {
	for _, c := range []Compression{Plain, Gzip, Snappy} {
		for _, want := range []Trailer{
			{}, {HasDigest: true, DigestZxid: 7, DigestVersion: 2, Digest: 99}, {HasLast: true, Last: 8},
			{HasDigest: true, DigestZxid: 7, DigestVersion: 2, Digest: 99, HasLast: true, Last: 8},
		} {
			var b bytes.Buffer
			w := c.NewWriter(&b)
			if err := errors.Join(WriteSnapshot(w, want, body), w.Close()); err != nil {
				t.Fatal(err)
			}
			var n tally
			got, err := readSnapshot(SnapshotName(7, c), b.Bytes(), &n)
			if err != nil || got != want || n.sessions != 1 || n.lists != 1 || n.znodes != 4 {
				t.Errorf("%q: %+v, %+v, %v", c, got, n, err)
			}
			b.WriteByte(0)
			if _, err := readSnapshot(SnapshotName(7, c), b.Bytes(), &n); err == nil {
				t.Errorf("%q: a byte too many, and nobody notices", c)
			}
		}
	}
}

// TestOldDigest reads a trailer whose digest is of a version before 2: it is text.
func TestOldDigest(t *testing.T) {
	var b bytes.Buffer
	if err := WriteSnapshot(&b, Trailer{}, body); err != nil {
		t.Fatal(err)
	}
	sealed := func(text string) {
		raw, _ := hex.DecodeString(text)
		b.Write(raw)
		b.Write(sealOf(b.Bytes()))
	}
	sealed("0000000000000007" + "00000001" + "00000004" + "61626364")
	got, err := ReadSnapshot(&b, new(tally))
	if want := (Trailer{HasDigest: true, DigestZxid: 7, DigestVersion: 1}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestSnappyBlocks has more than a block, and two streams behind one another.
func TestSnappyBlocks(t *testing.T) {
	var want, b bytes.Buffer
	for i := range 30000 {
		fmt.Fprintf(&want, "%d ", i)
	}
	for range 2 {
		w := Snappy.NewWriter(&b)
		w.Write(want.Bytes())
		w.Close()
	}
	r, err := Snappy.NewReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || string(got) != strings.Repeat(want.String(), 2) {
		t.Errorf("%d bytes of %d, %v", len(got), 2*want.Len(), err)
	}
}

func TestSnappyLies(t *testing.T) {
	head := snappyMagic + "\x00\x00\x00\x01\x00\x00\x00\x01"
	for _, text := range []string{
		"", snappyMagic, strings.Replace(head, "\x01\x00\x00\x00\x01", "\x02\x00\x00\x00\x02", 1), "x" + head,
		head + "\x7f\xff\xff\xff", head + "\x00\x00\x00\x09", // more than there is
		head + "\x00\x00\x00\x06\xff\xff\xff\xff\x07\x00", // a few bytes that claim to be many
	} {
		r, err := Snappy.NewReader(strings.NewReader(text))
		if err == nil {
			_, err = io.ReadAll(r)
		}
		if !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		name string
		zxid proto.Zxid
		how  Compression
		ok   bool
	}{
		{"snapshot.0", 0, Plain, true}, {"snapshot.100000a1f", 0x100000a1f, Plain, true}, {"snapshot.1f.gz", 0x1f, Gzip, true},
		{"snapshot.1f.snappy", 0x1f, Snappy, true}, {"snapshot.1f.zst", 0, Plain, false}, {"snapshot.x", 0, Plain, false},
		{"snapshot.-1", 0, Plain, false}, {"snapshot.", 0, Plain, false}, {"log.1", 0, Plain, false},
		{"snapshot.10000000000000000", 0, Plain, false}, {"snapshot.1.tmp", 0, Plain, false},
	} {
		zxid, how, ok := ParseSnapshotName(c.name)
		if ok != c.ok || ok && (zxid != c.zxid || how != c.how || SnapshotName(zxid, how) != c.name) {
			t.Errorf("%s: %v, %v, %v", c.name, zxid, how, ok)
		}
	}
	if z, ok := ParseLogName("log.2000000a1"); !ok || z != 0x2000000a1 || LogName(z) != "log.2000000a1" {
		t.Errorf("%v, %v", z, ok)
	}
	for _, name := range []string{"log.", "log.1.fixed", "snapshot.1", "log.xyz"} {
		if _, ok := ParseLogName(name); ok {
			t.Errorf("%s is taken for a log", name)
		}
	}
}

func TestNumbers(t *testing.T) {
	for text, want := range map[string]int64{"7": 7, "7\n": 7, " 12 \nmore": 12, "-1": -1} {
		if got, err := ParseNumber([]byte(text)); got != want || err != nil {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", "1x"} {
		if _, err := ParseNumber([]byte(text)); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
