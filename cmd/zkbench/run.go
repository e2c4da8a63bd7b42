package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zkd-project/zkd/daemon/proto"
)

type options struct {
	addr                       string
	pid                        []int
	conns, window, size, nodes int
	rate, ops                  int
	time, every                time.Duration
	start                      string
	dirs                       []string
}

// workloads are the ways to load a server.
var workloads = map[string]func(options) (result, error){
	"reads":     func(o options) (result, error) { return closedLoop(o, 100) },
	"writes":    func(o options) (result, error) { return closedLoop(o, 0) },
	"mixed":     func(o options) (result, error) { return closedLoop(o, 90) },
	"children":  children,
	"sessions":  sessions,
	"reconnect": reconnect,
	"idle":      idle,
	"fanout":    fanout,
	"load":      load,
	"openloop":  openLoop,
	"restart":   restart,
	"disk":      disk,
}

func run(name string, o options) (result, error) {
	w, ok := workloads[name]
	if !ok {
		return result{}, fmt.Errorf("there is no workload %q; see zkbench --help", name)
	}
	before := usageOf(o.pid)
	start := time.Now()
	r, err := w(o)
	if err != nil {
		return r, fmt.Errorf("%s: %w", name, err)
	}
	after := usageOf(o.pid)
	r.Workload = name
	if r.RSS == 0 {
		r.RSS = after.rss
	}
	if r.CPU == 0 && r.Ops > 0 {
		r.CPU = (after.cpu - before.cpu).Seconds() / float64(r.Ops) * 1e6
	}
	r.CPUShare = (after.cpu - before.cpu).Seconds() / time.Since(start).Seconds()
	if r.Seconds > 0 {
		r.PerSecond = float64(r.Ops) / r.Seconds
	}
	return r, nil
}

func nodePath(i int) string { return fmt.Sprintf("/bench/n%07d", i) }

// prepare makes /bench and its znodes, unless they are there.
func prepare(o options) error {
	k, err := dial(o.addr, 0, [proto.PasswordLen]byte{})
	if err != nil {
		return err
	}
	defer k.c.Close()
	if err := k.do(createReq("/bench", nil)); err != nil && !errors.Is(err, proto.ErrNodeExists) {
		return err
	}
	data := make([]byte, o.size)
	const batch = 500
	for from := 0; from < o.nodes; from += batch {
		var reqs []byte
		n := min(batch, o.nodes-from)
		for i := range n {
			reqs = append(reqs, createReq(nodePath(from+i), data)...)
		}
		if _, err := k.c.Write(reqs); err != nil {
			return err
		}
		for i := range n {
			if err := k.reply(); err != nil && !errors.Is(err, proto.ErrNodeExists) {
				return fmt.Errorf("create %s: %w", nodePath(from+i), err)
			}
		}
	}
	err = k.do(closeReq())
	return err
}

// closedLoop keeps a window of requests under way on each connection; reads is the share
// of reads in a hundred.
func closedLoop(o options, reads int) (result, error) {
	if err := prepare(o); err != nil {
		return result{}, err
	}
	before := usageOf(o.pid)
	hists := make([]histogram, o.conns)
	errs := make([]error, o.conns)
	var wg sync.WaitGroup
	start := time.Now()
	for i := range o.conns {
		wg.Go(func() { errs[i] = pipeline(o, i, reads, hists[i].add) })
	}
	wg.Wait()
	took := time.Since(start)
	after := usageOf(o.pid)
	var h histogram
	for i := range hists {
		h.merge(&hists[i])
	}
	r := result{Ops: h.total, Seconds: took.Seconds()}
	r.fill(&h)
	if h.total > 0 {
		r.CPU = (after.cpu - before.cpu).Seconds() / float64(h.total) * 1e6
	}
	return r, errors.Join(errs...)
}

// pipeline runs one connection, for --time or until its share of --ops is done: as many requests are sent
// as replies came in, in one write. add is told how long each took.
func pipeline(o options, seed, reads int, add func(time.Duration)) error {
	deadline, share := time.Now().Add(o.time), math.MaxInt
	if o.ops > 0 {
		deadline, share = time.Now().Add(math.MaxInt64/2), (o.ops+seed)/o.conns // seed is 0 to o.conns-1
	}
	k, err := dial(o.addr, 0, [proto.PasswordLen]byte{})
	if err != nil {
		return err
	}
	defer k.c.Close()
	const variants = 512
	data := make([]byte, o.size)
	requests := make([][]byte, variants)
	for i := range requests {
		path := nodePath((seed*7919 + i*104729) % o.nodes)
		if (i*37+seed)%100 < reads {
			requests[i] = getReq(proto.OpGetData, path, false)
		} else {
			requests[i] = setReq(path, data)
		}
	}
	sent := make([]time.Time, o.window)
	var out []byte
	head, tail, next := 0, 0, seed*31
	for {
		now := time.Now()
		out = out[:0]
		for head-tail < o.window && head < share && now.Before(deadline) {
			out = append(out, requests[next%variants]...)
			next++
			sent[head%o.window] = now
			head++
		}
		if len(out) > 0 {
			if _, err := k.c.Write(out); err != nil {
				return err
			}
		}
		if head == tail {
			break
		}
		for first := true; head > tail && (first || complete(k.buf)); first = false {
			if err := k.reply(); err != nil {
				return err
			}
			if first {
				now = time.Now()
			}
			add(now.Sub(sent[tail%o.window]))
			tail++
		}
	}
	err = k.do(closeReq())
	return err
}

// complete says whether a whole frame is at the front of b.
func complete(b []byte) bool {
	return len(b) >= 4 && len(b) >= 4+int(binary.BigEndian.Uint32(b))
}

// openLoop sends writes at a fixed rate, whatever comes back. Latency counts from when a
// request was due.
func openLoop(o options) (result, error) {
	if err := prepare(o); err != nil {
		return result{}, err
	}
	k, err := dial(o.addr, 0, [proto.PasswordLen]byte{})
	if err != nil {
		return result{}, err
	}
	defer k.c.Close()
	total := int(o.time.Seconds() * float64(o.rate))
	gap := time.Second / time.Duration(o.rate)
	start := time.Now()
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // with a timer of its own: Go's may be a millisecond late
		data := make([]byte, o.size)
		for i := range total {
			due := start.Add(time.Duration(i) * gap)
			if wait := time.Until(due); wait > 0 {
				ts := unix.NsecToTimespec(int64(wait))
				_ = unix.Nanosleep(&ts, nil) // a signal may cut it short
			}
			if _, err := k.c.Write(setReq(nodePath(i*7919%o.nodes), data)); err != nil {
				failed <- err
				return
			}
		}
		failed <- nil
	}()
	var h histogram
	for i := range total {
		if err := k.reply(); err != nil {
			return result{}, err
		}
		h.add(time.Since(start.Add(time.Duration(i) * gap)))
	}
	r := result{Ops: h.total, Seconds: time.Since(start).Seconds()}
	r.fill(&h)
	return r, <-failed
}
