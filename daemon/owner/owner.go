// Package owner keeps commands that root runs on a stopped service's directories from leaving
// files there that the service could not open.
package owner

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// owner is who is to own what root writes into a directory.
type owner struct {
	dir      string
	uid, gid int
}

// List are directories and their owners.
type List []owner

// Of are the owners of directories; one that is not there yet is to be that of the service's user.
// It is empty for anybody but root.
func Of(service string, dirs ...string) (list List) {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, dir := range dirs {
		if st, err := os.Stat(dir); err == nil {
			if sys, ok := st.Sys().(*syscall.Stat_t); ok {
				list = append(list, owner{dir, int(sys.Uid), int(sys.Gid)})
			}
		} else if u, err := user.Lookup(service); err == nil {
			uid, _ := strconv.Atoi(u.Uid)
			gid, _ := strconv.Atoi(u.Gid)
			list = append(list, owner{dir, uid, gid})
		}
	}
	return list
}

// Give gives what belongs to root in each directory to its owner.
func (l List) Give() error {
	for _, o := range l {
		top, err := filepath.EvalSymlinks(o.dir) // what a link leads to is walked through, and not the link
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		err = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			st, err := d.Info()
			if err != nil {
				return err
			}
			if sys, ok := st.Sys().(*syscall.Stat_t); ok && sys.Uid == 0 && o.uid != 0 {
				return os.Lchown(path, o.uid, o.gid)
			}
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
