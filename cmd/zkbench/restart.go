package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/zkd-project/zkd/daemon/proto"
)

// restart starts a server by --start, loads --nodes znodes into it, and then, --ops times, kills it and
// measures how long it takes from its start until a read of one of them is answered.
func restart(o options) (r result, err error) {
	if o.start == "" {
		return r, errors.New("--start must tell how to start the server")
	}
	s, _, err := o.launch("")
	if err != nil {
		return r, err
	}
	defer func() { s.kill() }()
	o.pid = []int{s.cmd.Process.Pid}
	empty := usageOf(o.pid).rss
	top, err := fillTree(o, new(histogram))
	if err != nil {
		return r, err
	}
	var h histogram
	for range max(o.ops, 1) {
		s.kill()
		var took time.Duration
		if s, took, err = o.launch(top + "/n0000000"); err != nil {
			return r, err
		}
		h.add(took)
	}
	r.RSS = usageOf([]int{s.cmd.Process.Pid}).rss
	r.Grown = float64(r.RSS-empty) * 1024 / float64(o.nodes)
	r.Ops = h.total
	r.fill(&h)
	return r, nil
}

// server is one that was started here.
type server struct{ cmd *exec.Cmd }

func (s *server) kill() {
	_ = s.cmd.Process.Kill() // it may have ended
	_ = s.cmd.Wait()
}

// launch starts the server, and waits until it answers a read of path, or just a session if path is empty.
func (o *options) launch(path string) (s *server, took time.Duration, err error) {
	words := strings.Fields(o.start)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, 0, err
	}
	s = &server{cmd}
	for time.Since(start) < 10*time.Minute {
		if err = o.look(path); err == nil || errors.Is(err, proto.ErrNoNode) { // the latter is data lost
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err != nil {
		s.kill()
		return nil, 0, fmt.Errorf("%s: %w", o.start, err)
	}
	return s, time.Since(start), nil
}

// look reads a znode in a session of its own.
func (o *options) look(path string) error {
	k, err := dial(o.addr, 0, [proto.PasswordLen]byte{})
	if err != nil {
		return err
	}
	defer k.c.Close()
	if path != "" {
		if err := k.do(getReq(proto.OpGetData, path, false)); err != nil {
			return err
		}
	}
	return k.do(closeReq())
}
