//go:build interop

package interop

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// clickHouse is a server of ClickHouse's, whose replicated tables agree through an ensemble. It has a client of ZooKeeper's of
// its own making.
type clickHouse struct {
	*process
	http, tcp, interserver int
}

const clickHouseConfig = `<yandex>
<logger><level>warning</level><console>1</console></logger>
<listen_host>127.0.0.1</listen_host><interserver_http_host>127.0.0.1</interserver_http_host>
<http_port>%d</http_port><tcp_port>%d</tcp_port><interserver_http_port>%d</interserver_http_port>
<path>%[4]s/</path><tmp_path>%[4]s/tmp/</tmp_path><users_config>%[4]s/users.xml</users_config>
<default_profile>default</default_profile><default_database>default</default_database>
<mark_cache_size>5000000</mark_cache_size><max_concurrent_queries>50</max_concurrent_queries>
<macros><replica>r%[5]d</replica></macros>
<remote_servers><all><shard><internal_replication>true</internal_replication>%[6]s</shard></all></remote_servers>
<distributed_ddl><path>/clickhouse/ddl</path></distributed_ddl>
<zookeeper>%[7]s<session_timeout_ms>6000</session_timeout_ms><operation_timeout_ms>3000</operation_timeout_ms></zookeeper>
</yandex>
`

const clickHouseUsers = `<yandex>
<profiles><default><background_pool_size>2</background_pool_size><distributed_ddl_task_timeout>60</distributed_ddl_task_timeout></default></profiles>
<users><default><password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default></users>
<quotas><default/></quotas>
</yandex>
`

// clickHouses starts n servers that keep what they share in the ensemble.
func (c *cluster) clickHouses(n int) []*clickHouse {
	t := c.t
	t.Helper()
	var all []*clickHouse
	replicas, nodes := "", ""
	for range n {
		s := &clickHouse{http: freePort(t), tcp: freePort(t), interserver: freePort(t)}
		all = append(all, s)
		replicas += fmt.Sprintf("<replica><host>127.0.0.1</host><port>%d</port></replica>", s.tcp)
	}
	for i, p := range c.ports {
		nodes += fmt.Sprintf(`<node index="%d"><host>%s</host><port>%d</port></node>`, i+1, c.host(i), p[0])
	}
	for i, s := range all {
		dir := t.TempDir()
		file := filepath.Join(dir, "config.xml")
		config := fmt.Sprintf(clickHouseConfig, s.http, s.tcp, s.interserver, dir, i+1, replicas, nodes)
		if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "users.xml"), []byte(clickHouseUsers), 0o644); err != nil {
			t.Fatal(err)
		}
		s.process = &process{t: t, name: "clickhouse", log: filepath.Join(dir, "log"), make: func() *exec.Cmd {
			return exec.Command("clickhouse-server", "--config-file="+file)
		}}
		s.launch()
		t.Cleanup(func() {
			if s.cmd.ProcessState == nil {
				s.kill()
			}
			if b, _ := os.ReadFile(s.log); t.Failed() {
				t.Logf("%s %d ended its log with\n%s", s.name, i+1, b[max(0, len(b)-4000):])
			}
		})
	}
	return all
}

// query asks a server.
func (s *clickHouse) query(sql string) (string, error) {
	c := http.Client{Timeout: 90 * time.Second}
	r, err := c.Post(fmt.Sprintf("http://127.0.0.1:%d/", s.http), "text/plain", strings.NewReader(sql))
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", sql, strings.TrimSpace(string(b)))
	}
	return strings.TrimSpace(string(b)), err
}

// until asks a server until the answer is as wanted.
func (s *clickHouse) until(sql, want string) {
	s.t.Helper()
	s.retry(sql, "not "+want, func(got string) bool { return got == want })
}

// do has a server do what it may refuse at first.
func (s *clickHouse) do(sql string) {
	s.t.Helper()
	s.retry(sql, "refused", func(string) bool { return true })
}

