package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// silent is a server that takes connections and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// TestServersAreAskedAtTheSameTime: servers that do not answer cost their time once, and do not
// keep wait from seeing one that does.
func TestServersAreAskedAtTheSameTime(t *testing.T) {
	const limit = 300 * time.Millisecond
	dead := strings.Join([]string{silent(t), silent(t), silent(t), silent(t), silent(t), silent(t)}, ",")
	start := time.Now()
	if out, err := zkctl(dead, "", "--timeout", limit.String(), "status"); err == nil {
		t.Errorf("they answer: %s", out)
	}
	if took := time.Since(start); took > 4*limit {
		t.Errorf("six servers took %v, one %v", took, limit)
	}
	start = time.Now()
	expect(t, silent(t)+","+serve(t), "", "wait")
	if took := time.Since(start); took > 5*time.Second { // the time for a server is 10 s
		t.Errorf("to see one that serves took %v", took)
	}
	start = time.Now()
	if _, err := zkctl(silent(t), "", "wait", "--for", limit.String()); err == nil {
		t.Error("it is ready")
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("a wait for %v at most took %v", limit, took)
	}
}

// TestWaitForAQuorum: who serves read-only is not what a program waits for.
func TestWaitForAQuorum(t *testing.T) {
	addr := peer(t, map[string]string{"srvr": "Zookeeper version: 1\nZxid: 0x1\nMode: read-only\n"})
	_, err := zkctl(addr, "", "wait", "--for", "50ms")
	if err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("%v", err)
	}
}

// pieces keeps what is written, and fails at the second time.
type pieces struct{ list []string }

func (p *pieces) Write(b []byte) (int, error) {
	if len(p.list) > 0 {
		return 0, io.ErrClosedPipe
	}
	p.list = append(p.list, string(b))
	return len(b), nil
}

// TestStatusIsDrawnAtOnce: status --watch asks first and draws then, without the codes of a
// terminal where there is none, and ends when nobody reads any more.
func TestStatusIsDrawnAtOnce(t *testing.T) {
	root := newRoot(new(globals))
	p := new(pieces)
	root.SetOut(p)
	root.SetErr(io.Discard)
	root.SetArgs([]string{"--server", serve(t), "status", "--watch", "--every", "10ms"})
	ended := make(chan error, 1)
	go func() { ended <- root.Execute() }()
	select {
	case err := <-ended:
		if !errors.Is(err, io.ErrClosedPipe) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on though nobody reads")
	}
	if first := p.list[0]; !strings.Contains(first, "standalone") || strings.Contains(first, "\x1b") {
		t.Errorf("%q", first)
	}
	if isTerminal(new(bytes.Buffer)) {
		t.Error("a buffer is a terminal")
	}
}
