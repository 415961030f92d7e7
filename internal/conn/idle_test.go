package conn

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"testing"
)

const idleConnections = 5_000

// residentBytes returns the resident memory of this process after a collection,
// 0 where the system does not say.
func residentBytes() int64 {
	debug.FreeOSMemory()
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(data), "VmRSS:")
	var kilobytes int64
	if _, err := fmt.Sscan(rest, &kilobytes); err != nil {
		return 0
	}
	return kilobytes << 10
}

// deepEcho uses as much stack as a protocol engine does.
func deepEcho(c Conn) Handler {
	inner := echo(c)
	return &funcHandler{
		bytes:    func(b []byte) (int, int, error) { return deep(12, inner, b) },
		roundEnd: inner.OnRoundEnd,
	}
}

//go:noinline
func deep(n int, h Handler, b []byte) (int, int, error) {
	var frame [512]byte
	frame[n] = b[0]
	if n == 0 {
		return h.OnBytes(b)
	}
	b[0] = frame[n]
	return deep(n-1, h, b)
}

// An idle connection that has spoken once costs at most so much resident memory,
// everything in the process included.
func TestIdleConnectionMemory(t *testing.T) {
	if raceEnabled {
		t.Log("memory is measured without the race detector")
		return
	}
	for _, c := range []struct {
		role     string
		bytesMax float64
	}{{"idle", 5 << 10}, {"idle-loop", 3 << 9}} {
		p := startProcess(t, c.role)
		connect := func(n int) {
			for range n {
				mustEcho(t, p.dial(t))
			}
		}
		connect(100) // pools and the runtime's own tables
		before := p.usage(t).resident
		if before == 0 {
			t.Log("this system does not tell the resident memory of a process")
			return
		}
		connect(idleConnections)
		each := (p.usage(t).resident - before) / idleConnections
		t.Logf("%s: %d connections, %.0f bytes resident each", c.role, idleConnections, each)
		if each > c.bytesMax {
			t.Errorf("%s: a connection costs %.0f bytes, want at most %.0f", c.role, each, c.bytesMax)
		}
		p.hangUp()
	}
}
