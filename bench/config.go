package bench

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"tombolo/mqtt/packet"
)

// Scenario names a shape of load.
type Scenario string

// The scenarios. Their defaults are those under which the reference figures of
// other brokers were taken.
const (
	Latency   Scenario = "latency"   // pairs at a fixed rate
	P2P       Scenario = "p2p"       // pairs, as fast as their windows allow
	FanIn     Scenario = "fanin"     // many publishers, one subscriber
	FanOut    Scenario = "fanout"    // one publisher, many subscribers
	Shared    Scenario = "shared"    // many publishers, one group of subscribers
	Connect   Scenario = "connect"   // connections, as fast as they are accepted
	Idle      Scenario = "idle"      // connections that do nothing
	Subscribe Scenario = "subscribe" // many subscriptions: rate and memory
	Match     Scenario = "match"     // messages against many wildcard filters
	Retained  Scenario = "retained"  // set many, then one client subscribes to all
	Offline   Scenario = "offline"   // sessions leave, are queued for, and return
	Migrate   Scenario = "migrate"   // the same, and they return at another node
)

// Scenarios lists them in the order of their documentation.
func Scenarios() []Scenario {
	return []Scenario{Latency, P2P, FanIn, FanOut, Shared, Connect, Idle, Subscribe, Match, Retained, Offline, Migrate}
}

// Config describes one run. Defaults gives one for a scenario.
type Config struct {
	Scenario    Scenario
	Targets     []string // host:port, or mqtts://, ws://, wss:// and host:port; several for a cluster
	TLS         *tls.Config
	Cross       bool  // with several targets: subscribe on another node than the publisher's
	Persistent  bool  // of latency, p2p and fanin: the subscribers' sessions outlive connections, so that a broker stores for them
	Keep        bool  // of offline: nobody returns, what was stored stays there
	PIDs        []int // the broker's processes, to measure; may be empty
	Version     packet.Version
	QoS         uint8
	PayloadSize int // bytes
	Publishers  int
	// Subscribers are for p2p and latency as many as publishers; for shared the
	// members of the group; for subscribe and match the connections over which
	// the filters are spread; for offline the sessions.
	Subscribers int
	// Window is how many messages a publisher may have sent that not all its
	// subscribers have received. Used when Rate is 0. For retained and offline
	// it counts what the broker has not acknowledged; for connect it is how
	// many handshakes go on at once.
	Window int
	// Rate is messages published a second, over all publishers. 0 sends as
	// fast as the windows allow.
	Rate        float64
	WarmUp      time.Duration // load before the figures are taken
	Duration    time.Duration // of the figures
	Drain       time.Duration // how long to wait for what is late, without progress
	Connections int           // for idle and connect
	Filters     int           // for subscribe and match
	Wildcards   int           // of a hundred filters
	Messages    int           // for retained in all, for offline for each session
	KeepAlive   time.Duration
	Username    string
	Password    string
	// Tick, if set, is called about four times a second with the state so far.
	Tick func(Progress)
}

// Progress is what a live view shows.
type Progress struct {
	Phase    string // connecting, warming up, measuring, draining
	Elapsed  time.Duration
	Sent     uint64
	Received uint64
	Clients  int
}

const (
	headerBytes = 32       // of a payload: see message.go
	payloadMax  = 64 << 20 // bytes; a broker takes less by default
	clientsMax  = 60_000   // ports of one address
	windowMax   = 60_000   // packet identifiers of one connection
	filtersMax  = 10_000_000
	messagesMax = 10_000_000
)

// Defaults gives the scenario as the reference figures define it.
func Defaults(s Scenario) Config {
	c := Config{
		Scenario: s, Targets: []string{"127.0.0.1:1883"}, Version: packet.V311, PayloadSize: 128,
		Publishers: 1, Subscribers: 1, Window: 20,
		WarmUp: time.Second, Duration: 5 * time.Second, Drain: 2 * time.Second, KeepAlive: time.Minute,
	}
	switch s {
	case Latency:
		c.Publishers, c.Subscribers, c.Rate, c.Duration = 10, 10, 1_000, 10*time.Second
	case P2P:
		c.Publishers, c.Subscribers = 50, 50
	case FanIn:
		c.Publishers = 50
	case FanOut:
		c.Subscribers = 100
	case Shared:
		c.Publishers, c.Subscribers = 10, 10
	case Idle, Connect:
		c.Publishers, c.Subscribers, c.Connections = 0, 0, 10_000
		c.KeepAlive = 20 * time.Minute
		if s == Connect {
			c.Window = 100
		}
	case Subscribe:
		c.Publishers, c.Subscribers, c.Filters, c.Wildcards = 10, 50, 100_000, 50
		c.Duration = 2 * time.Second
	case Match:
		c.Publishers, c.Subscribers, c.Filters, c.Wildcards = 10, 50, 50_000, 100
	case Retained:
		c.Publishers, c.Messages, c.QoS, c.Window = 4, 50_000, 1, 100
		c.Drain = 10 * time.Second
	case Offline, Migrate:
		c.Publishers, c.Subscribers, c.Messages, c.QoS, c.Window = 4, 50, 500, 1, 100
		c.Drain = 10 * time.Second
	}
	return c
}

