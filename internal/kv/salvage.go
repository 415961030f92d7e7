package kv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/table"
	"github.com/syndtr/goleveldb/leveldb/util"
)

// internalOrder orders the keys inside tables: the user's key, then eight
// bytes little endian that hold sequence number and kind, the newest first.
//
// goleveldb's own recovery rebuilds a damaged table with the order of user
// keys, which shortens the keys of the index below those eight bytes: the next
// read of that table panics. So damaged tables are rebuilt here, before
// goleveldb sees them.
type internalOrder struct{}

func (internalOrder) Name() string { return "leveldb.InternalKeyComparator" }

func (internalOrder) Compare(a, b []byte) int {
	na, nb := len(a)-8, len(b)-8
	if c := bytes.Compare(a[:na], b[:nb]); c != 0 {
		return c
	}
	x, y := binary.LittleEndian.Uint64(a[na:]), binary.LittleEndian.Uint64(b[nb:])
	switch {
	case x > y:
		return -1
	case x < y:
		return 1
	}
	return 0
}

// Separator and Successor shorten nothing: nil says so.
func (internalOrder) Separator(_, _, _ []byte) []byte { return nil }
func (internalOrder) Successor(_, _ []byte) []byte    { return nil }

// salvageTable replaces a damaged table by one that holds what can still be
// read of it, and returns how many entries that is. With none the file is
// removed; the caller has set a copy aside.
func salvageTable(d Disk, name string, size int64) (entries int, err error) {
	fd, _ := parseName(name)
	f, err := d.Open(name)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	// No StrictReader: blocks that cannot be read are passed over.
	o := &opt.Options{Comparer: internalOrder{}, Strict: opt.StrictBlockChecksum}
	r, err := table.NewReader(readerOnly{f}, size, fd, nil, util.NewBufferPool(8<<10), o)
	if err != nil {
		return 0, err
	}
	defer r.Release()
	it := r.NewIterator(nil, nil)
	defer it.Release()

	var out bytes.Buffer
	w := table.NewWriter(&out, &opt.Options{Comparer: internalOrder{}}, nil, 0)
	var last []byte
	for it.Next() {
		key := it.Key()
		if len(key) < 8 || key[len(key)-8] > 1 || last != nil && (internalOrder{}).Compare(last, key) >= 0 {
			continue
		}
		if err := w.Append(key, it.Value()); err != nil {
			return 0, err
		}
		last = append(last[:0], key...)
		entries++
	}
	if err := it.Error(); err != nil && !isCorrupted(err) {
		return 0, err
	}
	if entries == 0 {
		return 0, d.Remove(name)
	}
	if err := w.Close(); err != nil {
		return 0, err
	}
	if err := writeFile(d, name, out.Bytes()); err != nil {
		return 0, fmt.Errorf("write what is left of %s: %w", name, err)
	}
	return entries, nil
}
