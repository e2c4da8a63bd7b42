package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zkd-project/zkd/daemon/config"
)

// peer is a server that answers four-letter words with these texts.
func peer(t *testing.T, words map[string]string) string {
	t.Helper()
	return peerAt(t, "127.0.0.1:0", words)
}

func peerAt(t *testing.T, addr string, words map[string]string) string {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			word := make([]byte, 4)
			if _, err := io.ReadFull(c, word); err == nil {
				io.WriteString(c, words[string(word)])
			}
			c.Close()
		}
	}()
	return l.Addr().String()
}

// TestDoctorComparesServers has another server differ in everything that can differ.
func TestDoctorComparesServers(t *testing.T) {
	own := serve(t)
	host, port, err := net.SplitHostPort(own)
	if err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "myid"), []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	words := map[string]string{
		"srvr": "Zookeeper version: 3.5.0-old, built on 1/1/70\nZxid: 0x1\nMode: follower\n",
		"mntr": "zk_zkd_max_request_bytes\t4096\n",
	}
	other := peer(t, words)
	text := fmt.Sprintf("dataDir=%s\nclientPort=%s\nclientPortAddress=%s\njute.maxbuffer=2000000\n"+
		"server.1=127.0.0.1:1:2;%s\nserver.2=localhost:3:4;%s\nserver.3=127.0.0.1:5:6:observer;%[5]s\n",
		data, port, host, own, other)
	words["conf"] = "serverId=2\ntickTime=1234\ninitLimit=10\nmembership: \nserver.1=127.0.0.1:1:2:participant;" + own +
		"\nserver.2=localhost:3:9:participant;" + other + "\nserver.4=127.0.0.1:7:8:participant\nversion=1f"
	list, failed := examined(t, text)
	if failed == nil {
		t.Error("doctor does not fail")
	}
	for _, want := range []finding{
		{"warning", "settings", "tickTime: server.2 has 1234, this server 3000", ""},
		{"warning", "settings", "server.2: server.2 has localhost:3:9:participant", ""},
		{"error", "settings", "server.2 does not know server.3", ""},
		{"error", "settings", "server.2 has server.4=127.0.0.1:7:8:participant, which this server does not know", ""},
		{"error", "settings", "server.2 has version 1f of the list of servers, this server 0", ""},
		{"warning", "settings", "jute.maxbuffer: server.2 has 4096, this server 2000000", ""},
		{"warning", "requests", "jute.maxbuffer is 2000000 here", ""},
		{"warning", "versions", "3.5.0-old:[server.2]", ""},
		{"error", "servers", "server.3: at " + other + ", server 2 answers", ""},
		{"ok", "names", "127.0.0.1 is localhost", ""},
		{"ok", "disk", "MB are written in a second", ""},
		{"ok", "myid", "this is server 1 of 3", ""},
		{"ok", "clocks", "agrees", ""},
	} {
		found := false
		for _, f := range list {
			level := f.Level == want.Level || f.Topic == "disk" // a disk may be slow
			found = found || level && strings.Contains(f.Text, want.Text) && f.Topic == want.Topic
		}
		if !found {
			t.Errorf("no %s of %s: %s", want.Level, want.Topic, want.Text)
		}
	}
	for _, f := range list {
		if (f.Fix == "") != (f.Level == "ok") {
			t.Errorf("a finding without a fix, or a fix for nothing: %+v", f)
		}
	}
}

// TestDoctorOnPorts: without a port in its line, another server may be somewhere else.
func TestDoctorOnPorts(t *testing.T) {
	words := map[string]string{"srvr": "Zookeeper version: 1\nZxid: 0x1\nMode: follower\n"}
	addr := peerAt(t, ":0", words)
	addr = strings.Replace(addr, "[::]", "127.0.0.1", 1)
	_, port, _ := net.SplitHostPort(addr)
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "myid"), []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, conf, host, client, level, text string }{
		{"this one answers", "serverId=1\n", "127.0.0.1", "", "warning", "server.2 could not be checked"},
		{"no number", "conf is not executed", "127.0.0.1", "", "warning", "server.2 could not be checked"},
		{"no number, alone there", "", "127.0.0.2", "", "ok", "which is assumed"},
		{"the right one", "serverId=2\n", "127.0.0.1", "", "ok", "server.2, " + addr},
		{"it is said where", "", "127.0.0.1", ";" + port, "ok", "server.2, " + addr},
		{"another is there", "serverId=3\n", "127.0.0.1", ";" + port, "error", "server 3 answers"},
	} {
		words["conf"] = c.conf
		list, _ := examined(t, fmt.Sprintf("dataDir=%s\nclientPort=%s\nserver.1=127.0.0.1:1:2\nserver.2=%s:3:4%s\n",
			data, port, c.host, c.client))
		found := 0
		for _, f := range list {
			if f.Topic == "servers" && strings.Contains(f.Text, "server.2") {
				if found++; !f.is(c.level, "servers", c.text) {
					t.Errorf("%s: %+v", c.name, f)
				}
			}
			if f.Topic == "names" && f.Level != "ok" {
				t.Errorf("%s: %+v", c.name, f)
			}
		}
		if found != 1 {
			t.Errorf("%s: %+v", c.name, list)
		}
	}
}

