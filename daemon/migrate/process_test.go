package migrate

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sleeper is a process that has a file open.
func sleeper(t *testing.T, f *os.File) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	cmd.ExtraFiles = []*os.File{f}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func TestInUse(t *testing.T) {
	dir := copyOf(t, javaDirs(t)[0])
	if err := (Dirs{Data: dir}).inUse(); err != nil {
		t.Error(err)
	}
	f, err := os.Open(newest(t, dir).path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := sleeper(t, f)
	defer cmd.Process.Kill()
	if err := (Dirs{Data: dir}).inUse(); err == nil || !strings.Contains(err.Error(), fmt.Sprint("process ", cmd.Process.Pid)) {
		t.Errorf("%v", err)
	}
}

// TestRunning has a file with the number of a server that lives, and of another process.
func TestRunning(t *testing.T) {
	dir := copyOf(t, javaDirs(t)[0])
	cmd := exec.Command("sleep", "60")
	cmd.Args[0] = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	for text, refused := range map[string]bool{fmt.Sprintln(cmd.Process.Pid): true, fmt.Sprint(os.Getpid()): false, "x": false} {
		os.WriteFile(filepath.Join(dir, "zookeeper_server.pid"), []byte(text), 0o600)
		for _, data := range []string{dir, filepath.Join(dir, "version-2")} {
			_, err := Import(Dirs{Data: data}, storeOf(t.TempDir()), opt, anything)
			if said := err != nil && strings.Contains(err.Error(), "--running"); said != refused {
				t.Errorf("%q: %v", text, err)
			}
		}
		anyway := opt
		anyway.Running = true
		if _, err := Import(Dirs{Data: dir}, storeOf(t.TempDir()), anyway, anything); err != nil {
			t.Error(err)
		}
	}
}
