package conn

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait of the tests: far beyond what a busy machine needs.
const patience = time.Minute

// harness is one running listener of a test. Owned by the test goroutine.
type harness struct {
	t      *testing.T
	l      *Listener
	cancel context.CancelFunc
	done   chan struct{}
}

// serve starts a listener and stops it, with all connections, when the test ends.
func serve(t *testing.T, cfg Config, accept Accept) *harness {
	t.Helper()
	if cfg.Address == "" {
		cfg.Address = "127.0.0.1:0"
	}
	if cfg.Kind == "" {
		cfg.Kind = KindTCP
	}
	if cfg.CloseLinger == 0 {
		cfg.CloseLinger = 2 * time.Second
	}
	cfg.Name = "test"
	l, err := Listen(cfg)
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h := &harness{t: t, l: l, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(h.done)
		l.Serve(ctx, accept)
	}()
	t.Cleanup(h.stop)
	return h
}

func (h *harness) stop() {
	h.cancel()
	await(h.t, h.done, "the end of Serve")
}

func await[T any](t *testing.T, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("timed out waiting for %s", what)
		panic("unreachable")
	}
}

// eventually polls a condition that no channel tells of.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("timed out waiting for %s", what)
		}
		<-tick.C
	}
}

// funcHandler is a Handler of functions; nil ones do nothing. Its functions are
// set before the driver runs.
type funcHandler struct {
	bytes    func(b []byte) (int, int, error)
	roundEnd func()
	writable func()
	closed   func(error)
}

func (f *funcHandler) OnBytes(b []byte) (int, int, error) {
	if f.bytes == nil {
		return len(b), 0, nil
	}
	return f.bytes(b)
}

func (f *funcHandler) OnRoundEnd() {
	if f.roundEnd != nil {
		f.roundEnd()
	}
}

func (f *funcHandler) OnWritable() {
	if f.writable != nil {
		f.writable()
	}
}

func (f *funcHandler) OnClose(err error) {
	if f.closed != nil {
		f.closed(err)
	}
}

// appendBytes appends under the lock.
func appendBytes(c Conn, p []byte) {
	c.Locker().Lock()
	c.Append(p)
	c.Locker().Unlock()
}

// echo sends back what comes, once a round.
func echo(c Conn) Handler {
	return &funcHandler{
		bytes:    func(b []byte) (int, int, error) { appendBytes(c, b); return len(b), 0, nil },
		roundEnd: c.Flush,
	}
}

// closeLater closes nc when the test ends.
func closeLater(t *testing.T, nc net.Conn) net.Conn {
	var once sync.Once
	t.Cleanup(func() { once.Do(func() { _ = nc.Close() }) })
	return nc
}