// TestDoctorOnLoopback: other machines have an address of their own under 127.0.0.1.
func TestDoctorOnLoopback(t *testing.T) {
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "myid"), []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for host, fix := range map[string]string{"127.0.0.1": "into server.1, on all", "localhost": "/etc/hosts"} {
		list, _ := examined(t, fmt.Sprintf("dataDir=%s\nclientPort=9\nserver.1=%s:1:2\nserver.2=no.invalid:3:4\n", data, host))
		found := false
		for _, f := range list {
			found = found || f.is("warning", "names", "cannot reach it") && strings.Contains(f.Fix, fix)
		}
		if !found {
			t.Errorf("%s: %+v", host, list)
		}
	}
}

func TestDoctorOnMyID(t *testing.T) {
	data := t.TempDir()
	text := "dataDir=" + data + "\nserver.1=a:1:2\nserver.2=b:1:2\n"
	for _, content := range []string{"", "x", "7"} {
		if err := os.WriteFile(filepath.Join(data, "myid"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		list, err := examined(t, text)
		if err == nil || len(list) != 1 || list[0].Topic != "myid" || !strings.Contains(list[0].Fix, "zkctl init --id") {
			t.Errorf("myid %q: %v %+v", content, err, list)
		}
	}
}

func TestDoctorOnFirewalls(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "zoo.cfg")
	text := "dataDir=" + dir + "\nclientPort=2181\nserver.1=a:2888:3888\nserver.2=b:2888:3888\n"
	for name, text := range map[string]string{file: text, filepath.Join(dir, "myid"): "1"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	const filtering = "table inet f {\n chain in {\n  type filter hook input priority 0; policy drop;\n"
	for _, c := range []struct {
		name  string
		tools map[string]string
		bad   string // ports that are found closed
		first string // finding
	}{
		{"none", nil, "", "there is none that is known"},
		{"nftables without rules", map[string]string{"nft list ruleset": ""}, "", "nftables filters nothing"},
		{"nftables", map[string]string{"nft list ruleset": filtering + "tcp dport { 22, 2181 } accept\n}}"}, "2888 3888",
			"nftables has a rule for port 2181"},
		{"firewalld", map[string]string{"firewall-cmd --state": "running\n",
			"firewall-cmd --list-all": "public (active)\n  services: dhcpv6-client zkd\n  ports: 22/tcp 2888/tcp\n"}, "3888",
			"firewalld has a rule for port 2181"},
		{"firewalld with a rule", map[string]string{"firewall-cmd --state": "running\n",
			"firewall-cmd --list-all": `rule family="ipv4" source address="10.0.0.0/29" service name="zkd-quorum" accept`},
			"2181",
			"firewalld filters, and has no rule for port 2181"},
		{"ufw", map[string]string{"ufw status": "Status: active\n\nzkd-client   ALLOW   10.0.0.0/24\n"}, "2888 3888",
			"ufw has a rule for port 2181"},
		{"ufw that is off", map[string]string{"ufw status": "Status: inactive\n"}, "", "there is none that is known"},
	} {
		d := &doctor{cfg: cfg}
		d.firewall(func(name string, args ...string) (string, error) {
			if out, ok := c.tools[strings.Join(append([]string{name}, args...), " ")]; ok {
				return out, nil
			}
			return "", fmt.Errorf("%s: %w", name, exec.ErrNotFound)
		})
		var closed []string
		for _, f := range d.list {
			if f.Level == "warning" {
				closed = append(closed, f.Text[strings.LastIndexByte(f.Text, ' ')+1:])
			}
		}
		if strings.Join(closed, " ") != c.bad || !strings.Contains(d.list[0].Text, c.first) {
			t.Errorf("%s: %+v", c.name, d.list)
		}
	}
	alone := &doctor{cfg: &config.Config{ClientPort: 2181, ClientPortAddress: "127.0.0.1"}}
	alone.firewall(func(name string, _ ...string) (string, error) {
		if name == "nft" {
			return filtering + "}}", nil
		}
		return "", exec.ErrNotFound
	})
	if len(alone.list) != 1 || alone.list[0].Level != "ok" {
		t.Errorf("clients of this machine pass no firewall: %+v", alone.list)
	}
	d := &doctor{cfg: cfg}
	d.firewall(func(string, ...string) (string, error) { return "", errors.New("Operation not permitted") })
	if len(d.list) != 1 || d.list[0].Level != "warning" || d.list[0].Fix != "run zkctl doctor as root" {
		t.Errorf("without the right to ask: %+v", d.list)
	}
}
