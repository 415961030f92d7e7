package doctor

import (
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

func ownerOf(info fs.FileInfo) int {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid)
	}
	return -1
}

// kernelClock asks what a time service told the kernel.
func kernelClock() (told, synced bool, errorUs int64) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return false, false, 0
	}
	return true, state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0, int64(t.Maxerror)
}

func inMemory(dir string) bool {
	var s unix.Statfs_t
	return unix.Statfs(dir, &s) == nil && (s.Type == unix.TMPFS_MAGIC || s.Type == unix.RAMFS_MAGIC)
}

func lookAtSpace(dir string) space {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return space{err: err}
	}
	return space{free: int64(s.Bavail) * s.Bsize, total: int64(s.Blocks) * s.Bsize}
}
