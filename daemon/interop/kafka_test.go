//go:build interop

package interop

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// broker makes a broker of Kafka's that keeps its metadata in an ensemble; it is not started.
func (c *cluster) broker(id int) *process {
	t := c.t
	lib := os.Getenv("ZKD_KAFKA_LIB")
	if jars, _ := filepath.Glob(filepath.Join(lib, "kafka_2.13-*.jar")); len(jars) == 0 {
		t.Fatal("ZKD_KAFKA_LIB must name a directory with the jars of Kafka 3.9; run.sh makes it")
	}
	var servers []string
	for _, p := range c.servers {
		servers = append(servers, p.addr)
	}
	dir, addr := t.TempDir(), fmt.Sprintf("127.0.0.1:%d", freePort(t))
	file := filepath.Join(dir, "server.properties")
	text := fmt.Appendf(nil, `broker.id=%d
listeners=PLAINTEXT://%s
log.dirs=%s/data
zookeeper.connect=%s/kafka
zookeeper.session.timeout.ms=6000
offsets.topic.replication.factor=2
min.insync.replicas=1
controlled.shutdown.enable=true
`, id, addr, dir, strings.Join(servers, ","))
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return &process{t: t, name: "kafka", addr: addr, log: filepath.Join(dir, "log"), make: func() *exec.Cmd {
		return exec.Command("java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", lib+"/*", "kafka.Kafka", file)
	}}
}

// kafkaLoad is clients of Kafka's.
type kafkaLoad struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func loadKafka(t *testing.T, brokers ...*process) *kafkaLoad {
	t.Helper()
	var addrs []string
	for _, p := range brokers {
		addrs = append(addrs, p.addr)
	}
	l := &kafkaLoad{t: t, cmd: exec.Command("java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp",
		os.Getenv("ZKD_KAFKA_LIB")+"/*", "java/kafka/Load.java", strings.Join(addrs, ","))}
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	l.cmd.Stderr = os.Stderr
	var err error
	if l.in, err = l.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	l.out = bufio.NewScanner(out)
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return l
}

// topic has another topic made, which needs the controller and the ensemble, waits until it takes messages, and returns
// the controller's id. As many brokers must be known as it is to have replicas.
func (l *kafkaLoad) topic(name string, brokers int) (controller int) {
	l.t.Helper()
	began := time.Now()
	fmt.Fprintln(l.in, name, brokers)
	if !l.out.Scan() {
		l.t.Fatalf("%s: %v", name, l.cmd.Wait())
	}
	answered := 0
	if _, err := fmt.Sscanf(l.out.Text(), "flows %d %d", &controller, &answered); err != nil {
		l.t.Fatalf("%s: %q: %v", name, l.out.Text(), err)
	}
	l.t.Logf("%s: %d messages, controller %d, after %v", name, answered, controller, time.Since(began).Round(10*time.Millisecond))
	return controller
}

// end has everything read again.
func (l *kafkaLoad) end() {
	l.t.Helper()
	l.in.Close()
	last := ""
	for l.out.Scan() {
		last = l.out.Text()
	}
	if err := l.cmd.Wait(); err != nil || !strings.HasPrefix(last, "all well") {
		l.t.Fatalf("%v: %s", err, last)
	}
	l.t.Log(last)
}

// TestKafka has brokers keep their metadata in an ensemble of zkd's, and servers and a broker come and go under a load.
func TestKafka(t *testing.T) {
	c := newCluster(t, "zkd", "zkd", "zkd")
	c.start()
	brokers := []*process{c.broker(1), c.broker(2)}
	for _, b := range brokers {
		b.launch()
		t.Cleanup(func() {
			if b.cmd.ProcessState == nil {
				b.kill()
			}
		})
	}
	l := loadKafka(t, brokers...)
	controller := l.topic("calm", 2)
	for _, how := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		leader := c.leader()
		c.servers[leader].signal(how)
		controller = l.topic(fmt.Sprintf("leader-gone-%d", how), 2)
		c.servers[leader].launch()
		c.awaitAll()
	}
	lost := brokers[controller-1]
	lost.kill() // its session ends after six seconds, and the other broker becomes the controller
	if again := l.topic("broker-gone", 1); again == controller {
		t.Fatalf("controller %d was killed and is the controller still", again)
	}
	lost.launch()
	l.topic("broker-back", 2)
	l.end()
}
