package queue

import "encoding/binary"

// A key is one byte for its table and fixed-width numbers, big endian, so that
// keys sort as the numbers do. docs/formats/queue.md has the list, with the
// tables that are kept free for the cluster.
const (
	tableLease   byte = 'l' // → format version, incarnation, leases
	tableName    byte = 'n' // name → queue
	tableCursor  byte = 'c' // queue, generation → cursor
	tableRecord  byte = 'q' // queue, generation, sequence → record
	tableInbound byte = 'p' // queue, packet id → message id
	tableBody    byte = 'b' // segment, index → body
	tableSegment byte = 's' // segment → live count
	tableDropped byte = 'd' // queue → nothing; its records are being deleted
	tableMoving  byte = 'm' // queue → the node that holds a part of it
	tableFences  byte = 'f' // queue → who publishes for which home of its session (R21)
	tableStray   byte = 't' // peer, name → what a session's old home may still get from there (R11)
	tableApplied byte = 'a' // peer, stream → how far it was applied (R2)

	tableRemembered byte = 'i' // message id → when it was taken in; it may come again (R3)
)

// firstGeneration is the generation of a queue that was opened without one: from
// before there was a cluster (R20).
const firstGeneration = 1

// key is large enough for every key of fixed width.
type key [25]byte

func leaseKey() []byte { return []byte{tableLease} }

func nameKey(name string) []byte { return append([]byte{tableName}, name...) }

func (k *key) one(table byte, a uint64) []byte {
	k[0] = table
	binary.BigEndian.PutUint64(k[1:], a)
	return k[:9]
}

func (k *key) two(table byte, a, b uint64) []byte {
	k.one(table, a)
	binary.BigEndian.PutUint64(k[9:], b)
	return k[:17]
}

func (k *key) cursor(id QueueID, generation uint64) []byte {
	return k.two(tableCursor, uint64(id), generation)
}

func (k *key) record(id QueueID, generation, seq uint64) []byte {
	k.two(tableRecord, uint64(id), generation)
	binary.BigEndian.PutUint64(k[17:], seq)
	return k[:25]
}

func (k *key) inbound(id QueueID, packetID uint16) []byte {
	k.one(tableInbound, uint64(id))
	binary.BigEndian.PutUint16(k[9:], packetID)
	return k[:11]
}

func (k *key) body(segment uint64, index uint32) []byte {
	k.one(tableBody, segment)
	binary.BigEndian.PutUint32(k[9:], index)
	return k[:13]
}

func (k *key) segment(segment uint64) []byte { return k.one(tableSegment, segment) }

func (k *key) applied(peer uint64, stream uint32) []byte {
	k.one(tableApplied, peer)
	binary.BigEndian.PutUint32(k[9:], stream)
	return k[:13]
}

func (k *key) remembered(id MessageID) []byte { return k.two(tableRemembered, id.Ingress, id.N) }

func (k *key) moving(id QueueID) []byte { return k.one(tableMoving, uint64(id)) }

func (k *key) fences(id QueueID) []byte { return k.one(tableFences, uint64(id)) }

func (k *key) dropped(id QueueID) []byte { return k.one(tableDropped, uint64(id)) }

// number reads the n-th 8-byte number of a key, 0 if it is too short.
func number(k []byte, n int) uint64 {
	if len(k) < 1+8*(n+1) {
		return 0
	}
	return binary.BigEndian.Uint64(k[1+8*n:])
}
