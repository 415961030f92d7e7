package node

import (
	"errors"
	"fmt"
	"syscall"
)

// noSpace adds to an error of a full disk what an operator does about it. Others it
// returns as they are.
func noSpace(dir string, err error) error {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	left := ""
	switch free, files, ok := freeSpace(dir); {
	case ok && !files:
		left = fmt.Sprintf(" (%d MiB are free, and no more files can be made)", free>>20)
	case ok:
		left = fmt.Sprintf(" (%d MiB are free)", free>>20)
	}
	return fmt.Errorf("%w; data_dir %s is on a file system, or within a quota, that is full%s; make room, or move the directory to a larger disk and set data_dir, then start the node again", err, dir, left)
}
