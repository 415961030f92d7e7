//go:build !linux

package node

// freeSpace is not known here.
func freeSpace(string) (free uint64, files, ok bool) { return 0, false, false }
