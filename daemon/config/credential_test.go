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
