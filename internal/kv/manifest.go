package kv

import (
	"encoding/binary"
	"fmt"
)

// The fields of a manifest record, each led by its tag as a uvarint.
const (
	tagComparer    = 1 // bytes
	tagJournal     = 2 // uvarint: journals below it are in tables
	tagNextFile    = 3 // uvarint
	tagSequence    = 4 // uvarint: of the last change that is in a table
	tagCompaction  = 5 // level, internal key
	tagDelete      = 6 // level, number
	tagAdd         = 7 // level, number, size, smallest and largest internal key
	tagPrevJournal = 9 // uvarint, of old versions
)

// manifestState is what a manifest adds up to: the tables in force and the
// journals that are not in them yet. Owned by readManifest until it returns.
type manifestState struct {
	tables   map[int64]int64 // number → bytes
	journal  int64
	sequence uint64
	complete bool // the fields without which goleveldb does not open are there
}

// readManifest adds up the records of a manifest.
func readManifest(records [][]byte) (*manifestState, error) {
	m := &manifestState{tables: map[int64]int64{}}
	var seen uint64 // bit per tag
	for i, rec := range records {
		r := fieldReader{rest: rec}
		for len(r.rest) > 0 && r.err == nil {
			tag := r.uvarint()
			if tag < 64 {
				seen |= 1 << tag
			}
			m.apply(tag, &r)
		}
		if r.err != nil {
			return nil, fmt.Errorf("record %d: %w", i, r.err)
		}
	}
	const need = 1<<tagComparer | 1<<tagJournal | 1<<tagNextFile | 1<<tagSequence
	m.complete = seen&need == need
	return m, nil
}

func (m *manifestState) apply(tag uint64, r *fieldReader) {
	switch tag {
	case tagComparer:
		r.bytes()
	case tagJournal:
		m.journal = int64(r.uvarint())
	case tagNextFile, tagPrevJournal:
		r.uvarint()
	case tagSequence:
		m.sequence = r.uvarint()
	case tagCompaction:
		r.uvarint()
		r.bytes()
	case tagDelete:
		r.uvarint()
		delete(m.tables, int64(r.uvarint()))
	case tagAdd:
		r.uvarint()
		num, size := r.uvarint(), r.uvarint()
		r.bytes()
		r.bytes()
		if r.err == nil {
			m.tables[int64(num)] = int64(size)
		}
	default:
		r.err = fmt.Errorf("unknown field %d", tag)
	}
}

// fieldReader reads fields from the front of a record until one is cut short.
// It belongs to its maker.
type fieldReader struct {
	rest []byte
	err  error
}

func (r *fieldReader) uvarint() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *fieldReader) bytes() {
	n := r.uvarint()
	if r.err == nil && n > uint64(len(r.rest)) {
		r.fail()
	}
	if r.err == nil {
		r.rest = r.rest[n:]
	}
}

func (r *fieldReader) fail() {
	if r.err == nil {
		r.err = fmt.Errorf("cut short")
	}
	r.rest = nil
}
