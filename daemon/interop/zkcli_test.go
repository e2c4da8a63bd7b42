//go:build interop

package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// shellCommands are given to zkctl's shell and to Apache's. addWatch has a mode always: Apache's shell
// remembers the one before.
var shellCommands = []string{
	"create /a hello", "create -s /a/s x", "create -s /a/s", "create -e /a/e x", "create -e -s /a/t", "create -c /c", "create -c /c/d",
	"create -t 100000 /ttl x", "create -t 100000 -s /ttl-", "create /acl x world:anyone:cdrwa,ip:127.0.0.1:r", "create /a",
	"create /none/x", "create /a/e/x", "ls /", "ls -s /a", "ls -R /", "ls -R /none", "ls /none", "ls /c watch",
	"get /a", "get -s /a", "get -s /a/s0000000001", "get /none", "get -b /a", "stat /a", "stat /none", "stat -w /later", "create /later",
	"set /a one", "set -s /a two", "set -v 1 /a three", "set -v 2 /a three", "set -b /a aGk=", "get /a", "set /none x",
	"delete /none", "delete /a", "delete -v 7 /later", "delete -v 0 /later",
	"getAcl /acl", "getAcl -s /a", "setAcl /acl world:anyone:cdra", "setAcl -s /acl world:anyone:cdrwa", "setAcl -v 9 /acl world:anyone:r",
	"setAcl -R /a world:anyone:cdrwa", "getAcl /a/s0000000000", "setAcl /none world:anyone:r", "getAcl /none",
	"addauth digest bob:secret", "whoami", "create /bob x auth::cdrwa", "getAcl /bob", "getEphemerals", "getEphemerals /a", "getEphemerals /c",
	"getAllChildrenNumber /", "getAllChildrenNumber /none", "sync /", "sync /none",
	"setquota -n 5 /c", "setquota -B 100 /c", "listquota /c", "delquota -n /c", "listquota /c", "delquota /c", "listquota /c",
	"setquota -n 5 /none",
	"config", "config -s", "config -c",
	"printwatches", "printwatches off", "printwatches", "printwatches on",
	"create /w", "addWatch -m PERSISTENT /w", "set /w 1", "create /w/x", "set /w/x 1", "removewatches /w -p", "set /w 2",
	"addWatch -m PERSISTENT_RECURSIVE /w", "set /w/x 2", "removewatches -r /w", "removewatches /w", "removewatches /none -d", "get -w /w", "set /w 3",
	"ls -w /w", "create /w/y", "get -w -s /w", "removewatches /w -d", "set /w 4", "addWatch -m persistent_recursive /w",
	"removewatches /w -a", "set /w 5",
	"deleteall /w", "deleteall -b 1 /a", "deleteall -b 0 /c", "deleteall /none", "ls /", "redo 1", "history",
	"deleteall /a", "deleteall /acl", "deleteall /bob", "delete /ttl", "close", "ls /", "connect", "create -e /z", "ls /", "quit",
}

// The parts of a transcript that are no command's result, or of one session only.
var (
	noise = regexp.MustCompile(`^(a command failed: .*|WATCHER::|Connecting to .*|Welcome to ZooKeeper!|JLine support is .*|\[main.*|` +
		`.* has been deprecated.*|\s*at .*)?$`)
	// another thread prints this, even in the middle of a line
	watcher   = regexp.MustCompile(`\nWATCHER::\n`)
	javaEvent = regexp.MustCompile(`\nWatchedEvent state:\w+ type:(\w+) path:(\S+).*\n`)
	varying   = regexp.MustCompile(`(Zxid =|[cm]time =|ephemeralOwner = 0x[1-9a-f]|dataLength = 1$|/ttl-\d+|absolute path is).*$`)
)

// transcript is what a shell says to each command, and the events that it has printed.
func transcript(t *testing.T, cmd *exec.Cmd) (said [][]string, events []string) {
	t.Helper()
	var in strings.Builder
	for _, c := range shellCommands {
		in.WriteString("redo 99999\n" + c + "\n") // which fails, and so is a mark
	}
	cmd.Stdin = strings.NewReader(in.String())
	out, _ := cmd.CombinedOutput() // the code tells of the last command only
	text := watcher.ReplaceAllString(string(out), "")
	for _, m := range javaEvent.FindAllStringSubmatch(text, -1) {
		if m[1] != "None" && !strings.HasSuffix(m[1], "Removed") {
			events = append(events, "event "+m[1]+" "+m[2])
		}
	}
	for line := range strings.Lines(javaEvent.ReplaceAllString(text, "")) {
		line = strings.TrimRight(line, "\n")
		if first, rest, _ := strings.Cut(line, " "); strings.HasPrefix(first, "Node") && strings.HasPrefix(rest, "/") &&
			!strings.Contains(first, ":") {
			line = "event " + line
		}
		switch {
		case line == "Command index out of range":
			said = append(said, nil)
		case strings.HasPrefix(line, "event "):
			if !strings.Contains(line, "Removed ") {
				events = append(events, line)
			}
		case len(said) > 0 && !noise.MatchString(line):
			said[len(said)-1] = append(said[len(said)-1], varying.ReplaceAllString(line, "$1"))
		}
	}
	return said, events
}

// TestShells gives the same commands to zkctl and to Apache's shell, on one server of zkd: the same is said.
func TestShells(t *testing.T) {
	p := zkd(t)
	p.start()
	defer p.kill()
	binary := filepath.Join(filepath.Dir(os.Getenv("ZKD_BINARY")), "zkctl")
	ours, ourEvents := transcript(t, exec.Command(binary, "--server", p.addr))
	p.kill()
	p = zkd(t)
	p.start()
	jars := os.Getenv("ZKD_JAVA_LIB") + "/*:/usr/share/java/commons-cli.jar"
	theirs, theirEvents := transcript(t, exec.Command("java", "-cp", jars,
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=off", "org.apache.zookeeper.ZooKeeperMain", "-server", p.addr))
	for i, c := range shellCommands {
		switch {
		case i >= len(ours) || i >= len(theirs):
			t.Errorf("%s: there is no answer: %d and %d of %d", c, len(ours), len(theirs), len(shellCommands))
			return
		case !slices.Equal(ours[i], theirs[i]):
			t.Errorf("%s:\n zkctl: %q\n zkCli: %q", c, ours[i], theirs[i])
		}
	}
	if !slices.Equal(ourEvents, theirEvents) {
		t.Errorf("events:\n zkctl: %q\n zkCli: %q", ourEvents, theirEvents)
	}
}
