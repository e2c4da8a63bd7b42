package tree

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/zkd-project/zkd/daemon/proto"
)

// open lets the tests use the schemes digest and ip without an authenticator.
type openMatcher struct{}

func (openMatcher) Matches(have, want proto.ID) bool { return have == want }
func (openMatcher) Valid(id proto.ID) bool           { return id.Scheme == "digest" || id.Scheme == "ip" }
func (openMatcher) Authenticated(scheme string) bool { return scheme == "digest" }

var openACL = proto.AppendACLs(nil, proto.OpenACLUnsafe)

// driver prepares, encodes, decodes and applies, as a server does.
type driver struct {
	t    *Tree
	c    Caller
	txn  proto.Txn
	res  Result
	buf  []byte
	zxid proto.Zxid
}

func newDriver() *driver {
	return &driver{t: New(Options{Match: openMatcher{}, ExtendedTypes: true})}
}

func (d *driver) do(req *proto.Request) proto.ErrCode {
	d.zxid++
	h := proto.TxnHeader{Session: d.c.Session, Zxid: d.zxid, Time: 1000}
	d.t.Prepare(h, &d.c, req, &d.txn)
	d.buf = d.txn.Append(d.buf[:0])
	if err := d.txn.Decode(d.buf); err != nil {
		panic(err)
	}
	d.t.Apply(&d.txn, &d.res)
	d.t.ClearEvents()
	return d.res.Err
}

func (d *driver) create(path string, data []byte) {
	req := proto.Request{Op: proto.OpCreate, Path: []byte(path), Data: data, ACL: openACL, TTL: -1}
	if code := d.do(&req); code != proto.ErrOK {
		panic(path + ": " + code.Error())
	}
}

func (d *driver) fill(n int) {
	data := make([]byte, 100)
	d.create("/bench", nil)
	for i := range n {
		if i%1000 == 0 {
			d.create(fmt.Sprintf("/bench/d%05d", i/1000), nil)
		}
		d.create(fmt.Sprintf("/bench/d%05d/n%07d", i/1000, i), data)
	}
}

func BenchmarkSetData(b *testing.B) {
	d := newDriver()
	d.fill(10_000)
	data := make([]byte, 100)
	paths := make([][]byte, 10_000)
	for i := range paths {
		paths[i] = fmt.Appendf(nil, "/bench/d%05d/n%07d", i/1000, i)
	}
	req := proto.Request{Op: proto.OpSetData, Data: data, Version: -1}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		req.Path = paths[i%len(paths)]
		i += 7
		if d.do(&req) != proto.ErrOK {
			b.Fatal("refused")
		}
	}
}

func BenchmarkCreateDelete(b *testing.B) {
	d := newDriver()
	d.fill(10_000)
	create := proto.Request{Op: proto.OpCreate, Path: []byte("/bench/x"), Data: make([]byte, 100), ACL: openACL, TTL: -1}
	remove := proto.Request{Op: proto.OpDelete, Path: []byte("/bench/x"), Version: -1}
	b.ReportAllocs()
	for b.Loop() {
		if d.do(&create) != proto.ErrOK || d.do(&remove) != proto.ErrOK {
			b.Fatal("refused")
		}
	}
}

func BenchmarkGetData(b *testing.B) { benchRead(b, proto.OpGetData) }
func BenchmarkExists(b *testing.B)  { benchRead(b, proto.OpExists) }

func benchRead(b *testing.B, op proto.Op) {
	for _, n := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			d := newDriver()
			d.fill(n)
			paths := make([][]byte, 1<<16)
			for i := range paths {
				k := i * 7919 % n
				paths[i] = fmt.Appendf(nil, "/bench/d%05d/n%07d", k/1000, k)
			}
			var out proto.Out
			req := proto.Request{Op: op}
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				out.Reset()
				req.Path = paths[i&(1<<16-1)]
				i++
				if d.t.Read(&d.c, &req, &out) != proto.ErrOK {
					b.Fatal("not there")
				}
			}
		})
	}
}

func BenchmarkChildren(b *testing.B) {
	d := newDriver()
	d.create("/big", nil)
	for i := range 10_000 {
		d.create(fmt.Sprintf("/big/n%07d", i), nil)
	}
	var out proto.Out
	req := proto.Request{Op: proto.OpGetChildren2, Path: []byte("/big")}
	for b.Loop() {
		out.Reset()
		d.t.Read(&d.c, &req, &out)
	}
}

// flatSink takes a delta as an image writer does.
type flatSink struct {
	buf        []byte
	ends       []int // of keys and values in turn
	keys, vals [][]byte
}

func (s *flatSink) Put(key, value []byte) {
	s.buf = append(s.buf, key...)
	s.ends = append(s.ends, len(s.buf))
	s.buf = append(s.buf, value...)
	s.ends = append(s.ends, len(s.buf))
}

func (s *flatSink) Delete([]byte) {}

func (s *flatSink) split() {
	at := 0
	for i, end := range s.ends {
		if i%2 == 0 {
			s.keys = append(s.keys, s.buf[at:end])
		} else {
			s.vals = append(s.vals, s.buf[at:end])
		}
		at = end
	}
}

func together(parts ...func()) {
	var wg sync.WaitGroup
	for _, part := range parts {
		wg.Go(part)
	}
	wg.Wait()
}

// BenchmarkTree reports what a tree of many znodes of 100 bytes costs.
func BenchmarkTree(b *testing.B) {
	for _, n := range []int{1_000_000, 5_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				benchTree(b, n)
			}
		})
	}
}

func benchTree(b *testing.B, n int) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	d := newDriver()
	sink := &flatSink{buf: make([]byte, 0, 200*n), ends: make([]int, 0, 3*n)}
	runtime.GC()
	start := time.Now()
	d.fill(n)
	b.ReportMetric(float64(time.Since(start).Nanoseconds())/float64(n), "ns/create")
	best := time.Hour // others may be using the machine
	for range 10 {
		start = time.Now()
		runtime.GC()
		best = min(best, time.Since(start))
	}
	b.ReportMetric(float64(best.Microseconds()), "µs/gc")
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc-uint64(cap(sink.buf)+8*cap(sink.ends)))/float64(n), "B/znode")
	start = time.Now()
	longest := time.Duration(0)
	d.t.Cut(sink)
	for done := false; !done; {
		slice := time.Now()
		done = d.t.Drain(256)
		longest = max(longest, time.Since(slice))
	}
	b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms/drain")
	b.ReportMetric(float64(longest.Microseconds()), "µs/slice")
	b.ReportMetric(float64(len(sink.buf))/float64(n), "B/record")
	d.t = nil
	sink.split()
	benchLoad(b, sink)
}

func benchLoad(b *testing.B, sink *flatSink) {
	runtime.GC()
	start := time.Now()
	l := NewLoader(Options{Match: openMatcher{}, ExtendedTypes: true})
	l.Together = together
	for i, key := range sink.keys {
		if err := l.Put(key, sink.vals[i]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms/put")
	if _, err := l.Finish(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms/load")
}
