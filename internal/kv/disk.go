package kv

import (
	"fmt"
	"io"
)

// Disk is one directory, as a database needs it: few verbs, so that a disk
// that fails in every way is easy to write and the product's own file handling
// runs on it unchanged. Names are plain, or one folder deep ("folder/name");
// a missing folder is made. Safe for use from any goroutine.
type Disk interface {
	// Name says where this is, for messages.
	Name() string
	// Lock keeps other processes out until release; readOnly allows other
	// readers. Its error wraps ErrLocked and names the holder.
	Lock(readOnly bool) (release func() error, err error)
	// List is the names of the plain files at the top, sorted.
	List() ([]string, error)
	// Open reads a file; its error wraps fs.ErrNotExist if there is none.
	Open(name string) (DiskReader, error)
	// Create makes or empties a file.
	Create(name string) (DiskWriter, error)
	Remove(name string) error
	// Rename replaces newName in one step.
	Rename(oldName, newName string) error
	// SyncDir makes creations, removals and renames durable.
	SyncDir() error
}

// DiskReader reads a file at any place. Safe for use from any goroutine.
type DiskReader interface {
	io.ReaderAt
	io.Closer
	Size() (int64, error)
}

// DiskWriter appends to a file. It belongs to one goroutine at a time, but that
// another one may Sync what was written before it began.
type DiskWriter interface {
	io.Writer
	io.Closer
	// Sync makes everything written so far durable.
	Sync() error
}

// readFile is the whole of a file that is known to be small, or to fit the
// memory of those who repair.
func readFile(d Disk, name string) (data []byte, err error) {
	f, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	data = make([]byte, size)
	n, err := f.ReadAt(data, 0)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data[:n], nil
}

// writeFile replaces a file in one step: it is there as a whole or as it was.
func writeFile(d Disk, name string, data []byte) error {
	tmp := name + ".new"
	if err := createFile(d, tmp, data); err != nil {
		return err
	}
	if err := d.Rename(tmp, name); err != nil {
		return fmt.Errorf("rename %s: %w", tmp, err)
	}
	return d.SyncDir()
}

// createFile writes and syncs a file.
func createFile(d Disk, name string, data []byte) error {
	w, err := d.Create(name)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	if err == nil {
		err = w.Sync()
	}
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
