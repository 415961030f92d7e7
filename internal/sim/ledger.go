package sim

import (
	"fmt"
	"maps"
	"slices"

	"tombolo/dvv"
	"tombolo/internal/kv"
	"tombolo/metadata/replica"
)

// ledger verifies a store batch by batch: of each batch the keys and dots that it
// speaks of are held to what replica.Verify demands of all, and the sums are carried
// on. What is not spoken of was right before and depends on nothing else but the
// clock, which only grows. TestLedgerAgrees holds it to replica.Verify, which reads
// the whole store, at every step. Owned by the mirror.
type ledger struct {
	looks    map[string]replica.Look // by key: what its object adds to the sums
	digest   uint64
	live     int64
	residual map[string]bool
	told     replica.Sums // by the store's own record
	trimmed  dvv.Clock    // of told: live dots that need no place in the index

	keys map[string]bool // spoken of since the last verification
	dots map[dvv.Dot]bool
}

func (l *ledger) init() {
	l.looks, l.residual = map[string]replica.Look{}, map[string]bool{}
	l.keys, l.dots = map[string]bool{}, map[dvv.Dot]bool{}
}

// object notes that the object of key is record now, nil for none, and was old.
func (l *ledger) object(key string, record []byte, old dvv.Object) {
	was := l.looks[key]
	var now replica.Look
	if record != nil {
		now, _ = replica.LookAt(simPolicy{}, []byte(key), record) // the mirror has read it
		l.looks[key] = now
	} else {
		delete(l.looks, key)
	}
	l.digest ^= was.Digest ^ now.Digest
	l.live += now.Live - was.Live
	l.keys[key] = true
	for _, s := range old.Siblings() {
		l.dots[s.Dot] = true
	}
}

// verify returns the first fault of what was spoken of, led by its invariant.
func (m *mirror) verify(clock dvv.Clock) string {
	l := &m.ledger
	defer clear(l.keys)
	defer clear(l.dots)
	switch {
	case l.digest != l.told.Digest:
		return fmt.Sprintf("I32: digest is %016x and ought to be %016x", l.told.Digest, l.digest)
	case l.live != l.told.Live:
		return fmt.Sprintf("I30: %d keys are counted live and %d are", l.told.Live, l.live)
	case int64(len(m.index)) != l.told.Garbage:
		return fmt.Sprintf("I30: %d deletes are counted pending and %d are", l.told.Garbage, len(m.index))
	}
	for key := range l.keys {
		if m.verifyKey(key, clock) != "" {
			return m.firstFault(clock)
		}
	}
	for d := range l.dots {
		if m.verifyDot(d) != "" {
			return m.firstFault(clock)
		}
	}
	return ""
}

// firstFault is the same of any faults, whatever the order of a map.
func (m *mirror) firstFault(clock dvv.Clock) string {
	for _, key := range slices.Sorted(maps.Keys(m.ledger.keys)) {
		if why := m.verifyKey(key, clock); why != "" {
			return why
		}
	}
	for _, d := range slices.SortedFunc(maps.Keys(m.ledger.dots), dvv.Dot.Compare) {
		if why := m.verifyDot(d); why != "" {
			return why
		}
	}
	return ""
}

func (m *mirror) verifyKey(key string, clock dvv.Clock) string {
	o, there := m.objects[key]
	if has := o.Context().Len() > 0; m.ledger.residual[key] != has {
		return fmt.Sprintf("I30: object %q with context %v: residual entry %v", key, o.Context(), !has)
	}
	if there && o.IsEmpty() {
		return fmt.Sprintf("I30: object %q is empty", key)
	}
	for _, s := range o.Siblings() {
		d := s.Dot
		switch e := m.indexed[d]; {
		case !clock.Has(d):
			return fmt.Sprintf("I5: %v of %q is live and was never seen", d, key)
		case e.key != key && !m.ledger.trimmed.Has(d):
			return fmt.Sprintf("I7: the index says of %v of %q: %v", d, key, e)
		case !o.Context().Covers(d) && !m.lasting[key].Covers(d) && clock.Base(d.Actor) < d.Counter:
			return fmt.Sprintf("I9: %v of %q is not covered", d, key)
		}
	}
	for _, d := range m.ledger.looks[key].Tombs {
		if e := m.index[d]; e.key != key || e.del {
			return fmt.Sprintf("I7: tombstone %v of %q does not wait to be collected", d, key)
		}
	}
	return ""
}

func (m *mirror) verifyDot(d dvv.Dot) string {
	if e, waits := m.index[d]; waits && e.del == m.objects[e.key].Live(d) {
		return fmt.Sprintf("I6: garbage entry of %v names %q, where it is live: %v", d, e.key, e.del)
	}
	return ""
}

// verifyLasting holds what was written of lasting contexts to what lies on the disk: no
// sum counts them, and who lost one finds out when what it names comes back (I28).
func (m *mirror) verifyLasting(at kv.Snapshot) string {
	it := at.Iterator(kv.PrefixRange([]byte{'l'}))
	defer it.Close()
	n := 0
	for ; it.Next(); n++ {
		v, err := decodeReplicaLasting(it.Value())
		if key := string(it.Key()[1:]); err != nil || !v.Equal(m.lasting[key]) {
			return fmt.Sprintf("I30: the lasting context of %q is %v on the disk (%v), and was written as %v", key, v, err, m.lasting[key])
		}
	}
	if n != len(m.lasting) {
		return fmt.Sprintf("I30: %d lasting contexts were written, and %d are on the disk", len(m.lasting), n)
	}
	return ""
}
