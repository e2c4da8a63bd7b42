package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCredential(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "zoo.cfg")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("zoo.cfg", "dataDir=/d\nDigestAuthenticationProvider.superDigest=cred:digest\n")
	write("digest", "super:abc=\n")
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if _, err := Load(file); !errors.Is(err, ErrCredential) || !strings.Contains(err.Error(), "zoo.cfg:2") {
		t.Errorf("without a directory: %v", err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	c, err := Load(file)
	if err != nil || c.SuperDigest != "super:abc=" {
		t.Errorf("%q, %v", c.SuperDigest, err)
	}
	for _, s := range c.Settings {
		if strings.Contains(s.Value, "abc") {
			t.Errorf("%s shows the secret", s.Key)
		}
	}
	for _, name := range []string{"none", "../digest", ""} {
		write("zoo.cfg", "dataDir=/d\nDigestAuthenticationProvider.superDigest=cred:"+name+"\n")
		if _, err := Load(file); !errors.Is(err, ErrConfig) {
			t.Errorf("cred:%s: %v", name, err)
		}
	}
}

func TestChangedNamesTheListOfServers(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "zoo.cfg")
	load := func(third string) *Config {
		t.Helper()
		text := "dataDir=" + dir + "\ntickTime=2000\nserver.1=a:1:2\nserver.2=b:1:2\nserver.3=" + third + ":1:2\n"
		for name, text := range map[string]string{file: text, filepath.Join(dir, "myid"): "1\n"} {
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c, err := Load(file)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if got := Changed(load("c"), load("c")); len(got) != 0 {
		t.Errorf("nothing has changed: %v", got)
	}
	if got := Changed(load("c"), load("d")); len(got) != 1 || got[0].Name != "server.N" || got[0].Reload {
		t.Errorf("another host: %v", got)
	}
}
