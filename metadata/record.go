package metadata

import (
	"fmt"

	"tombolo/internal/pack"
)

// recordVersion is the first value of every typed record. A later version adds
// fields at the end and keeps the meaning of those before (R33), so that the
// number changes only when an old reader would go wrong.
const recordVersion = 1

// extra is the fields behind those that this version knows: how many, and their
// bytes. They are written again as they were read.
type extra struct {
	count int
	bytes []byte
}

// appendHead begins a record of fields values besides the version.
func appendHead(dst []byte, fields int, x extra) []byte {
	dst = pack.AppendArray(dst, 1+fields+x.count)
	return pack.AppendUint(dst, recordVersion)
}

// readHead reads what appendHead wrote; unknown is how many fields follow the
// known ones.
func readHead(r *pack.Reader, fields int) (unknown int) {
	n := r.ArrayMin(1 + fields)
	if v := r.Uint(); r.Err() == nil && v < 1 {
		r.Fail(pack.ErrRange)
	}
	return n - 1 - fields
}

// readExtra reads the unknown fields and the end of the record.
func readExtra(r *pack.Reader, unknown int) extra {
	if unknown <= 0 || r.Err() != nil {
		r.End()
		return extra{}
	}
	x := extra{count: unknown}
	start := r.Rest()
	for range unknown {
		r.Skip()
	}
	x.bytes = append([]byte(nil), start[:len(start)-len(r.Rest())]...)
	r.End()
	return x
}

// damaged wraps the fault of a record with what was read.
func damaged(t Table, key []byte, err error) error {
	return fmt.Errorf("%s record %q: %w", t, key, err)
}

// clone is a copy of b that keeps nil apart from empty.
func clone(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append([]byte{}, b...)
}
