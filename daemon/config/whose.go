package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// Whose tells of a path whose it is, with which mode, and who runs this; of one that does not
// exist it tells of the nearest directory above it.
func Whose(path string) string {
	for at := path; ; at = filepath.Dir(at) {
		st, err := os.Lstat(at)
		if err != nil {
			if at == filepath.Dir(at) {
				return "this is run by " + Runner()
			}
			continue
		}
		owner := "somebody"
		if sys, ok := st.Sys().(*syscall.Stat_t); ok {
			owner = userName(sys.Uid) + ":" + groupName(sys.Gid)
		}
		return fmt.Sprintf("%s belongs to %s with mode %04o, and this is run by %s",
			at, owner, st.Mode().Perm(), Runner())
	}
}

// Runner is the user that runs this.
func Runner() string { return userName(uint32(os.Geteuid())) } //nolint:gosec // an id is not negative on Linux

func userName(id uint32) string {
	n := strconv.FormatUint(uint64(id), 10)
	if u, err := user.LookupId(n); err == nil {
		return u.Username
	}
	return n
}

func groupName(id uint32) string {
	n := strconv.FormatUint(uint64(id), 10)
	if g, err := user.LookupGroupId(n); err == nil {
		return g.Name
	}
	return n
}

// unreadable is an error of reading the file of a configuration, with what to do.
func unreadable(file string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: %w: %s; run it as root or as the user of the service, or let %s read the file",
			ErrConfig, err, Whose(file), Runner())
	}
	return fmt.Errorf("%w: %w; name the file that is to be read", ErrConfig, err)
}
