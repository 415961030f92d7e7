package conn

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"sync"
	"time"
)

// Handler is the receiving end of one connection. Its calls never overlap and
// come from the connection's driver. None may block: what is slow belongs on a
// worker, which calls Wake when it is done.
type Handler interface {
	// OnBytes is given all bytes that were not consumed yet. It returns how many
	// it has taken from the front and, in want, how many bytes in total it needs
	// before it makes sense to call it again (0: any more will do). With an error
	// the driver closes the connection. After PauseRead it may leave bytes behind;
	// it is called with them again after ResumeRead.
	OnBytes(b []byte) (consumed, want int, err error)
	// OnRoundEnd is called when the bytes at hand were handed over, and after
	// Wake. It is the place to flush what the round has touched.
	OnRoundEnd()
	// OnWritable is called when the outbox fell below OutboxLowMark after it had
	// been above OutboxHighMark. OnRoundEnd follows.
	OnWritable()
	// OnClose is the last call. What is in the outbox may still be on its way.
	OnClose(err error)
}

// Conn is the sending end of one connection. It is safe for concurrent use under
// the rules that each method names.
type Conn interface {
	// Append copies p to the outbox. The caller holds Locker. It never blocks and
	// does no I/O; after Shutdown it drops p.
	Append(p []byte)
	// AppendShared is Append without the copy: the outbox keeps p until it is sent,
	// and it may stand in many outboxes at once. Nobody writes to p ever again;
	// when the last outbox lets go of it, the garbage collector has it. It counts in
	// Buffered like any other bytes.
	AppendShared(p []byte)
	// Reserve returns n bytes at the end of the outbox to encode into, valid until
	// Locker is released. All n bytes will be sent. The caller holds Locker.
	Reserve(n int) []byte
	// Buffered returns the bytes that the kernel has not taken yet. The caller
	// holds Locker.
	Buffered() int
	// Flush makes one non-blocking attempt to write all; what is left goes when
	// the socket is writable again. The caller must not hold Locker.
	Flush()
	// Wake has the driver call OnRoundEnd soon. Calls before it does are one.
	Wake()
	// PauseRead stops calls of OnBytes, so that the peer's window fills.
	PauseRead()
	// ResumeRead ends PauseRead.
	ResumeRead()
	// Shutdown sends what is buffered, for at most linger, then closes; it returns
	// at once. The first call decides; the caller may hold Locker.
	Shutdown(err error, linger time.Duration)
	// Info returns what is known of the connection; it does not change.
	Info() Info
	// Locker returns the mutex that guards the outbox. The caller may guard its
	// own session with it, so that a step and its output are one critical section.
	Locker() *sync.Mutex
}

// Accept is called once for each new connection, before its first read, by its
// driver or by the goroutine that accepts. It must not block. A nil Handler refuses the
// connection.
type Accept func(c Conn) Handler

// Kind names of listeners, as in the configuration file.
const (
	KindTCP = "tcp"
	KindSSL = "ssl"
	KindWS  = "ws"
	KindWSS = "wss"
)

// Info holds the facts of a connection.
type Info struct {
	Listener   string // the listener's name
	Kind       string // KindTCP, KindSSL, KindWS or KindWSS
	Mountpoint string
	// Peer is the other end of the connection, or what a trusted PROXY or
	// X-Forwarded-For header says, if one was accepted. Zero for unix sockets.
	Peer netip.AddrPort
	// PeerName is Peer as text, or "local:" and the path for unix sockets.
	PeerName string
	// TLS is nil without TLS. It is shared and must not be changed.
	TLS *tls.ConnectionState
	// CommonName is that of the client's certificate, or of the one that a PROXY
	// header or a trusted proxy's header reports; "" if there is none.
	CommonName string
	// CommonNameIsUser says that the listener's configuration wants CommonName in
	// the place of the user name of CONNECT.
	CommonNameIsUser bool
	// Proxy is nil unless a PROXY header with an address was accepted.
	Proxy *ProxyInfo
}

// ProxyInfo is what a PROXY protocol header said. Immutable once built.
type ProxyInfo struct {
	Version    int            // 1 or 2
	Via        netip.AddrPort // the proxy's own address
	CommonName string         // of the client's certificate, from the TLS TLV
	TLSVersion string         // such as "TLSv1.3", from the TLS TLV
	TLVs       []ProxyTLV     // all of them, in order, bounded by the header's size
}

// ProxyTLV is one type-length-value vector of a PROXY v2 header.
type ProxyTLV struct {
	Type  byte
	Value []byte
}

// Errors given to OnClose, beside io.EOF and what the kernel or a handler says.
var (
	// ErrListenerClosed ends the connections of a listener whose context ended.
	ErrListenerClosed = errors.New("listener closed")
	// ErrFraming marks a peer that broke the framing below MQTT.
	ErrFraming = errors.New("bad framing")
)
