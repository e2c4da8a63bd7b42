package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ErrCredential says that a secret cannot be read here. The service may be able to: only it
// sees what systemd keeps for it.
var ErrCredential = errors.New("credential")

// credential is a value, or, of a value "cred:NAME", what systemd keeps for the service
// under that name; see LoadCredential= in systemd.exec(5).
func credential(value string) (string, error) {
	name, ok := strings.CutPrefix(value, "cred:")
	if !ok {
		return value, nil
	}
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return "", fmt.Errorf("%w %s: only the service can read it, with LoadCredential=%s:FILE in its unit",
			ErrCredential, name, name)
	}
	if name == "" || filepath.Base(name) != name {
		return "", fmt.Errorf("%q is not the name of a credential", name)
	}
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return "", fmt.Errorf("%w %s: %w; is LoadCredential=%s:FILE in the unit?", ErrCredential, name, err, name)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}
