package config

import (
	"os"
	"path/filepath"
	"testing"
)

// TestMyID: what is wrong with the file myid is told with the file, all hosts and what to write.
func TestMyID(t *testing.T) {
	for id, words := range map[string][]string{
		"":     {"no such file", "1 (alpha), 3 (beta)", "for server.1 write: echo 1 > "},
		"two":  {`holds "two"`, "1 (alpha), 3 (beta)", "for server.1 write: echo 1 > "},
		"\n":   {`holds ""`, "echo 1 > "},
		"2":    {"says that this is server 2", "zoo.cfg", "lists only 1 (alpha), 3 (beta); correct one of the two"},
		"1\n2": nil,
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "myid")
		if id != "" {
			if err := os.WriteFile(file, []byte(id), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cfg := write(t, "dataDir="+dir+"\nserver.1=alpha:1:2\nserver.3=beta:1:2\n")
		if words == nil {
			if c, err := Load(cfg); err != nil || c.ServerID != 1 {
				t.Errorf("%q: %v", id, err)
			}
			continue
		}
		refused(t, id, cfg, append(words, file)...)
	}
}

// TestOwnPortsClash: a port that this server has for something else is no other process's.
func TestOwnPortsClash(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "myid"), []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	base := "dataDir=" + dir + "\nserver.1=a:2888:3888\nserver.2=b:2888:3888\nserver.3=c:2181:2182\n"
	for _, c := range []struct {
		text  string
		words []string
	}{
		{"clientPort=2888\n", []string{"zoo.cfg:5: clientPort: this server has port 2888 ", "zoo.cfg:2: server.1"}},
		{"clientPort=3888\nclientPortAddress=A\n", []string{"clientPort: "}},
		{"clientPort=3888\nclientPortAddress=b\nquorumListenOnAllIPs=true\n", []string{"clientPort: "}},
		{"observerMasterPort=3888\n", []string{"zoo.cfg:5: observerMasterPort: ", "zoo.cfg:2: server.1"}},
		{"observerMasterPort=2181\n", []string{"observerMasterPort: ", "by default: clientPort"}},
		{"clientPort=2888\nclientPortAddress=127.0.0.1\n", nil},
		{"clientPort=2999\nobserverMasterPort=2999\nclientPortAddress=127.0.0.1\n", nil},
		{"clientPort=2181\nobserverMasterPort=2890\n", nil},
	} {
		file := write(t, base+c.text)
		if c.words != nil {
			refused(t, c.text, file, c.words...)
		} else if _, err := Load(file); err != nil {
			t.Errorf("%q: %v", c.text, err)
		}
	}
}
