package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
)

// refuse runs a command that must fail and say that.
func refuse(t *testing.T, addr, want string, args ...string) {
	t.Helper()
	if out, err := zkctl(addr, "", args...); err == nil || !strings.Contains(explain(err), want) {
		t.Errorf("%q: %q, %v and not %q", args, out, err, want)
	}
}

// lines is the output of a shell that is given some lines.
func lines(t *testing.T, addr string, in ...string) []string {
	t.Helper()
	out, err := zkctl(addr, strings.Join(in, "\n")+"\n")
	if err != nil {
		t.Errorf("%q: %v", in, err)
	}
	return strings.Split(strings.TrimSuffix(out, "\n"), "\n")
}

// stats counts the lines of Stats.
func stats(text string) int { return strings.Count(text, "cZxid = 0x") }

func TestCreateKinds(t *testing.T) {
	addr := serve(t)
	expect(t, addr, "Created /c\n", "create", "-c", "/c")
	expect(t, addr, "Created /c/s0000000000\n", "create", "-s", "/c/s", "data", "world:anyone:r")
	expect(t, addr, `{"path":"/j"}`+"\n", "-o", "json", "create", "/j")
	refuse(t, addr, "-c goes with none", "create", "-c", "-s", "/x")
	refuse(t, addr, "-c goes with none", "create", "-c", "-t", "5", "/x")
	refuse(t, addr, "does not go with -e", "create", "-e", "-t", "5", "/x")
	refuse(t, addr, "a TTL is", "create", "-t", "0", "/x")
	refuse(t, addr, "a TTL is", "create", "-t", fmt.Sprint(maxTTL+1), "/x")
	refuse(t, addr, "unimplemented", "create", "-t", "5000", "/x") // unless the server has them enabled
	refuse(t, addr, "Node does not exist: /none/x", "create", "/none/x")
	refuse(t, addr, "perms", "create", "/x", "", "world:anyone")
}

func TestGetForms(t *testing.T) {
	addr := serve(t)
	expect(t, addr, "Created /a\n", "create", "/a")
	expect(t, addr, "null\n", "get", "/a")
	expect(t, addr, "", "set", "-b", "/a", "/wAB")
	expect(t, addr, "/wAB\n", "get", "-b", "/a")
	expect(t, addr, "00000000  ff 00 01                                          |...|\n", "get", "-x", "/a")
	refuse(t, addr, "illegal base64", "set", "-b", "/a", "?")
	for _, args := range [][]string{
		{"get", "-s", "-w", "/a"}, {"stat", "-w", "/a"}, {"ls", "-s", "-w", "/a"}, {"getAcl", "-s", "/a"}, {"config", "-s", "-w"},
		{"set", "-s", "/a", "x"}, {"setAcl", "-s", "/a", "world:anyone:cdrwa"},
	} {
		if out, err := zkctl(addr, "", args...); err != nil || stats(out) != 1 {
			t.Errorf("%q: %q, %v", args, out, err)
		}
	}
}

func TestJSON(t *testing.T) {
	addr := serve(t)
	expect(t, addr, "Created /a\n", "create", "/a", "x")
	for _, args := range [][]string{
		{"get", "/a"}, {"ls", "/"}, {"ls", "-R", "/"}, {"stat", "/a"}, {"getAcl", "/a"}, {"whoami"}, {"getEphemerals"}, {"config"},
		{"set", "/a", "y"}, {"setAcl", "/a", "world:anyone:cdrwa"}, {"create", "/b"}, {"getAllChildrenNumber", "/"},
	} {
		out, err := zkctl(addr, "", append([]string{"--output", "json"}, args...)...)
		var v any
		if err != nil || json.Unmarshal([]byte(out), &v) != nil {
			t.Errorf("%q: %q, %v", args, out, err)
		}
	}
	refuse(t, addr, "give table or json", "--output", "yaml", "whoami")
	expect(t, addr, "", "set", "-b", "/b", "/wAB")
	for _, c := range [][]string{ // command, what the output must have
		{"get /a", `"data":"y"`, `"stat":{"czxid":"0x`, `"dataVersion":1,`, `"numChildren":0}`, `"ctime":"20`, `"ephemeralOwner":"0x0"`},
		{"get /b", `{"path":"/b","binary":"/wAB","stat":`}, {"stat /a", `{"czxid":"0x`},
		{"getAcl /a", `"acl":["world:anyone:cdrwa"]`}, {"ls /a", "[]\n"}, {"getEphemerals", "[]\n"}, {"whoami", `[{"scheme":"ip","id":"127.0.0.1"}]`},
	} {
		out, err := zkctl(addr, "", append([]string{"-o", "json"}, strings.Fields(c[0])...)...)
		for _, want := range c[1:] {
			if err != nil || !strings.Contains(out, want) {
				t.Errorf("%s: %q, %v, without %s", c[0], out, err, want)
			}
		}
	}
}

