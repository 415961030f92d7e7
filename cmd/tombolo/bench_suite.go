package main

import (
	"fmt"
	"slices"

	"tombolo/bench"
	"tombolo/bench/compare"
	"tombolo/bench/peer"
)

// suiteRow is a scenario of a suite, as it would be typed, and the brokers that
// it is for. Immutable.
type suiteRow struct {
	spec string
	kind rowKind
}

type rowKind uint8

const (
	single  rowKind = iota // brokers of one node
	peers                  // those, and nats-server
	delays                 // mosquitto with Nagle's algorithm off, and this broker
	lone                   // as single, but what is measured is small and so taken more often
	secured                // this broker over TLS
	cluster                // three nodes, local and across
)

// Brokers that take part in few rows of the full suite.
const (
	noDelay      = "mosquitto-nodelay"
	nats         = "nats-server"
	overTLS      = "tombolo-tls"
	threeNodes   = "tombolo-3"
	threeAcross  = "tombolo-3-cross"
	rateSeconds  = " --duration 4s"
	delaySeconds = " --duration 10s"
)

// rareRepeat is how often delays and lone messages are measured when the rest is
// three times: five medians are asked for.
const rareRepeat = 5

// takesPart says whether a broker is meant by a kind of row of the full suite.
func (k rowKind) takesPart(d *peer.Definition) bool {
	switch {
	case len(d.Targets) > 1:
		return k == cluster
	case d.Name == overTLS:
		return k == secured
	case d.Name == noDelay:
		return k == delays
	case d.Name == nats:
		return k == peers
	case d.Name == "mosquitto":
		return k != delays && k != secured && k != cluster
	}
	return k != secured && k != cluster
}

// suites are scenarios that belong together. The full one is made to fit 22
// minutes with mosquitto, nats-server, this broker and three repetitions.
var suites = map[string][]suiteRow{
	"quick": {{spec: "p2p"}, {spec: "p2p -q 1"}, {spec: "fanin"}, {spec: "fanout"}, {spec: "latency"}},
	"full": {
		{spec: "fanin" + rateSeconds, kind: peers}, {spec: "fanin -q 1" + rateSeconds},
		{spec: "fanout" + rateSeconds, kind: peers}, {spec: "fanout -q 1" + rateSeconds},
		{spec: "p2p" + rateSeconds, kind: peers}, {spec: "p2p -q 1" + rateSeconds, kind: peers}, {spec: "p2p -q 2" + rateSeconds},
		{spec: "shared" + rateSeconds}, {spec: "match" + rateSeconds},
		{spec: "fanout --payload 4096" + rateSeconds}, {spec: "fanout --payload 65536 --window 4" + rateSeconds},
		{spec: "latency" + delaySeconds, kind: delays}, {spec: "latency -q 1" + delaySeconds, kind: delays},
		{spec: "latency --pairs 100" + rateSeconds, kind: lone}, {spec: "fanin --rate 5000" + rateSeconds, kind: lone},
		{spec: "connect", kind: lone}, {spec: "idle --connections 15000 --duration 4s"},
		{spec: "idle --connections 6000 --duration 4s", kind: secured}, {spec: "subscribe --filters 1000000"},
		{spec: "retained"}, {spec: "offline"},
		{spec: "p2p" + rateSeconds, kind: cluster}, {spec: "p2p -q 1" + rateSeconds, kind: cluster},
	},
}

// usual names the brokers that are compared unless others are given, the one
// that the others are held against first. RabbitMQ takes so long to start that
// it has to be asked for.
func usual(full bool) []string {
	if full {
		return []string{noDelay, "mosquitto", nats, "tombolo", overTLS, threeNodes, threeAcross}
	}
	return []string{"mosquitto", noDelay, nats, "tombolo"}
}

// suite makes the rows of a suite. Brokers that were named take part in every
// row that they can: those of a cluster in its rows, the others in the rest.
func suite(name string, named bool, brokers []peer.Definition, repeat int) (rows []compare.Scenario, err error) {
	list, ok := suites[name]
	if !ok {
		return nil, fmt.Errorf("--suite %s: give quick or full", name)
	}
	for _, r := range list {
		c, err := parseScenario(r.spec)
		if err != nil {
			return nil, fmt.Errorf("suite %s: %q: %w", name, r.spec, err)
		}
		s := compare.Scenario{Name: r.spec, Config: c}
		switch r.kind {
		case cluster:
			s.Name += ", three nodes"
		case secured:
			s.Name += ", TLS"
		case delays, lone:
			if repeat >= 3 {
				s.Repeat = rareRepeat
			}
		}
		for i := range brokers {
			d := &brokers[i]
			part := r.kind.takesPart(d)
			if name != "full" || named {
				part = r.kind != secured && (len(d.Targets) > 1) == (r.kind == cluster) || part
			}
			if c.Scenario == bench.Connect && d.Certificate {
				part = false // it measures plain TCP only
			}
			if part {
				s.Brokers = append(s.Brokers, d.Name)
			}
		}
		if len(s.Brokers) > 0 {
			rows = append(rows, s)
		}
	}
	return slices.Clip(rows), nil
}
