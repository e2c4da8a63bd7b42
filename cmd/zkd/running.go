package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// runsFile makes sure that a process is zkd with a configuration file: another program would be ended
// by the signal for a reload, and another zkd would read another file than the one that was checked.
// Where the command line of the process cannot be read it is believed.
func runsFile(pid int, file string) error {
	proc := fmt.Sprintf("/proc/%d", pid)
	text, err := os.ReadFile(filepath.Join(proc, "cmdline"))
	if err != nil || len(text) == 0 {
		return nil //nolint:nilerr // nothing is known then
	}
	args := strings.Split(strings.TrimRight(string(text), "\x00"), "\x00")
	theirs, ok := fileOf(args[1:])
	if !ok {
		return fmt.Errorf("process %d runs %q and not zkd with a configuration; give the id of zkd's process",
			pid, strings.Join(args, " "))
	}
	if !filepath.IsAbs(theirs) {
		dir, err := os.Readlink(filepath.Join(proc, "cwd"))
		if err != nil {
			return nil //nolint:nilerr // nothing is known then
		}
		theirs = filepath.Join(dir, theirs)
	}
	mine, err := os.Stat(file)
	if err != nil {
		return err
	}
	st, err := os.Stat(theirs)
	if err == nil && !os.SameFile(mine, st) || errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("process %d runs with %s, and %s is not that file; to reload it: zkd reload -c %s %d",
			pid, theirs, file, theirs, pid)
	}
	return nil
}

// fileOf is the configuration file that the arguments of zkd name; ok is false if they are not those
// of a daemon.
func fileOf(args []string) (file string, ok bool) {
	var rest []string
	for i := 0; i < len(args); i++ {
		name, value, given := strings.Cut(args[i], "=")
		short := strings.HasPrefix(name, "-c") && !strings.HasPrefix(name, "--")
		switch {
		case short && args[i] != "-c":
			file = strings.TrimPrefix(strings.TrimPrefix(args[i], "-c"), "=")
		case name == "-c", name == "--config", name == "--log-level", name == "--log-format":
			if !given {
				if i++; i == len(args) {
					return "", false
				}
				value = args[i]
			}
			if name == "-c" || name == "--config" {
				file = value
			}
		default:
			rest = append(rest, args[i])
		}
	}
	switch {
	case len(rest) != 1:
		return "", false
	case rest[0] != "run":
		return rest[0], file == "" && !strings.HasPrefix(rest[0], "-")
	case file == "":
		return defaultFile, true
	}
	return file, true
}
