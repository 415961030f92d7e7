package link

import (
	"io"
	"net"
	"testing"
	"time"

	"tombolo/internal/clock"
	"tombolo/internal/wire"
)

// gauged is a connection whose writes wait until the test has taken them.
type gauged struct {
	net.Conn
	writes chan []byte
	closed chan struct{}
}

func (g *gauged) Close() error { close(g.closed); return nil }
func (g *gauged) Write(b []byte) (int, error) {
	select {
	case g.writes <- append([]byte(nil), b...):
		return len(b), nil
	case <-g.closed:
		return 0, io.ErrClosedPipe
	}
}

// datagramsIn counts the frames at QoS 0 in a batch.
func datagramsIn(t *testing.T, b []byte) (n int) {
	t.Helper()
	for len(b) > 0 {
		var h wire.Header
		if err := wire.ParseHeader(b, &h); err != nil {
			t.Fatal(err)
		}
		if h.Stream == wire.StreamFast {
			n++
		}
		b = b[wire.HeaderBytes+int(h.Length):]
	}
	return n
}

// TestWriteCalls: a lone message leaves at once; what came during a write leaves
// together in as few writes as its bytes need; a heartbeat or a message that
// somebody waits for shortens the wait for more.
func TestWriteCalls(t *testing.T) {
	g := &gauged{writes: make(chan []byte), closed: make(chan struct{})}
	n, c := bulk(t, g)
	m := clock.NewManual(time.Unix(1_000_000, 0))
	n.mesh.config.Clock, n.mesh.begun = m, m.Now()
	m.Advance(time.Second) // the last write is long ago
	c.p.attach(c)
	ended := make(chan struct{})
	go func() { c.write(); close(ended) }()
	defer func() { c.close("stopped"); <-ended }()
	next := func() []byte { // with time passing
		t.Helper()
		limit := time.NewTimer(20 * time.Second)
		defer limit.Stop()
		for {
			select {
			case b := <-g.writes:
				return b
			case <-limit.C:
				t.Fatal("nothing is written")
			default:
				m.Advance(20 * time.Microsecond)
			}
		}
	}
	still := func() []byte { // with time standing still
		t.Helper()
		select {
		case b := <-g.writes:
			return b
		case <-time.After(20 * time.Second):
			t.Fatal("nothing is written at once")
			return nil
		}
	}
	post := func(count int) {
		for range count {
			if !c.p.post(wire.StreamFast, wire.TypePublish, make([]byte, 128)) {
				t.Fatal("dropped")
			}
		}
	}
	post(1)
	got := 0
	for got == 0 { // what a new connection begins with may be written by itself
		got = datagramsIn(t, still())
	}
	if got != 1 {
		t.Fatalf("%d datagrams, want the lone one", got)
	}
	post(1)
	post(1000) // while the first is being written, or at once with it
	writes, all := 0, 0
	for all < 1001 {
		b := next()
		if got := datagramsIn(t, b); got > 0 {
			writes, all = writes+1, all+got
		}
	}
	if most := 2 + 1001*(wire.HeaderBytes+128)/batchBytes; writes > most {
		t.Errorf("%d writes for a burst, want %d at most", writes, most)
	}
	t.Logf("%d writes for a burst of 1001", writes)
	post(2 * busyFrames)
	for all = 0; all < 2*busyFrames; {
		all += datagramsIn(t, next())
	}
	post(1)
	c.p.beat(&wire.Heartbeat{Plane: wire.Bulk, Seq: 1})
	for all = 0; all < 1; {
		all += datagramsIn(t, still())
	}
}
