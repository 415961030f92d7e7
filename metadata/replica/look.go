package replica

import "tombolo/dvv"

// Sums is what a state record counts. Immutable.
type Sums struct {
	Digest        uint64
	Live, Garbage int64
	Trimmed       []byte // a clock, see DecodeTrimmed; part of the record
}

// DecodeSums reads what a state record counts, and not its clocks: for who follows
// the batches of a store.
func DecodeSums(record []byte) (s Sums, err error) {
	r, n := openRecord(record, 8)
	r.Bytes() // the clock
	s.Digest, s.Live, s.Garbage = r.Uint(), r.Int(), r.Int()
	r.Bytes() // the horizon
	r.Uint()  // the hybrid clock
	s.Trimmed = r.Bytes()
	return s, closeRecord(&r, n-8, "state")
}

// DecodeTrimmed reads the clock of which the index has forgotten the live dots.
func DecodeTrimmed(b []byte) (dvv.Clock, error) {
	c, _, err := dvv.DecodeClock(b)
	return c, err
}

// EachNeed calls fn with what was collected without the knowledge of some member, for
// each of those in a record of the members: the bytes of a vector, a part of the record.
func EachNeed(record []byte, fn func(vector []byte)) error {
	r, n := openRecord(record, 2)
	r.Skip() // the version
	for i := 2; i < n && r.Err() == nil; i++ {
		k := r.ArrayMin(10)
		_, _, _, _ = r.Uint(), r.Bool(), r.Uint(), r.Uint() // id, absent, opening, actor
		if need := r.Bytes(); len(need) > 0 {
			fn(need)
		}
		_, _, _ = r.Bytes(), r.Uint(), r.Int() // what it has, as of which opening, and when it was heard
		for ; k > 8 && r.Err() == nil; k-- {
			r.Skip()
		}
	}
	return closeRecord(&r, 0, "peers")
}

// DecodeRetired reads the record of the retired actors.
func DecodeRetired(record []byte) ([]Retired, error) { return decodeRetired(record) }

// Look is what one object record adds to the sums of its store. Immutable.
type Look struct {
	Digest uint64
	Live   int64     // 1 if a reader sees a value
	Tombs  []dvv.Dot // of it, ascending
}

// LookAt reads an object record.
func LookAt(policy Policy, key, record []byte) (l Look, err error) {
	var room [4]dvv.Sibling
	o, err := (*known)(nil).decodeObject(record, room[:0])
	if err != nil {
		return l, err
	}
	l.Digest, l.Live = tally(policy, key, o)
	for _, s := range o.Siblings() {
		if isTomb(s.Value) {
			l.Tombs = append(l.Tombs, s.Dot)
		}
	}
	return l, nil
}
