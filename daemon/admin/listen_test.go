package admin

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
)

// dialer serves all pages on a local socket, and connects to it.
func dialer(t *testing.T, b *backend, stall time.Duration) func() net.Conn {
	t.Helper()
	path := filepath.Join(shortDir(t), "s")
	log := logrus.New()
	log.SetOutput(io.Discard)
	ports := New(b, nil).Listen([]Port{{
		Network: "unix", Address: path, Pages: all, Idle: time.Minute, Stall: stall,
	}}, log)
	t.Cleanup(ports.Close)
	return func() net.Conn {
		t.Helper()
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		return c
	}
}

func TestBodyThatDoesNotCome(t *testing.T) {
	c := dialer(t, newBackend(t), 100*time.Millisecond)()
	fmt.Fprintf(c, "POST /commands/restore HTTP/1.1\r\nHost: local\r\nContent-Length: 9\r\n\r\n")
	if _, err := io.ReadAll(c); err != nil {
		t.Errorf("the connection is held: %v", err)
	}
}

func TestAnswersThatAreNotRead(t *testing.T) {
	c := dialer(t, newBackend(t), 100*time.Millisecond)()
	for {
		_, err := io.WriteString(c, strings.Repeat("GET /metrics HTTP/1.1\r\nHost: local\r\n\r\n", 10))
		if e, ok := err.(net.Error); ok && e.Timeout() {
			t.Fatal("the connection is held")
		}
		if err != nil {
			return
		}
	}
}

// TestConnectionAfterABackup: what a client has for a part of one is no limit for its next requests, and
// making one may take longer than that.
func TestConnectionAfterABackup(t *testing.T) {
	const stall = 100 * time.Millisecond
	b := withBackup(t, &fakeBackup{text: "the whole tree"})
	makeIt := b.backup
	b.backup = func() (Backup, error) {
		time.Sleep(2 * stall)
		return makeIt()
	}
	c := dialer(t, b, stall)()
	in := bufio.NewReader(c)
	for _, path := range []string{"snapshot", "ruok", "snapshot?streaming=false"} {
		fmt.Fprintf(c, "GET /commands/%s HTTP/1.1\r\nHost: local\r\nAuthorization: %s\r\n\r\n", path, right)
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if _, err := io.ReadAll(r.Body); err != nil || r.StatusCode != http.StatusOK {
			t.Errorf("%s: %v, %v", path, r.Status, err)
		}
		time.Sleep(2 * stall)
	}
}

// TestLongRestoreIsAnswered: an upload may take long.
func TestLongRestoreIsAnswered(t *testing.T) {
	const stall = 100 * time.Millisecond
	b := withBackup(t, &fakeBackup{})
	b.restore = func(io.Reader, int64, string) (Restored, error) {
		time.Sleep(2 * stall)
		return Restored{Zxid: 1 << 32}, nil
	}
	c := dialer(t, b, stall)()
	fmt.Fprintf(c, "POST /commands/restore HTTP/1.1\r\nHost: local\r\nAuthorization: %s\r\nContent-Length: 1\r\n\r\nx", right)
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", r, err)
	}
}

// TestLargeBodyIsRefused: the answer must reach a client that is still sending.
func TestLargeBodyIsRefused(t *testing.T) {
	c := dialer(t, newBackend(t), 0)()
	fmt.Fprintf(c, "POST /commands/restore HTTP/1.1\r\nHost: local\r\nContent-Length: 1000000000\r\n\r\n")
	go func() { _, _ = c.Write(make([]byte, 1<<20)) }() // fails, as the server does not want it
	start := time.Now()
	text, err := io.ReadAll(c)
	if !strings.HasPrefix(string(text), "HTTP/1.1 401") || time.Since(start) > 300*time.Millisecond {
		t.Errorf("%q, %v after %v", text, err, time.Since(start))
	}
}

func TestConnectionsAreLimited(t *testing.T) {
	dial := dialer(t, newBackend(t), 0)
	var conns []net.Conn
	for range maxConns {
		conns = append(conns, dial())
	}
	late := dial()
	fmt.Fprintf(late, "GET /livez HTTP/1.1\r\nHost: local\r\n\r\n")
	if err := late.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := late.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes: a connection too many is served", n)
	}
	conns[0].Close()
	if err := late.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := late.Read(make([]byte, 1)); err != nil {
		t.Errorf("a connection that waited is not served: %v", err)
	}
}