func TestSubtrees(t *testing.T) {
	addr := serve(t)
	for _, p := range []string{"/t", "/t/b", "/t/a", "/t/a/y", "/t/a/x", "/t/a/x/1", "/t/b/z"} {
		expect(t, addr, "Created "+p+"\n", "create", p)
	}
	expect(t, addr, "/t\n/t/a\n/t/b\n/t/a/x\n/t/a/y\n/t/a/x/1\n/t/b/z\n", "ls", "-R", "/t") // zkCli's order
	expect(t, addr, "6\n", "getAllChildrenNumber", "/t")
	refuse(t, addr, "Node does not exist: /none", "ls", "-R", "/none")
	expect(t, addr, "", "setAcl", "-R", "/t", "ip:127.0.0.1:cdrwa")
	expect(t, addr, "'ip,'127.0.0.1\n: cdrwa\n", "getAcl", "/t/a/x/1")
	refuse(t, addr, "7 znodes keep their ACL; the first: version No is not valid : /t", "setAcl", "-R", "-v", "9", "/t",
		"world:anyone:r")
	expect(t, addr, "", "setAcl", "/t/a", "world:anyone:r") // whose children cannot be deleted any more
	refuse(t, addr, "Failed to delete some node(s) in the subtree!", "deleteall", "/t")
	refuse(t, addr, "Insufficient permission : /t/a/y", "deleteall", "-b", "0", "/t")
	expect(t, addr, "Created /u\n", "create", "/u")
	for i := range 5 {
		expect(t, addr, fmt.Sprintf("Created /u/%d\n", i), "create", fmt.Sprintf("/u/%d", i))
	}
	expect(t, addr, "", "deleteall", "-b", "2", "/u")
	refuse(t, addr, "Node does not exist: /u", "deleteall", "/u")
}

func TestWatchesInShell(t *testing.T) {
	addr := serve(t)
	got := lines(t, addr, "create /a", "addWatch -m persistent /a", "set /a 1", "create /a/b", "set /a/b x",
		"removewatches /a -p", "set /a 2", "addWatch /a", "set /a/b y", "printwatches off", "set /a/b z", "printwatches",
		"printwatches on", "removewatches -r /a", "set /a/b w", "get -w /a", "ls -w /a", "ls -w /", "create /none",
		"removewatches /a -c", "removewatches /a -d -l", "set /a 3", "delete /a/b")
	want := []string{
		"Created /a", "NodeDataChanged /a", "NodeChildrenChanged /a", "Created /a/b", "NodeDataChanged /a/b",
		"printwatches is off", "2", "[b]", "[a, zookeeper]", "NodeChildrenChanged /", "Created /none",
	}
	got = strings.Split(strings.ReplaceAll(strings.Join(got, "\n"), "\n\n", "\n"), "\n")
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q and not %q", got, want)
	}
	refuse(t, addr, "KeeperErrorCode = No such watcher for /a", "removewatches", "/a")
	refuse(t, addr, "give PERSISTENT", "addWatch", "-m", "often", "/a")
}

