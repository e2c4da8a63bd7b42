package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// crowd opens many sessions, some at a time.
func crowd(o options, n int) ([]*conn, error) {
	conns := make([]*conn, n)
	return conns, parallel(n, 64, func(i int) (err error) {
		conns[i], err = dial(o.addr, 0, [proto.PasswordLen]byte{})
		return err
	})
}

// parallel calls f for 0..n-1, so many at a time.
func parallel(n, at int, f func(i int) error) error {
	var next atomic.Int64
	errs := make([]error, at)
	var wg sync.WaitGroup
	for w := range at {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := f(i); err != nil {
					errs[w] = err
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func leave(conns []*conn) {
	_ = parallel(len(conns), 64, func(i int) error {
		if conns[i] != nil {
			_ = conns[i].do(closeReq())
			conns[i].c.Close()
		}
		return nil
	})
}

// children lists a directory of --nodes znodes.
func children(o options) (result, error) {
	if err := prepare(o); err != nil {
		return result{}, err
	}
	var h histogram
	var mu sync.Mutex
	start := time.Now()
	deadline := start.Add(o.time)
	err := parallel(o.conns, o.conns, func(int) error {
		k, err := dial(o.addr, 0, [proto.PasswordLen]byte{})
		if err != nil {
			return err
		}
		defer k.c.Close()
		req := getReq(proto.OpGetChildren, "/bench", false)
		var own histogram
		for time.Now().Before(deadline) {
			t := time.Now()
			if err := k.do(req); err != nil {
				return err
			}
			own.add(time.Since(t))
		}
		mu.Lock()
		h.merge(&own)
		mu.Unlock()
		return nil
	})
	r := result{Ops: h.total, Seconds: time.Since(start).Seconds()}
	r.fill(&h)
	return r, err
}

// reconnect drops --nodes connections at once and resumes their sessions.
func reconnect(o options) (result, error) {
	conns, err := crowd(o, o.nodes)
	if err != nil {
		return result{}, err
	}
	for _, k := range conns {
		if err := k.c.Close(); err != nil {
			return result{}, err
		}
	}
	var h histogram
	var mu sync.Mutex
	lost := 0
	start := time.Now()
	err = parallel(len(conns), 256, func(i int) error {
		t := time.Now()
		k, err := dial(o.addr, conns[i].id, conns[i].pw)
		mu.Lock()
		defer mu.Unlock()
		if errors.Is(err, errRefused) {
			lost++
			return nil
		}
		h.add(time.Since(t))
		if err == nil {
			conns[i] = k
		}
		return err
	})
	r := result{Ops: h.total, Seconds: time.Since(start).Seconds(), Lost: lost}
	r.fill(&h)
	leave(conns)
	return r, err
}

// idle holds --nodes sessions that only ping.
func idle(o options) (result, error) {
	before := usageOf(o.pid)
	conns, err := crowd(o, o.nodes)
	if err != nil {
		return result{}, err
	}
	time.Sleep(2 * time.Second)
	ping := pingReq()
	start, used := time.Now(), usageOf(o.pid)
	const every = sessionTimeout / 3 * time.Millisecond
	pings := 0
	for deadline := start.Add(o.time); time.Now().Before(deadline); pings++ {
		if wait := time.Until(start.Add(every / time.Duration(len(conns)) * time.Duration(pings))); wait > 0 {
			time.Sleep(wait)
		}
		if err := conns[pings%len(conns)].do(ping); err != nil {
			return result{}, err
		}
	}
	after := usageOf(o.pid)
	r := result{Ops: int64(pings), Seconds: time.Since(start).Seconds()}
	r.Grown = float64(after.rss-before.rss) * 1024 / float64(len(conns))
	r.CPU = 100 * (after.cpu - used.cpu).Seconds() / r.Seconds
	leave(conns)
	return r, nil
}

// fanout has --nodes sessions watch one znode, and sets it.
func fanout(o options) (result, error) {
	n := o.nodes
	o.nodes = 1
	if err := prepare(o); err != nil {
		return result{}, err
	}
	conns, err := crowd(o, n)
	if err != nil {
		return result{}, err
	}
	defer leave(conns)
	var h histogram
	rounds := max(int(o.time/time.Second), 1)
	for range rounds {
		watch := getReq(proto.OpGetData, nodePath(0), true)
		if err := parallel(n, 64, func(i int) error { return conns[i].do(watch) }); err != nil {
			return result{}, err
		}
		setter, err := dial(o.addr, 0, [proto.PasswordLen]byte{})
		if err != nil {
			return result{}, err
		}
		var got sync.WaitGroup
		for _, k := range conns {
			got.Go(func() { _, _ = k.next() })
		}
		time.Sleep(200 * time.Millisecond)
		start := time.Now()
		if err := setter.do(setReq(nodePath(0), make([]byte, o.size))); err != nil {
			return result{}, err
		}
		got.Wait()
		h.add(time.Since(start))
		leave([]*conn{setter})
	}
	r := result{Ops: int64(n * rounds)}
	r.fill(&h)
	return r, nil
}

// load creates --nodes znodes by multi requests of 100.
func load(o options) (result, error) {
	before := usageOf(o.pid)
	var h histogram
	start := time.Now()
	if _, err := fillTree(o, &h); err != nil {
		return result{}, err
	}
	r := result{Ops: int64(o.nodes), Seconds: time.Since(start).Seconds()}
	r.fill(&h)
	time.Sleep(3 * time.Second)
	r.Grown = float64(usageOf(o.pid).rss-before.rss) * 1024 / float64(o.nodes)
	return r, nil
}

// fillTree creates --nodes znodes below top, n0000000 and so on.
func fillTree(o options, h *histogram) (top string, err error) {
	k, err := dial(o.addr, 0, [proto.PasswordLen]byte{})
	if err != nil {
		return "", err
	}
	defer k.c.Close()
	top = fmt.Sprintf("/load%d", time.Now().UnixNano())
	if err := k.do(createReq(top, nil)); err != nil {
		return "", err
	}
	const batch, under = 100, 16
	m := newMulti(top, min(batch, o.nodes), make([]byte, o.size))
	sent := make([]time.Time, 0, o.nodes/batch+1)
	done := 0
	for from := 0; from < o.nodes || done < len(sent); {
		for from < o.nodes && len(sent)-done < under {
			if n := o.nodes - from; n < len(m.numbers) {
				m = newMulti(top, n, make([]byte, o.size))
			}
			sent = append(sent, time.Now())
			if _, err := k.c.Write(m.of(from)); err != nil {
				return "", err
			}
			from += len(m.numbers)
		}
		if err := k.reply(); err != nil {
			return "", err
		}
		h.add(time.Since(sent[done]))
		done++
	}
	return top, k.do(closeReq())
}

// multi is a request to create znodes, of which only the numbers change.
type multi struct {
	frame   []byte
	numbers []int // where they stand
}

const digits = 7

func newMulti(top string, n int, data []byte) *multi {
	b, m := head(proto.OpMulti), new(multi)
	path := top + "/n" + strings.Repeat("0", digits)
	for range n {
		b = jute.AppendInt(jute.AppendBool(jute.AppendInt(b, int32(proto.OpCreate)), false), -1)
		b = append(b, createReq(path, data)[12:]...)
		m.numbers = append(m.numbers, 4+bytes.LastIndex(b, []byte(path))+len(path)-digits)
	}
	m.frame = frame(jute.AppendInt(jute.AppendBool(jute.AppendInt(b, -1), true), -1))
	return m
}

// of is the request with the numbers from so on; it is good until the next call.
func (m *multi) of(from int) []byte {
	for i, at := range m.numbers {
		n := from + i
		for j := at + digits - 1; j >= at; j-- {
			m.frame[j] = byte('0' + n%10)
			n /= 10
		}
	}
	return m.frame
}
