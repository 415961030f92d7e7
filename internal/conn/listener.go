package conn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Listener accepts the connections of one address. It is safe for concurrent
// use; its list of connections is guarded by mu.
type Listener struct {
	cfg      Config
	ln       net.Listener // closed, and good for its address only, if there is raw
	raw      *acceptor    // nil: connections are accepted from ln
	unixPath string
	stats    Stats
	closed   chan struct{}
	reserve  *os.File // owned by the accepting goroutine
	backoff  time.Duration

	loops    []*loop // set by Serve before it accepts
	nextLoop atomic.Uint32
	watcher  *watcher // set by Serve before it accepts; nil: there is none

	running sync.WaitGroup // drivers, writers and handshakes
	mu      struct {
		sync.Mutex
		first  *stream
		ending bool
		closed bool
	}
}

// Listen binds the address. The error says which address and what to do.
func Listen(cfg Config) (*Listener, error) {
	cfg = cfg.withDefaults()
	if (cfg.Kind == KindSSL || cfg.Kind == KindWSS) && cfg.TLS == nil {
		return nil, fmt.Errorf("listener %s (%s): no certificate is set; set certfile and keyfile", cfg.Name, cfg.Kind)
	}
	l := &Listener{cfg: cfg, closed: make(chan struct{})}
	network, address := "tcp", cfg.Address
	if path, ok := unixPath(cfg.Address); ok {
		network, address, l.unixPath = "unix", path, path
		if err := removeStaleSocket(path); err != nil {
			return nil, bindError(&cfg, err)
		}
	}
	lc := net.ListenConfig{Control: cfg.controlListen, KeepAlive: -1}
	ln, err := lc.Listen(context.Background(), network, address)
	if err != nil {
		return nil, bindError(&cfg, err)
	}
	l.ln = ln
	if cfg.Kind == KindTCP && !cfg.Proxy.Enabled && !cfg.Plain && cfg.Loops == 0 {
		l.raw = newAcceptor(ln)
	}
	l.reserve, _ = os.Open(os.DevNull)
	return l, nil
}

// Addr returns the address that was bound, with the port that the kernel chose.
func (l *Listener) Addr() netip.AddrPort { return addrPort(l.ln.Addr()) }

// AddrString returns the same as text, "local:" and the path for unix sockets.
func (l *Listener) AddrString() string {
	if l.unixPath != "" {
		return "local:" + l.unixPath
	}
	return l.ln.Addr().String()
}

// Stats returns the listener's counters.
func (l *Listener) Stats() *Stats { return &l.stats }

// Close stops accepting. Connections live on.
func (l *Listener) Close() error {
	l.mu.Lock()
	before := l.mu.closed
	l.mu.closed = true
	l.mu.Unlock()
	if before {
		return nil
	}
	close(l.closed)
	if l.raw != nil {
		return l.raw.close()
	}
	return l.ln.Close()
}

func (l *Listener) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// Serve accepts until Close or the end of ctx, and returns when ctx has ended
// and all connections are gone: it shuts them down with ErrListenerClosed. It
// must be called once.
func (l *Listener) Serve(ctx context.Context, accept Accept) {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	l.startLoops()
	take := l.acceptOne
	if l.raw != nil {
		take = l.acceptAll
	}
	for take(accept) {
	}
	if l.reserve != nil {
		_ = l.reserve.Close()
	}
	<-ctx.Done()
	l.end()
	l.running.Wait()
	for _, p := range l.loops {
		p.stop()
	}
	if l.watcher != nil {
		l.watcher.stop()
	}
}

// startLoops starts the loops that the configuration asks for. Where they cannot
// be had, connections get goroutines; and where a watcher cannot, each keeps its
// goroutine and looks for the end of its stream itself.
func (l *Listener) startLoops() {
	if l.cfg.Plain {
		return
	}
	if l.cfg.Loops == 0 || l.cfg.Kind != KindTCP {
		l.watcher, _ = startWatcher()
		return
	}
	for range l.cfg.Loops {
		p, err := startLoop()
		if err != nil {
			l.refuse("", RefusedSocket, fmt.Errorf("event loop: %w", err))
			return
		}
		if p != nil {
			l.loops = append(l.loops, p)
		}
	}
}

// end shuts all connections down.
func (l *Listener) end() {
	l.mu.Lock()
	l.mu.ending = true
	var all []*stream
	for c := l.mu.first; c != nil; c = c.next {
		all = append(all, c)
	}
	l.mu.Unlock()
	for _, c := range all {
		c.Shutdown(ErrListenerClosed, l.cfg.CloseLinger)
		if c.ext != nil && !c.ext.ready.Load() {
			_ = c.t.close() // a handshake reads without looking at the order
		}
	}
}

// acceptOne accepts one connection and says whether to go on.
func (l *Listener) acceptOne(accept Accept) bool {
	nc, err := l.ln.Accept()
	if l.isClosed() {
		if err == nil {
			_ = nc.Close()
		}
		return false
	}
	if err != nil {
		l.acceptFailed(err)
		return true
	}
	if !l.admits(l.descriptor(nc), nc.RemoteAddr().String) {
		_ = nc.Close()
		return true
	}
	l.start(nc, accept)
	return true
}

var errMaxConnections = errors.New("max_connections of the listener is reached")

