package main

import (
	"fmt"
	"slices"

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
	delays                 // those, and mosquitto with Nagle's algorithm off
	cluster                // three nodes, local and across
)

// Brokers that take part in few rows of the full suite.
const (
	noDelay      = "mosquitto-nodelay"
	threeNodes   = "tombolo-3"
	threeAcross  = "tombolo-3-cross"
	rateSeconds  = " --duration 4s"
	delaySeconds = " --duration 10s"
)

// suites are scenarios that belong together. The full one is made to fit 25
// minutes with mosquitto, this broker and three repetitions.
var suites = map[string][]suiteRow{
	"quick": {{spec: "p2p"}, {spec: "p2p -q 1"}, {spec: "fanin"}, {spec: "fanout"}, {spec: "latency"}},
	"full": {
		{spec: "fanin" + rateSeconds}, {spec: "fanin -q 1" + rateSeconds},
		{spec: "fanout" + rateSeconds}, {spec: "fanout -q 1" + rateSeconds},
		{spec: "p2p" + rateSeconds}, {spec: "p2p -q 1" + rateSeconds}, {spec: "p2p -q 2" + rateSeconds},
		{spec: "shared" + rateSeconds}, {spec: "match" + rateSeconds},
		{spec: "fanout --payload 4096" + rateSeconds}, {spec: "fanout --payload 65536 --window 4" + rateSeconds},
		{spec: "latency" + delaySeconds, kind: delays}, {spec: "latency -q 1" + delaySeconds, kind: delays},
		{spec: "latency --pairs 100" + delaySeconds, kind: delays}, {spec: "fanin --rate 5000" + rateSeconds, kind: delays},
		{spec: "fanout --rate 50" + rateSeconds},
		{spec: "connect"}, {spec: "idle --connections 15000 --duration 4s"}, {spec: "subscribe --filters 1000000"},
		{spec: "retained"}, {spec: "offline"},
		{spec: "p2p" + rateSeconds, kind: cluster}, {spec: "p2p -q 1" + rateSeconds, kind: cluster},
	},
}

// usual names the brokers that are compared unless others are given, the one
// that the others are held against first. RabbitMQ takes so long to start that
// it has to be asked for.
func usual(full bool) []string {
	if full {
		return []string{noDelay, "mosquitto", "nats-server", "tombolo", threeNodes, threeAcross}
	}
	return []string{"mosquitto", noDelay, "nats-server", "tombolo"}
}

// suite makes the rows of a suite. Brokers that were named take part in every
// row that they can.
func suite(name string, named bool, brokers []peer.Definition) (rows []compare.Scenario, err error) {
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
		if r.kind == cluster {
			s.Name += ", three nodes"
		}
		for i := range brokers {
			d := &brokers[i]
			several := len(d.Targets) > 1
			if several != (r.kind == cluster) || d.Name == noDelay && name == "full" && !named && r.kind != delays {
				continue
			}
			s.Brokers = append(s.Brokers, d.Name)
		}
		if len(s.Brokers) > 0 {
			rows = append(rows, s)
		}
	}
	return slices.Clip(rows), nil
}
