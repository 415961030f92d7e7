package kv

import (
	"encoding/binary"

	"tombolo/internal/invariant"
)

// Batch is a list of changes that are applied as one, in order. It belongs to
// one goroutine; the zero value is empty and ready. Keep batches below 1 MiB:
// one above the write buffer leaves the journal and stops all other writes.
//
// Its records are laid out as goleveldb wants them, so that a write hands them
// over without a copy:
//
//	kind      1 byte: 0 delete, 1 put
//	key       uvarint length, bytes
//	value     uvarint length, bytes; only of a put
type Batch struct {
	data  []byte
	count int
}

const (
	kindDelete byte = 0
	kindPut    byte = 1
)

// Put sets key to value; both are copied in.
func (b *Batch) Put(key, value []byte) {
	if b.data == nil {
		b.data = make([]byte, 0, 640+len(key)+len(value))
	}
	b.data = append(b.data, kindPut)
	b.data = append(binary.AppendUvarint(b.data, uint64(len(key))), key...)
	b.data = append(binary.AppendUvarint(b.data, uint64(len(value))), value...)
	b.count++
}

// Delete removes key, if it is there; the key is copied in.
func (b *Batch) Delete(key []byte) {
	b.data = append(b.data, kindDelete)
	b.data = append(binary.AppendUvarint(b.data, uint64(len(key))), key...)
	b.count++
}

// Len is the number of changes.
func (b *Batch) Len() int { return b.count }

// Bytes is the size of the batch in the journal, without its header.
func (b *Batch) Bytes() int { return len(b.data) }

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() { b.data, b.count = b.data[:0], 0 }

// Each calls fn for every change in order; value is nil and deleted true for
// a Delete. The slices are the batch's own.
func (b *Batch) Each(fn func(key, value []byte, deleted bool)) {
	rest := b.data
	for len(rest) > 0 {
		kind := rest[0]
		key, after := prefixed(rest[1:])
		if kind == kindDelete {
			fn(key, nil, true)
			rest = after
			continue
		}
		var value []byte
		value, rest = prefixed(after)
		fn(key, value, false)
	}
}

// prefixed splits off the bytes that follow their length. Only this file
// writes what it reads, so that a fault is ours.
func prefixed(b []byte) (field, rest []byte) {
	if len(b) > 0 && b[0] < 0x80 && int(b[0]) < len(b) { // as most
		end := 1 + int(b[0])
		return b[1:end:end], b[end:]
	}
	n, size := binary.Uvarint(b)
	invariant.Check(size > 0 && n <= uint64(len(b)-size), "a batch holds half a record")
	return b[size : size+int(n) : size+int(n)], b[size+int(n):]
}
