package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/zkd-project/zkd/daemon/ensemble"
)

// readDynamic reads the list of servers from the file that dynamicConfigFile names, if it is
// set. Source: QuorumPeerConfig.java.
func (l *loader) readDynamic() {
	const key = "dynamicConfigFile"
	file, source := l.value(key)
	if file == "" {
		return
	}
	if len(l.members) > 0 {
		first := l.members[0].Key
		l.wrong(l.source[first], first,
			"the servers are listed in %s, which %s names by %s; keep them in one place", file, source, key)
		return
	}
	l.unlisted = true
	text, err := os.ReadFile(file)
	if err != nil {
		l.wrong(source, key,
			"%w; copy the file that lists the servers, or put the server.N lines in the place of this one", err)
		return
	}
	l.files = append(l.files, file)
	entries, errs := parseProperties(file, text)
	for _, err := range errs {
		l.fail(fmt.Errorf("%w: %w", ErrConfig, err))
	}
	l.version = versionOf(file)
	l.unlisted = len(errs) > 0
	for _, e := range entries {
		switch {
		case e.key == "version":
			l.setVersion(e)
		case dynamic.MatchString(e.key) && ensemble.Concerns(e.key):
			l.member(e)
		default:
			l.wrong(fmt.Sprintf("%s:%d", e.file, e.line), e.key,
				"only server.N, group.N, weight.N and version may be in a file that %s names; move it to %s",
				source, l.file)
		}
	}
	if len(l.members) == 0 && len(errs) == 0 {
		l.unlisted = true
		l.wrong(source, key, "%s lists no servers; give it the server.N lines of the ensemble, "+
			"or remove this line for a server on its own", file)
	}
}

// member takes in a line of the list of servers.
func (l *loader) member(e entry) {
	l.members = append(l.members, ensemble.Setting{Key: e.key, Value: e.value})
	l.source[e.key] = fmt.Sprintf("%s:%d", e.file, e.line)
}

// setVersion takes in the line that says which of the ensemble's lists it is.
func (l *loader) setVersion(e entry) {
	n, err := strconv.ParseUint(e.value, 16, 63)
	if err != nil {
		l.wrong(fmt.Sprintf("%s:%d", e.file, e.line), "version", "%q is no hexadecimal number", e.value)
		return
	}
	l.version = int64(n)
}

// versionOf is what ZooKeeper puts at the end of a file's name, 0 if there is none.
func versionOf(file string) int64 {
	n, err := strconv.ParseUint(strings.TrimPrefix(filepath.Ext(file), "."), 16, 63)
	if err != nil {
		return 0
	}
	return int64(n)
}
