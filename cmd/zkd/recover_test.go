package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/store"
)

// damagedLog makes data of which the log is damaged in the middle of its only segment, with
// txns that open sessions.
func damagedLog(t *testing.T, dir string) {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	st, err := store.Open(store.Options{ImageDir: dir, LogDir: dir, Log: log})
	if err == nil {
		err = st.Replay(0, nil)
	}
	for i := 1; i <= 20 && err == nil; i++ {
		var b proto.LogBatch
		zxid := proto.Zxid(i)
		b.Add(zxid, &proto.Txn{TxnHeader: proto.TxnHeader{
			Session: proto.SessionID(i), Zxid: zxid, Time: 1000, Type: proto.OpCreateSession,
		}, Timeout: 4000})
		err = st.Append(&b)
	}
	if err = errors.Join(err, st.Close()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "log-0000000001", "000001.log")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRecoverOfAnEnsemble: the other servers have what is damaged here.
func TestRecoverOfAnEnsemble(t *testing.T) {
	s := newService(t)
	damagedLog(t, s.dir)
	if err := os.WriteFile(filepath.Join(s.dir, "myid"), []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	list := "server.1=127.0.0.1:20001:20002\nserver.2=127.0.0.1:20003:20004\n"
	for more, want := range map[string]string{"": "it cannot heal from them",
		"server.3=127.0.0.1:20005:20006\n": "starting this server moves the damage aside and heals it"} {
		s.config(list + more)
		if out, err := zkd(nil, "recover", "-c", s.file); err == nil || !strings.Contains(out, want) {
			t.Errorf("%v: %s, without %q", err, out, want)
		}
	}
}

// recoverIn runs "zkd recover". The process is killed at the change of the directory that kill
// says, or not if it is 0; changes are those that were seen.
func (s *service) recoverIn(kill int, args ...string) (output string, changes int, err error) {
	s.t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		s.t.Fatal(err)
	}
	events := os.NewFile(uintptr(fd), "inotify")
	const kinds = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_DELETE
	if _, err := unix.InotifyAddWatch(fd, s.dir, kinds); err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], append([]string{"recover", "-c", s.file}, args...)...)
	cmd.Env = append(os.Environ(), "ZKD_TEST_AS_DAEMON=1")
	var text strings.Builder
	cmd.Stdout, cmd.Stderr = &text, &text
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan int)
	go func() {
		seen := 0
		for b := make([]byte, 4096); ; {
			n, err := events.Read(b)
			before := seen
			for at := 0; at < n; seen++ {
				at += unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[at+12:]))
			}
			if before < kill && seen >= kill {
				cmd.Process.Kill()
			}
			if err != nil || strings.Contains(string(b[:n]), "the-end") {
				done <- seen - 1
				return
			}
		}
	}()
	err = cmd.Wait()
	end := filepath.Join(s.dir, "the-end")
	if werr := os.WriteFile(end, nil, 0o600); werr != nil {
		s.t.Fatal(werr)
	}
	changes = <-done
	if err := errors.Join(events.Close(), os.Remove(end)); err != nil {
		s.t.Fatal(err)
	}
	return text.String(), changes, err
}

// TestRecoverIsKilled kills "zkd recover --accept-loss" at each of its steps: the data are then
// damaged as before, or mended, and the same command does the rest.
func TestRecoverIsKilled(t *testing.T) {
	whole := newService(t)
	damagedLog(t, whole.dir)
	saved := t.TempDir()
	if err := os.CopyFS(saved, os.DirFS(whole.dir)); err != nil {
		t.Fatal(err)
	}
	want, changes, err := whole.recoverIn(0, "--accept-loss")
	if err != nil {
		t.Fatal(want, err)
	}
	_, want, _ = strings.Cut(want, "The data are whole")
	if names, _ := filepath.Glob(filepath.Join(whole.dir, "damaged-log-*")); len(names) == 0 || changes < 4 {
		t.Fatalf("nothing is aside after %d changes", changes)
	}
	again := 0
	for kill := 1; kill <= changes; kill++ {
		s := newService(t)
		if err := os.CopyFS(s.dir, os.DirFS(saved)); err != nil {
			t.Fatal(err)
		}
		at := fmt.Sprintf("killed at change %d", kill)
		s.recoverIn(kill, "--accept-loss")
		switch out, _, err := s.recoverIn(0); {
		case err == nil && !strings.HasSuffix(out, want):
			t.Errorf("%s, the data are something else: %s", at, out)
		case err != nil && !strings.Contains(out, "--accept-loss"):
			t.Errorf("%s: %v: %s", at, err, out)
		case err != nil:
			again++
		}
		if out, _, err := s.recoverIn(0, "--accept-loss"); err != nil || !strings.HasSuffix(out, want) {
			t.Errorf("%s and run again: %v: %s", at, err, out)
		}
	}
	t.Logf("killed at %d steps, %d of them with the damage still there", changes, again)
}

// TestDamagedDataComeBack gives a healing server the data back that were moved aside, with the
// commands that docs/OPERATIONS.md names.
func TestDamagedDataComeBack(t *testing.T) {
	manual, err := os.ReadFile("../../docs/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(manual), "**Nobody can be elected")
	_, text, _ = strings.Cut(text, "cd /var/lib/zkd")
	_, text, _ = strings.Cut(text, "\n")
	commands, _, ok := strings.Cut(text, "zkd recover --accept-loss")
	if !ok {
		t.Fatal("the manual names no commands")
	}
	s := newService(t)
	damagedLog(t, s.dir)
	log := logrus.New()
	log.SetOutput(io.Discard)
	o := store.Options{ImageDir: s.dir, LogDir: s.dir, Log: log}
	if err := store.Quarantine(o, errors.New("a test")); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(o)
	if err = errors.Join(err, st.Close()); err != nil || !st.Healing() {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-ec", commands)
	cmd.Dir = s.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, _, err := s.recoverIn(0); err == nil || !strings.Contains(out, "--accept-loss") {
		t.Fatalf("the damage is gone: %s", out)
	}
	out, _, err := s.recoverIn(0, "--accept-loss")
	if err != nil || strings.HasSuffix(out, "zxid 0x0\n") || strings.Contains(out, "does not vote") {
		t.Errorf("%v: %s", err, out)
	}
}
