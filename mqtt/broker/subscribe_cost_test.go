package broker

import (
	"fmt"
	"runtime"
	"testing"

	"tombolo/mqtt/packet"
)

// What one subscription of a session that ends with its connection may cost in
// live heap, all tables together, and in memory that is allocated to make it and
// to look for retained messages: the collector lets garbage grow to as much as
// lives, so both make up what is resident (docs/benchmarks/brokers.md).
const (
	subscriptionHeapMax  = 200
	memberHeapMax        = 250 // of a cluster: a route that other nodes hear of is counted
	subscriptionAllocMax = 700
)

// TestSubscriptionCost holds both, with half of the filters with wildcards and
// 100 in each SUBSCRIBE.
func TestSubscriptionCost(t *testing.T) {
	if raceEnabled {
		return // it allocates on its own account
	}
	t.Run("alone", func(t *testing.T) {
		n := rig(t, 1).nodes[0]
		n.b.cfg.Cluster = nil // nothing runs yet
		subscriptionCost(t, n, subscriptionHeapMax)
	})
	t.Run("member", func(t *testing.T) { subscriptionCost(t, rig(t, 1).nodes[0], memberHeapMax) })
}

func subscriptionCost(t *testing.T, n *rigNode, heapMax float64) {
	const clients, batches, batch = 50, 10, 100
	var subs [clients]*peer
	var packets [clients * batches][]byte
	for i := range subs {
		subs[i] = n.join(t, fmt.Sprintf("sub%d", i))
		for k := range batches {
			packets[i*batches+k] = subscribeOf(i*batches+k, batch)
		}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range packets {
		subs[i/batches].feed(t, packets[i])
	}
	for i := range subs {
		c := subs[i].client.Load()
		eventually(t, "the table was read", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return !c.retaining && c.unsent == 0
		})
	}
	runtime.ReadMemStats(&after)
	const count = clients * batches * batch
	allocated := float64(after.TotalAlloc-before.TotalAlloc) / count
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	live := float64(after.HeapAlloc-before.HeapAlloc) / count
	t.Logf("%.0f bytes live, %.0f allocated for each of %d", live, allocated, count)
	if live > heapMax || allocated > subscriptionAllocMax {
		t.Errorf("%.0f bytes live, %.0f allocated for a subscription; %.0f and %d are allowed", live, allocated, heapMax, subscriptionAllocMax)
	}
	runtime.KeepAlive(packets)
}

// subscribeOf is SUBSCRIBE number k, with filters like those of tombolo bench
// subscribe: every other one has a wildcard, of either kind.
func subscribeOf(k, count int) []byte {
	s := &packet.Subscribe{ID: 1}
	forms := [...]string{"bench/run/s%d/d%d/state", "bench/run/s%d/+/d%d", "bench/run/s%d/d%d/state", "bench/run/s%d/d%d/#"}
	for i := range count {
		f := k*count + i
		s.Subscriptions = append(s.Subscriptions, packet.Subscription{Filter: fmt.Appendf(nil, forms[i%len(forms)], f/1000, f%1000)})
	}
	return packet.AppendSubscribe(nil, packet.V311, s)
}
