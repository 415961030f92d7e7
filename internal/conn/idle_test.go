package conn

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"tombolo/internal/certificate"
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

// selfSigned returns the TLS side of a process that has no test to ask for files.
func selfSigned() *TLS {
	dir, err := os.MkdirTemp("", "conn")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	p, err := certificate.New("idle")
	if err != nil {
		panic(err)
	}
	cfg := TLSConfig{CertFile: filepath.Join(dir, "cert"), KeyFile: filepath.Join(dir, "key")}
	if err := p.Write(cfg.CertFile, cfg.KeyFile); err != nil {
		panic(err)
	}
	secure, err := NewTLS(cfg)
	if err != nil {
		panic(err)
	}
	return secure
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
		role        string
		connections int
		bytesMax    float64
	}{{"idle", 5000, 5 << 8}, {"idle-loop", 5000, 3 << 9}, {"idle-tls", 800, 18 << 10}} {
		p := startProcess(t, c.role)
		connect := func(n int) {
			for range n {
				nc := p.dial(t)
				if c.role == "idle-tls" {
					nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
				}
				mustEcho(t, nc)
			}
		}
		connect(100) // pools and the runtime's own tables
		before := p.usage(t).resident
		if before == 0 {
			t.Log("this system does not tell the resident memory of a process")
			return
		}
		connect(c.connections)
		each := (p.usage(t).resident - before) / float64(c.connections)
		t.Logf("%s: %d connections, %.0f bytes resident each", c.role, c.connections, each)
		if each > c.bytesMax {
			t.Errorf("%s: a connection costs %.0f bytes, want at most %.0f", c.role, each, c.bytesMax)
		}
		p.hangUp()
	}
}
