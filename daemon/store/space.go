package store

import "golang.org/x/sys/unix"

// Free is how many bytes may still be written to the image's disk.
func (s *Store) Free() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(s.opt.ImageDir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * st.Bsize, nil
}
