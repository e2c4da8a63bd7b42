package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zkd-project/zkd/daemon"
)

// patience is far more than anything here takes.
const patience = 30 * time.Second

// TestMain lets the test binary be the daemon: the tests run it as a process.
func TestMain(m *testing.M) {
	if os.Getenv("ZKD_TEST_AS_DAEMON") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// service is a daemon whose service manager is the test.
type service struct {
	t      *testing.T
	cmd    *exec.Cmd
	file   string // its configuration
	dir    string
	port   int
	notes  *net.UnixConn
	output bytes.Buffer
	exit   chan error
}

// config writes the configuration with some more lines in it.
func (s *service) config(more string) {
	s.t.Helper()
	text := fmt.Sprintf("dataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\ntickTime=500\n%s\n", s.dir, s.port, more)
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// freePort finds a port below those that the kernel gives to outgoing connections.
func freePort(t *testing.T) int {
	t.Helper()
	for range 200 {
		port := 15000 + rand.IntN(15000)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

func newService(t *testing.T) *service {
	t.Helper()
	top := t.TempDir()
	s := &service{
		t: t, dir: filepath.Join(top, "data"), file: filepath.Join(top, "zoo.cfg"), exit: make(chan error, 1),
		port: freePort(t),
	}
	s.config("")
	return s
}

// start starts it with a socket for its notifications, and a watchdog.
func (s *service) start(watchdog time.Duration) {
	s.t.Helper()
	dir, err := os.MkdirTemp("", "zkd") // the path of a socket must be short
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "notify")
	if s.notes, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"}); err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command(os.Args[0], "run", "-c", s.file, "--log-format", "text")
	s.cmd.Env = append(os.Environ(), "ZKD_TEST_AS_DAEMON=1", "NOTIFY_SOCKET="+path)
	if watchdog > 0 {
		s.cmd.Env = append(s.cmd.Env, fmt.Sprintf("WATCHDOG_USEC=%d", watchdog.Microseconds()))
	}
	s.cmd.Stderr, s.cmd.Stdout = &s.output, &s.output
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() { s.exit <- s.cmd.Wait() }()
	s.t.Cleanup(func() {
		s.cmd.Process.Kill()
		s.notes.Close()
		if s.t.Failed() {
			s.t.Logf("the daemon wrote:\n%s", s.output.String())
		}
	})
}

// note is the next notification that is not about the watchdog, the start's progress, or how
// the server is.
func (s *service) note() map[string]string {
	s.t.Helper()
	for {
		n := s.anyNote()
		_, watchdog := n["WATCHDOG"]
		_, extend := n["EXTEND_TIMEOUT_USEC"]
		state := len(n) == 1 && n["STATUS"] != "" && !strings.HasPrefix(n["STATUS"], "Failed")
		if !watchdog && !extend && !state {
			return n
		}
	}
}

func (s *service) anyNote() map[string]string {
	s.t.Helper()
	b := make([]byte, 65536)
	s.notes.SetReadDeadline(time.Now().Add(patience))
	n, err := s.notes.Read(b)
	if err != nil {
		s.t.Fatalf("no notification: %v", err)
	}
	values := make(map[string]string)
	for line := range strings.SplitSeq(string(b[:n]), "\n") {
		key, value, _ := strings.Cut(line, "=")
		values[key] = value
	}
	return values
}

// code waits until it ends.
func (s *service) code() int {
	s.t.Helper()
	select {
	case err := <-s.exit:
		var e *exec.ExitError
		switch {
		case err == nil:
			return 0
		case errors.As(err, &e):
			return e.ExitCode()
		}
		s.t.Fatal(err)
	case <-time.After(patience):
		s.t.Fatal("it does not end")
	}
	return -1
}

// word asks with a four-letter word.
func (s *service) word(word string) string {
	s.t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	fmt.Fprint(c, word)
	answer, err := io.ReadAll(bufio.NewReader(c))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(answer)
}

func (s *service) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

func TestNotifications(t *testing.T) {
	s := newService(t)
	s.start(0)
	n := s.note()
	if n["READY"] != "1" || !strings.HasPrefix(n["STATUS"], "standalone, zxid 0x0") {
		t.Fatalf("the first notification: %v", n)
	}
	if got := s.word("ruok"); got != "imok" { // ready is when clients can connect, not before
		t.Errorf("ruok: %q", got)
	}

	s.config("4lw.commands.whitelist=ruok,dirs\nmaxClientCnxns=7\ninitLimit=33\nmaxClientCnxn=8")
	if got := s.word("dirs"); !strings.Contains(got, "not in the whitelist") {
		t.Errorf("dirs before the reload: %q", got)
	}
	s.signal(syscall.SIGHUP)
	if n = s.note(); n["RELOADING"] != "1" || n["MONOTONIC_USEC"] == "" {
		t.Fatalf("a reload begins with %v", n)
	}
	if n = s.note(); n["READY"] != "1" || !strings.HasSuffix(n["STATUS"], "only after a restart: initLimit") {
		t.Fatalf("a reload ends with %v", n)
	}
	if got := s.word("dirs"); !strings.Contains(got, "datadir_size") {
		t.Errorf("dirs after the reload: %q", got)
	}

	s.config("tickTime=fast")
	s.signal(syscall.SIGHUP)
	if n = s.note(); n["RELOADING"] != "1" {
		t.Fatalf("a reload begins with %v", n)
	}
	if n = s.note(); n["READY"] != "1" || !strings.Contains(n["STATUS"], `zoo.cfg:5: tickTime: "fast" is not`) {
		t.Fatalf("a reload of a wrong configuration ends with %v", n)
	}
	if got := s.word("dirs"); !strings.Contains(got, "datadir_size") {
		t.Errorf("dirs after a reload of a wrong configuration: %q", got)
	}

	s.signal(syscall.SIGTERM)
	if n = s.note(); n["STOPPING"] != "1" || !strings.HasPrefix(n["STATUS"], "Stopping") {
		t.Errorf("a stop begins with %v", n)
	}
	if c := s.code(); c != 0 {
		t.Errorf("exit code %d", c)
	}
	if !strings.Contains(s.output.String(), "did you mean maxClientCnxns?") {
		t.Error("a misspelt key of a reload is not named")
	}
}

// TestMoreTimeForTheEnd: a stop that gets on must not be cut off by the unit's TimeoutStopSec.
func TestMoreTimeForTheEnd(t *testing.T) {
	s := newService(t)
	s.start(0)
	s.note()
	s.signal(syscall.SIGTERM)
	for {
		n := s.anyNote()
		if n["EXTEND_TIMEOUT_USEC"] == "30000000" {
			break
		}
	}
	if c := s.code(); c != 0 {
		t.Errorf("exit code %d", c)
	}
}

func TestWatchdogIsFed(t *testing.T) {
	s := newService(t)
	s.start(400 * time.Millisecond)
	fed := 0
	for last := time.Now(); fed < 4; {
		if _, ok := s.anyNote()["WATCHDOG"]; ok {
			fed++
			if since := time.Since(last); fed > 1 && since > 5*time.Second {
				t.Errorf("not fed for %v", since)
			}
			last = time.Now()
		}
	}
}

func TestReloadCommand(t *testing.T) {
	s := newService(t)
	s.start(0)
	s.note()
	reload := func() (string, int) {
		cmd := exec.Command(os.Args[0], "reload", "-c", s.file, fmt.Sprint(s.cmd.Process.Pid))
		cmd.Env = append(os.Environ(), "ZKD_TEST_AS_DAEMON=1")
		out, err := cmd.CombinedOutput()
		if err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	s.config("tickTime=fast")
	if out, code := reload(); code != daemon.ExitConfig || !strings.Contains(out, "zoo.cfg:5: tickTime") {
		t.Errorf("a wrong configuration: %d, %s", code, out)
	}
	s.config("maxCnxns=9")
	if out, code := reload(); code != 0 {
		t.Errorf("a good configuration: %d, %s", code, out)
	}
	if n := s.note(); n["RELOADING"] != "1" { // and not twice: the wrong one was not tried
		t.Errorf("a reload begins with %v", n)
	}
	pid, other := fmt.Sprint(s.cmd.Process.Pid), newService(t)
	if out, err := zkd(nil, "reload", "-c", other.file, pid); err == nil || !strings.Contains(out, "zkd reload -c "+s.file) {
		t.Errorf("another one's file: %v: %s", err, out)
	}
	sleep := exec.Command("sleep", "60")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	out, err := zkd(nil, "reload", "-c", s.file, fmt.Sprint(sleep.Process.Pid))
	if err == nil || !strings.Contains(out, "not zkd") && !strings.Contains(out, "is not that file") {
		t.Errorf("another program: %v: %s", err, out)
	}
	sleep.Process.Kill()
	if state, err := sleep.Process.Wait(); err != nil || state.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("another program ended: %v, %v", state, err)
	}
}

func TestExitStatuses(t *testing.T) {
	other := newService(t)
	other.start(0)
	other.note()
	for _, c := range []struct {
		name string
		make func(*service)
		code int
		text string
	}{
		{"no file", func(s *service) { os.Remove(s.file) }, daemon.ExitConfig, "no such file"},
		{"a wrong value", func(s *service) { s.config("tickTime=0") }, daemon.ExitConfig, "zoo.cfg:5: tickTime: 0 is out of range"},
		{"no id", func(s *service) { s.config("server.1=127.0.0.1:20001:20002\nserver.2=127.0.0.1:20003:20004") },
			daemon.ExitConfig, "myid"},
		{"a port in use", func(s *service) { s.port = other.port; s.config("") }, daemon.ExitPort, "clientPort"},
		{"a directory in use", func(s *service) { s.dir = other.dir; s.config("") }, daemon.ExitDataDir, "process "},
		{"Apache's data", func(s *service) {
			os.MkdirAll(filepath.Join(s.dir, "version-2"), 0o700)
			os.WriteFile(filepath.Join(s.dir, "version-2", "snapshot.0"), nil, 0o600)
		}, daemon.ExitDataDir, "zkctl import --from "},
		{"Apache's logs", func(s *service) {
			logs := filepath.Join(filepath.Dir(s.dir), "logs")
			os.MkdirAll(filepath.Join(logs, "version-2"), 0o700)
			os.WriteFile(filepath.Join(logs, "version-2", "log.1"), nil, 0o600)
			s.config("dataLogDir=" + logs)
		}, daemon.ExitDataDir, " --log-from "},
		{"half an import", func(s *service) {
			os.MkdirAll(s.dir, 0o700)
			os.WriteFile(filepath.Join(s.dir, "IMPORT"), nil, 0o600)
		}, daemon.ExitDataDir, "was not finished"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newService(t)
			c.make(s)
			s.start(0)
			n := s.note()
			if got := s.code(); got != c.code {
				t.Errorf("exit code %d, not %d", got, c.code)
			}
			if n["READY"] != "" || !strings.HasPrefix(n["STATUS"], "Failed: ") || !strings.Contains(n["STATUS"], c.text) {
				t.Errorf("no %q in the status: %v", c.text, n)
			}
			if !strings.Contains(s.output.String(), c.text) {
				t.Errorf("no %q in the output", c.text)
			}
		})
	}
}

// TestRecoverLeavesTheOwner has root check somebody else's data.
func TestRecoverLeavesTheOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		return // who is not root owns what he makes
	}
	const uid = 54321
	s := newService(t)
	if err := errors.Join(os.Mkdir(s.dir, 0o700), os.Chown(s.dir, uid, uid)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "recover", "-c", s.file)
	cmd.Env = append(os.Environ(), "ZKD_TEST_AS_DAEMON=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	n := 0
	filepath.WalkDir(s.dir, func(path string, d os.DirEntry, err error) error {
		if st, err := d.Info(); err == nil {
			if n++; st.Sys().(*syscall.Stat_t).Uid != uid {
				t.Errorf("%s belongs to %d", path, st.Sys().(*syscall.Stat_t).Uid)
			}
		}
		return err
	})
	if n < 6 {
		t.Errorf("%d files", n)
	}
}

// TestStartWaitsForSpace starts on a full disk, which takes root to make.
func TestStartWaitsForSpace(t *testing.T) {
	s := newService(t)
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", s.dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("a file system cannot be mounted: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(s.dir, unix.MNT_DETACH) })
	filler := filepath.Join(s.dir, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1 << 20, 4 << 10, 1} {
		for b, err := make([]byte, size), error(nil); err == nil; {
			_, err = f.Write(b)
		}
	}
	f.Close()
	for _, end := range []syscall.Signal{syscall.SIGTERM, 0} {
		s.start(0)
		if n := s.anyNote(); !strings.HasPrefix(n["STATUS"], "Waiting for space on the disk of "+s.dir) {
			t.Fatalf("a start on a full disk tells %v", n)
		}
		if end != 0 {
			s.signal(end)
			if c := s.code(); c != 0 {
				t.Errorf("exit code %d of a start that is stopped", c)
			}
		}
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if n := s.note(); n["READY"] != "1" {
		t.Fatalf("when there is space: %v", n)
	}
}
