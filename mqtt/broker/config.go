package broker

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"time"

	"tombolo/internal/metric"
	"tombolo/metadata"
	"tombolo/mqtt/packet"
	"tombolo/mqtt/session"
	"tombolo/netsplit"
	"tombolo/queue"
)

// SharePolicy says which member of a shared subscription gets a message. An
// online member comes before an offline one under every policy (R13).
type SharePolicy uint8

// The policies, in VerneMQ's names.
const (
	PreferLocal SharePolicy = iota
	Random
	LocalOnly
	PreferOnlineBeforeLocal
)

// Settings is what the operator may change while the broker runs. Immutable
// once given to New or Broker.Change.
type Settings struct {
	Limits                 *session.Limits
	Queue                  queue.Config
	SubscriptionsPerClient int           // max_subscriptions_per_client; 0 = no limit
	MessageRateMax         int           // max_message_rate: publishes per second and client; 0 = no limit
	OutboxBytesMax         int           // max_outbox_bytes for a client that does not read
	OutboxDisconnect       bool          // disconnect at the bound; otherwise QoS 0 is dropped
	ConnectTimeout         time.Duration // mqtt_connect_timeout
	SharePolicy            SharePolicy
	SuppressWillOnTakeover bool
	WillGrace              time.Duration // will_heal_grace: how long a kept will waits for its client
	WillOnNodeLoss         WillPolicy    // will_on_node_loss
	Anonymous              bool          // allow_anonymous: nobody is asked for credentials
	QuietKeepAlive         bool          // logging.keepalive_as_warning = off
	HoldTimeout            time.Duration // netsplit_hold_timeout: how long a publish is held at most; 0 = 10 s
	HoldBytesMax           int64         // netsplit_hold_bytes: publishes held on this node; 0 = 64 MiB
	TakeoversMax           int           // cluster.takeovers_per_minute, from which on a client is held up; 0 = no limit
	DrainStep              int           // max_msgs_per_drain_step: messages in one batch of a migration; 0 = 1000
	DrainPause             time.Duration // max_drain_time: how long a migration rests after a batch that was not taken; 0 = 100 ms
	RefuseWhenGated        bool          // netsplit_publish_response = error: version 5 is told, not held
}

// Identity is who a client is to authentication and authorisation. Immutable
// once its connection is registered.
type Identity struct {
	Mountpoint string
	ClientID   string
	Username   string
	Peer       netip.AddrPort
	PeerName   string
	Listener   string
	CommonName string
	// CertificateUser says that the listener takes the verified certificate's
	// common name for the user name.
	CertificateUser bool
	TLS             *tls.ConnectionState
}

// Verdict is an authenticator's answer. Reason Success lets the client in.
type Verdict struct {
	Reason packet.ReasonCode
	Detail string
}

// Authenticator decides on a CONNECT. It may block and is called on a worker,
// with a context that ends with the time limit for CONNECT.
type Authenticator interface {
	Authenticate(ctx context.Context, id *Identity, password []byte) Verdict
}

// Rules answers what one client may do. It must not block; MayPublish must not
// allocate. Safe for concurrent use.
type Rules interface {
	MayPublish(topic []byte, qos uint8, retain bool) bool
	MaySubscribe(filter string, qos uint8) bool
}

// Authorizer gives the rules of a client when it has connected.
// Nil rules allow everything.
type Authorizer interface {
	RulesFor(id *Identity) Rules
}

// Exchange is one enhanced authentication under way (MQTT 5 §4.12). Next is
// called with what the client sent, on a worker. done ends the exchange.
type Exchange interface {
	Next(ctx context.Context, data []byte) (reply []byte, done bool, v Verdict)
}

// EnhancedAuthenticator begins exchanges; nil from Begin means that the method
// is not known here, which the client is told with 0x8C.
type EnhancedAuthenticator interface {
	Begin(id *Identity, method string) Exchange
}

// Config is what a broker is built of. All fields but Enhanced and Cluster are
// required.
type Config struct {
	Node          string // the node's name, for $SYS and logs
	NodeID        uint64
	Settings      *Settings
	Metadata      *metadata.Store
	Queue         *queue.Store
	Gate          *netsplit.Gate
	Authenticator Authenticator
	Authorizer    Authorizer
	Enhanced      EnhancedAuthenticator
	Cluster       Cluster // nil: a node by itself
	Metrics       *metric.Registry
	Log           *slog.Logger
	Now           func() time.Time
	Random        func([]byte) // fills with random bytes, for assigned client ids
}
