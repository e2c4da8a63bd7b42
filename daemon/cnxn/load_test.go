package cnxn

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// idleClients opens connections that cost this process next to no memory, since the
// server's is measured in the same process.
func idleClients(t testing.TB, p *Ports, n int) []int {
	t.Helper()
	addr := p.Addrs()[0].(*net.TCPAddr)
	fds := make([]int, 0, n)
	t.Cleanup(func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	})
	for range n {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			t.Fatal(err)
		}
	}
	return fds
}

func exchange(t testing.TB, fds []int, frame []byte) {
	t.Helper()
	buf := make([]byte, len(frame))
	for _, fd := range fds {
		if _, err := unix.Write(fd, frame); err != nil {
			t.Fatal(err)
		}
	}
	for _, fd := range fds {
		for got := 0; got < len(frame); {
			n, err := unix.Read(fd, buf)
			if err != nil || n == 0 {
				t.Fatalf("read %d bytes, %v", n, err)
			}
			got += n
		}
	}
}

func memoryInUse() uint64 {
	runtime.GC()
	runtime.GC() // the second one empties what the first one left in pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// TestIdleMemory bounds what a connection holds between requests. It is far below what a
// goroutine for each would take.
func TestIdleMemory(t *testing.T) {
	const conns, most = 1000, 1024
	p := serve(t, Options{}, newEcho())
	frame := frameOf(make([]byte, 300))
	exchange(t, idleClients(t, p, 10), frame) // what is made once is made
	before, goroutines := memoryInUse(), runtime.NumGoroutine()
	fds := idleClients(t, p, conns)
	for range 3 {
		exchange(t, fds, frame)
	}
	if each := int64(memoryInUse()-before) / conns; each > most {
		t.Errorf("an idle connection holds %d bytes, want at most %d", each, most)
	}
	if n := runtime.NumGoroutine() - goroutines; n > 0 {
		t.Errorf("%d connections brought %d goroutines", conns, n)
	}
}

// TestOutOfDescriptors accepts nothing while there are no descriptors, and what waited
// when there are.
func TestOutOfDescriptors(t *testing.T) {
	e := newEcho()
	p, err := Listen(Options{Addresses: []string{"127.0.0.1:0"}, Log: quietLog()}, e)
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, p) // waits in the kernel
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	free, err := unix.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(free)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(free), Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	p.Serve()
	failed := func() bool {
		l := p.listeners[0]
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.failed
	}
	e.until(t, "accepting fails", failed)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	send(t, c, frameOf([]byte("at last")))
	receive(t, c)
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// BenchmarkEcho is what the ports make of a handler that does nothing. The client takes
// one of the processors. Its metrics are those of a load of small requests.
func BenchmarkEcho(b *testing.B) {
	for _, load := range []struct{ conns, window int }{{1, 1}, {64, 1}, {16, 64}} {
		b.Run(fmt.Sprintf("%dx%d", load.conns, load.window), func(b *testing.B) {
			benchmarkEcho(b, load.conns, load.window)
		})
	}
}

func benchmarkEcho(b *testing.B, conns, window int) {
	p := serve(b, Options{}, newEcho())
	frame := frameOf(make([]byte, 100))
	var clients []*pipeline
	for range conns {
		clients = append(clients, &pipeline{c: dial(b, p), window: window, frame: frame})
	}
	for _, c := range clients {
		if err := c.c.SetDeadline(time.Time{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	errs := make(chan error, conns)
	for i, c := range clients {
		go func() { errs <- c.run(b.N*(i+1)/conns - b.N*i/conns) }()
	}
	var all []time.Duration
	for range clients {
		if err := <-errs; err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	for _, c := range clients {
		all = append(all, c.latencies...)
	}
	slices.Sort(all)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
	b.ReportMetric(float64(all[len(all)/2].Nanoseconds())/1000, "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Nanoseconds())/1000, "p99-µs")
}

// pipeline is a client that keeps a window of frames under way.
type pipeline struct {
	c         net.Conn
	window    int
	frame     []byte
	latencies []time.Duration
}

func (p *pipeline) run(frames int) error {
	in := make([]byte, len(p.frame)*p.window)
	for frames > 0 {
		n := min(frames, p.window)
		out := make([]byte, 0, len(in))
		for range n {
			out = append(out, p.frame...)
		}
		start := time.Now()
		if _, err := p.c.Write(out); err != nil {
			return err
		}
		if _, err := io.ReadFull(p.c, in[:n*len(p.frame)]); err != nil {
			return err
		}
		p.latencies = append(p.latencies, time.Since(start))
		frames -= n
	}
	return nil
}

// BenchmarkFanOut queues an event for many connections and flushes them on one goroutine.
func BenchmarkFanOut(b *testing.B) {
	const conns = 5000
	e := newEcho()
	p := serve(b, Options{}, e)
	fds := idleClients(b, p, conns)
	exchange(b, fds, frameOf(make([]byte, 60)))
	buf := make([]byte, 1024)
	for b.Loop() {
		p.Visit(func(c *Conn) {
			e.mu.Lock()
			e.out.Event(-1, 3, buf[:20])
			c.Queue(&e.out)
			e.mu.Unlock()
			c.Flush()
		})
		b.StopTimer()
		for _, fd := range fds {
			if _, err := unix.Read(fd, buf); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/conns, "µs/conn")
}

// BenchmarkCut is the search for frame boundaries alone.
func BenchmarkCut(b *testing.B) {
	var data []byte
	for range 64 {
		data = append(data, frameOf(make([]byte, 40))...)
	}
	for b.Loop() {
		if n, end, bad := cut(data, DefaultMaxFrame); n != 64 || end != len(data) || bad {
			b.Fatal(n, end, bad)
		}
	}
}
