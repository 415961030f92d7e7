package replica

import (
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"

	"tombolo/dvv"
	"tombolo/internal/kv"
	"tombolo/internal/pack"
)

// The bounds of a reading.
const (
	rangeCount      = 64
	rangesKeysMax   = 4096    // read in one Tick, so that a million keys take 13 s and no write waits
	touchedBytesMax = 1 << 20 // of names in which the two sides may differ by right; above it nothing is compared
	notedMax        = 1 << 18 // names that changed while we compared, 8 bytes each; above it nothing is mended
)

// rangeSums is a digest for each range. Immutable once sent.
type rangeSums [rangeCount]uint64

func rangeOf(name []byte) int { return int(xxhash.Sum64(name) >> 58) }

// reading is one side's pass through all that lies on its disk, in one snapshot, for a
// comparison at a cut: what both sides have seen. A key is touched if one side has
// something of it from beyond the cut: a live dot, a delete that is not collected yet, or
// a context, which names dots that its clock has not; a lasting context only if the other
// side has another one. Of every other key two right stores hold the same values;
// docs/decisions/metadata-ranges.md has the proof. Owned by the Replica.
type reading struct {
	known    *known
	policy   Policy
	snapshot kv.Snapshot
	clock    dvv.Clock // in the snapshot
	digest   uint64    // and what its objects ought to add up to,
	live     int64     // and how many of them a reader ought to see
	cut      dvv.Clock
	areas    []byte // still to be read
	it       kv.Iterator

	total   uint64 // what the objects add up to, touched or not
	count   int64  // and how many a reader sees
	bad     uint64 // the ranges with a record that cannot be right, whatever the peers hold
	sums    rangeSums
	touched map[string]uint64 // 0, or a hash of the lasting context if that is all there is
	bytes   int               // of the names in touched
	done    bool
}

// openReading takes the snapshot of d.
func (r *Replica) openReading(d *reading) error {
	snapshot, err := r.view.Snapshot()
	if err != nil {
		return err
	}
	raw, err := snapshot.Get(metaState)
	var s state
	if err == nil {
		s, err = decodeState(raw, r.known)
	}
	if err != nil {
		snapshot.Release()
		return err
	}
	*d = reading{known: r.known, policy: r.config.Policy, snapshot: snapshot, clock: s.clock, digest: s.digest, live: s.live}
	return nil
}

// readingAreas is what a reading goes through, in this order, which is that of the keys:
// an object's sum depends on whether it is touched. Immutable.
var readingAreas = []byte{areaGarbage, areaLasting, AreaObject}

// begin is that the other side's clock is known.
func (d *reading) begin(theirs dvv.Clock) {
	d.cut, d.areas, d.touched = d.clock.Meet(theirs), readingAreas, nil
}

func (d *reading) close() {
	if d.it != nil {
		d.it.Close()
	}
	d.snapshot.Release()
}

// sound says whether the disk holds what the store's own digest says.
func (d *reading) sound() bool { return d.off().IsZero() && d.bad == 0 }

// off is by how much the store's digest and count are off its disk.
func (d *reading) off() Delta { return Delta{Digest: d.total ^ d.digest, Live: d.count - d.live} }

// crowded says that too much was touched to compare.
func (d *reading) crowded() bool { return d.bytes > touchedBytesMax }

// step reads a piece, and says whether that was the last one.
func (d *reading) step() (last bool, err error) {
	for range rangesKeysMax {
		if len(d.areas) == 0 { // not begun, or done
			return false, nil
		}
		if d.it == nil {
			d.it = d.snapshot.Iterator(kv.Range{Start: inArea(areaGarbage).Start, Limit: inArea(AreaObject).Limit, Once: true})
			d.it.First()
		}
		if key := d.it.Key(); key != nil && key[0] == d.areas[0] && !d.crowded() {
			d.entry(key, d.it.Value())
			d.it.Next()
			continue
		}
		err = d.it.Err()
		d.areas = d.areas[1:]
		if d.done = len(d.areas) == 0 || err != nil || d.crowded(); d.done {
			d.it.Close()
			d.it = nil
			return true, err
		}
		if d.it.Key() != nil && d.it.Key()[0] < d.areas[0] {
			d.it.Seek(inArea(d.areas[0]).Start)
		}
	}
	return false, nil
}

