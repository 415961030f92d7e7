package broker

import "tombolo/metadata"

// The tables may name this node as the home of a session that it does not know:
// they came from the other members, because its own were lost with its disk, or
// are those of a backup. Such a session is brought in as one that was loaded.
// It has what is published for it from then on, and its client finds it.

// turnsUp takes the record of a session whose home is this node. Mostly the session
// is here, and the record is its own.
func (b *Broker) turnsUp(k Key, v *metadata.Session) {
	if v == nil || v.Home != b.cfg.NodeID || v.Over() || !b.ready.Load() || b.registry.get(k) != nil {
		return
	}
	if _, free := b.registry.tryHold(k); !free {
		b.tables.unknown[k] = struct{}{} // a client that connects now is about to be put there
		return
	}
	defer b.registry.release(k)
	rec, err := b.storedSession(k)
	if err == nil && (rec == nil || rec.Home != b.cfg.NodeID || b.registry.get(k) != nil) {
		return
	}
	if err == nil {
		err = b.bringIn(k, rec, b.cfg.Now().UnixMilli())
	}
	if err != nil {
		b.tables.unknown[k] = struct{}{} // the store says why
		return
	}
	b.count.turnedUp.Inc()
}

// turnUpLate looks again at those that could not be brought in.
func (b *Broker) turnUpLate() {
	list := b.tables.unknown
	b.tables.unknown = map[Key]struct{}{}
	for k := range list {
		rec, err := b.storedSession(k)
		if err != nil {
			b.tables.unknown[k] = struct{}{}
			continue
		}
		b.turnsUp(k, rec)
	}
}

// bringIn makes the client of a record, with its subscriptions. The caller holds
// the key.
func (b *Broker) bringIn(k Key, rec *metadata.Session, now int64) error {
	if err := b.loadSession(k, rec, now); err != nil {
		return err
	}
	if c := b.registry.get(k); c != nil && rec.Home == b.cfg.NodeID {
		return b.alignAll(c)
	}
	return nil
}
