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
	beside, err := LoadBeside(file)
	if err != nil || beside.DataDir != "/d" || beside.SuperDigest != "" || len(beside.Unread) != 1 ||
		!strings.Contains(beside.Unread[0], "zoo.cfg:2") {
		t.Errorf("beside the service: %+v, %v", beside, err)
	}
	write("zoo.cfg", "dataDir=/d\ntickTime=x\nDigestAuthenticationProvider.superDigest=cred:digest\n")
	if _, err := LoadBeside(file); !errors.Is(err, ErrConfig) || errors.Is(err, ErrCredential) {
		t.Errorf("beside the service, and wrong: %v", err)
	}
	write("zoo.cfg", "dataDir=/d\nDigestAuthenticationProvider.superDigest=cred:digest\n")
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
