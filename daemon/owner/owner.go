// Package owner keeps commands that root runs on a stopped service's directories from leaving
// files there that the service could not open.
package owner

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
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
		if err := o.give(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// give walks through a directory, or what a link to one leads to. The owner may change it meanwhile: nothing
// outside may be given away, be it by a link in the place of a directory or by another name of a file.
func (o *owner) give() (err error) {
	top, err := os.OpenRoot(o.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, top.Close()) }()
	return fs.WalkDir(top.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := top.Lstat(path)
		if err != nil {
			return err
		}
		sys, ok := st.Sys().(*syscall.Stat_t)
		if ok && sys.Uid == 0 && o.uid != 0 && (st.IsDir() || sys.Nlink == 1) {
			return top.Lchown(path, o.uid, o.gid)
		}
		return nil
	})
}
