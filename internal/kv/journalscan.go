package kv

import (
	"encoding/binary"
	"fmt"

	"github.com/syndtr/goleveldb/leveldb/util"
)

// Journals and manifests are LevelDB's record files: blocks of 32 KiB, each
// filled with chunks that do not cross its end.
//
//	crc       4 bytes, little endian: masked CRC-32C of type and payload
//	length    2 bytes, little endian
//	type      1 byte: 1 whole record, 2 first, 3 middle, 4 last part of one
//	payload   length bytes
//
// goleveldb drops what it cannot read and goes on, which is right for the end
// of a journal that a crash cut short, and wrong anywhere else. So the files
// are scanned here first, to tell the two apart.
const (
	blockBytes  = 32 << 10
	headerBytes = 7

	chunkWhole  = 1
	chunkFirst  = 2
	chunkMiddle = 3
	chunkLast   = 4
)

// recordScan is what a record file holds. Immutable once built.
type recordScan struct {
	records [][]byte
	goodEnd int      // where the last whole record ends
	torn    bool     // the file ends in half a record, as a crash leaves it
	damage  []string // what no crash explains
}

// scanRecords reads every record of a file.
func scanRecords(data []byte) *recordScan {
	s := &recordScan{}
	var part []byte // a record in pieces
	inside := false // part has begun
	pending := ""   // a fault that is an ordinary torn end unless good data follows
	note := func(at int, reason string, isTorn bool) {
		inside = false
		if isTorn && pending == "" {
			pending = fmt.Sprintf("at byte %d: %s", at, reason)
		} else if !isTorn {
			s.damage = append(s.damage, fmt.Sprintf("at byte %d: %s", at, reason))
		}
	}
	for at := 0; at < len(data); {
		blockEnd := min(at-at%blockBytes+blockBytes, len(data))
		whole := blockEnd%blockBytes == 0
		if blockEnd-at < headerBytes {
			if !whole {
				note(at, "half a chunk header", true)
			}
			at = blockEnd
			continue
		}
		kind, payload, fault, isTorn := readChunk(data[at:blockEnd], whole, data[at:])
		if fault != "" {
			note(at, fault, isTorn)
			at = blockEnd
			continue
		}
		if pending != "" { // good data follows: it was no torn end
			s.damage = append(s.damage, pending)
			pending = ""
		}
		end := at + headerBytes + len(payload)
		begins := kind == chunkWhole || kind == chunkFirst
		switch {
		case begins && inside:
			s.damage = append(s.damage, fmt.Sprintf("at byte %d: a record without its end", at))
		case !begins && !inside:
			s.damage = append(s.damage, fmt.Sprintf("at byte %d: a record without its beginning", at))
			at = end
			continue
		}
		if begins {
			part = nil
		}
		part, inside = append(part, payload...), kind != chunkWhole && kind != chunkLast
		if !inside {
			s.records, s.goodEnd = append(s.records, part), end
		}
		at = end
	}
	s.torn = pending != "" || inside
	return s
}

// readChunk reads the chunk that block begins with; rest is the whole rest of
// the file. A fault is torn if a crash in the middle of a write leaves it.
func readChunk(block []byte, whole bool, rest []byte) (kind byte, payload []byte, fault string, torn bool) {
	crc := binary.LittleEndian.Uint32(block)
	length := int(binary.LittleEndian.Uint16(block[4:]))
	kind = block[6]
	switch {
	case crc == 0 && length == 0 && kind == 0:
		return 0, nil, "zeros instead of a chunk", allZero(rest)
	case kind < chunkWhole || kind > chunkLast:
		return 0, nil, fmt.Sprintf("chunk type %d", kind), false
	case headerBytes+length > len(block):
		return 0, nil, fmt.Sprintf("a chunk of %d bytes where %d are left", length, len(block)-headerBytes), !whole
	case util.NewCRC(block[6:headerBytes+length]).Value() != crc:
		return 0, nil, "checksum mismatch", allZero(rest[headerBytes:])
	}
	return kind, block[headerBytes : headerBytes+length], "", false
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// batchHeader reads the head of a journal record: the sequence number of its
// first change and how many there are.
func batchHeader(record []byte) (first uint64, count uint32, ok bool) {
	if len(record) < 12 {
		return 0, 0, false
	}
	return binary.LittleEndian.Uint64(record), binary.LittleEndian.Uint32(record[8:]), true
}
