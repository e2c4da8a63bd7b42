//go:build interop

package interop

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a server under test.
type process struct {
	t    *testing.T
	name string
	addr string
	make func() *exec.Cmd
	cmd  *exec.Cmd
	log  string
}

var ports sync.Map // given out by freePort

// freePort finds a port below those that the kernel gives to outgoing connections.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(10000)
		if _, taken := ports.LoadOrStore(port, true); taken {
			continue
		}
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

const commonConfig = `dataDir=%s
clientPort=%d
maxClientCnxns=0
extendedTypesEnabled=true
enforceQuota=true
4lw.commands.whitelist=*
admin.enableServer=false
znode.container.checkIntervalMs=100000000
maxSessionTimeout=100000000
`

func writeConfig(t *testing.T, dir string, port int) string {
	t.Helper()
	data := filepath.Join(dir, "data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "zoo.cfg")
	if err := os.WriteFile(file, fmt.Appendf(nil, commonConfig+"tickTime=2000\nclientPortAddress=127.0.0.1\n", data, port), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// zkd makes a zkd server on an empty directory; it is not started.
func zkd(t *testing.T) *process {
	t.Helper()
	binary := os.Getenv("ZKD_BINARY")
	if binary == "" {
		t.Fatal("ZKD_BINARY must name the zkd to test; run.sh sets it")
	}
	dir, port := t.TempDir(), freePort(t)
	file := writeConfig(t, dir, port)
	return &process{
		t: t, name: "zkd", addr: fmt.Sprintf("127.0.0.1:%d", port), log: filepath.Join(dir, "log"),
		make: func() *exec.Cmd { return exec.Command(binary, "run", "-c", file) },
	}
}

// java makes an Apache ZooKeeper of 3.9 on an empty directory.
func java(t *testing.T) *process {
	t.Helper()
	lib := os.Getenv("ZKD_JAVA_LIB")
	if jars, _ := filepath.Glob(filepath.Join(lib, "zookeeper-3.9.*.jar")); len(jars) == 0 {
		t.Fatal("ZKD_JAVA_LIB must name a directory with the jars of ZooKeeper 3.9; run.sh makes it")
	}
	dir, port := t.TempDir(), freePort(t)
	file := writeConfig(t, dir, port)
	return &process{
		t: t, name: "java", addr: fmt.Sprintf("127.0.0.1:%d", port), log: filepath.Join(dir, "log"),
		make: func() *exec.Cmd {
			return exec.Command("java", "-Xmx512m", "-XX:+UseSerialGC", "-cp", dir+":"+lib+"/*",
				"-Dzookeeper.extendedTypesEnabled=true", "-Dznode.container.checkIntervalMs=100000000",
				"org.apache.zookeeper.server.ZooKeeperServerMain", file)
		},
	}
}

// start starts the server and waits until it answers.
func (p *process) start() {
	p.t.Helper()
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		p.t.Fatal(err)
	}
	defer out.Close()
	p.cmd = p.make()
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if strings.Contains(p.word("srvr"), "Mode: ") {
			return
		}
	}
	b, _ := os.ReadFile(p.log)
	p.t.Fatalf("%s does not answer; its log:\n%s", p.name, b)
}

// word asks a four-letter word.
func (p *process) word(word string) string {
	c, err := connect(p.addr, time.Second)
	if err != nil {
		return ""
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	c.Write([]byte(word))
	var b strings.Builder
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return b.String()
		}
	}
}

func (p *process) signal(s os.Signal) {
	p.cmd.Process.Signal(s)
	p.cmd.Wait()
}

func (p *process) kill() { p.signal(syscall.SIGKILL) }
