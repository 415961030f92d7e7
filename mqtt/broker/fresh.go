package broker

import (
	"hash/maphash"
	"time"

	"tombolo/metadata"
	"tombolo/mqtt/topic"
)

// fresh keeps a client from getting a retained message twice: as it was
// published, and from the table, for a subscription that was made at the same
// time (R8). Guarded by client.mu. Bound: freshMax topics each way; of more,
// some may come twice.
type fresh struct {
	scans int                  // subscriptions whose retained messages are not all sent
	live  map[string]struct{}  // topics of what came as it was published
	sent  map[string]valueMark // recent values that came from the table
}

// valueMark tells one retained value of a topic from another. A value.
type valueMark struct {
	stamp int64 // when it was published
	sum   uint64
}

const (
	freshMax = 1 << 14
	// recent is how old a value from the table may be and still come as a
	// publish: it is matched when every node holds it.
	recent = 10 * time.Second
)

var markSeed = maphash.MakeSeed()

func markOf(stamp int64, payload []byte) valueMark {
	return valueMark{stamp, maphash.Bytes(markSeed, payload)}
}

// noteLive remembers whether what is routed now is retained as well.
func (r *round) noteLive(pub *publication) {
	r.live = nil
	if pub.packet.Retain {
		r.live, r.mark = pub.packet.Topic, markOf(pub.stamp, pub.packet.Payload)
	}
}

// has reports whether c got what is routed now from the table, and else notes
// that it gets it. The caller holds c.mu.
func (c *client) has(r *round) bool {
	if r.live == nil || c.fresh == nil {
		return false
	}
	f := c.fresh
	if m, sent := f.sent[string(r.live)]; sent && m == r.mark && c.wantsOnce(r.live) {
		return true
	}
	if f.scans > 0 && len(f.live) < freshMax {
		if f.live == nil {
			f.live = map[string]struct{}{}
		}
		f.live[string(r.live)] = struct{}{}
	}
	return false
}

// wantsOnce reports whether no more than one filter of c matches: what came from
// the table came for one, and another may be older.
func (c *client) wantsOnce(name []byte) bool {
	n := 0
	for f := range c.subs {
		if _, plain, _, err := topic.SplitShare(f); err == nil && topic.Matches(plain, topic.Name(name)) {
			n++
		}
	}
	return n <= 1
}

// sends reports whether a value from the table is news, and notes that it is
// sent. What is newer than a publish that came will be published as well.
func (f *fresh) sends(name string, v *metadata.Retained, now int64) bool {
	if f == nil {
		return true
	}
	if _, came := f.live[name]; came {
		return false
	}
	if v.PublishedAt > now-recent.Milliseconds() && len(f.sent) < freshMax {
		if f.sent == nil {
			f.sent = map[string]valueMark{}
		}
		f.sent[name] = markOf(v.PublishedAt, v.Payload)
	}
	return true
}

// scanBegins and scanEnds stand around the time from when a filter matches until
// its retained messages are sent. The caller holds c.mu.
func (c *client) scanBegins(w *wish) {
	if c.fresh == nil {
		c.fresh = &fresh{}
	}
	c.fresh.scans++
	w.fresh = c.fresh
}

func (b *Broker) scanEnds(c *client, w *wish) {
	f := w.fresh
	if f == nil {
		return
	}
	w.fresh = nil
	f.scans--
	switch {
	case f.scans > 0 || c.fresh != f:
	case len(f.sent) == 0:
		c.fresh = nil
	default:
		f.live = nil
		b.wheel.at(b.cfg.Now().Add(recent).UnixMilli(), freshEnds{c, f})
	}
}

// freshEnds forgets what was sent from the table a while ago.
type freshEnds struct {
	c *client
	f *fresh
}

func (t freshEnds) due(int64) int64 {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	if t.c.fresh == t.f && t.f.scans == 0 {
		t.c.fresh = nil
	}
	return 0
}
