package option

import (
	"crypto/tls"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// The kinds of listeners, in the order in which Listeners returns them.
const (
	ListenerTCP   = "tcp"   // MQTT
	ListenerSSL   = "ssl"   // MQTT over TLS
	ListenerWS    = "ws"    // MQTT over WebSocket
	ListenerWSS   = "wss"   // MQTT over WebSocket over TLS
	ListenerHTTP  = "http"  // metrics, health, management
	ListenerHTTPS = "https" // the same over TLS
)

// Listener is one resolved listener.<kind>.<name>. Immutable.
type Listener struct {
	Kind    string
	Name    string
	Address Address
	Origin  Origin

	Mountpoint            string
	MaxConnections        int           // -1 unlimited
	MaxConnectionLifetime time.Duration // 0 unlimited
	AllowedVersions       []int         // 3, 4, 5
	AllowAnonymous        bool          // allow_anonymous_override, to be OR-ed with allow_anonymous
	AuthPlugins           []string      // names in order; nil means every enabled one, empty means none
	AuthzPlugins          []string      // likewise
	SendBuffer            int           // bytes, 0 is the system's
	ReceiveBuffer         int

	ProxyProtocol     bool
	ProxyCNAsUsername bool
	XFF               ForwardedFor

	TLS *TLS // nil for tcp, ws and http

	MaxRequestLine int // bytes, ws wss http https
	MaxHeaderValue int
	HTTPModules    []string // http, https
}

// ForwardedFor is how a ws listener takes X-Forwarded-For. Immutable.
type ForwardedFor struct {
	Enabled      bool
	Trusted      []netip.Addr
	CNAsUsername bool
	CNHeader     string
}

// Address is where a listener listens. Immutable.
type Address struct {
	Network string // tcp or unix
	Host    string // "" means every address of the machine
	Port    int    // 0 lets the system choose
	Path    string // of a unix socket
}

// String returns the form that net.Listen takes.
func (a Address) String() string {
	if a.Network == "unix" {
		return a.Path
	}
	return net.JoinHostPort(a.Host, strconv.Itoa(a.Port))
}

// Loopback reports whether only this machine can reach the address.
func (a Address) Loopback() bool {
	if a.Network == "unix" || a.Host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(a.Host)
	return err == nil && ip.Unmap().IsLoopback()
}

// TLS is the TLS part of a listener, translated to what crypto/tls
// understands. Immutable.
type TLS struct {
	CAFile   string
	CertFile string
	KeyFile  string
	CRLFile  string

	MinVersion   uint16
	MaxVersion   uint16
	CipherSuites []uint16      // nil means Go's defaults; TLS 1.3 suites are never configurable
	Curves       []tls.CurveID // nil means Go's defaults

	RequireCertificate    bool
	UseIdentityAsUsername bool // implies that a certificate, if given, is verified
	Depth                 int  // intermediate certificates at most
	HandshakeTimeout      time.Duration

	keyPassword string
}