func (d *reading) entry(key, value []byte) {
	switch key[0] {
	case areaGarbage:
		if dot, _, name, err := parseGarbage(key, value); err == nil && !d.cut.Has(dot) {
			d.touch(name, 0)
		}
	case areaLasting:
		d.touch(key[1:], xxhash.Sum64(value)|1)
	case AreaObject:
		d.object(key[1:], value)
	}
}

// touch notes that name is touched, or what its lasting context is.
func (d *reading) touch(name []byte, lasting uint64) {
	was, there := d.touched[string(name)]
	if !there {
		d.bytes += len(name)
	}
	if !there || was != 0 {
		d.set(name, lasting)
	}
}

func (d *reading) set(name []byte, lasting uint64) {
	if d.touched == nil {
		d.touched = map[string]uint64{} // most readings need none
	}
	d.touched[string(name)] = lasting
}

// isTouched says whether name is not compared.
func (d *reading) isTouched(name []byte) bool {
	lasting, there := d.touched[string(name)]
	return there && lasting == 0
}

func (d *reading) object(name, raw []byte) {
	o, err := d.known.object(name, raw)
	if err != nil || !d.possible(name, o) {
		d.bad |= 1 << rangeOf(name) // and it is missing in the sums
		return
	}
	sum, live := tally(d.policy, name, o)
	d.total ^= sum
	d.count += live
	if o.Context().Len() > 0 || !within(d.cut, o) {
		d.touch(name, 0)
	}
	if !d.isTouched(name) {
		d.sums[rangeOf(name)] ^= sum
	}
}

// possible says whether o may lie on a disk whose store has this clock: it has seen what
// is live (I5), and has noted that there is a context.
func (d *reading) possible(name []byte, o dvv.Object) bool {
	if o.Context().Len() > 0 {
		if _, err := d.snapshot.Get(withArea(areaResidual, name)); isNotFound(err) {
			return false
		}
	}
	return within(d.clock, o)
}

func within(c dvv.Clock, o dvv.Object) bool {
	for _, s := range o.Siblings() {
		if !c.Has(s.Dot) {
			return false
		}
	}
	return true
}

// mark is a key of which one side says that it is touched. Immutable.
type mark struct {
	name    []byte
	lasting uint64 // 0, or all that there is
}

// leaveOut takes keys that the other side has touched out of the sums, and those with a
// lasting context that is not the same on both sides.
func (d *reading) leaveOut(theirs []mark) error {
	if len(theirs)+len(d.touched) == 0 {
		return nil
	}
	same := map[string]bool{}
	for _, m := range theirs {
		if lasting, there := d.touched[string(m.name)]; there && lasting == m.lasting {
			same[string(m.name)] = true
		} else if err := d.takeOut(m.name); err != nil {
			return err
		}
	}
	for name, lasting := range d.touched {
		if lasting != 0 && !same[name] {
			if err := d.takeOut([]byte(name)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *reading) takeOut(name []byte) error {
	if d.isTouched(name) {
		return nil
	}
	d.set(name, 0)
	raw, err := d.snapshot.Get(objectKey(name))
	if err != nil {
		return ignoreNotFound(err)
	}
	if o, err := decodeObject(raw); err == nil && d.possible(name, o) {
		d.sums[rangeOf(name)] ^= contribution(d.policy, name, o)
	}
	return nil
}

// marks is what this side has touched.
func (d *reading) marks() []mark {
	if len(d.touched) == 0 {
		return nil
	}
	list := make([]mark, 0, len(d.touched))
	for _, name := range slices.Sorted(maps.Keys(d.touched)) {
		list = append(list, mark{[]byte(name), d.touched[name]})
	}
	return list
}

func appendMarks(dst []byte, list []mark) []byte {
	dst = pack.AppendArray(dst, 2*len(list))
	for _, m := range list {
		dst = pack.AppendUint(pack.AppendBytes(dst, m.name), m.lasting)
	}
	return dst
}

func readMarks(rd *pack.Reader) (list []mark) {
	n := rd.Array()
	if n%2 != 0 {
		rd.Fail(pack.ErrKind)
	}
	for ; n > 0 && rd.Err() == nil; n -= 2 {
		list = append(list, mark{append([]byte{}, rd.Bytes()...), rd.Uint()})
	}
	return list
}
