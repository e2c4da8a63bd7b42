package daemon

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fails starts a server that cannot start, and checks its exit code and what it says.
func fails(t *testing.T, text string, code int, words ...string) {
	t.Helper()
	cfg, log := configured(t, text)
	err := Run(context.Background(), cfg, log, nil)
	if ExitCode(err) != code {
		t.Errorf("%s: exit code %d: %v", text, ExitCode(err), err)
	}
	for _, w := range words {
		if !strings.Contains(fmt.Sprint(err), w) {
			t.Errorf("%v, without %q", err, w)
		}
	}
}

// TestMisplacedDirectory: a directory that cannot be used is told of with its line and its owner.
func TestMisplacedDirectory(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	fails(t, "clientPort=0\ndataDir="+file+"\n", ExitDataDir, "zoo.cfg:2: dataDir="+file, "belongs to ", "with mode 0640",
		"run by ", "name a directory")
	fails(t, "dataDir="+dir+"/d\ndataLogDir=/proc/nope\n", ExitDataDir, "zoo.cfg:2: dataLogDir=/proc/nope", "/proc belongs to root")
	if os.Geteuid() == 0 {
		return
	}
	if err := os.Mkdir(dir+"/ro", 0o500); err != nil {
		t.Fatal(err)
	}
	fails(t, "dataDir="+dir+"/ro\n", ExitDataDir, "zoo.cfg:1: dataDir=", "mode 0500", "chown -R")
}

// freeOf is a port that is free.
func freeOf(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// TestUnboundPort: the port that failed is named with the line that it comes from.
func TestUnboundPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	fails(t, "dataDir="+t.TempDir()+"\nclientPortAddress=203.0.113.9\n", ExitPort, "zoo.cfg:2: clientPortAddress",
		"203.0.113.9 is not an address of this machine")
	fails(t, fmt.Sprintf("dataDir=%s\nclientPortAddress=127.0.0.1\nclientPort=%d\n", t.TempDir(), taken), ExitPort,
		"zoo.cfg:3: clientPort", "another process has the port", fmt.Sprint("sport = :", taken))
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "myid"), []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := "dataDir=%s\nserver.1=%s\nserver.2=127.0.0.1:4:5\nserver.3=127.0.0.1:6:7\n"
	fails(t, fmt.Sprintf(text, dir, fmt.Sprintf("127.0.0.1:%d:1", taken)), ExitPort,
		"the quorum port, 127.0.0.1:", "zoo.cfg:2: server.1", "another process has the port")
	fails(t, fmt.Sprintf(text, dir, fmt.Sprintf("127.0.0.1:%d:%d", freeOf(t), taken)), ExitPort, "the election port, 127.0.0.1:")
	fails(t, fmt.Sprintf(text, dir, "203.0.113.9:2888:3888"), ExitPort, "203.0.113.9 is not an address of this machine",
		"quorumListenOnAllIPs")
}
