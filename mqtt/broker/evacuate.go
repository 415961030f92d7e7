package broker

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"tombolo/internal/wire"
	"tombolo/mqtt/packet"
)

// The pace of an evacuation, beside max_msgs_per_drain_step: how many sessions
// are asked for at a time, and how many may be on their way.
const (
	adoptedAtOnce = 32
	evacuatedMax  = 64
	pacePause     = 10 * time.Millisecond
)

// Remaining is what is still on a node that leaves its cluster. A copy.
type Remaining struct {
	Online   int // clients that are connected
	Sessions int // whose home this node is, or whose queue is not wholly elsewhere
	Messages int // in their queues
}

// Remaining counts what is still here.
func (b *Broker) Remaining() Remaining {
	out := Remaining{Online: int(b.gauge.online.Load())}
	seen := map[*client]bool{}
	b.sources.mu.Lock()
	for _, j := range b.sources.mu.jobs {
		seen[j.c] = true
		j.c.mu.Lock()
		out.Messages += max(j.c.queue.Len()-int(j.sent.Load()), 0)
		j.c.mu.Unlock()
	}
	b.sources.mu.Unlock()
	out.Sessions = len(seen)
	b.registry.each(func(c *client) bool {
		if seen[c] || !c.kept() {
			return true
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.ended {
			out.Sessions++
			out.Messages += c.queue.Len()
		}
		return true
	})
	return out
}

// SendAway ends every connection: version 5 clients are told 0x9D, that the
// server has moved. The will of a session that lives on waits a while for its
// client to come back elsewhere. It returns the sessions that live on.
func (b *Broker) SendAway() (live []Key) {
	r := b.begin()
	b.registry.each(func(c *client) bool {
		if b.kick(c, nil, packet.ServerMoved, "this node leaves the cluster: connect to another one", r) && c.durable {
			live = append(live, c.key)
		}
		if len(r.after) > 64 {
			b.end(r)
			r = b.begin()
		}
		return true
	})
	b.end(r)
	return live
}

// Here reports whether this node is the home of a session.
func (b *Broker) Here(k Key) bool {
	c := b.registry.get(k)
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.ended && !c.leaving()
}

// Evacuation says where sessions go that have no client.
type Evacuation struct {
	// Target is the new home of a session; 0: no node can be.
	Target func(k Key) wire.NodeID
	// Adopt has a node become the home of sessions of this one: its Broker.Adopt
	// is called for each. It blocks until that is done; an error says that it is
	// not for at least one.
	Adopt func(ctx context.Context, to wire.NodeID, list []Key) error
}

// Evacuate asks other nodes once to become the home of every session of this one
// without a client, and returns the first error. Their queues follow by
// themselves; Remaining tells how far that is. While ctx is not over, no session
// ends here and no will is published: that is the new home's.
func (b *Broker) Evacuate(ctx context.Context, e Evacuation) error {
	b.evacuating.Add(1)
	defer b.evacuating.Add(-1)
	if err := b.replicated(); err != nil { // who is asked has to know the session
		return fmt.Errorf("the other nodes do not have what is stored here: %w", err)
	}
	var mu sync.Mutex
	var first error
	fail := func(err error) {
		mu.Lock()
		first = cmp.Or(first, err)
		mu.Unlock()
	}
	var wg sync.WaitGroup
	for to, list := range b.placed(e.Target) {
		if to == 0 {
			fail(fmt.Errorf("no node can take %d sessions", len(list)))
			continue
		}
		wg.Go(func() {
			for part := range slices.Chunk(list, adoptedAtOnce) {
				if !b.paced(ctx) {
					fail(context.Cause(ctx))
					return
				}
				if err := e.Adopt(ctx, to, part); err != nil {
					fail(err)
				}
			}
		})
	}
	wg.Wait()
	return first
}

// placed lists the sessions without a client by the node that they are to go to.
// One that was kept for its will alone ends here, and its will is published.
func (b *Broker) placed(target func(Key) wire.NodeID) map[wire.NodeID][]Key {
	out := map[wire.NodeID][]Key{}
	b.registry.each(func(c *client) bool {
		c.mu.Lock()
		stays := c.ended || c.conn != nil || c.record == nil || c.record.Home != b.cfg.NodeID || c.leaving()
		durable, since := c.durable, c.disconnectedAt
		c.mu.Unlock()
		switch {
		case stays:
		case !durable:
			b.expire(c, since)
		default:
			to := target(c.key)
			out[to] = append(out[to], c.key)
		}
		return true
	})
	for _, list := range out {
		slices.SortFunc(list, func(x, y Key) int {
			return cmp.Or(cmp.Compare(x.Mountpoint, y.Mountpoint), cmp.Compare(x.ClientID, y.ClientID))
		})
	}
	return out
}

// paced waits until few enough queues are on their way; false if ctx is over.
func (b *Broker) paced(ctx context.Context) bool {
	for ctx.Err() == nil {
		b.sources.mu.Lock()
		n := len(b.sources.mu.jobs)
		b.sources.mu.Unlock()
		if n < evacuatedMax {
			return true
		}
		if !b.pause(pacePause) {
			return false
		}
	}
	return false
}

// Homed calls yield for the sessions in the tables whose home is this node,
// until it returns false. It reads the tables.
func (b *Broker) Homed(yield func(k Key) bool) error {
	return b.eachHomed(wire.NodeID(b.cfg.NodeID), yield)
}
