package bench

import (
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
	Latency Scenario = "latency" // pairs at a fixed rate
	P2P     Scenario = "p2p"     // pairs, as fast as their windows allow
	FanIn   Scenario = "fanin"   // many publishers, one subscriber
	FanOut  Scenario = "fanout"  // one publisher, many subscribers
	Idle    Scenario = "idle"    // connections that do nothing
)

// Config describes one run. Defaults gives one for a scenario.
type Config struct {
	Scenario    Scenario
	Targets     []string // host:port; several for a cluster
	Cross       bool     // with several targets: subscribe on another node than the publisher's
	PIDs        []int    // the broker's processes, to measure; may be empty
	Version     packet.Version
	QoS         uint8
	PayloadSize int // bytes
	Publishers  int
	Subscribers int // for p2p and latency as many as publishers
	// Window is how many messages a publisher may have sent that not all its
	// subscribers have received. Used when Rate is 0.
	Window int
	// Rate is messages published a second, over all publishers. 0 sends as
	// fast as the windows allow.
	Rate        float64
	WarmUp      time.Duration // load before the figures are taken
	Duration    time.Duration // of the figures
	Drain       time.Duration // how long to wait for what is late, without progress
	Connections int           // for idle
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
	case Idle:
		c.Publishers, c.Subscribers, c.Connections = 0, 0, 10_000
		c.KeepAlive = 20 * time.Minute
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
	fault(c.Version != packet.V311 && c.Version != packet.V5, "the version is 3.1.1 or 5")
	fault(c.QoS > 2, "QoS %d: it is 0, 1 or 2", c.QoS)
	fault(c.Duration <= 0, "duration %v: it must be positive", c.Duration)
	fault(c.WarmUp < 0 || c.Drain < 0, "warm-up and drain must not be negative")
	fault(c.KeepAlive < 0 || c.KeepAlive > 18*time.Hour, "keep-alive %v: at most 18 hours", c.KeepAlive)
	if c.Scenario == Idle {
		fault(c.Connections < 1 || c.Connections > clientsMax, "%d connections: give 1 to %d", c.Connections, clientsMax)
		return errors.Join(faults...)
	}
	fault(c.PayloadSize < headerBytes || c.PayloadSize > payloadMax,
		"payload of %d bytes: give %d (its header) to %d", c.PayloadSize, headerBytes, payloadMax)
	fault(c.Publishers < 1 || c.Subscribers < 1 || c.Publishers+c.Subscribers > clientsMax,
		"%d publishers and %d subscribers: at least one of each, at most %d in all", c.Publishers, c.Subscribers, clientsMax)
	fault(c.Rate < 0, "rate %v: it must not be negative", c.Rate)
	fault(c.Rate == 0 && (c.Window < 1 || c.Window > windowMax), "window %d: give 1 to %d", c.Window, windowMax)
	switch c.Scenario {
	case Latency, P2P:
		fault(c.Publishers != c.Subscribers, "%s needs as many subscribers as publishers", c.Scenario)
		fault(c.Scenario == Latency && c.Rate == 0, "latency needs a rate: without one the figure is that of a full queue")
	case FanIn:
		fault(c.Subscribers != 1, "fanin has one subscriber")
	case FanOut:
		fault(c.Publishers != 1, "fanout has one publisher")
	default:
		fault(true, "no scenario %q: there are latency, p2p, fanin, fanout and idle", c.Scenario)
	}
	return errors.Join(faults...)
}
