package link

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"tombolo/internal/clock"
	"tombolo/internal/wire"
)

// Config is what a mesh is told. Zero durations and sizes take the defaults.
type Config struct {
	Cluster     string
	Node        NodeID
	Name        string
	Incarnation wire.Incarnation
	Actor       uint64
	OpenNonce   func() uint64 // asked at each handshake; nil is zero
	Durability  string

	Bind      string // IP:port; port 0 takes a free one
	Advertise string // host:port for others; "" is where it listens

	TLS      *tls.Config // certificate, RootCAs for dialling, ClientCAs and ClientAuth for listening; nil: none
	Secret   []byte      // shared by the cluster, 16 bytes or more; nil: none
	Insecure bool        // the operator wants a routable address with neither

	DurabilityMayDiffer bool // the operator forces it (R35)

	// Member says whether a node may link at all; nil: everybody who proves
	// to be of the cluster. It must not block.
	Member   func(Peer) bool
	Handler  Handler
	Detector Detector // nil: none
	Applied  Applied  // nil: nothing is durable
	Spool    Spool    // nil: a MemorySpool of SpoolBytes

	Window       Limits        // of each numbered stream; 4096 frames, 8 MiB
	ReceiveBytes int           // credit for each numbered stream; 4 MiB
	WaitingBytes int           // of messages that wait for the spool, for each peer; 8 MiB
	SpoolBytes   int           // of the spool in memory, for each peer; 64 MiB
	DatagramMax  int           // bytes of datagrams that wait, for each connection, but for a lone message; 1 MiB
	BatchDelay   time.Duration // least time between two writes, unless 64 KiB wait; 200 µs
	ConfirmWait  time.Duration // before a message that was sent goes to the spool (R9); 100 ms
	RetryAfter   time.Duration // before a refused message is sent again; 1 s
	DialTimeout  time.Duration // also of a handshake; 2 s
	BackoffMin   time.Duration // 50 ms
	BackoffMax   time.Duration // 1 s
	SilenceMax   time.Duration // nothing came for so long: the connection is given up; 2 s
	HolderAlive  time.Duration // a holder of a node id heard of within this time is alive; 1 s
	Clock        clock.Clock   // nil: the machine's
	Log          func(text string)

	oldest, newest uint8 // versions spoken, for tests of pairs that differ; zero: what package wire has
}

// defaults fills in what is zero.
func (c *Config) defaults() {
	duration := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	size := func(n *int, def int) {
		if *n == 0 {
			*n = def
		}
	}
	duration(&c.BatchDelay, 200*time.Microsecond)
	duration(&c.ConfirmWait, 100*time.Millisecond)
	duration(&c.RetryAfter, time.Second)
	duration(&c.DialTimeout, 2*time.Second)
	duration(&c.BackoffMin, 50*time.Millisecond)
	duration(&c.BackoffMax, time.Second)
	duration(&c.SilenceMax, 2*time.Second)
	duration(&c.HolderAlive, time.Second)
	size(&c.Window.Frames, wire.WindowFramesMax)
	size(&c.Window.Bytes, 8<<20)
	size(&c.ReceiveBytes, 4<<20)
	size(&c.WaitingBytes, 8<<20)
	size(&c.SpoolBytes, 64<<20)
	size(&c.DatagramMax, 1<<20)
	if c.Clock == nil {
		c.Clock = clock.System()
	}
	if c.Spool == nil {
		c.Spool = NewMemorySpool(c.SpoolBytes)
	}
	if c.Log == nil {
		c.Log = func(string) {}
	}
	if c.OpenNonce == nil {
		c.OpenNonce = func() uint64 { return 0 }
	}
}

// versions are the lowest and the highest that are spoken.
func (c *Config) versions() (oldest, newest uint8) {
	if c.newest == 0 {
		return wire.Oldest, wire.Version
	}
	return c.oldest, c.newest
}

// secretBytesMin is what gossip asks of a secret as well.
const secretBytesMin = 16

// ErrExposed refuses a routable address that nothing protects.
var ErrExposed = errors.New("links would listen on an address that other machines reach, with neither mutual TLS nor a shared secret: " +
	"set cluster.secret_key, or cluster.cafile, certfile and keyfile, or cluster.insecure = on if everything that reaches it may be trusted")

// validate reports the first fault.
func (c *Config) validate() error {
	a, err := netip.ParseAddrPort(c.Bind)
	switch {
	case err != nil:
		return fmt.Errorf("link: bind address %q: %w", c.Bind, err)
	case c.Node == 0:
		return errors.New("link: a node id is never zero")
	case c.Cluster == "" || c.Handler == nil:
		return errors.New("link: a mesh needs a cluster name and a handler")
	case c.Secret != nil && len(c.Secret) < secretBytesMin:
		return fmt.Errorf("link: the secret has %d bytes, %d are the least", len(c.Secret), secretBytesMin)
	case c.Window.Frames > wire.WindowFramesMax:
		return fmt.Errorf("link: a window of %d frames; %d are the most", c.Window.Frames, wire.WindowFramesMax)
	case c.ReceiveBytes != 0 && c.ReceiveBytes < wire.BodyBytesMax:
		return fmt.Errorf("link: credit of %d bytes; a frame may have %d", c.ReceiveBytes, wire.BodyBytesMax)
	}
	mutual := c.TLS != nil && c.TLS.ClientAuth == tls.RequireAndVerifyClientCert
	if !a.Addr().IsLoopback() && !mutual && c.Secret == nil && !c.Insecure {
		return fmt.Errorf("link: %s: %w", c.Bind, ErrExposed)
	}
	return nil
}
