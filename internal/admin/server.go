package admin

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	connectionsMax     = 256 // per listener; the next ones wait in the kernel
	headerBytesMax     = 64 << 10
	bodyBytesMax       = 1 << 20
	headerTimeout      = 5 * time.Second
	requestTimeout     = 2 * time.Minute // a profile or a verification takes its time
	idleTimeout        = 2 * time.Minute
	shutdownTimeoutMax = 5 * time.Second
)

// Access says what one HTTP listener serves. A value. The admin socket serves
// everything.
type Access struct {
	Metrics bool
	Health  bool
	API     bool // only over loopback; Serve refuses any other address
	Profile bool // pprof, under the API's rule
}

// Server answers requests on any number of listeners. Immutable once built.
type Server struct {
	config  Config
	handler http.Handler
	log     *slog.Logger
}

// New returns a server; Serve and ServeSocket run it.
func New(c Config) *Server {
	s := &Server{config: c, log: c.Log}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.handler = s.routes()
	return s
}

// Serve answers on an HTTP or HTTPS listener until ctx ends, which also closes
// the listener. The TLS configuration of an HTTPS listener must not offer h2. It refuses to open the API on an address that is not loopback.
func (s *Server) Serve(ctx context.Context, ln net.Listener, a Access) error {
	if (a.API || a.Profile) && !loopback(ln.Addr()) {
		_ = ln.Close()
		return forbidden("bind the listener to 127.0.0.1 or use the admin socket",
			"the API is not opened on %s, which other machines reach", ln.Addr())
	}
	return s.serve(ctx, ln, door{access: a})
}

// ServeSocket answers on the admin socket until ctx ends, which also closes
// and removes the socket.
func (s *Server) ServeSocket(ctx context.Context, socket *Socket) error {
	return s.serve(ctx, socket, door{socket: true, access: Access{Metrics: true, Health: true, API: true, Profile: true}})
}

func (s *Server) serve(ctx context.Context, ln net.Listener, d door) error {
	h := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerBytesMax,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, doorKey{}, d.with(c))
		},
	}
	failed := make(chan error, 1)
	go func() { failed <- h.Serve(newBoundedListener(ln, connectionsMax)) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeoutMax)
	defer cancel()
	err := h.Shutdown(bounded)
	if errors.Is(err, context.DeadlineExceeded) {
		err = h.Close()
	}
	<-failed
	return err
}

// limitBody bounds what a request may carry.
func limitBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limit := int64(bodyBytesMax)
		if r.URL.Path == PathHanded {
			limit = handedBytesMax
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		next.ServeHTTP(w, r)
	})
}

// boundedListener lets at most a number of connections be open. The channel
// holds one entry a connection; the rest is the listener's.
type boundedListener struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
}

func newBoundedListener(ln net.Listener, n int) *boundedListener {
	return &boundedListener{Listener: ln, slots: make(chan struct{}, n), closed: make(chan struct{})}
}

// Accept waits for a free slot, then for a connection.
func (b *boundedListener) Accept() (net.Conn, error) {
	select {
	case b.slots <- struct{}{}:
	case <-b.closed:
		return nil, net.ErrClosed
	}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.slots
		return nil, err
	}
	return &boundedConn{Conn: c, release: sync.OnceFunc(func() { <-b.slots })}, nil
}

func (b *boundedListener) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Listener.Close()
}

// boundedConn gives its slot back when closed. Immutable once built.
type boundedConn struct {
	net.Conn
	release func()
}

func (c *boundedConn) Close() error {
	err := c.Conn.Close()
	c.release()
	return err
}
