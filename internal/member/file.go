package member

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
)

// fileMagic begins the file; docs/formats/members.md draws it.
const fileMagic = "TMBMEM\x00\x01"

// fileBytesMax is far above what 64 members need, and what is read at most.
const fileBytesMax = 1 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// load reads what is kept; without a file nothing is.
func load(path string) (kept, error) {
	if path == "" {
		return kept{}, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return kept{}, nil
	}
	if err != nil {
		return kept{}, fmt.Errorf("member: %w", err)
	}
	head := len(fileMagic) + 4
	if len(b) < head || len(b) > fileBytesMax || string(b[:len(fileMagic)]) != fileMagic ||
		binary.BigEndian.Uint32(b[len(fileMagic):]) != crc32.Checksum(b[head:], castagnoli) {
		return kept{}, fmt.Errorf("member: %s: %w: %s", path, errDamaged, fileRemedy)
	}
	k, err := parseKept(b[head:])
	if err != nil {
		return kept{}, fmt.Errorf("member: %s: %w (%v): %s", path, errDamaged, err, fileRemedy)
	}
	return k, nil
}

// errDamaged is what a file is that was not written so.
var errDamaged = errors.New("the file is damaged")

// damagedSuffix ends the name of a file that was set aside.
const damagedSuffix = ".damaged"

const fileRemedy = "the tables do not know the member set either; restore the data directory from a backup, or move it away and start with an empty one, as a new node"

// keep writes what is kept so that a crash leaves the old or the new whole.
func keep(path string, k *kept) error {
	if path == "" {
		return nil
	}
	body := appendKept(nil, k)
	b := binary.BigEndian.AppendUint32([]byte(fileMagic), crc32.Checksum(body, castagnoli))
	if err := replace(path, append(b, body...)); err != nil {
		return fmt.Errorf("member: keeping the member set: %w", err)
	}
	return nil
}

func replace(path string, b []byte) error {
	next := path + ".new"
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Stored reads the record that a node keeps in its file, before anything else
// of it is opened; Version 0 says that it belongs to no cluster.
func Stored(path string) (Record, error) {
	k, err := load(path)
	return k.record, err
}
