package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zkd-project/zkd/daemon"
)

// zkd runs a command to its end, which is forced if it does not come.
func zkd(env []string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(append(os.Environ(), "ZKD_TEST_AS_DAEMON=1"), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestSecretOfTheService: what only the service can read does not keep others from commands that
// do not need it.
func TestSecretOfTheService(t *testing.T) {
	s := newService(t)
	s.config("DigestAuthenticationProvider.superDigest=cred:digest")
	if out, err := zkd(nil, "recover", "-c", s.file); err != nil || !strings.Contains(out, "whole up to zxid") {
		t.Errorf("recover: %v: %s", err, out)
	}
	out, err := zkd(nil, "check-config", s.file)
	if err != nil || !strings.Contains(out, "cred:digest") || !strings.Contains(out, "tickTime") ||
		!strings.Contains(out, "not checked: ") || !strings.Contains(out, "LoadCredential=digest:FILE") {
		t.Errorf("check-config: %v: %s", err, out)
	}
	if out, err := zkd(nil, "check-config", "-q", s.file); err != nil || out != "" {
		t.Errorf("check-config -q: %v: %s", err, out)
	}
	if out, err := zkd(nil, "run", "-c", s.file); err == nil || !strings.Contains(out, "LoadCredential=digest:FILE") {
		t.Errorf("run: %v: %s", err, out)
	}
	s.config("DigestAuthenticationProvider.superDigest=cred:digest\nmaxCnxns=many")
	if out, err := zkd(nil, "check-config", s.file); err == nil || !strings.Contains(out, "many") {
		t.Errorf("check-config of a wrong file: %v: %s", err, out)
	}
}

// TestSecretsAreNotPrinted: what check-config prints may go into a ticket.
func TestSecretsAreNotPrinted(t *testing.T) {
	s := newService(t)
	s.config("DigestAuthenticationProvider.superDigest=super:hush1\nssl.keyStore.password=hush2\n" +
		"zookeeper.ssl.quorum.trustStore.password=hush3\nssl.keyStore.passwordPath=/where")
	out, err := zkd(nil, "check-config", s.file)
	if err != nil || strings.Contains(out, "hush") || strings.Count(out, "(not shown)") != 3 || !strings.Contains(out, "/where") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestCheckConfigTellsAll: errors and warnings in the order of the lines and their number, and no table.
func TestCheckConfigTellsAll(t *testing.T) {
	s := newService(t)
	s.config("initLimit=2s\nfoo\nlogLevel=loud\n4lw.commands.whitelist=srvrr")
	out, err := zkd(nil, "check-config", s.file)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var e *exec.ExitError
	if !errors.As(err, &e) || e.ExitCode() != daemon.ExitConfig || len(lines) != 5 || lines[4] != "2 errors, 2 warnings" ||
		!strings.HasPrefix(lines[1], "warning: ") || !strings.HasPrefix(lines[2], "error: ") {
		t.Errorf("%v: %s", err, out)
	}
	s.config("4lw.commands.whitelist=srvrr")
	if out, err := zkd(nil, "check-config", s.file); err != nil || !strings.Contains(out, "did you mean srvr?") {
		t.Errorf("a warning: %v: %s", err, out)
	}
	out, err = zkd(nil, "check-config", "--strict", "-q", s.file)
	if !errors.As(err, &e) || e.ExitCode() != daemon.ExitConfig || !strings.Contains(out, "did you mean srvr?") {
		t.Errorf("a warning, strictly: %v: %s", err, out)
	}
	s.config("")
	if out, err := zkd(nil, "check-config", "--strict", "-q", s.file); err != nil || out != "" {
		t.Errorf("nothing is wrong: %v: %s", err, out)
	}
}

// TestFileInTheWrongPlace: the right form is named.
func TestFileInTheWrongPlace(t *testing.T) {
	if out, err := zkd(nil, "run", "/x/zoo.cfg"); err == nil || !strings.Contains(out, "zkd run -c /x/zoo.cfg") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := zkd(nil, "check-config", "/x/zoo.cfg"); err == nil || strings.Contains(out, "-c FILE") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestFileOf reads the command lines of daemons.
func TestFileOf(t *testing.T) {
	for line, want := range map[string]string{
		"run": defaultFile, "run -c a": "a", "run -ca": "a", "--log-level debug run --config=a --log-format text": "a",
		"a": "a", "--log-level=debug a": "a", "60 70": "", "": "", "-f": "", "reload -c a 1": "",
	} {
		if file, ok := fileOf(strings.Fields(line)); ok != (want != "") || ok && file != want {
			t.Errorf("%q: %q, %v", line, file, ok)
		}
	}
}

// TestRestrictingIsRefused: the daemon does not start where it would let everybody in.
func TestRestrictingIsRefused(t *testing.T) {
	s := newService(t)
	s.config("sessionRequireClientSASLAuth=true")
	for _, args := range [][]string{{"run", "-c", s.file}, {"check-config", s.file}} {
		out, err := zkd(nil, args...)
		var e *exec.ExitError
		if !errors.As(err, &e) || e.ExitCode() != daemon.ExitConfig || !strings.Contains(out, "sessionRequireClientSASLAuth") {
			t.Errorf("%q: %v: %s", args, err, out)
		}
	}
}

// TestStrayIDIsSeen: a server with a myid and no list of servers says loudly that it is on its own.
func TestStrayIDIsSeen(t *testing.T) {
	s := newService(t)
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "myid"), []byte("3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start(0)
	if n := s.note(); n["READY"] != "1" || !strings.Contains(n["STATUS"], "NOT IN AN ENSEMBLE") {
		t.Errorf("%v", n)
	}
	s.signal(syscall.SIGTERM)
	if code := s.code(); code != 0 || !strings.Contains(s.output.String(), "RUNS ON ITS OWN") {
		t.Errorf("code %d", code)
	}
}

// TestForbiddenDirectory has the unit's sandbox, as far as it shows to a program: a directory that
// cannot be written to. It takes root to make one.
func TestForbiddenDirectory(t *testing.T) {
	s := newService(t)
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", s.dir, "tmpfs", unix.MS_RDONLY, ""); err != nil {
		t.Skip(err)
	}
	defer unix.Unmount(s.dir, unix.MNT_DETACH)
	out, err := zkd([]string{"INVOCATION_ID=1", "NOTIFY_SOCKET="}, "run", "-c", s.file)
	if err == nil || !strings.Contains(out, "ReadWritePaths=") || !strings.Contains(out, s.dir) {
		t.Errorf("under systemd: %v: %s", err, out)
	}
	out, err = zkd([]string{"INVOCATION_ID=", "NOTIFY_SOCKET="}, "run", "-c", s.file)
	if err == nil || strings.Contains(out, "ReadWritePaths=") {
		t.Errorf("by hand: %v: %s", err, out)
	}
}
