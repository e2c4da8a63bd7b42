//go:build interop

package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestZkctl runs zkctl against zkd and against Apache's server: the same is printed.
func TestZkctl(t *testing.T) {
	binary := filepath.Join(filepath.Dir(os.Getenv("ZKD_BINARY")), "zkctl")
	for _, p := range []*process{zkd(t), java(t)} {
		p.start()
		for _, c := range []struct{ args, want string }{
			{"create /a hello", "Created /a\n"}, {"get /a", "hello\n"}, {"create -s /a/s x", "Created /a/s0000000000\n"},
			{"ls /a", "[s0000000000]\n"}, {"ls -R /a", "/a\n/a/s0000000000\n"}, {"set -v 0 /a two", ""}, {"get /a", "two\n"},
			{"set -v 0 /a three", "version No is not valid : /a\n"}, {"stat /a", "dataVersion = 1\n"},
			{"create /a", "Node already exists: /a\n"}, {"get /none", "Node does not exist: /none\n"},
			{"delete /a", "Node not empty: /a\n"}, {"getAcl /a", "'world,'anyone\n: cdrwa\n"},
			{"--auth digest:bob:pw whoami", "digest: bob\n"}, {"getAllChildrenNumber /a", "1\n"}, {"sync /", "Sync is OK\n"},
			{"deleteall /a", ""}, {"ls /", "[zookeeper]\n"}, {"status", "standalone"},
		} {
			args := append([]string{"--server", p.addr}, strings.Fields(c.args)...)
			out, _ := exec.Command(binary, args...).CombinedOutput()
			if !strings.Contains(string(out), c.want) || (c.want == "" && len(out) > 0) {
				t.Errorf("%s: %s: %q and not %q", p.name, c.args, out, c.want)
			}
		}
		p.kill()
	}
}
