package queue

import (
	"fmt"
	"testing"

	"tombolo/internal/kv"
)

// layouts are the ways to store an event that docs/decisions/queue-layout.md
// compares: where the body of a message stands and what refers to it.
var layouts = []struct {
	name string
	put  func(b *kv.Batch, m *Message, n, queues, fan int)
}{
	{"C event names its queues", func(b *kv.Batch, m *Message, n, queues, fan int) {
		var k key
		v := appendBodyHead(nil, fan)
		for f := range fan {
			v = appendHolder(v, holder{QueueID(1 + (n+f)%queues), 1, uint64(n)})
		}
		b.Put(k.two(tableBody, 1, uint64(n)), append(v, m.Body...))
	}},
	{"D body and queue records", func(b *kv.Batch, m *Message, n, queues, fan int) {
		var k key
		v := appendBodyHead(nil, fan)
		for f := range fan {
			v = appendHolder(v, holder{QueueID(1 + (n+f)%queues), 1, uint64(n)})
		}
		b.Put(k.two(tableBody, 1, uint64(n)), append(v, m.Body...))
		for f := range fan {
			b.Put(k.record(QueueID(1+(n+f)%queues), 1, uint64(n)), appendRecord(nil, m, &Target{QoS: 1}, place{1, uint32(n)}))
		}
	}},
	{"I body in each queue record", func(b *kv.Batch, m *Message, n, queues, fan int) {
		var k key
		for f := range fan {
			b.Put(k.record(QueueID(1+(n+f)%queues), 1, uint64(n)), appendRecord(nil, m, &Target{QoS: 1}, place{}))
		}
	}},
}

// TestLoadLayouts writes events in each layout, in batches of 256 with one
// cursor each, and deletes each one a thousand later, as a keeping-up client
// would have it.
func TestLoadLayouts(t *testing.T) {
	n := 2000 * factor()
	for _, shape := range []struct{ queues, fan, size int }{
		{1, 1, 256}, {64, 1, 256}, {64, 1, 4096}, {64, 2, 64}, {64, 2, 128}, {64, 2, 256}, {64, 2, 1024}, {64, 8, 64}, {64, 8, 128}, {64, 8, 1024},
	} {
		for _, l := range layouts {
			db := loadDB(t, kv.SyncNever)
			f := measure()
			var b kv.Batch
			var gone []int
			m := &Message{ID: MessageID{1 << 60, 5}, QoS: 1, Body: make([]byte, shape.size)}
			for i := range n {
				l.put(&b, m, i, shape.queues, shape.fan)
				if gone = append(gone, i); len(gone) > 1000 {
					deleteEvent(&b, l.name, gone[0], shape.queues, shape.fan)
					gone = gone[1:]
				}
				if i%256 == 255 || i == n-1 {
					var k key
					c := cursor{head: uint64(i), tail: uint64(i) + 1000, lease: uint64(i) + 4096}
					b.Put(k.cursor(1, 1), c.append(nil))
					if err := db.Write(&b, true); err != nil {
						t.Fatal(err)
					}
					b.Reset()
				}
			}
			f.report(t, fmt.Sprintf("%d queues, fan %d, %4d B: %s", shape.queues, shape.fan, shape.size, l.name), n)
			_ = db.Close()
		}
	}
}

func deleteEvent(b *kv.Batch, layout string, n, queues, fan int) {
	var k key
	if layout[0] != 'I' {
		b.Delete(k.two(tableBody, 1, uint64(n)))
	}
	if layout[0] != 'C' {
		for f := range fan {
			b.Delete(k.record(QueueID(1+(n+f)%queues), 1, uint64(n)))
		}
	}
}
