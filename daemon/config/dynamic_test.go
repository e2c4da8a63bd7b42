package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ensembleDir is a data directory with a file myid, "" for none.
func ensembleDir(t *testing.T, id string) string {
	t.Helper()
	dir := t.TempDir()
	if id != "" {
		if err := os.WriteFile(filepath.Join(dir, "myid"), []byte(id+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// refused checks that a configuration is an error that has certain words in it.
func refused(t *testing.T, name, file string, words ...string) {
	t.Helper()
	_, err := Load(file)
	if !errors.Is(err, ErrConfig) {
		t.Errorf("%s: %v", name, err)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %v, without %q", name, err, w)
		}
	}
}

func setting(c *Config, key string) Setting {
	for _, s := range c.Settings {
		if s.Key == key {
			return s
		}
	}
	return Setting{}
}

const dynamicThree = "server.1=zk1:2888:3888:participant;0.0.0.0:2185\n" +
	"server.2=zk2:2888:3888:participant;10.0.0.2:2186\nserver.3=zk3:2888:3888:observer\n"

// TestDynamicFile: what ZooKeeper leaves in zoo.cfg after a reconfiguration names another file.
func TestDynamicFile(t *testing.T) {
	dir := ensembleDir(t, "2")
	list := filepath.Join(dir, "zoo.cfg.dynamic.100000005")
	if err := os.WriteFile(list, []byte(dynamicThree), 0o600); err != nil {
		t.Fatal(err)
	}
	text := "dataDir=" + dir + "\nreconfigEnabled=false\ndynamicConfigFile=" + list + "\n"
	c, err := Load(write(t, text))
	if err != nil {
		t.Fatal(err)
	}
	if c.Ensemble == nil || len(c.Ensemble.Members) != 3 || c.ServerID != 2 || c.Ensemble.Version != 0x100000005 {
		t.Fatalf("%+v", c.Ensemble)
	}
	if c.ClientPort != 2186 || c.ClientPortAddress != "10.0.0.2" {
		t.Errorf("clients connect to %s port %d", c.ClientPortAddress, c.ClientPort)
	}
	if s := setting(c, "clientPort"); s.Value != "2186" || s.Source != list+":2" {
		t.Errorf("it says that %+v", s)
	}
	if s := setting(c, "clientPortAddress"); s.Value != "10.0.0.2" || s.Source != list+":2" {
		t.Errorf("it says that %+v", s)
	}
	if s := setting(c, "server.3"); s.Source != list+":3" {
		t.Errorf("it says that %+v", s)
	}
	if err := os.WriteFile(list, []byte(dynamicThree+"version=1f\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	next, err := Load(write(t, text))
	if err != nil || next.Ensemble.Version != 0x1f {
		t.Errorf("%+v, %v", next, err)
	}
	for _, k := range Changed(c, next) {
		if !k.Reload {
			t.Errorf("%s needs a restart", k.Name)
		}
	}
}

func TestDynamicFileErrors(t *testing.T) {
	dir := ensembleDir(t, "2")
	list := filepath.Join(dir, "servers")
	base := "dataDir=" + dir + "\ndynamicConfigFile=" + list + "\n"
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, "no file", write(t, base), "zoo.cfg:2: dynamicConfigFile: ", list, "no such file")
	put("# nothing\n")
	refused(t, "no servers", write(t, base), "zoo.cfg:2: dynamicConfigFile: ", list+" lists no servers")
	put(dynamicThree + "dynamicConfigFile=/other\n")
	refused(t, "another level", write(t, base), list+":4: dynamicConfigFile", "zoo.cfg:2")
	put(dynamicThree + "tickTime=7\n")
	refused(t, "another setting", write(t, base), list+":4: tickTime", "move it to")
	put(dynamicThree + "version=0x7\n")
	refused(t, "a version", write(t, base), list+":4: version", "hexadecimal")
	put("server.1=zk1:2888\n")
	refused(t, "half a line", write(t, base), list+":1: server.1")
	put(dynamicThree)
	refused(t, "two lists", write(t, base+"server.1=a:1:2\n"), "zoo.cfg:3: server.1", list, "one place")
	refused(t, "two ports", write(t, base+"clientPort=2181\n"), "zoo.cfg:3: clientPort: it is 2181", list+":2: server.2 has 2186")
	refused(t, "two addresses", write(t, base+"clientPortAddress=10.0.0.3\n"), "zoo.cfg:3: clientPortAddress: it is 10.0.0.3",
		list+":2: server.2 has 10.0.0.2")
	if c, err := Load(write(t, base+"clientPort=2186\nclientPortAddress=10.0.0.2\n")); err != nil || c.ClientPort != 2186 {
		t.Errorf("they agree: %v", err)
	}
}

// TestVersionLine: the list of servers has a version wherever it is.
func TestVersionLine(t *testing.T) {
	text := "dataDir=" + ensembleDir(t, "2") + "\nserver.1=zk1:2888:3888\nserver.2=zk2:2888:3888\n"
	if c, err := Load(write(t, text+"version=100000005\n")); err != nil || c.Ensemble.Version != 0x100000005 {
		t.Errorf("%+v, %v", c, err)
	}
	refused(t, "no version", write(t, text+"version=new\n"), "zoo.cfg:4: version: \"new\"")
}

// TestLoneLine: a list with one server says where clients connect, too.
func TestLoneLine(t *testing.T) {
	c, err := Load(write(t, "dataDir=/d\nserver.1=zk1:2888:3888;127.0.0.1:2199\n"))
	if err != nil || c.ClientPort != 2199 || c.ClientPortAddress != "127.0.0.1" || c.Ensemble != nil {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestStrayID: Apache's server with a myid and no list runs on its own; so does zkd, but it says so.
func TestStrayID(t *testing.T) {
	for _, test := range []struct {
		name, id, list string
		stray          bool
	}{
		{"no list", "3", "", true},
		{"another's list", "3", "server.1=zk1:2888:3888\n", true},
		{"its own list", "1", "server.1=zk1:2888:3888\n", false},
		{"no myid", "", "", false},
	} {
		dir := ensembleDir(t, test.id)
		c, err := Load(write(t, "dataDir="+dir+"\n"+test.list))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		said := strings.Contains(strings.Join(c.Warnings, "\n"), "myid holds \"3\"")
		if c.StrayID != test.stray || said != test.stray || c.Ensemble != nil {
			t.Errorf("%s: %v, %v", test.name, c.StrayID, c.Warnings)
		}
	}
}

// TestIDsLikeTTLs: the ephemerals of such a server would never end.
func TestIDsLikeTTLs(t *testing.T) {
	for id, settings := range map[string]string{
		"255": "extendedTypesEnabled=true\n", "128": "extendedTypesEnabled=true\nemulate353TTLNodes=true\n",
	} {
		dir := ensembleDir(t, "1")
		list := "server.1=zk1:2888:3888\nserver.2=zk2:2888:3888\nserver." + id + "=zk3:2888:3888\n"
		refused(t, settings, write(t, "dataDir="+dir+"\n"+list+settings), "zoo.cfg:4", "server."+id, "there may be no server above")
		if _, err := Load(write(t, "dataDir="+dir+"\n"+list)); err != nil {
			t.Errorf("without TTL znodes: %v", err)
		}
	}
}

func TestEnvironment(t *testing.T) {
	dir := ensembleDir(t, "1")
	for i := range 3 {
		t.Setenv(fmt.Sprintf("ZKD_SERVER_%d", i+1), fmt.Sprintf("zk%d:2888:3888", i+1))
	}
	t.Setenv("ZKD_GROUP_1", "1:2:3")
	t.Setenv("ZKD_WEIGHT_3", "2")
	t.Setenv("ZKD_DATADIR", dir)
	file := write(t, "tickTime=2000\nserver.1=old:1:2\n")
	c, err := Load(file)
	if err != nil || c.Ensemble == nil {
		t.Fatalf("a server of an ensemble is on its own: %v", err)
	}
	text := c.Ensemble.String()
	for _, want := range []string{"server.1=zk1:", "server.3=zk3:", "group.1=1:2:3", "weight.3=2"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if s := setting(c, "server.1"); s.Source != "environment variable ZKD_SERVER_1" {
		t.Errorf("%+v", s)
	}
	t.Setenv("ZKD_SERVER_2", "zk2:2888")
	refused(t, "half a line", file, "environment variable ZKD_SERVER_2", "server.2")
}

// TestEnvironmentGoesBeforeLine: the port of a variable is compared with that of the server's line.
func TestEnvironmentGoesBeforeLine(t *testing.T) {
	t.Setenv("ZKD_CLIENTPORT", "2182")
	refused(t, "two ports", write(t, "dataDir=/d\nserver.1=zk1:2888:3888;2199\n"),
		"environment variable ZKD_CLIENTPORT: clientPort: it is 2182", "zoo.cfg:2: server.1 has 2199")
}

// TestVariableOfAProperty: a key may be written as the property that it is in Java, also as a variable.
func TestVariableOfAProperty(t *testing.T) {
	t.Setenv("ZKD_ZOOKEEPER_ENFORCEQUOTA", "true")
	t.Setenv("ZKD_ZOOKEEPER_SKIPACL", "yes")
	t.Setenv("ZKD_SKIPACL", "no")
	c, err := Load(write(t, "dataDir=/d\nenforceQuota=false\nskipACL=yes\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := setting(c, "enforceQuota")
	if !c.EnforceQuota || s.Source != "environment variable ZKD_ZOOKEEPER_ENFORCEQUOTA" {
		t.Errorf("%+v", s)
	}
	if s := setting(c, "skipACL"); c.SkipACL || s.Source != "environment variable ZKD_SKIPACL" {
		t.Errorf("%+v", s)
	}
	t.Setenv("ZKD_ZOOKEEPER_SSLQUORUM", "true")
	refused(t, "TLS by a variable", c.File, "environment variable ZKD_ZOOKEEPER_SSLQUORUM", "sslQuorum")
}

func TestUnknownVariables(t *testing.T) {
	for _, name := range []string{"ZKD_RESTART_ON_UPGRADE", "ZKD_TEST_X", "ZKD_TICKTIMES", "ZKD_SERVER1", "ZKD_FROBNICATION"} {
		t.Setenv(name, "7")
	}
	t.Setenv("ZKD_TICKTIME", "") // sets nothing
	c, err := Load(write(t, "dataDir=/d\ntickTime=1234\n"))
	if err != nil {
		t.Fatal(err)
	}
	if s := setting(c, "tickTime"); c.TickTime != 1234 || !strings.HasSuffix(s.Source, "zoo.cfg:2") {
		t.Errorf("%+v", s)
	}
	var about []string
	for _, w := range c.Warnings {
		if strings.Contains(w, "ZKD_") {
			about = append(about, w)
		}
	}
	text := strings.Join(about, "\n")
	for _, want := range []string{
		"ZKD_TICKTIMES is not a setting that zkd knows; it has no effect; did you mean ZKD_TICKTIME?",
		"did you mean ZKD_SERVER_N?", "ZKD_FROBNICATION is not",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if len(about) != 3 {
		t.Errorf("%q", about)
	}
}
