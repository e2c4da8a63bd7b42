package main

import (
	"bytes"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zkd-project/zkd/daemon/config"
)

// typing is a shell that somebody types into.
func typing(t *testing.T, addr string) (s *shell, out *bytes.Buffer) {
	t.Helper()
	out = new(bytes.Buffer)
	g := &globals{servers: addr, timeout: 5 * time.Second, output: "table"}
	s = &shell{g: g, out: &writer{w: out}, typed: true, stop: make(chan struct{})}
	g.shell = s
	t.Cleanup(s.close)
	return s, out
}

// TestInterrupt: Ctrl-C ends the command, and neither the shell nor its session.
func TestInterrupt(t *testing.T) {
	s, out := typing(t, serve(t))
	if err := s.line("create -e /mine"); err != nil {
		t.Fatal(err)
	}
	survive := make(chan os.Signal, 9)
	signal.Notify(survive, os.Interrupt)
	defer signal.Stop(survive)
	for _, line := range []string{
		"watch / --for 20s", "watch / --plain --for 20s", "status --watch", "wait --server 127.0.0.1:1 --for 20s",
	} {
		timer := time.AfterFunc(500*time.Millisecond, func() { _ = syscall.Kill(os.Getpid(), syscall.SIGINT) })
		begin := time.Now()
		err := s.line(line)
		if took := time.Since(begin); took > 10*time.Second || (err != nil) != strings.HasPrefix(line, "wait") {
			t.Errorf("%s: %v after %v", line, err, took)
		}
		timer.Stop()
	}
	out.Reset()
	if err := s.line("ls /"); err != nil || !strings.Contains(out.String(), "mine") {
		t.Errorf("%q, %v", out, err)
	}
	out.Reset()
	if err := s.line("create /other"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	if s.mu.Lock(); out.String() != "Created /other\n" {
		t.Errorf("the watch is still there: %q", out)
	}
	s.mu.Unlock()
}

func TestHelp(t *testing.T) {
	s, out := typing(t, "127.0.0.1:1")
	for line, want := range map[string]string{
		"help": "create ", "?": "printwatches ", "help create": "--ephemeral", "? redo": "redo NUMBER", "help config explain": "KEY",
		"help help": "help [COMMAND]",
	} {
		out.Reset()
		if err := s.line(line); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %q, %v", line, out, err)
		}
	}
	if err := s.line("help nonsense"); exitCode(err) != 127 {
		t.Error(err)
	}
	for name := range builtins {
		if builtinHelp[name][1] == "" {
			t.Errorf("no help for %s", name)
		}
	}
}

// TestShortSession: a session lives on while nobody types, also where the server allows only short ones.
func TestShortSession(t *testing.T) {
	file, _ := configured(t, "clientPortAddress=127.0.0.1\ntickTime=100\nmaxSessionTimeout=600")
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	addr, stop := serveConfig(t, cfg)
	t.Cleanup(stop)
	s, out := typing(t, addr)
	if err := s.line("create -e /mine"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1500 * time.Millisecond)
	s.mu.Lock()
	out.Reset()
	s.mu.Unlock()
	if err := s.line("ls /"); err != nil || !strings.Contains(out.String(), "mine") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestSecretsAreNotKept(t *testing.T) {
	for line, want := range map[string]bool{
		"ls /": true, " ": false, "addauth digest a:b": false, "  addauth digest a:b": false, "addauth\tdigest a:b": false,
		"\"addauth\" digest a:b": false, "addauth digest 'a:b": false, "ls / --auth=digest:a:b": false,
	} {
		if got := toKeep(line); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}