func (s *clickHouse) retry(sql, problem string, ok func(string) bool) {
	s.t.Helper()
	var got string
	var err error
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if got, err = s.query(sql); err == nil && ok(got) {
			return
		}
	}
	s.t.Fatalf("%s: %s: %q, %v", sql, problem, got, err)
}

// insert writes one block after the other into a replicated table, each until it is
// acknowledged: a block that was written and not answered is known by its hash, which is kept in
// the ensemble, when it comes again.
func (s *clickHouse) insert(n *atomic.Int64, stop *atomic.Bool) error {
	for tries := 0; !stop.Load(); {
		next := n.Load() + 1
		if _, err := s.query(fmt.Sprintf("INSERT INTO t (w, n) VALUES ('%s', %d)", s.log, next)); err == nil {
			n.Store(next)
			tries = 0
		} else if tries++; tries == 600 {
			return err
		} else {
			time.Sleep(100 * time.Millisecond)
		}
	}
	return nil
}

// TestClickHouse has replicated tables keep their metadata in an ensemble of zkd's, of which servers go while blocks are written.
func TestClickHouse(t *testing.T) {
	if os.Getenv("CLICKHOUSE") == "" { // Debian's 18.16 does not always survive the loss of a session, whoever serves it
		t.Skip("runs with CLICKHOUSE=1 only")
	}
	c := newCluster(t, "zkd", "zkd", "zkd")
	c.start()
	all := c.clickHouses(2)
	for _, s := range all {
		s.until("SELECT 1", "1")
	}
	all[0].do("CREATE TABLE IF NOT EXISTS t ON CLUSTER all (w String, n Int64)" +
		" ENGINE = ReplicatedMergeTree('/clickhouse/tables/t', '{replica}') ORDER BY (w, n)")
	var counts [2]atomic.Int64
	var stop atomic.Bool
	done := make(chan error, len(all))
	for i, s := range all {
		s.until("SELECT count() FROM t", "0")
		go func() { done <- s.insert(&counts[i], &stop) }()
	}
	flows := func(i int) {
		t.Helper()
		from, began := counts[i].Load(), time.Now()
		for counts[i].Load() < from+20 {
			if time.Since(began) > 90*time.Second {
				t.Fatalf("server %d acknowledges nothing after %d blocks", i+1, from)
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Logf("server %d: blocks %d to %d after %v", i+1, from, from+20, time.Since(began).Round(10*time.Millisecond))
	}
	flows(0)
	flows(1)
	all[0].do("ALTER TABLE t ADD COLUMN more Int64 DEFAULT n + 1")
	for _, s := range all {
		s.until("SELECT max(more) = max(n) + 1 FROM t", "1")
	}
	for _, how := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		leader := c.leader()
		c.servers[leader].signal(how)
		flows(0)
		flows(1)
		c.servers[leader].launch()
		c.awaitAll()
	}
	all[1].kill()
	flows(0)
	all[1].launch()
	flows(1)
	stop.Store(true)
	for range all {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	for i, s := range all {
		// A block whose insertion was not answered stays beside its repetition for minutes where it was
		// written, but is never passed on: what is of the other server is there exactly once.
		const what = "SELECT count(), sum(n) FROM "
		own, others := fmt.Sprintf("w = '%s'", s.log), fmt.Sprintf("w != '%s'", s.log)
		s.until(what+"(SELECT DISTINCT n FROM t WHERE "+own+")", blocks(&counts[i]))
		s.until(what+"t WHERE "+others, blocks(&counts[1-i]))
	}
	all[0].do("DROP TABLE IF EXISTS t ON CLUSTER all")
	t.Logf("%d and %d blocks", counts[0].Load(), counts[1].Load())
}

// blocks is what a server tells of the blocks up to n.
func blocks(n *atomic.Int64) string { return fmt.Sprintf("%d\t%d", n.Load(), n.Load()*(n.Load()+1)/2) }
