package admin

import (
	"context"
	"log/slog"
	"time"

	"tombolo/internal/metric"
)

// Config is what a Server shows. Immutable once given to New; a nil interface
// makes its endpoints answer 501.
type Config struct {
	Version       Version
	Health        Health
	Options       Options
	Levels        Levels
	Sessions      Sessions
	Retained      Retained
	Subscriptions Subscriptions
	Listeners     Listeners
	Status        func() Status
	Stores        Stores
	Cluster       Cluster // nil: a node by itself
	Metrics       *metric.Registry
	Exposition    metric.Exposition
	Log           *slog.Logger // nil: the server's own complaints are dropped
}

// Version tells what runs. A value.
type Version struct {
	Node      string    `json:"node,omitempty"`
	Version   string    `json:"version"`
	Revision  string    `json:"revision,omitempty"`
	Modified  bool      `json:"modified,omitempty"` // built from a tree with changes that were not committed
	BuiltFrom string    `json:"revision_time,omitempty"`
	Go        string    `json:"go"`
	Platform  string    `json:"platform"`
	Started   time.Time `json:"started,omitzero"`
}

// Health says why a node is not well. No reasons: it is.
type Health interface {
	// Health asks whether listeners accept and the node has joined.
	Health() (reasons []string)
	// Ready also asks the stores, the routes and the gate.
	Ready() (reasons []string)
}

// Options reads and changes the settings that run.
type Options interface {
	Options() []Option                 // in the order of their declaration
	Option(key string) (Option, error) // an unknown key: NotFound that names the nearest
	SetOption(key, value string) error // only reloadable ones
}

// Option is one setting as it stands; a secret's value is masked. A value.
type Option struct {
	Key        string `json:"key"`
	Value      string `json:"value"`
	Default    string `json:"default"`
	Origin     string `json:"origin"` // "default", "tombolo.conf:12", "environment" …
	Doc        string `json:"doc,omitempty"`
	Reloadable bool   `json:"reloadable"`
	Hidden     bool   `json:"hidden,omitempty"`
}

// Levels reads and changes the log levels.
type Levels interface {
	Levels() []Level
	// SetLevel sets the level of a subsystem, or the common one for "". An
	// empty level makes the subsystem follow the common one again.
	SetLevel(subsystem, level string) error
}

// Level is the log level of one subsystem; "" is the common one. A value.
type Level struct {
	Subsystem string `json:"subsystem"`
	Level     string `json:"level"`
	Own       bool   `json:"own"`
}

// Sessions lists and ends sessions.
type Sessions interface {
	// Sessions calls yield for each session that may match, by mountpoint and
	// client id, until it returns false.
	Sessions(q SessionQuery, yield func(Session) bool)
	// Disconnect ends the connection of a session and, with cleanup, discards
	// the session; found is false if there is no such session.
	Disconnect(ctx context.Context, s SessionName, cleanup bool) (found bool, err error)
	// Orphans lists the stored queues of which no session is known.
	Orphans() ([]Orphan, error)
	// Moving lists the queues that are on their way from this node to a new home.
	Moving() []MovingQueue
	// DiscardOrphan drops one; found is false if there is no such queue.
	DiscardOrphan(s SessionName) (found bool, err error)
}

// Orphan is a stored queue of which no session is known. A value.
type Orphan struct {
	Mountpoint string    `json:"mountpoint"`
	ClientID   string    `json:"client_id"`
	Messages   int       `json:"messages"`
	DroppedAt  time.Time `json:"dropped_at"` // at the earliest
}

// MovingQueue is a queue on its way to the new home of its session. A value.
type MovingQueue struct {
	Mountpoint string    `json:"mountpoint"`
	ClientID   string    `json:"client_id"`
	To         string    `json:"to"`   // name of the node
	Sent       int64     `json:"sent"` // messages
	Left       int       `json:"left"` // messages
	Since      time.Time `json:"since"`
}

// MovingList is the answer of GET /api/v1/queues/moving. A value.
type MovingList struct {
	Moving []MovingQueue `json:"moving"`
}

// OrphanList is the answer of GET /api/v1/queues/orphaned. A value.
type OrphanList struct {
	Orphans []Orphan `json:"orphans"`
}

// SessionName tells one session from all others. A value.
type SessionName struct {
	Mountpoint string
	ClientID   string
}

// SessionQuery narrows a listing beforehand; the server filters what comes. A
// value.
type SessionQuery struct {
	Exact         *SessionName // only this one
	Subscriptions bool         // fill Session.Subscriptions
}

