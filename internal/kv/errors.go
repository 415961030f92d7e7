package kv

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/syndtr/goleveldb/leveldb"
	lerrors "github.com/syndtr/goleveldb/leveldb/errors"
	"github.com/syndtr/goleveldb/leveldb/storage"
)

// classify turns an error of goleveldb or of the disk into one of ours. It
// keeps the original in the chain, says where it happened and what to do.
func classify(d Disk, op string, err error) error {
	switch {
	case err == nil:
		return nil
	case err == leveldb.ErrNotFound:
		return ErrNotFound
	case isClass(err):
		return err
	case errors.Is(err, leveldb.ErrClosed), errors.Is(err, storage.ErrClosed),
		errors.Is(err, leveldb.ErrSnapshotReleased), errors.Is(err, leveldb.ErrIterReleased):
		return ErrClosed
	case isCorrupted(err):
		return fmt.Errorf("%w: %s: %s: %w: start the node again; it sets the damaged file aside and is refilled from its peers",
			ErrCorrupted, d.Name(), op, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: %s: %s: %w: free space on this file system, then start the node again",
			ErrFull, d.Name(), op, err)
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission), errors.Is(err, leveldb.ErrReadOnly):
		return fmt.Errorf("%w: %s: %s: %w: make the directory writable for this user, or see why the system mounted it read-only",
			ErrReadOnly, d.Name(), op, err)
	}
	return fmt.Errorf("%s: %s: %w", d.Name(), op, err)
}

func isClass(err error) bool {
	for _, class := range []error{ErrNotFound, ErrClosed, ErrLocked, ErrFull, ErrReadOnly, ErrCorrupted} {
		if errors.Is(err, class) {
			return true
		}
	}
	return false
}

// isCorrupted also finds the types of goleveldb inside a chain.
func isCorrupted(err error) bool {
	var table *lerrors.ErrCorrupted
	var file *storage.ErrCorrupted
	return errors.As(err, &table) || errors.As(err, &file)
}
