package node

import "golang.org/x/sys/unix"

// freeSpace is what this user may still write on the file system of a directory, and
// whether that takes another file.
func freeSpace(dir string) (free uint64, files, ok bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, false, false
	}
	return s.Bavail * uint64(s.Bsize), s.Files == 0 || s.Ffree > 0, true // some do not count files
}
