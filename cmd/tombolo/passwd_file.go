package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// passwordMode is the mode of a new password file. One that is replaced
// keeps what its group may do, because a broker that runs as a user of its
// own often reads the file that way; what all others may do is taken away.
const passwordMode fs.FileMode = 0o600

// replaceFile puts text in the place of the file at path, as a whole or not
// at all: through a new file beside it, synced, then renamed. Owner and group
// are kept, and so is a symbolic link to the file.
func replaceFile(path string, text []byte) (err error) {
	mode := passwordMode
	old, err := os.Stat(path)
	switch {
	case err == nil:
		if !old.Mode().IsRegular() {
			return fmt.Errorf("%s is not a regular file", path)
		}
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return err
		}
		mode |= old.Mode() & 0o060
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, filepath.Base(path)+".*.tmp") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tmp.Close()
			_ = os.Remove(tmp.Name())
		}
	}()
	if _, err = tmp.Write(text); err != nil {
		return err
	}
	if old != nil {
		if err = keepOwner(tmp, old); err != nil {
			return fmt.Errorf("keep the owner of %s: %w", path, err)
		}
	}
	if err = tmp.Chmod(mode); err != nil {
		return err
	}
	if err = tmp.Sync(); err != nil {
		return err
	}
	if err = tmp.Close(); err != nil {
		return err
	}
	if err = os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes a rename durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
