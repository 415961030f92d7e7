package conn

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"testing"
)

const (
	idleConnections = 10_000
	idleBytesMax    = 5 << 10
)

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

// An idle connection that has spoken once costs at most idleBytesMax of resident
// memory, everything included.
func TestIdleConnectionMemory(t *testing.T) {
	if raceEnabled {
		t.Log("memory is measured without the race detector")
		return
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), relayRole+"=idle")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var all []net.Conn
	t.Cleanup(func() {
		for _, nc := range all {
			_ = nc.Close()
		}
		_ = in.Close()
		_ = cmd.Wait()
	})
	p := &relayProcess{in: in, out: bufio.NewScanner(stdout)}
	if !p.out.Scan() {
		t.Fatal("no address")
	}
	address := p.out.Text()
	connect := func(n int) {
		b := make([]byte, 16)
		for range n {
			nc, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, nc)
			if _, err := nc.Write(b); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(nc, b); err != nil {
				t.Fatal(err)
			}
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
	t.Logf("%d idle connections: %.0f bytes resident each", idleConnections, each)
	if each > idleBytesMax {
		t.Errorf("an idle connection costs %.0f bytes, want at most %d", each, idleBytesMax)
	}
}
