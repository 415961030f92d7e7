package kv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
)

// lockName is the file whose lock says that a database is open; it holds the
// process that opened it last.
const lockName = "LOCK"

// osDisk is a directory of the operating system. Immutable once built.
type osDisk struct{ dir string }

// OSDisk is the directory dir, which Lock makes if it does not exist.
func OSDisk(dir string) Disk { return osDisk{dir} }

func (d osDisk) Name() string { return d.dir }

func (d osDisk) path(name string) string { return filepath.Join(d.dir, filepath.FromSlash(name)) }

func (d osDisk) List() ([]string, error) {
	entries, err := os.ReadDir(d.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	sort.Strings(names)
	return names, nil
}

func (d osDisk) Open(name string) (DiskReader, error) {
	f, err := os.Open(d.path(name))
	if err != nil {
		return nil, err
	}
	return osReader{f}, nil
}

type osReader struct{ *os.File }

func (r osReader) Size() (int64, error) {
	fi, err := r.Stat()
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}

func (d osDisk) Create(name string) (DiskWriter, error) {
	if err := d.makeFolder(name); err != nil {
		return nil, err
	}
	return os.OpenFile(d.path(name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
}

func (d osDisk) Remove(name string) error { return os.Remove(d.path(name)) }

func (d osDisk) Rename(oldName, newName string) error {
	if err := d.makeFolder(newName); err != nil {
		return err
	}
	return os.Rename(d.path(oldName), d.path(newName))
}

// makeFolder makes the folder of a name that has one.
func (d osDisk) makeFolder(name string) error {
	if folder, _, ok := strings.Cut(name, "/"); ok {
		return os.MkdirAll(d.path(folder), 0o750)
	}
	return nil
}

func (d osDisk) SyncDir() error {
	f, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	// Some file systems cannot sync a directory and say so in this way.
	if errors.Is(err, syscall.EINVAL) {
		return nil
	}
	return err
}

func (d osDisk) Lock(readOnly bool) (func() error, error) {
	flags, how := os.O_RDWR|os.O_CREATE, syscall.LOCK_EX
	if readOnly {
		flags, how = os.O_RDONLY, syscall.LOCK_SH
	} else if err := os.MkdirAll(d.dir, 0o750); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(d.path(lockName), flags, 0o640)
	if readOnly && errors.Is(err, fs.ErrNotExist) {
		return func() error { return nil }, nil // never opened by us: nobody to keep out
	}
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s is in use by %s: stop it first, or ask the running node through its API",
				ErrLocked, d.dir, lockHolder(f))
		}
		return nil, fmt.Errorf("lock %s: %w", d.path(lockName), err)
	}
	if !readOnly {
		if err := writeLockHolder(f); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return f.Close, nil // closing the file lets go of the lock
}

// lockHolder is what the lock file says about the process that holds it.
func lockHolder(f *os.File) string {
	buf := make([]byte, 256)
	n, _ := f.ReadAt(buf, 0)
	if holder := strings.TrimSpace(string(buf[:n])); holder != "" {
		return holder
	}
	return "another process"
}

func writeLockHolder(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := fmt.Fprintf(f, "process %d (%s)\n", os.Getpid(), filepath.Base(os.Args[0]))
	return err
}
