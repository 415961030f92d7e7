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
	r.Skip() // the clock
	s.Digest, s.Live, s.Garbage = r.Uint(), r.Int(), r.Int()
	r.Skip() // the horizon
	r.Skip() // the hybrid clock
	s.Trimmed = r.Bytes()
	return s, closeRecord(&r, n-8, "state")
}

// DecodeTrimmed reads the clock of which the index has forgotten the live dots.
func DecodeTrimmed(b []byte) (dvv.Clock, error) {
	c, _, err := dvv.DecodeClock(b)
	return c, err
}

// DecodeNeeds reads from a record of the members what was collected without the
// knowledge of any of them.
func DecodeNeeds(record []byte) (needs []dvv.VV, err error) {
	r, n := openRecord(record, 2)
	r.Skip() // the version
	for i := 2; i < n && r.Err() == nil; i++ {
		k := r.ArrayMin(10)
		for range 4 {
			r.Skip()
		}
		if need := readVV(&r); need.Len() > 0 {
			needs = append(needs, need)
		}
		for ; k > 5 && r.Err() == nil; k-- {
			r.Skip()
		}
	}
	return needs, closeRecord(&r, 0, "peers")
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
	o, err := decodeObject(record)
	if err != nil {
		return l, err
	}
	l.Digest, l.Live = contribution(policy, key, o), seen(policy, key, o)
	for _, s := range o.Siblings() {
		if isTomb(s.Value) {
			l.Tombs = append(l.Tombs, s.Dot)
		}
	}
	return l, nil
}
