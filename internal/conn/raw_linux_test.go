package conn

import (
	"io"
	"net"
	"os"
	"testing"
)

// socketPair returns both ends of a TCP connection.
func socketPair(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	if theirs, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if ours, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	return closeLater(t, ours), closeLater(t, theirs)
}

// entries is how many connections the watcher knows.
func (w *watcher) entries() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.mu.table {
		if c != nil {
			n++
		}
	}
	return n
}

// Connections are watched once they have spoken, and none is once it has ended.
func TestWatchEnds(t *testing.T) {
	const pairs = 20
	found := make(chan *watcher, 2*pairs)
	h := serve(t, Config{}, func(c Conn) Handler { found <- c.(*stream).l.watcher; return echo(c) })
	var all []net.Conn
	for range pairs {
		nc := dialEcho(t, h)
		for range 2 * watchAfter {
			mustEcho(t, nc)
		}
		all = append(all, nc, dialEcho(t, h))
	}
	w := await(t, found, "accept")
	eventually(t, "all to be watched", func() bool { return w.entries() == 2*pairs })
	for _, nc := range all {
		_ = nc.Close()
	}
	eventually(t, "no active connection", func() bool { return h.l.Stats().Active() == 0 })
	if n := w.entries(); n != 0 {
		t.Fatalf("%d connections are watched after their end", n)
	}
}

// Where there is no watcher, the driver looks for the end of the stream itself.
func TestRoundsWithoutWatcher(t *testing.T) {
	ours, theirs := socketPair(t)
	c := &stream{cfg: &Config{}, l: &Listener{}}
	c.t = newRawTransport(c, ours)
	c.in.readBytes = chunkSizes[2]
	inside, release := make(chan struct{}), make(chan struct{})
	c.handler = &funcHandler{bytes: func(b []byte) (int, int, error) {
		inside <- struct{}{}
		<-release
		return len(b), 0, nil
	}}
	ended := make(chan error, 1)
	go func() {
		for c.order.Load() == nil {
			c.rested = false
			c.events.Store(evParked)
			c.await()
		}
		ended <- c.order.Load().err
	}()
	for i := range 2 * watchAfter {
		if _, err := theirs.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		await(t, inside, "OnBytes")
		if i == 2*watchAfter-1 {
			if _, err := theirs.Write([]byte("last")); err != nil {
				t.Fatal(err)
			}
			_ = closeWrite(theirs)
			release <- struct{}{}
			await(t, inside, "the last bytes")
		}
		release <- struct{}{}
	}
	if err := await(t, ended, "the end of the stream"); err != io.EOF {
		t.Fatalf("ended with %v", err)
	}
}

// A panic of a handler unwinds through the call that holds the descriptor and
// leaves no reference behind: whoever catches it can close the socket.
func TestPanicInRoundFreesTheSocket(t *testing.T) {
	ours, theirs := socketPair(t)
	c := &stream{cfg: &Config{}, l: &Listener{}}
	c.t = newRawTransport(c, ours)
	c.in.readBytes = chunkSizes[2]
	c.handler = &funcHandler{bytes: func([]byte) (int, int, error) { panic("of the handler") }}
	caught := make(chan any, 1)
	go func() {
		defer func() { caught <- recover() }()
		c.events.Store(evParked)
		c.await()
	}()
	if _, err := theirs.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if p := await(t, caught, "the panic"); p != "of the handler" {
		t.Fatalf("recovered %v", p)
	}
	closed := make(chan error, 1)
	go func() { closed <- c.t.close() }() // waits for all references
	if err := await(t, closed, "close"); err != nil {
		t.Fatal(err)
	}
	mustBeClosed(t, theirs)
}

// A lone message is one read: the process of a relay counts its calls. Two were
// made when each round asked the socket whether there was more.
func TestOneReadForALoneMessage(t *testing.T) {
	if raceEnabled {
		t.Log("the relay is measured without the race detector")
		return
	}
	if _, err := os.Stat("/proc/self/io"); err != nil {
		t.Logf("this system does not count the reads of a process: %v", err)
		return
	}
	p := startRelay(t, "driver")
	for range 3 { // each pair becomes known as one of lone messages
		p.run(t)
	}
	if got := p.run(t).reads; got > 1.5 {
		t.Errorf("%.2f reads a message, want one", got)
	} else {
		t.Logf("%.2f reads a message", got)
	}
}
