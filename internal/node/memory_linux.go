package node

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// machineMemory is what this process may use: the limit of its control group
// if there is one, else the machine's memory.
func machineMemory() int64 {
	var info syscall.Sysinfo_t
	total := int64(1 << 30)
	if err := syscall.Sysinfo(&info); err == nil {
		total = int64(info.Totalram) * int64(info.Unit)
	}
	for _, path := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && limit > 0 {
			total = min(total, limit)
		}
	}
	return total
}
