package sim

import (
	"fmt"
	"slices"
	"strings"

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
	digest  uint64
	live    int64
	told    replica.Sums // by the store's own record
	trimmed dvv.Clock    // of told: live dots that need no place in the index
	retired []byte       // the record of them that was read last

	keys []*mirrorKey // spoken of since the last verification, each once
	dots []dvv.Dot    // the same, some more than once
}

// speak notes that a batch spoke of k.
func (l *ledger) speak(k *mirrorKey) {
	if !k.spoken {
		k.spoken = true
		l.keys = append(l.keys, k)
	}
}

// object notes what the object of k adds to the sums now, and that it was old.
func (l *ledger) object(k *mirrorKey, now replica.Look, old dvv.Object) {
	l.digest ^= k.look.Digest ^ now.Digest
	l.live += now.Live - k.look.Live
	k.look = now
	l.speak(k)
	for _, s := range old.Siblings() {
		l.dots = append(l.dots, s.Dot)
	}
}

// hush begins anew.
func (l *ledger) hush() {
	for _, k := range l.keys {
		k.spoken = false
	}
	l.keys, l.dots = l.keys[:0], l.dots[:0]
}

// verify returns the first fault of what was spoken of, led by its invariant.
func (m *mirror) verify(clock dvv.Clock) string {
	l := &m.ledger
	defer l.hush()
	switch {
	case l.digest != l.told.Digest:
		return fmt.Sprintf("I32: digest is %016x and ought to be %016x", l.told.Digest, l.digest)
	case l.live != l.told.Live:
		return fmt.Sprintf("I30: %d keys are counted live and %d are", l.told.Live, l.live)
	case int64(len(m.index)) != l.told.Garbage:
		return fmt.Sprintf("I30: %d deletes are counted pending and %d are", l.told.Garbage, len(m.index))
	}
	for _, k := range l.keys {
		if m.verifyKey(k, clock) != "" {
			return m.firstFault(clock)
		}
	}
	for _, d := range l.dots {
		if m.verifyDot(d) != "" {
			return m.firstFault(clock)
		}
	}
	return ""
}

// firstFault is the same of any faults, whatever the order of the batch.
func (m *mirror) firstFault(clock dvv.Clock) string {
	slices.SortFunc(m.ledger.keys, func(a, b *mirrorKey) int { return strings.Compare(a.name, b.name) })
	for _, k := range m.ledger.keys {
		if why := m.verifyKey(k, clock); why != "" {
			return why
		}
	}
	slices.SortFunc(m.ledger.dots, dvv.Dot.Compare)
	for _, d := range m.ledger.dots {
		if why := m.verifyDot(d); why != "" {
			return why
		}
	}
	return ""
}

func (m *mirror) verifyKey(k *mirrorKey, clock dvv.Clock) string {
	key := k.name
	o, there := m.objects[key]
	if has := o.Context().Len() > 0; k.residual != has {
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
		case e.key != k && !m.ledger.trimmed.Has(d):
			return fmt.Sprintf("I7: the index has %v of %q in %d blocks, or under another key", d, key, e.blocks)
		case !o.Context().Covers(d) && !m.lasting[key].Covers(d) && clock.Base(d.Actor) < d.Counter:
			return fmt.Sprintf("I9: %v of %q is not covered", d, key)
		}
	}
	for _, d := range k.look.Tombs {
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