// admits counts a connection and says whether there is room for it.
func (l *Listener) admits(descriptor int, peer func() string) bool {
	l.backoff = 0
	l.stats.accepted.Add(1)
	if most := l.cfg.DescriptorsMax; most > 0 && descriptor >= most {
		l.refuse(peer(), RefusedDescriptors, errDescriptorsKept)
		return false
	}
	if most := l.cfg.MaxConnections; most > 0 && l.stats.active.Load() >= int64(most) {
		l.refuse(peer(), RefusedMaxConnections, errMaxConnections)
		return false
	}
	return true
}

func (l *Listener) newStream(peer netip.AddrPort) *stream {
	c := &stream{cfg: &l.cfg, l: l, peer: peer}
	c.in.readBytes = l.cfg.ReadBuffer
	c.heard.Store(l.now() - silentTicks) // the first round comes out of a silence
	return c
}

// start makes a connection of a socket and gives it its driver.
func (l *Listener) start(nc net.Conn, accept Accept) {
	l.setBuffers(nc)
	c := l.newStream(addrPort(nc.RemoteAddr()))
	if !l.cfg.Plain {
		c.t = newRawTransport(c, nc)
	}
	if c.t == nil {
		c.t = &plainTransport{nc: nc}
	}
	handshake := l.cfg.Kind != KindTCP || l.cfg.Proxy.Enabled
	if handshake || l.unixPath != "" {
		c.ext = &extra{}
		if l.unixPath != "" {
			c.ext.info.PeerName = l.AddrString()
		}
	}
	if !l.add(c) {
		_ = nc.Close()
		return
	}
	if handshake {
		go l.handshake(c, nc, accept)
		return
	}
	if c.ext != nil {
		c.ext.ready.Store(true)
	}
	l.drive(c, nc, accept)
}

// drive gives a connection that is ready to its loop or to a new goroutine.
func (l *Listener) drive(c *stream, nc net.Conn, accept Accept) {
	if c.peer.IsValid() {
		c.peerName = c.peer.String()
	}
	if len(l.loops) > 0 && !c.layered() {
		at := int(l.nextLoop.Add(1)) % len(l.loops)
		if l.loops[at].adopt(c, nc, accept) {
			return
		}
	}
	go c.run(accept)
}

// now is a coarse clock; without a watcher it stands still.
func (l *Listener) now() uint32 {
	if l.watcher == nil {
		return 0
	}
	return l.watcher.now()
}

// add puts a connection into the list, unless the listener is ending.
func (l *Listener) add(c *stream) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.ending {
		return false
	}
	l.running.Add(1)
	l.stats.active.Add(1)
	if c.next = l.mu.first; c.next != nil {
		c.next.prev = c
	}
	l.mu.first = c
	return true
}

// remove is the end of a connection.
func (l *Listener) remove(c *stream) {
	l.mu.Lock()
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		l.mu.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
	l.mu.Unlock()
	l.stats.active.Add(-1)
	l.stats.closed.Add(1)
	l.running.Done()
}

// goWriter starts the writer of a connection, which must be alive.
func (l *Listener) goWriter(c *stream) {
	l.running.Add(1)
	go func() {
		defer l.running.Done()
		c.write()
	}()
}

// refuse counts and reports a connection that is not served.
func (l *Listener) refuse(peer string, why Refusal, err error) {
	l.stats.refuse(why)
	if l.cfg.Events != nil {
		l.cfg.Events(Event{Listener: l.cfg.Name, Peer: peer, Reason: why, Err: err})
	}
}

func (l *Listener) setBuffers(nc net.Conn) {
	s, ok := nc.(interface {
		SetReadBuffer(int) error
		SetWriteBuffer(int) error
	})
	if !ok {
		return
	}
	if n := l.cfg.SendBuffer; n > 0 {
		_ = s.SetWriteBuffer(n)
	}
	if n := l.cfg.ReceiveBuffer; n > 0 {
		_ = s.SetReadBuffer(n)
	}
}

// addrPort returns the zero value for addresses that are not of TCP.
func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		ap := tcp.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}

// unixPath takes "local:path" and "local:path:n" apart.
func unixPath(address string) (string, bool) {
	path, ok := strings.CutPrefix(address, "local:")
	if !ok {
		return "", false
	}
	if i := strings.LastIndexByte(path, ':'); i > 0 && strings.Trim(path[i+1:], "0123456789") == "" {
		path = path[:i]
	}
	return path, true
}

// removeStaleSocket removes a socket that nobody listens on, so that a start
// after a crash works; one that answers is left alone.
func removeStaleSocket(path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&os.ModeSocket == 0 {
		return nil // absent, or Listen will say what is wrong
	}
	if nc, err := net.Dial("unix", path); err == nil {
		_ = nc.Close()
		return syscall.EADDRINUSE
	}
	return os.Remove(path)
}

// bindError says in one line what failed and what to do.
func bindError(cfg *Config, err error) error {
	remedy := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		remedy = "; another process listens there: stop it or choose another address"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		remedy = "; ports below 1024 and foreign directories need a permission: choose a higher port or grant it"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		remedy = "; this host has no such address: check the listener's address"
	}
	return fmt.Errorf("listener %s (%s) cannot bind %s: %w%s", cfg.Name, cfg.Kind, cfg.Address, err, remedy)
}
