package store

import (
	"fmt"
	"io"
	"testing"

	"github.com/sirupsen/logrus"

	"github.com/zkd-project/zkd/daemon/proto"
)

func quiet() logrus.FieldLogger {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return l
}

// batchOf makes a batch of txns whose content tells their zxid.
func batchOf(from, to proto.Zxid, size int) *proto.LogBatch {
	b := new(proto.LogBatch)
	for z := from; z <= to; z++ {
		b.AddBytes(z, txnOf(z, size))
	}
	return b
}

func txnOf(z proto.Zxid, size int) []byte {
	txn := make([]byte, size)
	copy(txn, fmt.Sprintf("txn %d ", z))
	for i := 16; i < size; i++ {
		txn[i] = byte(int(z) + i)
	}
	return txn
}

func openTest(t testing.TB, o Options) *Store {
	t.Helper()
	o.Log = quiet()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// replayed checks that the log holds exactly the txns from..to.
func replayed(t testing.TB, s *Store, from, to proto.Zxid, size int) {
	t.Helper()
	next := from
	err := s.Replay(from-1, func(z proto.Zxid, txn []byte) error {
		if z != next || string(txn) != string(txnOf(z, size)) {
			return fmt.Errorf("got %v, want %v", z, next)
		}
		next++
		return nil
	})
	if err != nil || next != to+1 {
		t.Fatalf("replayed up to %v of %v: %v", next-1, to, err)
	}
}

func TestAppendAndReplay(t *testing.T) {
	dir := t.TempDir()
	o := Options{ImageDir: dir, LogDir: dir, SegmentBytes: 64 << 10, KeepBytes: 128 << 10}
	zxid := proto.Zxid(0)
	for round := range 5 {
		s := openTest(t, o)
		if s.LastLogged() != zxid {
			t.Fatalf("round %d: last logged %v, want %v", round, s.LastLogged(), zxid)
		}
		replayed(t, s, 1, zxid, 300)
		for i := range 40 {
			if err := s.Append(batchOf(zxid+1, zxid+1+proto.Zxid(i), 300)); err != nil {
				t.Fatal(err)
			}
			zxid += proto.Zxid(i) + 1
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTrim(t *testing.T) {
	dir := t.TempDir()
	o := Options{ImageDir: dir, LogDir: dir, SegmentBytes: 64 << 10, KeepBytes: 128 << 10}
	s := openTest(t, o)
	b := s.NewImageBatch()
	for z := proto.Zxid(1); z <= 4000; z += 10 {
		if err := s.Append(batchOf(z, z+9, 300)); err != nil {
			t.Fatal(err)
		}
		if z%500 == 1 {
			b.Put([]byte("n0001"), []byte(fmt.Sprint(z)))
			if err := s.WriteImage(b, z+9); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, log := s.Usage(); log > 600<<10 {
		t.Errorf("the log takes %d bytes", log)
	}
	s.Close()
	s = openTest(t, o)
	defer s.Close()
	if z := s.ImageZxid(); z != 3510 {
		t.Errorf("image at %v", z)
	}
	replayed(t, s, 3511, 4000, 300)
}

func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ n, size int }{{1, 200}, {64, 200}, {1000, 200}, {500, 1200}} {
		b.Run(fmt.Sprintf("%dx%d", c.n, c.size), func(b *testing.B) {
			dir := b.TempDir()
			s := openTest(b, Options{ImageDir: dir, LogDir: dir})
			defer s.Close()
			batch := batchOf(1, proto.Zxid(c.n), c.size)
			img := s.NewImageBatch()
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Append(batch); err != nil {
					b.Fatal(err)
				}
				for i := range batch.Entries {
					batch.Entries[i].Zxid += proto.Zxid(c.n)
				}
				if b.N%200 == 199 {
					s.WriteImage(img, batch.First()-1)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*c.n), "ns/txn")
		})
	}
}

func BenchmarkLoadImage(b *testing.B) {
	dir := b.TempDir()
	s := openTest(b, Options{ImageDir: dir, LogDir: dir})
	defer s.Close()
	s.Append(batchOf(1, 1, 100))
	batch := s.NewImageBatch()
	for i := range 1_000_000 {
		batch.Put([]byte{'n', byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}, txnOf(proto.Zxid(i), 190))
		if i%30000 == 0 || i == 999_999 {
			if err := s.WriteImage(batch, 1); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ResetTimer()
	for b.Loop() {
		n := make([]int, 256)
		err := s.LoadImage(2, func(key, value []byte) error { n[key[2]]++; return nil })
		if err != nil {
			b.Fatal(err)
		}
	}
}
