package main

import (
	"io/fs"
	"os/user"
	"strconv"
	"syscall"
)

// ownerName names the user a file belongs to, by number where the name is not
// known.
func ownerName(info fs.FileInfo) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "its owner"
	}
	id := strconv.FormatUint(uint64(stat.Uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "user id " + id
}
