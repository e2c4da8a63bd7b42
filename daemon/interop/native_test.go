//go:build interop

package interop

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCClient runs a program that uses ZooKeeper's C client, and that client's shell.
func TestCClient(t *testing.T) {
	program := filepath.Join(t.TempDir(), "client")
	compile := exec.Command("gcc", "-Wall", "-DTHREADED", "-o", program, "c/client.c", "-lzookeeper_mt", "-lpthread")
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, p := range []*process{zkd(t), java(t)} {
		p.start()
		if out, err := exec.Command(program, p.addr).CombinedOutput(); err != nil || !strings.Contains(string(out), "all well") {
			t.Errorf("%s: %v\n%s", p.name, err, out)
		}
		shell := exec.Command("/usr/lib/zookeeper/bin/cli_mt", p.addr)
		shell.Stdin = strings.NewReader("create /cli hello\nget /cli\nset /cli two\nls /\nexists /cli\ndelete /cli\nls /\nquit\n")
		out, err := shell.CombinedOutput()
		if err != nil {
			t.Errorf("%s: cli_mt: %v", p.name, err)
		}
		for _, want := range []string{"hello", "cli", "zookeeper"} {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s: cli_mt does not say %q:\n%s", p.name, want, out)
			}
		}
		p.kill()
	}
}

// TestNode runs a program that uses Node's client.
func TestNode(t *testing.T) {
	for _, p := range []*process{zkd(t), java(t)} {
		p.start()
		cmd := exec.Command("node", "node/client.js", p.addr)
		cmd.Env = append(os.Environ(), "NODE_PATH="+os.Getenv("ZKD_NODE_MODULES"))
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "all well") {
			t.Errorf("%s: %v\n%s", p.name, err, out)
		}
		p.kill()
	}
}

// TestCurator runs Curator's recipes, in the middle of which the server is killed and started again.
func TestCurator(t *testing.T) {
	for _, p := range []*process{zkd(t), java(t)} {
		p.start()
		jars := os.Getenv("ZKD_CURATOR_LIB") + "/*"
		cmd := exec.Command("java", "-cp", jars, "java/curator/Recipes.java", p.addr)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var last string
		for lines := bufio.NewScanner(out); lines.Scan(); {
			last = lines.Text()
			if last != "restart" {
				continue
			}
			p.kill()
			p.start()
			if _, err := in.Write([]byte("\n")); err != nil {
				t.Error(err)
			}
		}
		if err := cmd.Wait(); err != nil || last != "all well" {
			t.Errorf("%s: %v, %s", p.name, err, last)
		}
		p.kill()
	}
}
