package conn

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

const (
	descriptorLimit = 40
	limitedClients  = 80
)

func limitDescriptors() {
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: descriptorLimit, Max: descriptorLimit}); err != nil {
		panic(err)
	}
}

// At the descriptor limit new connections are closed at once and counted, those
// that live are served, accepting does not spin, and it recovers.
func TestDescriptorLimit(t *testing.T) {
	p := startProcess(t, "limited")
	var served []net.Conn
	for range limitedClients {
		nc := p.dial(t)
		_, _ = nc.Write([]byte("echo"))
		_ = nc.SetReadDeadline(time.Now().Add(patience))
		switch _, err := nc.Read(make([]byte, 4)); {
		case err == nil:
			served = append(served, nc)
		case errors.Is(err, os.ErrDeadlineExceeded):
			t.Fatal("a connection at the limit is neither served nor closed")
		}
	}
	if n := len(served); n < descriptorLimit/2 || n >= descriptorLimit {
		t.Fatalf("%d served with a limit of %d descriptors", n, descriptorLimit)
	}
	before := p.usage(t)
	if want := float64(limitedClients - len(served)); before.refused < want {
		t.Errorf("%v counted as refused, want at least %v", before.refused, want)
	}
	for _, nc := range served {
		mustEcho(t, nc)
	}
	if spent := p.usage(t).cpuMicros - before.cpuMicros; spent > 1e6 {
		t.Errorf("%v µs of CPU at the limit: accepting spins", spent)
	}
	for _, nc := range served[:10] {
		_ = nc.Close()
	}
	eventually(t, "a served connection after some have ended", func() bool {
		nc := p.dial(t)
		_, _ = nc.Write([]byte("echo"))
		_, err := nc.Read(make([]byte, 4))
		return err == nil
	})
}

// What lies from DescriptorsMax on is not for clients, however they are driven.
func TestDescriptorsMax(t *testing.T) {
	eachDriver(t, func(t *testing.T, d driver) {
		h := d.serve(t, Config{DescriptorsMax: 1}, echo) // all but that of standard input
		network, address := "tcp", h.l.AddrString()
		if d.unix {
			network, address = "unix", h.l.unixPath
		}
		nc, err := net.Dial(network, address)
		if err != nil {
			t.Fatal(err)
		}
		mustBeClosed(t, closeLater(t, nc))
		if s := h.l.Stats(); s.Refused(RefusedDescriptors) != 1 || s.Accepted() != 1 || s.Active() != 0 {
			t.Fatalf("refused %d, accepted %d, active %d", s.Refused(RefusedDescriptors), s.Accepted(), s.Active())
		}
	})
}