// Check reports what is wrong with the settings, all at once.
func (c *Config) Check() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(len(c.Targets) == 0, "no broker to connect to: give a target such as 127.0.0.1:1883")
	for _, target := range c.Targets {
		way, _, _, err := splitTarget(target)
		if err != nil {
			faults = append(faults, err)
		}
		fault(c.Scenario == Connect && err == nil && way != wayPlain, "connect measures plain TCP only, not %s", target)
	}
	fault(c.Version != packet.V311 && c.Version != packet.V5, "the version is 3.1.1 or 5")
	fault(c.QoS > 2, "QoS %d: it is 0, 1 or 2", c.QoS)
	fault(c.Duration <= 0, "duration %v: it must be positive", c.Duration)
	fault(c.WarmUp < 0 || c.Drain < 0, "warm-up and drain must not be negative")
	fault(c.KeepAlive < 0 || c.KeepAlive > 18*time.Hour, "keep-alive %v: at most 18 hours", c.KeepAlive)
	if c.Scenario == Idle || c.Scenario == Connect {
		fault(c.Connections < 1 || c.Connections > clientsMax, "%d connections: give 1 to %d", c.Connections, clientsMax)
		fault(c.Scenario == Connect && c.Window < 1, "window %d: give 1 or more", c.Window)
		return errors.Join(faults...)
	}
	fault(c.PayloadSize < headerBytes || c.PayloadSize > payloadMax,
		"payload of %d bytes: give %d (its header) to %d", c.PayloadSize, headerBytes, payloadMax)
	fault(c.Publishers < 1 || c.Subscribers < 1 || c.Publishers+c.Subscribers > clientsMax,
		"%d publishers and %d subscribers: at least one of each, at most %d in all", c.Publishers, c.Subscribers, clientsMax)
	fault(c.Rate < 0, "rate %v: it must not be negative", c.Rate)
	fault(c.Rate == 0 && (c.Window < 1 || c.Window > windowMax), "window %d: give 1 to %d", c.Window, windowMax)
	faults = append(faults, c.checkShape()...)
	return errors.Join(faults...)
}

// checkShape reports what is wrong with the parts of one scenario.
func (c *Config) checkShape() (faults []error) {
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	switch c.Scenario {
	case Latency, P2P:
		fault(c.Publishers != c.Subscribers, "%s needs as many subscribers as publishers", c.Scenario)
		fault(c.Scenario == Latency && c.Rate == 0, "latency needs a rate: without one the figure is that of a full queue")
	case FanIn:
		fault(c.Subscribers != 1, "fanin has one subscriber")
	case FanOut:
		fault(c.Publishers != 1, "fanout has one publisher")
	case Shared:
	case Subscribe, Match:
		fault(c.Filters < 1 || c.Filters > filtersMax, "%d filters: give 1 to %d", c.Filters, filtersMax)
		fault(c.Wildcards < 0 || c.Wildcards > 100, "%d wildcards: they are counted of a hundred", c.Wildcards)
	case Retained, Offline, Migrate:
		fault(c.QoS == 0, "%s needs QoS 1 or 2: at 0 nobody knows when the broker has a message", c.Scenario)
		fault(c.Rate != 0, "%s takes no rate: its window is what bounds it", c.Scenario)
		fault(c.Messages < 1 || c.Messages > messagesMax, "%d messages: give 1 to %d", c.Messages, messagesMax)
		fault(c.Scenario == Retained && c.Subscribers != 1, "retained has one subscriber")
		fault(c.Scenario == Migrate && len(c.Targets) < 2, "migrate needs two nodes of a cluster at least: give --target twice")
	default:
		fault(true, "no scenario %q: there are %v", c.Scenario, Scenarios())
	}
	return faults
}
