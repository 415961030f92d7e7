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
//  4. A name has a queue with a cursor; a record belongs to a generation with a
//     cursor of a queue with a name, or to a queue that is being dropped.
//  5. No record is one that its cursor has forgotten.
func audit(t testing.TB, db kv.DB) {
	t.Helper()
	cursors, dropped := auditQueues(t, db)
	refs := map[uint64]uint64{}
	each(t, db, tableRecord, func(k, v []byte) {
		id, generation, seq := QueueID(number(k, 0)), number(k, 1), number(k, 2)
		var e Entry
		var m Message
		at, err := decodeRecord(v, &e, &m)
		if err != nil {
			t.Errorf("record %d/%d: %v", id, seq, err)
		}
		c, known := cursors[[2]uint64{uint64(id), generation}]
		if !known && !dropped[id] {
			t.Errorf("record %d/%d of a queue that is not there", id, seq)
		}
		if known && (seq < c.head || c.forgotten.has(seq) || c.absent.has(seq)) {
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

// auditQueues returns the cursors by queue and generation, and the dropped queues.
func auditQueues(t testing.TB, db kv.DB) (map[[2]uint64]cursor, map[QueueID]bool) {
	t.Helper()
	cursors, names, dropped := map[[2]uint64]cursor{}, map[QueueID]int{}, map[QueueID]bool{}
	each(t, db, tableName, func(k, v []byte) {
		id, _, err := decodeName(v)
		if err != nil {
			t.Errorf("name %q: %v", k, err)
		}
		names[id] = 0
	})
	each(t, db, tableDropped, func(k, _ []byte) { dropped[QueueID(number(k, 0))] = true })
	each(t, db, tableCursor, func(k, v []byte) {
		id := QueueID(number(k, 0))
		if _, ok := names[id]; !ok {
			t.Errorf("a cursor of queue %d, which has no name", id)
		}
		names[id]++
		c, err := decodeCursor(v)
		if err != nil {
			t.Errorf("cursor %x: %v", k, err)
		}
		cursors[[2]uint64{uint64(id), number(k, 1)}] = c
	})
	for id, n := range names {
		if n == 0 {
			t.Errorf("queue %d has no cursor", id)
		}
	}
	for _, table := range []byte{tableInbound, tableMoving, tableFences} {
		each(t, db, table, func(k, _ []byte) {
			if _, ok := names[QueueID(number(k, 0))]; !ok {
				t.Errorf("a key of table %q of queue %d, which has no name", table, number(k, 0))
			}
		})
	}
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