func TestConnections(t *testing.T) {
	addr := serve(t)
	out, err := zkctl(addr, "create -e /e\nclose\nls /\nconnect\nls /\nconnect "+addr+"\nredo 4\nredo 5\nhistory\nsync /\n")
	if err == nil || !strings.Contains(err.Error(), "Not connected") {
		t.Errorf("after close: %v", err)
	}
	want := "Created /e\n[zookeeper]\n[zookeeper]\n[zookeeper]\n0 - create -e /e\n1 - close\n2 - ls /\n3 - connect\n4 - ls /\n" +
		"5 - connect " + addr + "\n6 - ls /\n7 - connect " + addr + "\n8 - history\nSync is OK\n"
	if want = strings.Replace(want, "[zookeeper]\n[zookeeper]\n[zookeeper]", "[zookeeper]\n[zookeeper]", 1); out != want {
		t.Errorf("%q and not %q", out, want)
	}
	if out, err := zkctl("127.0.0.1:1", "connect "+addr+"\nls /\n"); err != nil || out != "[zookeeper]\n" {
		t.Errorf("connect elsewhere: %q, %v", out, err)
	}
}

func TestExitCodes(t *testing.T) {
	addr := serve(t)
	for _, c := range []struct {
		code int
		args []string
	}{{127, []string{"nonsense"}}, {1, []string{"get", "/none"}}, {1, []string{"get"}}, {1, []string{"get", "--no-such", "/"}}} {
		if _, err := zkctl(addr, "", c.args...); err == nil || exitCode(err) != c.code {
			t.Errorf("%q: %v", c.args, err)
		}
	}
	out, err := zkctl("", "", "version")
	if err != nil || !strings.HasPrefix(out, "zkctl version: ") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestReconfig(t *testing.T) {
	addr := serve(t)
	expect(t, addr, "\n", "config")
	expect(t, addr, " \n", "config", "-c")
	_, err := zkctl(addr, "", doubleDash([]string{"reconfig", "-s", "-v", "1f", "-add", "server.5=zk5:2888:3888;2181", "-remove", "3"})...)
	if !errors.Is(err, proto.ErrUnimplemented) && !errors.Is(err, proto.ErrReconfigDisabled) {
		t.Errorf("a server without an ensemble: %v", err)
	}
	refuse(t, addr, "at least one of the flags", "reconfig")
	refuse(t, addr, "none of the others can be", "reconfig", "--members", "server.1=a:1:2", "--add", "server.2=b:1:2")
	refuse(t, addr, "hexadecimal", "reconfig", "-v", "xyz", "--remove", "1")
	file := filepath.Join(t.TempDir(), "dynamic")
	text := "# the servers\nserver.2 = b:1:2;3\nserver.1=a:1:2:observer;3\nversion=5\ndataDir=/x\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	members, err := membersIn(file)
	if want := "server.2=b:1:2;3\nserver.1=a:1:2:observer;3"; err != nil || members != want {
		t.Errorf("%q, %v", members, err)
	}
	if err := os.WriteFile(file, []byte("dataDir=/x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refuse(t, addr, "give lines such as", "reconfig", "--file", file)
	got := clientAddresses("server.1=a:1:2:participant;c:3\nserver.2=b:1:2:observer;4\nserver.3=b:1:2\nversion=1f")
	if want := "1f c:3,0.0.0.0:4"; got != want {
		t.Errorf("%q and not %q", got, want)
	}
}

func TestPathCompletion(t *testing.T) {
	addr := serve(t)
	expect(t, addr, "Created /apple\n", "create", "/apple")
	expect(t, addr, "/apple\n:6\n", "__complete", "get", "/ap")
	expect(t, addr, ":4\n", "__complete", "get", "/apple", "/ap")
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if out, err := zkctl("", "", "completion", shell); err != nil || !strings.Contains(out, "__complete") {
			t.Errorf("%s: %v", shell, err)
		}
	}
}
