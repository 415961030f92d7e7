package replica

import (
	"bytes"
	"fmt"

	"tombolo/dvv"
	"tombolo/internal/kv"
)

// Inspection is what a store says about itself. All of it is read from one
// snapshot, also of a store that is not running. Immutable.
type Inspection struct {
	Node        uint64
	Actor       dvv.Actor
	Clean       bool // the last stop was clean; false while it runs
	JoinOwed    bool
	Clock       dvv.Clock
	Digest      uint64
	Collected   dvv.VV // the collection horizon
	Live        int64  // keys with a value that a reader sees
	Garbage     int64  // deletes and tombstones that are not collected
	Residual    int64  // objects with a context that waits for a gap
	Lasting     int64  // keys with a context that names lost dots
	Index       int64  // dots that the index names
	Quarantined int64
	Version     uint64 // of the member set
	Members     []MemberState
	Retired     []Retired
}

// MemberState is what a store durably knows of another member. Immutable.
type MemberState struct {
	Member
	Actor  dvv.Actor
	Row    dvv.Clock // what it is known to have
	Need   dvv.VV    // what was collected without its knowledge
	HeardM int64     // unix ms
}

// Inspect reads the store in snapshot.
func Inspect(snapshot kv.Snapshot) (*Inspection, error) {
	in, err := InspectRecords(snapshot)
	if err != nil {
		return nil, err
	}
	for area, n := range map[byte]*int64{areaResidual: &in.Residual, areaQuarantine: &in.Quarantined} {
		count, err := countArea(frozen{snapshot}, area)
		if err != nil {
			return nil, err
		}
		*n = count
	}
	v := &verifier{Replica: &Replica{view: frozen{snapshot}}}
	err = v.walk(areaIndex, func(key, value []byte) error {
		list, err := readBlock(nil, key, value)
		in.Index += int64(len(list))
		return err
	})
	return in, err
}

// InspectRecords is Inspect by the store's own records alone, without what has to
// be counted.
func InspectRecords(snapshot kv.Snapshot) (*Inspection, error) {
	r := &Replica{view: frozen{snapshot}}
	if _, err := r.load(); err != nil {
		return nil, err
	}
	in := &Inspection{
		Node: r.identity.node, Actor: r.actor, Clean: r.identity.clean, JoinOwed: r.identity.joins,
		Clock: r.clock, Digest: r.digest, Collected: r.state.collected, Live: r.live, Garbage: r.garbage,
		Version: r.version, Retired: r.retired,
	}
	for _, p := range r.peers {
		in.Members = append(in.Members, MemberState{
			Member: Member{ID: p.id, Absent: p.absent}, Actor: p.actor, Row: p.row, Need: p.need, HeardM: p.heard,
		})
	}
	in.Lasting = int64(len(r.lasting.contexts))
	return in, nil
}

// frozen is a snapshot as a View.
type frozen struct{ at kv.Snapshot }

func (f frozen) Get(key []byte) ([]byte, error)  { return f.at.Get(key) }
func (f frozen) Iterator(r kv.Range) kv.Iterator { return f.at.Iterator(r) }
func (f frozen) Snapshot() (kv.Snapshot, error)  { return f.at, nil }

func countArea(v View, area byte) (n int64, err error) {
	it := v.Iterator(allOf(area))
	defer it.Close()
	for it.Next() {
		n++
	}
	return n, it.Err()
}

// faultsMax bounds what Verify reports.
const faultsMax = 100

// Verify computes digest, counts and index of the store in snapshot anew and
// reports, one sentence each, what does not agree with what is stored. An error
// is one of reading. Memory: constant.
func Verify(snapshot kv.Snapshot, policy Policy) (faults []string, err error) {
	r := &Replica{view: frozen{snapshot}, config: Config{Policy: policy}}
	if _, err := r.load(); err != nil {
		return nil, err
	}
	r.bases = r.clock.Bases()
	v := &verifier{Replica: r}
	for _, walk := range []func() error{v.objects, v.indexArea, v.garbageArea, v.residuals} {
		if err := walk(); err != nil {
			return v.faults, err
		}
	}
	if v.sum != r.digest {
		v.fault("digest is %016x and ought to be %016x (I32)", r.digest, v.sum)
	}
	if v.visible != r.live {
		v.fault("%d keys are counted live and %d are", r.live, v.visible)
	}
	if v.deletes != r.garbage {
		v.fault("%d deletes are counted pending and %d are", r.garbage, v.deletes)
	}
	if !r.clock.Contiguous(r.actor) {
		v.fault("own entry of %v has gaps (I2)", r.clock)
	}
	return v.faults, nil
}

// verifier is one run of Verify. Owned by it.
type verifier struct {
	*Replica
	faults  []string
	sum     uint64
	visible int64
	deletes int64
	wanted  int64 // live dots that ought to stand in the index, and
	found   int64 // those that do
}

func (v *verifier) fault(format string, args ...any) {
	if len(v.faults) < faultsMax {
		v.faults = append(v.faults, fmt.Sprintf(format, args...))
	}
}

