package bench

import (
	"net"
	"testing"
	"time"
)

// TestPoller waits for a socket and for the clock, without allocation.
func TestPoller(t *testing.T) {
	p, err := newPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	fd, err := detach(far.(*net.TCPConn))
	if err != nil {
		t.Fatal(err)
	}
	defer closeFD(fd)
	if err := p.add(fd, 7); err != nil {
		t.Fatal(err)
	}
	seen := 0
	handle := func(key int, readable, _ bool) {
		if key != 7 || !readable {
			t.Errorf("ready: key %d, readable %v", key, readable)
		}
		seen++
	}
	began := time.Now()
	if err := p.wait(5*time.Millisecond, handle); err != nil || seen != 0 || time.Since(began) < 4*time.Millisecond {
		t.Errorf("nothing to read: %v, seen %d, after %v", err, seen, time.Since(began))
	}
	var buf [8]byte
	if n, again, err := readFD(fd, buf[:]); n != 0 || !again || err != nil {
		t.Errorf("read without data: %d, %v, %v", n, again, err)
	}
	payload := []byte("x")
	n := testing.AllocsPerRun(50, func() {
		if _, err := near.Write(payload); err != nil {
			t.Fatal(err)
		}
		if err := p.wait(time.Minute, handle); err != nil {
			t.Fatal(err)
		}
		if n, _, err := readFD(fd, buf[:]); n != 1 || err != nil {
			t.Fatalf("read %d, %v", n, err)
		}
	})
	if n != 0 || seen != 51 {
		t.Errorf("%v allocations a round, %d events seen; want none and 51", n, seen)
	}
}
