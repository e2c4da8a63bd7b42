package tree

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/zkd-project/zkd/daemon/proto"
)

// BenchmarkWatches reports what a million watches cost: a thousand connections that
// watch a thousand paths each.
func BenchmarkWatches(b *testing.B) {
	for b.Loop() {
		d := newDriver()
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		var out proto.Out
		start := time.Now()
		for i := range 1000 {
			req := proto.Request{Op: proto.OpExists, Watch: true}
			for w := range WatcherID(1000) {
				out.Reset()
				req.Path = fmt.Appendf(req.Path[:0], "/watched/c%05d/n%07d", i, w)
				d.t.Read(&Caller{Watcher: w}, &req, &out)
			}
		}
		b.ReportMetric(float64(time.Since(start).Nanoseconds())/1e6, "ns/watch")
		best := time.Hour
		for range 5 {
			start = time.Now()
			runtime.GC()
			best = min(best, time.Since(start))
		}
		b.ReportMetric(float64(best.Microseconds()), "µs/gc")
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "B/watch")
		start = time.Now()
		for w := range WatcherID(1000) {
			d.t.DropWatcher(w)
		}
		b.ReportMetric(float64(time.Since(start).Nanoseconds())/1e6, "ns/drop")
	}
}

// BenchmarkFanOut fires one change to 10,000 watchers, and has them watch again.
func BenchmarkFanOut(b *testing.B) {
	d := newDriver()
	d.create("/w", nil)
	set := proto.Request{Op: proto.OpSetData, Path: []byte("/w"), Version: -1}
	watch := proto.Request{Op: proto.OpGetData, Path: []byte("/w"), Watch: true}
	var out proto.Out
	const many = 10_000
	var fired, watched time.Duration
	for b.Loop() {
		start := time.Now()
		for w := range WatcherID(many) {
			out.Reset()
			d.t.Read(&Caller{Watcher: w}, &watch, &out)
		}
		watched += time.Since(start)
		start = time.Now()
		d.do(&set)
		fired += time.Since(start)
	}
	b.ReportMetric(float64(fired.Nanoseconds())/float64(b.N)/many, "ns/fired")
	b.ReportMetric(float64(watched.Nanoseconds())/float64(b.N)/many, "ns/watched")
}

// BenchmarkBuildList makes the list of a large directory anew.
func BenchmarkBuildList(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			d := newDriver()
			d.create("/big", nil)
			for i := range n {
				d.create(fmt.Sprintf("/big/n%07d", i), nil)
			}
			id := d.t.lookup([]byte("/big"))
			var out proto.Out
			req := proto.Request{Op: proto.OpGetChildren2, Path: []byte("/big")}
			for b.Loop() {
				out.Reset()
				d.t.lists.drop(id)
				d.t.Read(&d.c, &req, &out)
			}
		})
	}
}
