package server

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestPanicInAStep: it must not leave a server that answers nobody, whoever recovers from it.
func TestPanicInAStep(t *testing.T) {
	if os.Getenv("ZKD_TEST_PANIC") != "" {
		r := newRig(t, Options{}, nil)
		defer func() { _ = recover() }() // as package http does
		r.s.hold(func() { panic("as a test") })
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestPanicInAStep$", "-test.timeout", "10s")
	cmd.Env = append(os.Environ(), "ZKD_TEST_PANIC=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "panic: as a test") || strings.Contains(string(out), "timed out") {
		t.Errorf("%v\n%s", err, out)
	}
}
