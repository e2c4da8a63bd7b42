package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/zkd-project/zkd/daemon"
	"github.com/zkd-project/zkd/daemon/config"
)

// serve runs a server for a test and returns its address.
func serve(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "zoo.cfg")
	text := fmt.Sprintf("dataDir=%s/data\nclientPort=0\nclientPortAddress=127.0.0.1\n", dir)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	addr, stop := serveConfig(t, cfg)
	t.Cleanup(stop)
	return addr
}

// serveConfig runs a server with a configuration until stop is called.
func serveConfig(t *testing.T, cfg *config.Config) (addr string, stop func()) {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- daemon.Run(ctx, cfg, log, func(addrs []net.Addr) { ready <- addrs[0].String() })
	}()
	select {
	case addr = <-ready:
	case err := <-ended:
		cancel()
		t.Fatal(err)
	}
	return addr, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// zkctl runs a command.
func zkctl(addr, in string, args ...string) (out string, err error) {
	root := newRoot(new(globals))
	var b bytes.Buffer
	root.SetOut(&b)
	root.SetErr(io.Discard)
	root.SetIn(strings.NewReader(in))
	if addr != "" {
		args = append([]string{"--server", addr}, args...)
	}
	root.SetArgs(args)
	err = root.Execute()
	return b.String(), err
}

// expect runs a command that must print exactly that.
func expect(t *testing.T, addr, want string, args ...string) {
	t.Helper()
	if got, err := zkctl(addr, "", args...); got != want || err != nil {
		t.Errorf("%q: %q, %v and not %q", args, got, err, want)
	}
}

func TestQuota(t *testing.T) {
	addr := serve(t)
	expect(t, addr, "Created /a\n", "create", "/a", "12345")
	expect(t, addr, "", "setquota", "-n", "5", "/a")
	expect(t, addr, "", "setquota", "-B", "100", "/a") // keeps the first one
	expect(t, addr, "Output quota for /a count=5,bytes=-1=;byteHardLimit=100;countHardLimit=-1\n"+
		"Output stat for /a count=1,bytes=5\n", "listquota", "/a")
	expect(t, addr, "", "delquota", "-n", "/a")
	expect(t, addr, "Output quota for /a count=-1,bytes=-1=;byteHardLimit=100;countHardLimit=-1\n"+
		"Output stat for /a count=1,bytes=5\n", "listquota", "/a")
	expect(t, addr, "", "delquota", "/a")
	expect(t, addr, "[]\n", "ls", "/zookeeper/quota")
	for _, args := range [][]string{
		{"listquota", "/a"}, {"delquota", "/a"}, {"setquota", "/a"}, {"setquota", "-n", "0", "/a"}, {"setquota", "-n", "5", "/none"},
	} {
		if out, err := zkctl(addr, "", args...); err == nil {
			t.Errorf("%q: %q and no error", args, out)
		}
	}
}

