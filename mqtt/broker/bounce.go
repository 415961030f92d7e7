package broker

import (
	"fmt"
	"sync"
	"time"

	"tombolo/internal/wire"
)

// The bounds of what is known of clients that are taken over again and again.
const (
	bounceWindow = 60_000      // ms in which takeovers are counted
	bouncePause  = time.Second // what a CONNECT waits then
	bouncesMax   = 4096        // clients; of more the new ones are not counted
)

// bounces counts how often a connected client was taken over by a CONNECT at
// another node. Two clients with one id do that to each other for ever, each time
// with its queue behind it; from a number in a minute on each CONNECT waits. Safe
// for concurrent use.
type bounces struct {
	mu struct {
		sync.Mutex
		of map[Key]*bounce
	}
}

// bounce is one client. Guarded by bounces.mu.
type bounce struct {
	since int64 // unix ms
	count int
}

// bounced notes that the connected client of a key was taken over at another node.
func (b *Broker) bounced(k Key, to wire.NodeID) {
	limit := b.settings.Load().TakeoversMax
	if limit <= 0 {
		return
	}
	n := b.bounces.add(k, b.cfg.Now().UnixMilli())
	if n == limit+1 { // once a window
		b.cfg.Log.Warn("a client id is taken over at other nodes again and again: two clients seem to have it; each CONNECT of it waits for a second from here on",
			"client", k.ClientID, "mountpoint", k.Mountpoint, "to", fmt.Sprintf("%016x", uint64(to)), "takeovers_in_a_minute", n)
	}
}

func (l *bounces) add(k Key, now int64) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.mu.of[k]
	if x == nil && len(l.mu.of) >= bouncesMax {
		for k, x := range l.mu.of {
			if now-x.since >= bounceWindow {
				delete(l.mu.of, k)
			}
		}
		if len(l.mu.of) >= bouncesMax {
			return 0
		}
	}
	if x == nil || now-x.since >= bounceWindow {
		x = &bounce{since: now}
		if l.mu.of == nil {
			l.mu.of = map[Key]*bounce{}
		}
		l.mu.of[k] = x
	}
	x.count++
	return x.count
}

// count is how often a client was taken over in this minute.
func (l *bounces) count(k Key, now int64) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if x := l.mu.of[k]; x != nil && now-x.since < bounceWindow {
		return x.count
	}
	return 0
}

// holdBack has the CONNECT of a client wait that bounces; false if the broker
// stops. The caller is a worker and holds no key.
func (b *Broker) holdBack(k Key) bool {
	limit := b.settings.Load().TakeoversMax
	if limit <= 0 || b.bounces.count(k, b.cfg.Now().UnixMilli()) <= limit {
		return true
	}
	b.count.heldBack.Inc()
	return b.pause(bouncePause)
}
