package member

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"time"

	"tombolo/internal/clock"
	"tombolo/internal/wire"
	"tombolo/metadata"
)

// Config is what a Set is told. Zero durations and counts take the default.
// The callbacks are called from the Set's own goroutines and must not block.
type Config struct {
	Self    wire.Member // State and Since are the record's; Gossip may be empty: it is where Listen listens
	Cluster string      // name; nodes of another one are not heard
	Seeds   []string    // host:port of gossip addresses; with any, a node that is no member yet looks for others to join
	// Expected is how many members the cluster is to have (cluster.expected_members): a node
	// with seeds founds a cluster only with more than half of them. 0: with the first that comes.
	Expected int
	Path     string // of the file that holds record and vote; "": nothing outlives the process
	Store    *metadata.Store
	Gossip   GossipConfig
	Version  string // of the program, for others to see

	// Send hands a frame to the control stream of a link; false: there is none
	// or it is full. It must not block and does not keep m.
	Send func(to wire.NodeID, m *wire.Members) bool
	// OnPeer says that a node is there to be linked, whether it is a member or
	// not, and where. It comes again when the address changes.
	OnPeer func(id wire.NodeID, linkAddress string)
	// OnGone says that a node is to be linked no more: it is no member and will be none, or this
	// one was removed.
	OnGone func(id wire.NodeID)
	// OnChange says that a version has taken effect. They come in ascending order; some may be
	// left out, but a founder hears of version 1, which has no other member.
	OnChange func(version uint64, list []wire.Member)
	Log      func(level slog.Level, text string) // nil: nobody reads it

	// Refused is why nodes that were found cannot be linked, for a reason that does
	// not pass by itself; "" if there is none. Nil: it is not known.
	Refused func() string

	DeadMemberTimeout time.Duration // a member that is unreachable for so long is marked absent; 0: never
	Interval          time.Duration // between two looks at what is undone; what has no answer is sent again after two; 250 ms
	RequestTimeout    time.Duration // what a node asks for on another's behalf is given up after it; 10 s
	Clock             clock.Clock
	Rand              func() uint64 // nil: the system's
}

// GossipConfig is how nodes find each other. Times and counts are those of
// memberlist; zero takes the default, which is its profile for a LAN where
// nothing else is said.
type GossipConfig struct {
	Bind      string // IP:port for UDP and TCP; port 0 takes a free one; "": no gossip, peers are known from the record alone
	Advertise string // host:port for others; "": where it listens
	Secret    []byte // of the cluster, 16 bytes or more; nil: gossip in the clear
	Insecure  bool   // the operator wants a routable address without a secret

	TCPTimeout          time.Duration // of an exchange of all that is known; 3 s
	PushPullInterval    time.Duration // between two of them; 30 s
	ProbeInterval       time.Duration // 1 s
	ProbeTimeout        time.Duration // 500 ms
	GossipInterval      time.Duration // 200 ms
	GossipToTheDeadTime time.Duration // 30 s
	IndirectChecks      int           // 3
	RetransmitMult      int           // 4
	SuspicionMult       int           // 4
	RejoinInterval      time.Duration // between two attempts to find one that is not there; 3 s
}

// secretBytesMin is what links ask of a secret as well.
const secretBytesMin = 16

// clusterBytesMax is memberlist's bound of a label.
const clusterBytesMax = 255

// ErrExposed refuses a routable address that nothing protects.
var ErrExposed = errors.New("gossip would listen on an address that other machines reach, without a secret: " +
	"set cluster.secret_key (TLS protects links, not gossip), or cluster.insecure = on if everything that reaches it may be trusted")

func (c *Config) defaults() {
	duration := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	duration(&c.Interval, 250*time.Millisecond)
	duration(&c.RequestTimeout, 10*time.Second)
	if c.Clock == nil {
		c.Clock = clock.System()
	}
	if c.Rand == nil {
		c.Rand = systemRand
	}
	if c.Log == nil {
		c.Log = func(slog.Level, string) {}
	}
	if c.OnPeer == nil {
		c.OnPeer = func(wire.NodeID, string) {}
	}
	if c.OnGone == nil {
		c.OnGone = func(wire.NodeID) {}
	}
	if c.OnChange == nil {
		c.OnChange = func(uint64, []wire.Member) {}
	}
	c.Gossip.defaults()
}

func (g *GossipConfig) defaults() {
	duration := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	count := func(n *int, def int) {
		if *n == 0 {
			*n = def
		}
	}
	duration(&g.TCPTimeout, 3*time.Second)
	duration(&g.PushPullInterval, 30*time.Second)
	duration(&g.ProbeInterval, time.Second)
	duration(&g.ProbeTimeout, 500*time.Millisecond)
	duration(&g.GossipInterval, 200*time.Millisecond)
	duration(&g.GossipToTheDeadTime, 30*time.Second)
	duration(&g.RejoinInterval, 3*time.Second)
	count(&g.IndirectChecks, 3)
	count(&g.RetransmitMult, 4)
	count(&g.SuspicionMult, 4)
}

// validate reports the first fault.
func (c *Config) validate() error {
	switch {
	case c.Self.ID == 0:
		return errors.New("member: a node id is never zero")
	case c.Self.Name == "":
		return errors.New("member: a node needs a name (nodename)")
	case len(c.Self.Name) > nameBytesMax || len(c.Self.Link) > addressBytesMax || len(c.Self.Gossip) > addressBytesMax:
		return fmt.Errorf("member: a node's name has at most %d bytes, an address %d", nameBytesMax, addressBytesMax)
	case c.Cluster == "" || len(c.Cluster) > clusterBytesMax:
		return fmt.Errorf("member: cluster.name has 1 to %d bytes", clusterBytesMax)
	case len(c.Version) > versionBytesMax:
		return fmt.Errorf("member: the program's version has at most %d bytes", versionBytesMax)
	case c.Send == nil:
		return errors.New("member: a Set needs a way to send")
	case c.Expected < 0 || c.Expected > membersMax:
		return fmt.Errorf("member: cluster.expected_members is %d; a cluster has at most %d", c.Expected, membersMax)
	}
	return c.Gossip.validate()
}

func (g *GossipConfig) validate() error {
	if g.Bind == "" {
		return nil
	}
	a, err := netip.ParseAddrPort(g.Bind)
	switch {
	case err != nil:
		return fmt.Errorf("member: gossip address %q: %w", g.Bind, err)
	case g.Secret != nil && len(g.Secret) < secretBytesMin:
		return fmt.Errorf("member: the secret has %d bytes, %d are the least", len(g.Secret), secretBytesMin)
	case !a.Addr().IsLoopback() && g.Secret == nil && !g.Insecure:
		return fmt.Errorf("member: %s: %w", g.Bind, ErrExposed)
	case g.IndirectChecks < 0 || g.RetransmitMult < 0 || g.SuspicionMult < 0 || g.SuspicionMult > math.MaxInt16:
		return errors.New("member: indirect_checks, retransmit_mult and suspicion_mult are not negative")
	}
	return nil
}