func TestDumpAndLoad(t *testing.T) {
	addr := serve(t)
	binary := filepath.Join(t.TempDir(), "binary")
	if err := os.WriteFile(binary, []byte{0xff, 0, 1}, 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, addr, "Created /a\n", "create", "/a", "<x>")
	expect(t, addr, "Created /a/b\n", "create", "/a/b", "@"+binary, "world:anyone:r,ip:127.0.0.1:cdrwa")
	dump := `{"path":"/a","data":"<x>"}` + "\n" +
		`{"path":"/a/b","binary":"/wAB","acl":["world:anyone:r","ip:127.0.0.1:cdrwa"]}` + "\n"
	expect(t, addr, dump, "dump", "/")
	file := filepath.Join(t.TempDir(), "dump")
	if err := os.WriteFile(file, []byte(dump), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, addr, "2 znodes made, 0 changed\n", "load", "--at", "/to/here", file)
	if out, err := zkctl(addr, "", "load", "--at", "/to/here", file); err == nil || out != "0 znodes made, 0 changed\n" {
		t.Errorf("loaded twice: %q, %v", out, err)
	}
	expect(t, addr, "0 znodes made, 2 changed\n", "load", "--replace", "--at", "/to/here/", file)
	expect(t, addr, strings.ReplaceAll(dump, "/a", "/to/here/a"), "dump", "/to/here/a")
	expect(t, addr, "'world,'anyone\n: r\n'ip,'127.0.0.1\n: cdrwa\n", "getAcl", "/to/here/a/b")
	if err := os.WriteFile(file, []byte("{\"path\":\"/x\"}\nnonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := zkctl(addr, "", "load", file); err == nil || !strings.Contains(err.Error(), "znode 2 of the dump") {
		t.Errorf("a broken dump: %v", err)
	}
}

func TestShell(t *testing.T) {
	addr := serve(t)
	out, err := zkctl(addr, "create -e /e 'two words'\ngetEphemerals\nget /e\n# a comment\n\nredo 2\nls /\nquit\nls /never\n")
	if want := "Created /e\n[/e]\ntwo words\ntwo words\n[e, zookeeper]\n"; out != want || err != nil {
		t.Errorf("%q, %v and not %q", out, err, want)
	}
	expect(t, addr, "[zookeeper]\n", "ls", "/") // the session ended with the shell
	out, err = zkctl(addr, "get /none\nnonsense\ncreate '/open\nget /\naddauth digest bob:pw\nwhoami\nhistory\n")
	if err == nil || !strings.Contains(out, "digest: bob\n") || !strings.HasSuffix(out, "5 - history\n") &&
		!strings.HasSuffix(out, " - history\n") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestCompletion(t *testing.T) {
	addr := serve(t)
	for _, p := range []string{"/apple", "/apricot", "/berry", "/apple/core"} {
		expect(t, addr, "Created "+p+"\n", "create", p)
	}
	s := &shell{g: &globals{servers: addr, timeout: 10 * time.Second}, out: io.Discard, stop: make(chan struct{})}
	defer s.close()
	for text, want := range map[string][]string{
		"get /ap": {"/apple", "/apricot"}, "get /apple/": {"/apple/core"}, "get /none": nil, "get -": nil,
		"delq": {"delquota "}, "red": {"redo "},
	} {
		if _, got, _ := s.complete(text, len(text)); !slices.Equal(got, want) {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestWatch(t *testing.T) {
	addr := serve(t)
	expect(t, addr, "Created /a\n", "create", "/a")
	seen := make(chan string, 1)
	go func() {
		out, err := zkctl(addr, "", "watch", "-n", "2", "--for", "30s", "/a")
		seen <- fmt.Sprint(out, err)
	}()
	for i := 0; ; i++ { // until the watch is there, and has seen two changes
		expect(t, addr, "", "set", "/a", fmt.Sprint(i))
		select {
		case got := <-seen:
			if got != "NodeDataChanged /a\nNodeDataChanged /a\n<nil>" {
				t.Errorf("%q", got)
			}
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestStatusAndWait(t *testing.T) {
	addr := serve(t)
	expect(t, addr, "", "wait", "--ready")
	if out, err := zkctl(addr, "", "status"); err != nil || !strings.Contains(out, "standalone") {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := zkctl(addr+",127.0.0.1:1", "", "-o", "json", "status"); err == nil || !strings.Contains(out, `"error":"`) {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := zkctl(addr+",127.0.0.1:1", "", "wait", "--for", "10s"); err != nil {
		t.Errorf("one of two: %v", err)
	}
	if _, err := zkctl(addr+",127.0.0.1:1", "", "wait", "--all", "--for", "150ms"); err == nil {
		t.Error("not all are ready")
	}
	all := []serverStatus{{Mode: "leader", Zxid: "0x50000000a"}, {Mode: "follower", Zxid: "0x500000007"}, {Mode: "follower", Zxid: "0x400000009"}}
	lags(all)
	if all[0].Lag != "0" || all[1].Lag != "3" || all[2].Lag != "an older epoch" || all[1].Epoch != "5" {
		t.Errorf("%+v", all)
	}
	all = []serverStatus{ // behind an election, nothing has been written yet
		{Mode: "leader", Zxid: "0x600000000"}, {Mode: "follower", Zxid: "0x500000007", Epoch: "6"},
		{Mode: "follower", Zxid: "0x500000007"}, {Mode: "follower", Zxid: "0x500000006"}, {Mode: modeLooking, Zxid: "0x500000007"},
	}
	lags(all)
	for i, want := range []string{"0", "0", "0", "an older epoch", "an older epoch"} {
		if all[i].Lag != want {
			t.Errorf("server %d of a new epoch: lag %q, want %q", i, all[i].Lag, want)
		}
	}
}

func TestInit(t *testing.T) {
	dir := t.TempDir()
	file, data := filepath.Join(dir, "zoo.cfg"), filepath.Join(dir, "data")
	for _, d := range []string{file + ".d", data} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	text := "dataDir=" + data + "\ntickTime=2000\nclientPort=1\nclientPortAddress=127.0.0.1\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := zkctl("", "", "init", "--config", file); err == nil || !strings.Contains(err.Error(), "--id and --server") {
		t.Errorf("nothing to ask: %v", err)
	}
	out, err := zkctl("", "zk1 zk2 zk3\n2\n", "init", "--config", file)
	if err != nil || !strings.Contains(out, "this one is 2.") {
		t.Fatalf("%q, %v", out, err)
	}
	c, err := config.Load(file)
	if err != nil || c.ServerID != 2 || len(c.Ensemble.Members) != 3 || c.ClientPortAddress != "0.0.0.0" {
		t.Fatalf("%+v, %v", c, err)
	}
	servers := []string{"--server", "1=zk1", "--server", "2=zk2:2889:3889", "--server", "3=zk3:2888:3888:observer"}
	again := append([]string{"init", "--config", file, "--id", "2"}, servers...)
	if _, err := zkctl("", "", again...); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("another list: %v", err)
	}
	if _, err := zkctl("", "", append(again, "--force")...); err != nil {
		t.Error(err)
	}
	before, _ := os.ReadFile(filepath.Join(file+".d", "ensemble.cfg"))
	wrong := []string{"init", "--config", file, "--force", "--id", "2", "--server", "1=zk1", "--server", "2=zk2:1:x"}
	if _, err := zkctl("", "", wrong...); !errors.Is(err, config.ErrConfig) {
		t.Errorf("a wrong list: %v", err)
	}
	if after, _ := os.ReadFile(filepath.Join(file+".d", "ensemble.cfg")); !bytes.Equal(before, after) {
		t.Errorf("a wrong list has changed the file: %s", after)
	}
}
