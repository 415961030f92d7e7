package queue

import (
	"testing"

	"tombolo/internal/kv"
)

// audit walks a whole database that no store has open and checks what must hold
// at every commit boundary:
//
//  1. Every value decodes.
//  2. A segment's live count is the number of records that refer to it.
//  3. Every record with a shared body has that body, every body has a segment.
//  4. A name has a queue with a cursor; a record belongs to a queue with a name
//     or to one that is being dropped.
//  5. No record is one that its cursor has forgotten.
func audit(t testing.TB, db kv.DB) {
	t.Helper()
	cursors, dropped := auditQueues(t, db)
	refs := map[uint64]uint64{}
	each(t, db, tableRecord, func(k, v []byte) {
		id, seq := QueueID(number(k, 0)), number(k, 2)
		var e Entry
		var m Message
		at, err := decodeRecord(v, &e, &m)
		if err != nil {
			t.Errorf("record %d/%d: %v", id, seq, err)
		}
		c, known := cursors[id]
		if !known && !dropped[id] {
			t.Errorf("record %d/%d of a queue that is not there", id, seq)
		}
		if known && (seq < c.head || c.forgotten.has(seq)) {
			t.Errorf("record %d/%d is forgotten and still there", id, seq)
		}
		if at.segment == 0 {
			return
		}
		refs[at.segment]++
		var b key
		if _, err := db.Get(b.body(at.segment, at.index)); err != nil {
			t.Errorf("body %v of record %d/%d: %v", at, id, seq, err)
		}
	})
	segments := map[uint64]bool{}
	each(t, db, tableSegment, func(k, v []byte) {
		id := number(k, 0)
		segments[id] = true
		if seg, err := decodeSegment(v); err != nil || seg.live != refs[id] {
			t.Errorf("segment %d: %d live, %d records refer to it, %v", id, seg.live, refs[id], err)
		}
	})
	each(t, db, tableBody, func(k, v []byte) {
		if !segments[number(k, 0)] {
			t.Errorf("a body of segment %d, which is not there", number(k, 0))
		}
		if _, _, err := decodeBody(v, true); err != nil {
			t.Errorf("body: %v", err)
		}
	})
}

func auditQueues(t testing.TB, db kv.DB) (map[QueueID]cursor, map[QueueID]bool) {
	t.Helper()
	cursors, dropped := map[QueueID]cursor{}, map[QueueID]bool{}
	each(t, db, tableName, func(k, v []byte) {
		id, err := decodeName(v)
		if err != nil {
			t.Errorf("name %q: %v", k, err)
		}
		var c key
		value, err := db.Get(c.cursor(id, firstGeneration))
		if err == nil {
			cursors[id], err = decodeCursor(value)
		}
		if err != nil {
			t.Errorf("cursor of %q: %v", k, err)
		}
	})
	each(t, db, tableDropped, func(k, _ []byte) { dropped[QueueID(number(k, 0))] = true })
	each(t, db, tableCursor, func(k, _ []byte) {
		if _, ok := cursors[QueueID(number(k, 0))]; !ok {
			t.Errorf("a cursor of queue %d, which has no name", number(k, 0))
		}
	})
	each(t, db, tableInbound, func(k, _ []byte) {
		if _, ok := cursors[QueueID(number(k, 0))]; !ok {
			t.Errorf("an inbound packet id of queue %d, which has no name", number(k, 0))
		}
	})
	return cursors, dropped
}

func each(t testing.TB, db kv.DB, table byte, fn func(k, v []byte)) {
	t.Helper()
	it := db.Iterator(kv.PrefixRange([]byte{table}))
	defer it.Close()
	for it.Next() {
		fn(it.Key(), it.Value())
	}
	if err := it.Err(); err != nil {
		t.Errorf("walk table %q: %v", table, err)
	}
}