// walk calls fn for every entry of area.
func (v *verifier) walk(area byte, fn func(key, value []byte) error) error {
	it := v.view.Iterator(allOf(area))
	defer it.Close()
	for it.Next() {
		if err := fn(it.Key(), it.Value()); err != nil {
			return err
		}
	}
	return it.Err()
}

// objects holds every object to I5, I7 and I9 and sums up.
func (v *verifier) objects() error {
	return v.walk(AreaObject, func(key, value []byte) error {
		o, err := decodeObject(value)
		if err != nil {
			v.fault("object %q: %v", key[1:], err)
			return nil
		}
		if o.IsEmpty() {
			v.fault("object %q is empty", key[1:])
		}
		sum, live := tally(v.config.Policy, key[1:], o)
		v.sum, v.visible = v.sum^sum, v.visible+live
		filled := v.whole(key[1:], o).Fill(v.bases)
		for _, s := range o.Siblings() {
			if !v.clock.Has(s.Dot) {
				v.fault("%v of %q is live and was never seen (I5)", s.Dot, key[1:])
			}
			if !filled.Context().Covers(s.Dot) {
				v.fault("%v of %q is not covered (I9)", s.Dot, key[1:])
			}
			if !v.trimmed.Has(s.Dot) {
				v.wanted++
			}
			if isTomb(s.Value) {
				if err := v.expect(areaGarbage, s.Dot, withArea(garbageTomb, key[1:])); err != nil {
					return err
				}
			}
		}
		_, err = v.view.Get(withArea(areaResidual, key[1:]))
		if err != nil && !isNotFound(err) {
			return err
		}
		if has := err == nil; has != (o.Context().Len() > 0) {
			v.fault("object %q with context %v: residual entry %v", key[1:], o.Context(), has)
		}
		return nil
	})
}

// expect holds an entry of area to be there (I7).
func (v *verifier) expect(area byte, d dvv.Dot, want []byte) error {
	got, err := v.view.Get(appendDotKey(nil, area, d))
	if err != nil && !isNotFound(err) {
		return err
	}
	if !bytes.Equal(got, want) {
		v.fault("entry %c of %v is %q and ought to be %q (I7)", area, d, got, want)
	}
	return nil
}

// indexArea holds every block to be readable, and the index to have every live dot that
// it ought to have. A dot that was overwritten may
// stay. One that stands twice stands in the same window.
func (v *verifier) indexArea() error {
	var window dvv.Dot
	have := map[dvv.Dot]bool{}
	err := v.walk(areaIndex, func(key, value []byte) error {
		list, err := readBlock(nil, key, value)
		if err != nil {
			v.fault("%v (I6)", err)
			return nil
		}
		for _, e := range list {
			if at := (dvv.Dot{Actor: e.dot.Actor, Counter: e.dot.Counter / blockDots}); at != window {
				window = at
				clear(have)
			}
			if v.trimmed.Has(e.dot) || have[e.dot] {
				continue
			}
			o, err := v.get(objectKey(e.name))
			switch {
			case err != nil:
				v.fault("object %q of index entry %v: %v", e.name, e.dot, err)
			case o.Live(e.dot):
				have[e.dot] = true
				v.found++
			}
		}
		return nil
	})
	if err != nil || v.found == v.wanted {
		return err
	}
	v.fault("%d live dots have no index entry (I7)", v.wanted-v.found)
	return nil
}

func (v *verifier) garbageArea() error {
	return v.walk(areaGarbage, func(key, value []byte) error {
		v.deletes++
		d, kind, name, err := parseGarbage(key, value)
		if err != nil {
			v.fault("%v (I6)", err)
			return nil
		}
		o, err := v.get(objectKey(name))
		if err != nil {
			v.fault("object %q of garbage entry %v: %v", name, d, err)
		} else if tomb := kind == garbageTomb; tomb != o.Live(d) {
			v.fault("garbage entry %c of %v names %q, where it is live: %v (I6)", kind, d, name, o.Live(d))
		}
		return nil
	})
}

func (v *verifier) residuals() error {
	return v.walk(areaResidual, func(key, _ []byte) error {
		o, err := v.get(objectKey(key[1:]))
		if err != nil || o.Context().Len() == 0 {
			v.fault("residual entry %q: the object's context is %v, %v", key[1:], o.Context(), err)
		}
		return nil
	})
}

// Dump writes what byte-equal means (R33): the clock's bases, then each visible
// key with its dots and values, in order. Tombstones and contexts are left out:
// stores forget them one after the other.
func Dump(snapshot kv.Snapshot, policy Policy, fn func(line []byte) error) error {
	v := &verifier{Replica: &Replica{view: frozen{snapshot}, config: Config{Policy: policy}}}
	if _, err := v.load(); err != nil {
		return err
	}
	if err := fn(v.clock.Bases().Append(nil)); err != nil {
		return err
	}
	return v.walk(AreaObject, func(key, value []byte) error {
		o, err := decodeObject(value)
		if err != nil {
			return err
		}
		if !visible(policy, key[1:], o) {
			return nil
		}
		live := o.Drop(func(s dvv.Sibling) bool { return isTomb(s.Value) })
		return fn(appendObject(append(append([]byte{}, key[1:]...), 0), dvv.NewObject(dvv.VV{}, live.Siblings()...)))
	})
}
