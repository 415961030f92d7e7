package node

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How thrift decides.
const (
	thriftEvery      = time.Second
	thriftQuietBytes = 1 << 20  // allocated since the last look: less is quiet
	thriftSpareMin   = 16 << 20 // less is not worth a collection
	thriftSpareShare = 4        // of what lives: spare memory counts from a quarter on
)

// heap is what the runtime counts, in bytes. A value.
type heap struct {
	allocated uint64 // since the start
	live      uint64 // as of the last collection
	spare     uint64 // garbage, and free memory that the system does not have back
}

// thrift has memory given back when a busy time is over. The collector lets garbage
// grow to as much as lives, and keeps what it frees for the next time: after a storm
// of connections, TLS handshakes above all, twice of what they need stays resident
// until the next storm. It is given back once, in the first quiet second after each
// busy one, and not while work allocates: then nothing stands in the way of a burst but
// that its first pages come from the system again. Publishing alone allocates nothing, so
// that a collection may fall into it, as any other would. Owned by the goroutine that runs it.
type thrift struct {
	allocated uint64
	busy      bool // since memory was given back
}

// step looks at what has changed and says whether to give memory back now.
func (t *thrift) step(h heap) bool {
	quiet := h.allocated-t.allocated < thriftQuietBytes
	t.allocated = h.allocated
	if !quiet {
		t.busy = true
		return false
	}
	wanted := t.busy && h.spare >= thriftSpareMin && h.spare >= h.live/thriftSpareShare
	t.busy = false
	return wanted
}

// beThrifty gives memory back until ctx ends.
func beThrifty(ctx context.Context) error {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	tick := time.NewTicker(thriftEvery)
	defer tick.Stop()
	for t := (thrift{}); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		metrics.Read(samples)
		h := heap{allocated: samples[0].Value.Uint64(), live: samples[1].Value.Uint64(), spare: samples[3].Value.Uint64()}
		if objects := samples[2].Value.Uint64(); objects > h.live {
			h.spare += objects - h.live
		}
		if t.step(h) {
			debug.FreeOSMemory()
		}
	}
}
