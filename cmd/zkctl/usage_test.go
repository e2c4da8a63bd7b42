package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"get", "get: an argument is missing; usage: zkctl get PATH [flags]"},
		{"get /a b c", "get: it does not take 3 arguments; usage: zkctl get PATH"},
		{"status now", "status: it does not take 1 argument; usage: zkctl status"},
		{"config explain", "explain: an argument is missing; usage: zkctl config explain KEY"},
		{"create -t soon /x", `create: --ttl "soon": give a whole number`},
		{"watch / --for 5", `watch: --for "5": give a time with its unit, for example 10s`},
		{"get --timeout 5 /a", `get: --timeout "5": give a time with its unit`},
		{"get --nothing /a", "get: unknown flag: --nothing; usage: zkctl get PATH"},
		{"get nopath", `the path "nopath" does not begin with /; give /nopath`},
		{"create nopath", `the path "nopath" does not begin with /; give /nopath`},
	} {
		_, err := zkctl("127.0.0.1:1", "", strings.Fields(c.line)...)
		if err == nil || !strings.Contains(explain(err), c.want) {
			t.Errorf("%s: %v and not %q", c.line, err, c.want)
		}
	}
}

func TestRootByDefault(t *testing.T) {
	addr := serve(t)
	expect(t, addr, "[zookeeper]\n", "ls")
	if out, err := zkctl(addr, "", "tree"); err != nil || !strings.HasPrefix(out, "/\n") {
		t.Errorf("%q, %v", out, err)
	}
	root := newRoot(new(globals))
	var out, notes bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&notes)
	root.SetArgs([]string{"--server", addr, "create", "-e", "/e"})
	if err := root.Execute(); err != nil || !strings.Contains(notes.String(), "it is gone at once") {
		t.Errorf("%q, %q, %v", &out, &notes, err)
	}
}

// TestStatusNames has a server that looks for a leader, one of Apache's that does, and none.
func TestStatusNames(t *testing.T) {
	looking := peer(t, map[string]string{"srvr": "Zxid: 0x1\nMode: looking\n"})
	apache := peer(t, map[string]string{"srvr": "This ZooKeeper instance is not currently serving requests\n"})
	for servers, want := range map[string]string{
		looking + "," + apache: "looking for a leader: " + looking + ", " + apache,
		looking + ",127.0.0.1:1": "looking for a leader: " + looking + "; no answer, or the word srvr is not allowed: " +
			"127.0.0.1:1",
		"127.0.0.1:1": "no answer, or the word srvr is not allowed: 127.0.0.1:1",
	} {
		if _, err := zkctl(servers, "", "status"); err == nil || err.Error() != want {
			t.Errorf("%v and not %s", err, want)
		}
	}
}
