package doctor

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// connectionBytes is what one idle plain connection takes, rounded up.
const connectionBytes = 6500

// baseBytes is what a broker takes without clients and stores.
const baseBytes = 64 << 20

// memory is what a process may use. A value.
type memory struct {
	bytes int64
	group bool // a limit of the control group, not the machine's size
	err   error
}

func lookAtMemory() memory {
	m := memory{}
	m.bytes, m.err = machineBytes()
	for _, path := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
		if err == nil && (m.err != nil || n < m.bytes) {
			m = memory{bytes: n, group: true}
		}
	}
	return m
}

func machineBytes() (int64, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 3 && fields[0] == "MemTotal:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("/proc/meminfo has no MemTotal")
}

func judgeMemory(m memory, storeBytes int64, connections int) Finding {
	f := Finding{Check: "memory", State: Well}
	if m.err != nil {
		f.State, f.Found, f.Remedy = Unknown, m.err.Error(), "look at free -m"
		return f
	}
	need := baseBytes + storeBytes
	if connections > 0 {
		need += int64(connections) * connectionBytes
	}
	where := "the machine has"
	if m.group {
		where = "the control group allows"
	}
	f.Found = fmt.Sprintf("%s %s; the stores and idle connections may take %s", where, size(m.bytes), size(need))
	if need > m.bytes/10*8 {
		f.State = Warning
		f.Remedy = "lower leveldb.maximum_memory or max_connections, or give it more memory"
	}
	return f
}

// size writes bytes for people.
func size(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	default:
		return fmt.Sprintf("%d MiB", n>>20)
	}
}
