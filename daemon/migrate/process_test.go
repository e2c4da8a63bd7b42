package migrate

import (
	"os"
	"os/exec"
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
