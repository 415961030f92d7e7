package broker

import (
	"fmt"
	"slices"
	"sync"

	"tombolo/queue"
)

// How long a stored queue may be without a session before it is dropped: tables
// that were damaged are filled again by other nodes meanwhile. How often it is
// looked at, in ms.
const (
	orphanKeptMax  = 10 * 60_000
	orphanCheckGap = 10_000
)

// orphanQueues are queues in the message store of which nobody here knows the
// session. Changed by its timer and the worker that this starts, one after the other;
// list is guarded by mu.
type orphanQueues struct {
	b     *Broker
	since int64 // unix ms
	mu    sync.Mutex
	list  []Key
}

// Orphan is a stored queue of which no session is known. A copy.
type Orphan struct {
	Key       Key
	Messages  int
	DroppedAt int64 // unix ms, at the earliest
}

// Orphans lists the stored queues without a session, in the order of their names.
func (b *Broker) Orphans() (list []Orphan, err error) {
	o := b.orphans.Load()
	if o == nil {
		return nil, nil
	}
	keys := o.keys()
	err = b.cfg.Queue.Each(func(name string, _ queue.QueueID, st queue.State) bool {
		if k := queueKey(name); slices.Contains(keys, k) && b.registry.get(k) == nil {
			list = append(list, Orphan{Key: k, Messages: st.Total(), DroppedAt: o.since + orphanKeptMax})
		}
		return true
	})
	return list, err
}

// DiscardOrphan drops a stored queue without a session before its time; false if
// there is none, or if its session has turned up.
func (b *Broker) DiscardOrphan(k Key) (dropped bool, err error) {
	o := b.orphans.Load()
	if o == nil || !slices.Contains(o.keys(), k) {
		return false, nil
	}
	_, dropped, err = b.adoptQueue(k, b.cfg.Now().UnixMilli(), true)
	return dropped, err
}

func (o *orphanQueues) keys() []Key {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.list)
}

// findOrphans looks for stored queues without a client here, once all sessions
// were loaded. It reads the names of queues, whatever is in them.
func (b *Broker) findOrphans(now int64) error {
	o := &orphanQueues{b: b, since: now}
	err := b.cfg.Queue.Names(func(name string) bool {
		if k := queueKey(name); b.registry.get(k) == nil {
			o.list = append(o.list, k)
		}
		return true
	})
	if err != nil || len(o.list) == 0 {
		return err
	}
	b.gauge.orphans.Store(int64(len(o.list)))
	b.cfg.Log.Warn("stored queues have no session: they are served if it turns up, and dropped if it does not",
		"queues", len(o.list), "first", o.list[0].ClientID, "dropped_after", fmt.Sprint(orphanKeptMax/60_000, "m"))
	b.orphans.Store(o)
	b.wheel.at(now+orphanCheckGap, o)
	return nil
}

func (o *orphanQueues) due(now int64) int64 {
	o.b.spawn(func() {
		if o.look(now) {
			o.b.wheel.at(now+orphanCheckGap, o)
		}
	})
	return 0
}

// look finds a home for what can have one; more says that some are left.
func (o *orphanQueues) look(now int64) (more bool) {
	b := o.b
	late := now-o.since >= orphanKeptMax && !b.withholds()
	var left []Key
	served, dropped := 0, 0
	for _, k := range o.keys() {
		switch found, over, err := b.adoptQueue(k, now, late); {
		case err != nil:
			b.cfg.Log.Error("a stored queue without a session could not be seen to", "client", k.ClientID, "error", err)
			left = append(left, k)
		case over:
			dropped++
		case found:
			served++
		default:
			left = append(left, k)
		}
	}
	o.mu.Lock()
	o.list = left
	o.mu.Unlock()
	b.gauge.orphans.Store(int64(len(left)))
	if served+dropped > 0 {
		b.cfg.Log.Info("stored queues without a session", "served", served, "dropped", dropped, "left", len(left))
	}
	return len(left) > 0
}

// adoptQueue gives a queue to the session that it belongs to, if that is known by
// now: to a client of this node, or to the migration to its home. If it is late,
// one without a session is dropped.
func (b *Broker) adoptQueue(k Key, now int64, late bool) (found, dropped bool, err error) {
	if _, free := b.registry.tryHold(k); !free {
		return false, false, nil // somebody is about to
	}
	defer b.registry.release(k)
	if _, stored := b.cfg.Queue.Lookup(queueName(k)); !stored || b.registry.get(k) != nil {
		return true, false, nil
	}
	rec, err := b.storedSession(k)
	switch {
	case err != nil:
		return false, false, err
	case rec == nil && !late:
		return false, false, nil
	case rec == nil:
		id, _, err := b.cfg.Queue.Open(queueName(k), true)
		if err == nil {
			b.cfg.Queue.Drop(id, b.counted)
			b.count.orphansDropped.Inc()
		}
		return false, err == nil, err
	}
	err = b.bringIn(k, rec, now)
	return err == nil, false, err
}
