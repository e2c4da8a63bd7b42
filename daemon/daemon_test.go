package daemon

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/zkd-project/zkd/daemon/config"
	"github.com/zkd-project/zkd/daemon/store"
)

type started struct {
	addr string
	stop func() error
}

// start runs a whole server on a directory.
func start(t *testing.T, dir string) started { return startWith(t, dir, "") }

// configured is a configuration from its text, and a log that nobody reads.
func configured(t *testing.T, text string) (*config.Config, *logrus.Logger) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "zoo.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	return cfg, log
}

// startWith does so with some more lines of configuration.
func startWith(t *testing.T, dir, more string) started {
	t.Helper()
	text := "dataDir=" + dir + "\nclientPort=0\nclientPortAddress=127.0.0.1\ntickTime=200\nmaxSessionTimeout=30000\n4lw.commands.whitelist=*\n" + more
	cfg, log := configured(t, text)
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan string, 1), make(chan error, 1)
	go func() { done <- Run(ctx, cfg, log, func(a []net.Addr) { ready <- a[0].String() }) }()
	select {
	case addr := <-ready:
		return started{addr, func() error { cancel(); return <-done }}
	case err := <-done:
		cancel()
		t.Fatal(err)
	}
	return started{}
}

func connect(t *testing.T, addr string) *zk.Conn {
	t.Helper()
	c, events, err := zk.Connect([]string{addr}, 20*time.Second, zk.WithLogInfo(false), zk.WithLogger(silent{}))
	if err != nil {
		t.Fatal(err)
	}
	for e := range events {
		if e.State == zk.StateHasSession {
			return c
		}
	}
	return c
}

type silent struct{}

func (silent) Printf(string, ...any) {}

func TestServeStopAndRestart(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreAnyFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"))
	dir := t.TempDir()
	for round := range 3 {
		s := start(t, dir)
		c := connect(t, s.addr)
		if round == 0 {
			if _, err := c.Create("/a", []byte("0"), 0, zk.WorldACL(zk.PermAll)); err != nil {
				t.Fatal(err)
			}
		}
		data, stat, err := c.Get("/a")
		if err != nil || int(stat.Version) != round || string(data) != string(rune('0'+round)) {
			t.Fatalf("round %d: %q, version %d, %v", round, data, stat.Version, err)
		}
		if _, err := c.Set("/a", []byte{byte('1' + round)}, stat.Version); err != nil {
			t.Fatal(err)
		}
		c.Close()
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFourLetterWords(t *testing.T) {
	s := start(t, t.TempDir())
	defer s.stop()
	c := connect(t, s.addr)
	defer c.Close()
	if _, err := c.Create("/e", nil, zk.FlagEphemeral, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := c.GetW("/e"); err != nil {
		t.Fatal(err)
	}
	for word, want := range map[string]string{
		"ruok": "imok", "isro": "rw", "srvr": "Mode: standalone\nNode count: 6\n", "stat": "Clients:\n /127.0.0.1:",
		"mntr": "zk_ephemerals_count\t1\n", "wchs": "1 connections watching 1 paths\nTotal watches:1\n", "wchp": "/e\n\t0x1",
		"wchc": "\n\t/e\n", "dump": "Sessions with Ephemerals (1):\n", "conf": "tickTime=200\n", "cons": "lop=", "envi": "Environment:\n",
		"dirs": "datadir_size: ", "gtmk": "306", "srst": "Server stats reset.\n", "crst": "Connection stats reset.\n",
	} {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		conn.Write([]byte(word))
		answer, err := io.ReadAll(conn)
		conn.Close()
		if err != nil || !bytes.Contains(answer, []byte(want)) {
			t.Errorf("%s: %q, %v; want %q in it", word, answer, err, want)
		}
	}
}

func TestOneProcessADirectory(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	defer s.stop()
	_, err := store.Open(store.Options{ImageDir: dir, LogDir: dir, Log: logrus.New()})
	if !errors.Is(err, store.ErrInUse) || ExitCode(err) != ExitDataDir {
		t.Errorf("a second process: %v", err)
	}
	if err != nil && !strings.Contains(err.Error(), "process ") {
		t.Errorf("the other process is not named: %v", err)
	}
}

func TestExitCodes(t *testing.T) {
	if ExitCode(nil) != 0 || ExitCode(config.ErrConfig) != 78 || ExitCode(ErrPort) != 14 || ExitCode(errors.New("x")) != 1 {
		t.Error("exit codes have changed")
	}
}
