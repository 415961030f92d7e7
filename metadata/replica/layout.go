package replica

import (
	"encoding/binary"

	"tombolo/dvv"
	"tombolo/internal/kv"
)

// The areas of the database: the first byte of every key. docs/formats/metadata.md
// draws what stands behind it.
const (
	AreaObject     byte = 'o' // table and key → object record
	areaIndex      byte = 'i' // actor, counter, batch → the dots from there on that the batch made live, with table and key
	areaGarbage    byte = 'g' // actor, counter → 'l' or 'd', then table and key
	areaResidual   byte = 'r' // table and key → nothing: the object has a context left
	areaLasting    byte = 'l' // table and key → the context that names lost dots
	areaMeta       byte = 'm' // a letter → one of the store's own records
	areaQuarantine byte = 'q' // actor, counter, hash of the value → key and value
)

// The kinds of garbage entries.
const (
	garbageTomb   byte = 'l' // the dot of a tombstone, which is a live sibling
	garbageDelete byte = 'd' // the dot of a delete, or of a value that is gone
)

var (
	metaState    = []byte{areaMeta, 's'}
	metaIdentity = []byte{areaMeta, 'i'}
	metaPeers    = []byte{areaMeta, 'p'}
	metaRetired  = []byte{areaMeta, 'r'}
	metaJoin     = []byte{areaMeta, 'j'}
)

// dotKeyBytes is the length of a key that ends in a dot.
const dotKeyBytes = 17

// appendDotKey appends area, actor and counter; big-endian, so that the dots of
// an actor stand in order.
func appendDotKey(dst []byte, area byte, d dvv.Dot) []byte {
	if dst == nil {
		dst = make([]byte, 0, blockKeyBytes)
	}
	dst = append(dst, area)
	dst = binary.BigEndian.AppendUint64(dst, uint64(d.Actor))
	return binary.BigEndian.AppendUint64(dst, d.Counter)
}

func parseDotKey(key []byte) (dvv.Dot, bool) {
	if len(key) != dotKeyBytes {
		return dvv.Dot{}, false
	}
	return dvv.Dot{
		Actor:   dvv.Actor(binary.BigEndian.Uint64(key[1:])),
		Counter: binary.BigEndian.Uint64(key[9:]),
	}, true
}

// objectKey is the database's key of a table and key.
func objectKey(key []byte) []byte { return withArea(AreaObject, key) }

func withArea(area byte, key []byte) []byte {
	return append(append(make([]byte, 0, 1+len(key)), area), key...)
}

// everyByte is where the ends of ranges are taken from. Immutable.
var everyByte = func() (list [256]byte) {
	for i := range list {
		list[i] = byte(i)
	}
	return list
}()

// inArea is all keys of area.
func inArea(area byte) kv.Range {
	return kv.Range{Start: everyByte[area : area+1 : area+1], Limit: everyByte[area+1 : area+2 : area+2]}
}

// allOf is area for a walk through all of it.
func allOf(area byte) kv.Range {
	r := inArea(area)
	r.Once = true
	return r
}
