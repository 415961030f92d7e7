package replica

import (
	"context"
	"fmt"

	"tombolo/internal/kv"
)

// Delta is by how much a store's sums are off what lies on its disk.
type Delta struct {
	Digest uint64 // to be xored
	Live   int64
}

// IsZero says that nothing is off.
func (d Delta) IsZero() bool { return d == Delta{} }

// Recount reads every object in snapshot and compares digest and count with the
// state in the same snapshot. An object that cannot be read counts as gone.
func Recount(ctx context.Context, snapshot kv.Snapshot, policy Policy) (Delta, error) {
	r := &Replica{view: frozen{snapshot}, config: Config{Policy: policy}}
	if _, err := r.load(); err != nil {
		return Delta{}, err
	}
	var sum uint64
	var live int64
	it := snapshot.Iterator(allOf(AreaObject))
	defer it.Close()
	for n := 0; it.Next(); n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return Delta{}, ctx.Err()
		}
		o, err := decodeObject(it.Value())
		if err != nil {
			continue
		}
		s, n := tally(policy, it.Key()[1:], o)
		sum, live = sum^s, live+n
	}
	return Delta{Digest: sum ^ r.digest, Live: live - r.live}, it.Err()
}

// Distrust has the store begin anew with what is left (see startRebuild): the
// database does not hold what was written to it.
func (r *Replica) Distrust(d Delta) {
	r.flushOwn()
	if r.rebuild != nil {
		return
	}
	r.event(Event{Kind: EventDamaged, Text: fmt.Sprintf("the digest is off by %016x, the count by %d", d.Digest, d.Live)})
	r.startRebuild("the database does not hold what was written to it")
}
