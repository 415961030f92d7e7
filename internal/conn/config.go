package conn

import (
	"net/netip"
	"time"
)

// Config describes one listener. It holds valid values only and is not changed
// after Listen. Zero of a size or a duration that has no meaning of its own is
// replaced by the default that its comment names.
type Config struct {
	// Name is the listener's name in the configuration; Kind is one of the Kind
	// constants; Mountpoint is passed on in Info.
	Name, Kind, Mountpoint string
	// Address is "host:port", "[v6]:port" or "local:path" (a trailing ":n" is
	// taken off, as VerneMQ writes it) for a unix socket.
	Address string
	// MaxConnections bounds the connections alive at once; 0 is no bound.
	MaxConnections int
	// DescriptorsMax bounds the number of a connection's descriptor; 0 is no bound.
	// The system gives the lowest number that is free, so that those from here on
	// are left to the rest of the process, however many clients come.
	DescriptorsMax int

	// OutboxHighMark and OutboxLowMark are the bytes between which OnWritable
	// works; 0 for the high mark turns it off.
	OutboxHighMark, OutboxLowMark int
	// ReadBuffer is the size of the buffer that a ready socket borrows: one round
	// is at most one buffer. Default 64 KiB.
	ReadBuffer int
	// CloseLinger is how long a connection that its handler, or the peer, ended
	// may take to deliver what is buffered. Default 5 s.
	CloseLinger time.Duration
	// SendBuffer and ReceiveBuffer set the socket's buffers; 0 leaves the kernel's.
	SendBuffer, ReceiveBuffer int
	// Plain drives sockets through net.Conn even where raw calls are available.
	Plain bool

	// Loops is how many event loops drive the plain sockets of KindTCP, on Linux; 0
	// gives each connection a goroutine. A loop serves many connections one after
	// the other, so that a handler that blocks stops them all.
	Loops int

	// TLS is needed by KindSSL and KindWSS.
	TLS *TLS
	// HandshakeTimeout bounds the TLS handshake and the WebSocket upgrade, each.
	// Default 5 s.
	HandshakeTimeout time.Duration
	// IdentityAsUser sets Info.CommonNameIsUser when a certificate names one.
	IdentityAsUser bool

	WebSocket WebSocket
	Proxy     Proxy

	// Events is told what is worth a log line. It must not block, and is called
	// from several goroutines; nil is silence.
	Events func(Event)
}

// WebSocket holds what ws and wss listeners need beside the rest.
type WebSocket struct {
	// Path is the only one that is upgraded. Default "/mqtt".
	Path string
	// Protocols are the subprotocols taken, the client's order deciding. Default
	// "mqtt" and "mqttv3.1".
	Protocols []string
	// FrameBytesMax bounds one frame; 0 is no bound but that of the standard.
	FrameBytesMax int64
	// RequestLineMax and HeaderValueMax bound the HTTP request. Defaults 8000 and
	// 4096.
	RequestLineMax, HeaderValueMax int
	// ForwardedFor takes the peer's address from X-Forwarded-For if the socket's
	// peer is in Trusted; a peer that is not is refused. Off when Trusted is empty.
	ForwardedFor bool
	Trusted      []netip.Addr
	// CommonNameHeader names a header of the trusted peer that holds the common
	// name of the client's certificate; a request without it is refused. "" is off.
	CommonNameHeader string
}

// Proxy says whether connections begin with a PROXY protocol header.
type Proxy struct {
	Enabled bool
	// Timeout bounds the wait for the header. Default 10 s.
	Timeout time.Duration
	// CommonNameAsUser sets Info.CommonNameIsUser when the header has one.
	CommonNameAsUser bool
}

// httpHeadersMax bounds the header lines of an upgrade request.
const httpHeadersMax = 100

func (c Config) withDefaults() Config {
	setDefault(&c.ReadBuffer, chunkSizes[2])
	setDefault(&c.CloseLinger, 5*time.Second)
	setDefault(&c.HandshakeTimeout, 5*time.Second)
	setDefault(&c.Proxy.Timeout, 10*time.Second)
	setDefault(&c.WebSocket.Path, "/mqtt")
	setDefault(&c.WebSocket.RequestLineMax, 8000)
	setDefault(&c.WebSocket.HeaderValueMax, 4096)
	if c.WebSocket.Protocols == nil {
		c.WebSocket.Protocols = []string{"mqtt", "mqttv3.1"}
	}
	return c
}

func setDefault[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}
