package tree

import (
	"encoding/binary"
	"fmt"
	"runtime"
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

func BenchmarkGetData(b *testing.B) {
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
			req := proto.Request{Op: proto.OpGetData}
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

type memSink map[string]string

func (s memSink) Put(key, value []byte) { s[string(key)] = string(value) }
func (s memSink) Delete(key []byte)     { delete(s, string(key)) }

// BenchmarkMillion reports what a tree of a million znodes costs.
func BenchmarkMillion(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		d := newDriver()
		d.fill(1_000_000)
		start := time.Now()
		runtime.GC()
		gc := time.Since(start)
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "B/znode")
		b.ReportMetric(float64(gc.Microseconds()), "µs/gc")
		sink := make(memSink, 1_100_000)
		start = time.Now()
		d.t.Cut(sink)
		for !d.t.Drain(1 << 20) {
		}
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms/drain")
		keys := make([][]byte, 0, len(sink))
		values := make([][]byte, 0, len(sink))
		for id := range uint32(len(sink) + 10) {
			key := binary.BigEndian.AppendUint32([]byte{'n'}, id)
			if v, ok := sink[string(key)]; ok {
				keys, values = append(keys, key), append(values, []byte(v))
			}
		}
		for k, v := range sink {
			if k[0] != 'n' {
				keys, values = append(keys, []byte(k)), append(values, []byte(v))
			}
		}
		start = time.Now()
		l := NewLoader(d.t.opt)
		for i := range keys {
			if err := l.Put(keys[i], values[i]); err != nil {
				b.Fatal(err)
			}
		}
		put := time.Since(start)
		if _, err := l.Finish(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(put.Milliseconds()), "ms/put")
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms/load")
	}
}
