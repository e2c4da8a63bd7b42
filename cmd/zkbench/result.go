package main

import (
	"fmt"
	"math/bits"
	"os"
	"strconv"
	"strings"
	"time"
)

// result is what a run measured. Times are microseconds.
type result struct {
	Workload  string  `json:"workload"`
	Ops       int64   `json:"ops"`
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50_us"`
	P99       float64 `json:"p99_us"`
	P999      float64 `json:"p999_us"`
	Max       float64 `json:"max_us"`
	CPU       float64 `json:"server_cpu_s_per_million,omitempty"`
	CPUShare  float64 `json:"server_cpu_share,omitempty"`
	RSS       int64   `json:"server_rss_kb,omitempty"`
	Grown     float64 `json:"server_rss_growth_bytes_each,omitempty"`
	Lost      int     `json:"lost,omitempty"`

	// Of disk: windows without and with changes of files, and the writes in them.
	Windows   [2]int  `json:"windows,omitzero"`
	QuietP999 float64 `json:"quiet_p999_us,omitempty"`
	BusyP999  float64 `json:"busy_p999_us,omitempty"`
	DiskMost  int64   `json:"disk_most_bytes,omitempty"`
	DiskLast  int64   `json:"disk_last_bytes,omitempty"`
}

// String renders a result as one line.
func (r result) String() string {
	text := fmt.Sprintf("%-10s %9d ops %8.2f s %10.0f/s  p50 %8.1f  p99 %8.1f  p99.9 %8.1f  max %9.1f µs"+
		"  cpu %6.2f s/M %5.1f %%  rss %d kB  grown %.0f B each  lost %d",
		r.Workload, r.Ops, r.Seconds, r.PerSecond, r.P50, r.P99, r.P999, r.Max,
		r.CPU, 100*r.CPUShare, r.RSS, r.Grown, r.Lost)
	if r.DiskMost > 0 {
		text += fmt.Sprintf("  disk at most %d MB, in the end %d MB"+
			"  p99.9 of %d quiet windows %.1f, of %d busy ones %.1f µs",
			r.DiskMost>>20, r.DiskLast>>20, r.Windows[0], r.QuietP999, r.Windows[1], r.BusyP999)
	}
	return text
}

// histogram counts durations in buckets 1/32 of their size wide.
type histogram struct {
	counts [64 * 32]int64
	total  int64
	max    time.Duration
}

func (h *histogram) add(d time.Duration) {
	h.counts[bucket(uint64(max(d, 0)))]++
	h.total++
	h.max = max(h.max, d)
}

func bucket(v uint64) int {
	if v < 32 {
		return int(v)
	}
	shift := bits.Len64(v) - 6
	return (shift+1)*32 + int(v>>shift) - 32
}

// lowest is the smallest value of a bucket.
func lowest(i int) uint64 {
	if i < 32 {
		return uint64(i)
	}
	shift := i/32 - 1
	return uint64(i%32+32) << shift
}

func (h *histogram) merge(o *histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
	h.max = max(h.max, o.max)
}

// quantile is the duration in microseconds that a share q of the counted is not above.
func (h *histogram) quantile(q float64) float64 {
	want, seen := int64(q*float64(h.total)), int64(0)
	for i, n := range h.counts {
		if seen += n; seen > want {
			return float64(lowest(i)) / 1e3
		}
	}
	return float64(h.max) / 1e3
}

func (r *result) fill(h *histogram) {
	r.P50, r.P99, r.P999 = h.quantile(0.5), h.quantile(0.99), h.quantile(0.999)
	r.Max = float64(h.max) / 1e3
}

// usage is a process's CPU time and resident memory.
type usage struct {
	cpu time.Duration
	rss int64 // kB
}

const clockTick = 10 * time.Millisecond // 1/100 s: USER_HZ, which Linux fixes for user programs

// usageOf is what processes have used and hold together.
func usageOf(pids []int) (all usage) {
	for _, pid := range pids {
		u := usageOfOne(pid)
		all.cpu += u.cpu
		all.rss += u.rss
	}
	return all
}

func usageOfOne(pid int) (u usage) {
	if pid == 0 {
		return u
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	for _, i := range []int{11, 12} {
		if n, err := strconv.Atoi(f[i]); err == nil {
			u.cpu += time.Duration(n) * clockTick
		}
	}
	if pages, err := strconv.ParseInt(f[21], 10, 64); err == nil {
		u.rss = pages * int64(os.Getpagesize()) >> 10
	}
	return u
}
