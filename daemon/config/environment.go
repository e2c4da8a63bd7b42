package config

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/zkd-project/zkd/daemon/ensemble"
)

// numbered matches the variables that set the keys with a number or a name in them.
var numbered = regexp.MustCompile(`^ZKD_((SERVER|GROUP|WEIGHT)_\d+|AUTHPROVIDER_.+)$`)

// isOther says whether a variable is zkd's, but no setting.
func isOther(name string) bool {
	return name == "ZKD_RESTART_ON_UPGRADE" || strings.HasPrefix(name, "ZKD_TEST_")
}

// environment takes in the variables that have no row, and warns of those that set nothing.
func (l *loader) environment() {
	rows := make(map[string]bool)
	for name := range l.known {
		rows[EnvName(name)] = true
	}
	for _, variable := range os.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		rest, ours := strings.CutPrefix(name, "ZKD_")
		if !ours || value == "" || rows[name] || isOther(name) {
			continue
		}
		kind, number, _ := strings.Cut(rest, "_")
		switch {
		case !numbered.MatchString(name):
			l.unknownVariable(name, rows)
		case kind == "AUTHPROVIDER":
			key := "authProvider." + strings.ToLower(number)
			l.providers = append(l.providers, Setting{key, value, fromEnv(name), Later})
		default:
			l.override(ensemble.Setting{Key: strings.ToLower(kind) + "." + number, Value: value}, fromEnv(name))
		}
	}
}

func (l *loader) unknownVariable(name string, rows map[string]bool) {
	for _, n := range numberedKeys {
		rows[EnvName(n.name)] = true
	}
	l.warn("environment variable %s is not a setting that zkd knows; it has no effect%s",
		name, meant(nearest(name, maps.Keys(rows))))
}

// fromEnv is the source of what a variable sets.
func fromEnv(name string) string { return "environment variable " + name }

// override puts a line of the list of servers in the place of the files'.
func (l *loader) override(s ensemble.Setting, source string) {
	l.members = slices.DeleteFunc(l.members, func(m ensemble.Setting) bool { return m.Key == s.Key })
	l.members = append(l.members, s)
	l.source[s.Key] = source
}
