//go:build interop

package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestKazoo runs kazoo's recipes against zkd.
func TestKazoo(t *testing.T) {
	p := zkd(t)
	p.start()
	defer p.kill()
	out, err := exec.Command("python3", "python/recipes.py", p.addr).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "all well") {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestZkCli runs Apache's own shell against zkd.
func TestZkCli(t *testing.T) {
	p := zkd(t)
	p.start()
	defer p.kill()
	jars := os.Getenv("ZKD_JAVA_LIB") + "/*"
	if cli, _ := filepath.Glob(os.Getenv("ZKD_JAVA_LIB") + "/commons-cli-*.jar"); len(cli) == 0 {
		jars = "/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-nop.jar:/usr/share/java/slf4j-api.jar"
	}
	for _, c := range []struct{ args, want string }{
		{"create /a hello", "Created /a"}, {"get /a", "hello"}, {"set /a two", ""}, {"stat /a", "dataVersion = 1"},
		{"create -s /a/s x", "Created /a/s0000000000"}, {"ls /a", "[s0000000000]"}, {"getAcl /a", "'world,'anyone"},
		{"create -c /c", "Created /c"}, {"getAllChildrenNumber /", "6"}, {"sync /a", "Sync is OK"},
		{"deleteall /a", ""}, {"ls /", "[c, zookeeper]"}, {"get /a", "Node does not exist: /a"},
	} {
		args := append([]string{"-cp", jars, "org.apache.zookeeper.ZooKeeperMain", "-server", p.addr}, strings.Fields(c.args)...)
		out, _ := exec.Command("java", args...).CombinedOutput()
		if !strings.Contains(string(out), c.want) {
			t.Errorf("%s:\n%s\nand not %q", c.args, out, c.want)
		}
	}
}

// TestKill kills zkd again and again under a load of writes: nothing that was
// acknowledged may be missing, and versions count exactly.
func TestKill(t *testing.T) {
	p := zkd(t)
	p.start()
	rounds := count("KILLS", 20)
	acked := make(map[string]int32)
	for round := range rounds {
		done := make(chan map[string]int32, slots)
		for w := range slots {
			go func() { done <- writeUntilGone(p.addr, w, acked[key(w)]) }()
		}
		p.waitWrites()
		p.kill()
		for range slots {
			for k, v := range <-done {
				acked[k] = max(acked[k], v)
			}
		}
		p.start()
		for w := range slots {
			v, err := versionOf(p.addr, w)
			if err != nil && acked[key(w)] > 0 {
				t.Fatalf("round %d: %s: %v", round, key(w), err)
			}
			if v < acked[key(w)] {
				t.Fatalf("round %d: %s is at version %d, but %d was acknowledged", round, key(w), v, acked[key(w)])
			}
			acked[key(w)] = v
		}
	}
	p.kill()
	t.Logf("%d kills, versions %v", rounds, acked)
}

func key(w int) string { return fmt.Sprint("/kill", w) }
