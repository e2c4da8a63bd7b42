package migrate

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/zkfile"
)

// ErrSource says that a data directory of Apache's cannot be read as it is.
var ErrSource = errors.New("migrate: not usable")

// Dirs are the directories of a server of Apache's, as its zoo.cfg names them, or the
// directories version-2 in them.
type Dirs struct {
	Data string
	Log  string // "" is Data
}

// log is where the logs are.
func (d Dirs) log() string { return cmp.Or(d.Log, d.Data) }

// file is a snapshot or a log.
type file struct {
	path string
	zxid proto.Zxid // in its name
	how  zkfile.Compression
}

// filesDir is the directory with the files: version-2, or the directory itself.
func filesDir(dir string) string {
	if sub := filepath.Join(dir, zkfile.VersionDir); isDir(sub) {
		return sub
	}
	return dir
}

func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

// Found says whether one of the directories holds a snapshot or a log of Apache's.
func Found(d Dirs) bool {
	snapshots, _ := d.snapshots()
	logs, _ := d.logs()
	return len(snapshots) > 0 || len(logs) > 0
}

// snapshots lists the snapshots, newest first.
func (d Dirs) snapshots() ([]file, error) {
	return list(filesDir(d.Data), -1, func(name string) (f file, ok bool) {
		f.zxid, f.how, ok = zkfile.ParseSnapshotName(name)
		return f, ok
	})
}

// logs lists the logs, oldest first.
func (d Dirs) logs() ([]file, error) {
	return list(filesDir(d.log()), 1, func(name string) (f file, ok bool) {
		f.zxid, ok = zkfile.ParseLogName(name)
		return f, ok
	})
}

// Files lists the paths of the snapshots, newest first, and of the logs, oldest first.
func (d Dirs) Files() (snapshots, logs []string, err error) {
	s, err := d.snapshots()
	if err != nil {
		return nil, nil, err
	}
	l, err := d.logs()
	for _, f := range s {
		snapshots = append(snapshots, f.path)
	}
	for _, f := range l {
		logs = append(logs, f.path)
	}
	return snapshots, logs, err
}

func list(dir string, order int, parse func(name string) (file, bool)) ([]file, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []file
	for _, e := range entries {
		if f, ok := parse(e.Name()); ok && !e.IsDir() {
			f.path = filepath.Join(dir, e.Name())
			files = append(files, f)
		}
	}
	slices.SortFunc(files, func(a, b file) int { return order * cmp.Compare(a.zxid, b.zxid) })
	return files, nil
}

// check refuses directories that do not belong together. Source: ZOOKEEPER-2967.
func (d Dirs) check() error {
	for _, dir := range []string{d.Data, d.log()} {
		if !isDir(dir) {
			return fmt.Errorf("%w: %s is not a directory", ErrSource, dir)
		}
	}
	snapshots, err := Dirs{Data: d.log()}.snapshots()
	if err != nil {
		return err
	}
	logs, err := Dirs{Log: d.Data}.logs()
	if err != nil {
		return err
	}
	if filesDir(d.Data) == filesDir(d.log()) {
		return nil
	}
	if len(snapshots) > 0 {
		return fmt.Errorf("%w: %s is a snapshot in the directory of the logs; are the directories mixed up?",
			ErrSource, snapshots[0].path)
	}
	if len(logs) > 0 {
		return fmt.Errorf("%w: %s is a log in the directory of the snapshots; are the directories mixed up?",
			ErrSource, logs[0].path)
	}
	return nil
}

// pidFile is where zkServer.sh writes the number of the process that it starts, in dataDir.
const pidFile = "zookeeper_server.pid"

// running refuses directories whose zookeeper_server.pid names a server that lives. The file
// stays when a server dies, and the number may have become another process's.
func (d Dirs) running() error {
	for _, dir := range []string{d.Data, filepath.Dir(filesDir(d.Data))} {
		path := filepath.Join(dir, pidFile)
		pid, missing, err := number(path)
		if missing || err != nil {
			continue // a file that tells nothing
		}
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && strings.Contains(strings.ToLower(string(line)), "zookeeper") {
			return fmt.Errorf("%w: %s says that process %d is the server of these data, and it runs; %s",
				ErrSource, path, pid, stopIt)
		}
	}
	return nil
}

// stopIt is what to do about a server that runs: what it acknowledges later would be missing.
const stopIt = "stop that server first, or say --running to leave out what it writes from now on"

// inUse refuses directories in which a process has a file open, as far as it can be seen:
// Apache's servers take no lock. With logs elsewhere it may have none open here.
func (d Dirs) inUse() error {
	if err := d.running(); err != nil {
		return err
	}
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return err
	}
	own := fmt.Sprintf("/proc/%d/", os.Getpid())
	for _, dir := range []string{d.Data, d.log()} {
		dir, err := filepath.EvalSymlinks(filesDir(dir))
		if err != nil {
			return err
		}
		for _, link := range links {
			target, err := os.Readlink(link)
			if err == nil && filepath.Dir(target) == dir && !strings.HasPrefix(link, own) {
				return fmt.Errorf("%w: process %s has %s open; %s",
					ErrSource, strings.Split(link, "/")[2], target, stopIt)
			}
		}
	}
	return nil
}

// number reads a file with a number in it; missing says that there is none.
func number(path string) (n int64, missing bool, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, true, nil
	}
	if err == nil {
		n, err = zkfile.ParseNumber(text)
	}
	if err != nil {
		return 0, false, fmt.Errorf("%s: %w", path, err)
	}
	return n, false, nil
}

// ServerID is the number in the file myid; ok says that there is one.
func (d Dirs) ServerID() (id int64, ok bool, err error) {
	id, missing, err := number(filepath.Join(d.Data, zkfile.ServerID))
	return id, !missing && err == nil, err
}
