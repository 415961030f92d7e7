package link

import (
	"runtime"
	"testing"

	"tombolo/internal/wire"
)

// sendAllocsMax is what one message from Send to its answer may allocate on both
// ends together: messages and answers are batched, and buffers come back.
const sendAllocsMax = 0.2

// TestSendCost counts allocations of publishes that one node sends to another
// over loopback, each confirmed.
func TestSendCost(t *testing.T) {
	if raceEnabled {
		return // it allocates on its own account
	}
	from, to := prepare(t, 1, nil), prepare(t, 2, nil)
	to.on = func(m Message) { m.Done(wire.Stored, 0) }
	connect(t, from, to)
	from.start(t)
	to.start(t)
	within(t, "the link", func() bool { return from.up(2) })
	body := make([]byte, 175) // 128 of payload in a PUBLISH in a publish frame
	send := func(count int64) {
		ends := &counter{all: make(chan struct{}), last: count}
		for sent := range count {
			for sent-ends.n.Load() > wire.WindowFramesMax/2 {
				runtime.Gosched() // so that nothing goes through the spool
			}
			if err := from.mesh.Send(2, wire.StreamPublish, wire.TypePublish, body, ends); err != nil {
				t.Fatal(err)
			}
		}
		<-ends.all
	}
	send(2_000) // buffers grow once
	const count = 20_000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	send(count)
	runtime.ReadMemStats(&after)
	each := float64(after.Mallocs-before.Mallocs) / count
	t.Logf("%.2f allocations for a message", each)
	if each > sendAllocsMax {
		t.Errorf("%.2f allocations for a message, %v are allowed", each, sendAllocsMax)
	}
}
