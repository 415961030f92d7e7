package e2e

import (
	"context"
	"slices"
	"testing"
	"time"

	"tombolo/bench"
	"tombolo/bench/peertest"
)

// The budgets. They are ratios of processor time of two brokers in the same
// minute, or counts, so that a busy machine does not change them much; what the
// brokers really reach stands in docs/benchmarks.
const (
	p2pRatioMin     = 3.0    // deliveries per CPU second, against mosquitto
	latencyRatioMax = 1.5    // CPU per delivery at a fixed rate, against mosquitto
	filterBytesMax  = 450    // resident, for one of a great many subscriptions
	idleBytesMax    = 5_000  // resident, for one idle connection
	mallocsMax      = 0.01   // for one message
	idleConnections = 10_000 // of the budget for memory
	filters         = 200_000
	speedRuns       = 5 // of each broker, in turns
)

// speedNode is a node as one would run it for speed: nothing logged, nothing
// reported.
func speedNode(t *testing.T) *node {
	t.Helper()
	return startNode(t, "log.console.level", "warning", "listener.max_connections", "20000")
}

// load runs a scenario once against a process.
func load(t *testing.T, cfg bench.Config, address string, pid int) *bench.Result {
	t.Helper()
	cfg.Targets, cfg.PIDs = []string{address}, []int{pid}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	r, err := bench.Run(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sideBySide runs a scenario against both brokers in turns and returns the
// medians of the processor time of one delivery, in microseconds.
func sideBySide(t *testing.T, cfg bench.Config) (ours, theirs float64) {
	t.Helper()
	n, m := speedNode(t), peertest.Mosquitto(t)
	var us, them []float64
	for range speedRuns {
		us = append(us, load(t, cfg, n.tcp, n.pid()).Broker.MicrosPerDelivery)
		them = append(them, load(t, cfg, m.Address, m.PID).Broker.MicrosPerDelivery)
	}
	t.Logf("CPU µs per delivery: tombolo %v, mosquitto %v", us, them)
	return median(us), median(them)
}

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}

// TestSpeedOneToOne: one connection in, one out, QoS 0, 128 bytes, as fast as
// it goes.
func TestSpeedOneToOne(t *testing.T) {
	cfg := bench.Defaults(bench.P2P)
	cfg.Publishers, cfg.Subscribers, cfg.Window = 1, 1, 500
	cfg.WarmUp, cfg.Duration = 200*time.Millisecond, time.Second
	ours, theirs := sideBySide(t, cfg)
	if ratio := theirs / ours; ratio < p2pRatioMin {
		t.Errorf("deliveries per CPU second are %.1f times mosquitto's, the budget is %v", ratio, p2pRatioMin)
	} else {
		t.Logf("%.1f times mosquitto's deliveries per CPU second", ratio)
	}
}

// TestSpeedAtFixedRate: 1,000 messages a second over 50 pairs, where nothing
// can be done in batches.
func TestSpeedAtFixedRate(t *testing.T) {
	cfg := bench.Defaults(bench.Latency)
	cfg.Publishers, cfg.Subscribers, cfg.Rate = 50, 50, 1000
	cfg.WarmUp, cfg.Duration = 200*time.Millisecond, 2*time.Second
	ours, theirs := sideBySide(t, cfg)
	if ratio := ours / theirs; ratio > latencyRatioMax {
		t.Errorf("a delivery costs %.2f times mosquitto's CPU time, the budget is %v", ratio, latencyRatioMax)
	} else {
		t.Logf("%.2f times mosquitto's CPU time for a delivery", ratio)
	}
}

// TestIdleMemory: what a connection that says nothing costs.
func TestIdleMemory(t *testing.T) {
	n := speedNode(t)
	cfg := bench.Defaults(bench.Idle)
	cfg.Connections, cfg.Duration = idleConnections, time.Second
	r := load(t, cfg, n.tcp, n.pid())
	if r.Idle.Broken > 0 {
		t.Errorf("%d connections broke", r.Idle.Broken)
	}
	if r.Idle.BytesEach > idleBytesMax {
		t.Errorf("%v bytes for each of %d connections, the budget is %d", r.Idle.BytesEach, idleConnections, idleBytesMax)
	} else {
		t.Logf("%v bytes for each of %d connections", r.Idle.BytesEach, idleConnections)
	}
}

// TestSubscriptionMemory: what one of many subscriptions costs, half of them
// with wildcards, with GOGC and the budget of the stores as they are by default.
func TestSubscriptionMemory(t *testing.T) {
	n := speedNode(t)
	cfg := bench.Defaults(bench.Subscribe)
	cfg.Filters, cfg.WarmUp, cfg.Duration = filters, 100*time.Millisecond, 200*time.Millisecond
	r := load(t, cfg, n.tcp, n.pid())
	each := r.Subscribe.BytesEach
	t.Logf("%.0f bytes for each of %d subscriptions", each, filters)
	if each <= 0 || each > filterBytesMax {
		t.Errorf("the budget is %d", filterBytesMax)
	}
}

// TestNoAllocationPerMessage counts what the broker allocates while messages
// go through it at QoS 0, connecting and looking at the counters included.
func TestNoAllocationPerMessage(t *testing.T) {
	n := speedNode(t)
	mallocs := func() float64 { return n.metric("go_memstats_mallocs_total", "") }
	cfg := bench.Defaults(bench.P2P)
	cfg.Publishers, cfg.Subscribers, cfg.Window = 1, 1, 500
	cfg.WarmUp, cfg.Duration = 100*time.Millisecond, 500*time.Millisecond
	load(t, cfg, n.tcp, n.pid()) // buffers grow once
	began := mallocs()
	const enough = 1_000_000
	cfg.Duration = time.Second
	messages := 0.0
	for i := 0; i < 20 && messages < enough; i++ { // a busy machine needs longer
		messages += float64(load(t, cfg, n.tcp, n.pid()).Delivery.Received)
	}
	each := (mallocs() - began) / messages // one look costs a few thousand itself
	t.Logf("%.4f allocations for a message over %.0f messages", each, messages)
	if messages < enough || each > mallocsMax {
		t.Errorf("the budget is %v over %d messages", mallocsMax, enough)
	}
}
