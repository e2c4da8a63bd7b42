package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/zkd-project/zkd/daemon"
	"github.com/zkd-project/zkd/daemon/config"
)

// TestMain lets the test's binary be a server, too: "serve FILE" runs one.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "serve" {
		if err := serve(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func serve(file string) error {
	cfg, err := config.Load(file)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := logrus.New()
	log.SetLevel(logrus.ErrorLevel)
	return daemon.Run(ctx, cfg, log, func([]net.Addr) {})
}

// command tells how to start a server on an empty directory, and its address.
func command(t *testing.T) (start, addr, dir string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	dir = t.TempDir()
	port := l.Addr().(*net.TCPAddr).Port
	text := fmt.Sprintf("dataDir=%s/data\nclientPort=%d\nclientPortAddress=127.0.0.1\n", dir, port)
	file := filepath.Join(dir, "zoo.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return os.Args[0] + " serve " + file, l.Addr().String(), filepath.Join(dir, "data")
}

func TestRestart(t *testing.T) {
	start, addr, _ := command(t)
	r, err := run("restart", options{addr: addr, start: start, nodes: 1000, size: 100, ops: 3})
	if err != nil || r.Ops != 3 || r.P50 <= 0 || r.RSS == 0 {
		t.Errorf("%v, %v", r, err)
	}
	if _, err := run("restart", options{addr: addr}); err == nil {
		t.Error("nothing to start")
	}
}

func TestDisk(t *testing.T) {
	start, addr, dir := command(t)
	o := options{
		addr: addr, start: start, dirs: []string{dir}, conns: 3, window: 10, nodes: 100, size: 100, ops: 20_001, every: 10 * time.Millisecond,
	}
	s, _, err := o.launch("")
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	r, err := run("disk", o)
	if err != nil || r.Ops != 20_001 || r.DiskMost < 100*100 || r.DiskLast == 0 || r.Windows[0]+r.Windows[1] == 0 {
		t.Errorf("%v, %v", r, err)
	}
	if !strings.Contains(r.String(), "quiet windows") {
		t.Error(r)
	}
	for _, w := range []string{"writes", "mixed", "load"} {
		o.ops = 500
		o.time = time.Hour
		if r, err := run(w, o); err != nil || w != "load" && r.Ops != 500 {
			t.Errorf("%s: %v, %v", w, r, err)
		}
	}
}

func TestSessions(t *testing.T) {
	start, addr, _ := command(t)
	o := options{addr: addr + "," + addr, start: start, conns: 3, time: 100 * time.Millisecond, size: 100, nodes: 250}
	s, _, err := o.launch("")
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	if r, err := run("sessions", o); err != nil || r.Ops < 3 || r.P50 <= 0 {
		t.Errorf("%v, %v", r, err)
	}
	if _, err := run("load", o); err != nil {
		t.Error(err)
	}
	s.kill()
	if _, err := run("sessions", o); err == nil {
		t.Error("there is no server, and no error")
	}
}

// TestWindows makes a file come and another go.
func TestWindows(t *testing.T) {
	dir := t.TempDir()
	write := func(name string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, 100), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a")
	d := &watchedDisk{dirs: []string{dir}}
	d.look()
	d.windows = [2]int{}
	step := func(took time.Duration) {
		d.add(took)
		d.look()
	}
	step(time.Millisecond)
	write("b")
	step(2 * time.Millisecond)
	step(time.Millisecond)
	if err := os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "c")); err != nil {
		t.Fatal(err)
	}
	step(3 * time.Millisecond)
	if err := os.Remove(filepath.Join(dir, "c")); err != nil {
		t.Fatal(err)
	}
	step(4 * time.Millisecond)
	if d.windows != [2]int{2, 3} || d.quiet.max != time.Millisecond || d.busy.max != 4*time.Millisecond ||
		d.busy.total != 3 || d.most != 200 || d.last != 100 {
		t.Errorf("%v, quiet %v, busy %v, %d, %d", d.windows, d.quiet.max, d.busy.max, d.most, d.last)
	}
}
