package broker

import (
	"time"

	"tombolo/internal/wire"
	"tombolo/metadata"
)

// WillPolicy says who publishes the wills of a node that cannot be reached
// (R29).
type WillPolicy uint8

// The policies, as will_on_node_loss names them.
const (
	WillMajority WillPolicy = iota // the side that is more than half of the members
	WillNever                      // nobody: the node does when it is back
	WillAlways                     // every side, so that a will may come once from each
)

// Majority is what a Cluster may tell as well: whether this node is on the side
// that is more than half of the members.
type Majority interface{ Majority() bool }

// lossAgain is when a node looks again whether it may publish a lost will.
const lossAgain = 2 * time.Second

// lostWill publishes the will of a client whose home was lost.
type lostWill struct {
	b     *Broker
	key   Key
	home  wire.NodeID
	epoch metadata.Epoch
}

func (t lostWill) due(int64) int64 {
	t.b.spawn(t.fire)
	return 0
}

// armLostWills sets the timers for the wills of a node that is down now.
func (b *Broker) armLostWills(id wire.NodeID) {
	set := b.settings.Load()
	if b.cfg.Cluster == nil || set.WillOnNodeLoss == WillNever {
		return
	}
	now := b.cfg.Now().UnixMilli()
	err := b.cfg.Metadata.EachSession(func(k metadata.ClientKey, v *metadata.Session) bool {
		if wire.NodeID(v.Home) != id || v.Over() || !v.WillPending() {
			return true
		}
		at := v.Will.At
		if at == 0 { // its client was connected, and has lost its connection as far as anybody can tell
			at = now + max(set.WillGrace.Milliseconds(), int64(v.Will.DelaySeconds)*1000)
		}
		at = max(at, now+set.WillGrace.Milliseconds())
		b.wheel.at(at, lostWill{b, Key{k.Mountpoint, k.ClientID}, id, v.Epoch})
		return true
	})
	if err != nil {
		b.cfg.Log.Error("wills of a lost node could not be read", "error", err)
	}
}

// fire publishes the will if the home is still lost, the epoch still holds, and
// it falls to this node. That it was fired is written first: a will comes once
// or, if this node ends in between, not at all.
func (t lostWill) fire() {
	b := t.b
	if b.cfg.Cluster.Reachable(t.home) {
		return
	}
	if !b.mayFireLost() || b.heirOf(t.key) != wire.NodeID(b.cfg.NodeID) {
		// It may fall to this node yet: when others go, or this side grows.
		if b.settings.Load().WillOnNodeLoss != WillNever {
			b.wheel.at(b.cfg.Now().Add(lossAgain).UnixMilli(), t)
		}
		return
	}
	if _, ok := b.registry.hold(t.key, b.stop); !ok {
		return
	}
	defer b.registry.release(t.key)
	rec, err := b.storedSession(t.key)
	if err != nil || rec == nil || rec.Epoch != t.epoch || wire.NodeID(rec.Home) != t.home || !rec.WillPending() {
		return
	}
	next := *rec
	next.WillFired = rec.WillEpoch()
	if err := b.putSession(t.key, &next); err != nil {
		b.count.commitFailed.Inc()
		return
	}
	r := b.begin()
	defer b.end(r)
	b.publishWill(&client{key: t.key, mount: b.mount(t.key.Mountpoint)}, loadedWill(rec.Will), rec.WillEpoch(), r)
}

// mayFireLost applies the policy.
func (b *Broker) mayFireLost() bool {
	switch b.settings.Load().WillOnNodeLoss {
	case WillNever:
		return false
	case WillAlways:
		return true
	}
	m, ok := b.cfg.Cluster.(Majority)
	return ok && m.Majority()
}
