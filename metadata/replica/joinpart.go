package replica

import (
	"bytes"

	"tombolo/dvv"
	"tombolo/internal/pack"
)

// A full join that is resumed merges the keys before the break from one snapshot of the
// donor and those behind it from a later one. Of a key that a snapshot does not have, the
// bases of that snapshot are the whole truth, and of no other one. Those of an earlier
// one do not name all that was gone by then: what the donor's clock had above a gap stood
// in the key's context, and both went when the gap was filled, between the snapshots.
// Those of a later one name what the key may have got since.

// joinPartsMax bounds the snapshots of one join, some 100 bytes each in its record.
const joinPartsMax = 256

// joinPart is the keys behind from, up to where the next part begins. Immutable.
type joinPart struct {
	from  []byte
	bases dvv.VV // of the donor's clock in the snapshot that they were merged from
}

// goesOn begins the part behind the cursor.
func (j *joining) goesOn(bases dvv.VV) {
	if n := len(j.parts); n > 0 && bytes.Equal(j.parts[n-1].from, j.cursor) {
		j.parts = j.parts[:n-1] // nothing was merged from it
	}
	j.parts = append(j.parts, joinPart{from: j.cursor, bases: bases})
}

// basesOf is the bases of the snapshot that name was merged from.
func (j *joining) basesOf(name []byte) (bases dvv.VV) {
	for _, p := range j.parts {
		if len(p.from) > 0 && bytes.Compare(name, p.from) <= 0 {
			break
		}
		bases = p.bases
	}
	return bases
}

func appendParts(dst []byte, parts []joinPart) []byte {
	dst = pack.AppendArray(dst, 2*len(parts))
	for _, p := range parts {
		dst = pack.AppendBytes(pack.AppendBytes(dst, p.from), p.bases.Append(nil))
	}
	return dst
}

func readParts(r *pack.Reader) (parts []joinPart) {
	n := r.Array()
	if n%2 != 0 {
		r.Fail(pack.ErrKind)
	}
	for ; n > 0 && r.Err() == nil; n -= 2 {
		parts = append(parts, joinPart{from: bytes.Clone(r.Bytes()), bases: readVV(r)})
	}
	return parts
}