// Session is what is known of one session. The names are VerneMQ's. A value.
type Session struct {
	Node             string
	Mountpoint       string
	ClientID         string
	User             string
	PeerHost         string
	PeerPort         int
	Listener         string
	Protocol         int // 3, 4 or 5
	IsOnline         bool
	CleanSession     bool
	StateName        string // online, offline, wait_for_offline, drain
	QueueSize        int    // messages waiting, online and offline
	OfflineMessages  int
	OnlineMessages   int
	WaitingAcks      int
	SessionStartedAt time.Time // zero when offline
	QueueStartedAt   time.Time
	ExpiresAt        time.Time // zero: never, or online
	Subscriptions    []Subscription
}

// Subscription is one subscription of a session. A value.
type Subscription struct {
	Filter            string // with its $share prefix
	QoS               int
	NoLocal           bool
	RetainAsPublished bool
}

// Subscriptions tells who gets a message.
type Subscriptions interface {
	// Subscribers lists the sessions that a publish to topic would reach,
	// sorted by client id; a topic that is none: Invalid.
	Subscribers(mountpoint, topic string) ([]Subscriber, error)
}

// Subscriber is one receiver of a topic. A value.
type Subscriber struct {
	Node     string `json:"node"`
	ClientID string `json:"client_id"`
	Group    string `json:"group,omitempty"` // of a shared subscription
	Filter   string `json:"filter,omitempty"`
	QoS      int    `json:"qos"`
}

// Retained lists and deletes retained messages.
type Retained interface {
	// Retained calls yield for each retained message whose topic matches the
	// filter ("" is all), by mountpoint and topic, until it returns false.
	Retained(mountpoint, filter string, yield func(RetainedMessage) bool) error
	// DeleteRetained deletes one; found is false if there was none.
	DeleteRetained(ctx context.Context, mountpoint, topic string) (found bool, err error)
}

// RetainedMessage is one retained message. A value; Payload must not be
// changed by the receiver.
type RetainedMessage struct {
	Mountpoint string    `json:"mountpoint"`
	Topic      string    `json:"topic"`
	Payload    []byte    `json:"payload"` // base64 in JSON
	QoS        int       `json:"qos"`
	StoredAt   time.Time `json:"stored_at,omitzero"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`
}

// Listeners lists what the node listens on.
type Listeners interface{ Listeners() []Listener }

// Listener is one of them. A value.
type Listener struct {
	Name              string `json:"name"`
	Type              string `json:"type"`   // tcp, ssl, ws, wss, http, https
	Status            string `json:"status"` // running, suspended, failed: …
	Address           string `json:"address"`
	Port              int    `json:"port"`
	Mountpoint        string `json:"mountpoint"`
	MaxConnections    int    `json:"max_conns"` // 0 is no limit
	ActiveConnections int    `json:"active_conns"`
	AllConnections    uint64 `json:"all_conns"`
}

// Status is the node at a glance: the thirteen values of VerneMQ. A value.
type Status struct {
	Online         int        `json:"num_online"`
	Offline        int        `json:"num_offline"`
	MessagesIn     uint64     `json:"msg_in"`
	MessagesOut    uint64     `json:"msg_out"`
	QueueIn        uint64     `json:"queue_in"`
	QueueOut       uint64     `json:"queue_out"`
	QueueDropped   uint64     `json:"queue_drop"`
	QueueUnhandled uint64     `json:"queue_unhandled"`
	Subscriptions  int        `json:"num_subscriptions"`
	Retained       int        `json:"num_retained"`
	MatchesLocal   uint64     `json:"matches_local"`
	MatchesRemote  uint64     `json:"matches_remote"`
	Version        string     `json:"version"`
	Listeners      []Listener `json:"listeners"`
}

// Stores looks into the databases.
type Stores interface {
	Stores() []StoreInfo
	// InspectStore tells what a store holds, as a value to be encoded; an unknown
	// name: NotFound. It reads every key of the metadata.
	InspectStore(name string) (any, error)
	// VerifyStore reads a whole store and checks it; an unknown name: NotFound.
	VerifyStore(ctx context.Context, name string) (StoreReport, error)
}

// StoreInfo is one database. A value.
type StoreInfo struct {
	Name       string            `json:"name"`
	Path       string            `json:"path"`
	Bytes      int64             `json:"bytes"`
	Keys       int64             `json:"keys"` // -1: not counted
	Properties map[string]string `json:"properties,omitempty"`
}

// StoreReport is the outcome of a verification. A value.
type StoreReport struct {
	Name     string   `json:"name"`
	Keys     int64    `json:"keys"`
	Findings []string `json:"findings"` // none: all is well
}
