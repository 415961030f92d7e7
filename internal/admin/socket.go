package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

// socketPathMax is what fits into sockaddr_un, the final zero not counted.
const socketPathMax = 107

// Socket is the admin socket, open to its owner and root. Immutable once
// built; closing it removes the path.
type Socket struct {
	net.Listener
	path string
}

// Close removes the socket's path and closes it.
func (s *Socket) Close() error {
	err := os.Remove(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, s.Listener.Close())
}

// ListenSocket opens the admin socket for the owner alone. What a dead broker
// left behind is replaced; a path on which somebody answers is not.
func ListenSocket(path string) (*Socket, error) {
	if len(path) > socketPathMax {
		return nil, fmt.Errorf("admin socket %s: the path has %d bytes and a socket path holds %d; choose a shorter one",
			path, len(path), socketPathMax)
	}
	if err := clearSocket(path); err != nil {
		return nil, err
	}
	// The socket is bound under a name in a directory of our own and then
	// moved, so that it never stands open to others between bind and chmod.
	dir, err := os.MkdirTemp(filepath.Dir(path), ".adm")
	if err != nil {
		return nil, fmt.Errorf("admin socket %s: %w", path, err)
	}
	defer os.RemoveAll(dir)
	hidden := filepath.Join(dir, "s")
	if len(hidden) > socketPathMax {
		return nil, fmt.Errorf("admin socket %s: choose a path that is %d bytes shorter", path, len(hidden)-socketPathMax)
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: hidden, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("admin socket %s: %w", path, err)
	}
	ln.SetUnlinkOnClose(false)
	if err = errors.Join(os.Chmod(hidden, 0o600), os.Rename(hidden, path)); err != nil {
		return nil, fmt.Errorf("admin socket %s: %w", path, errors.Join(err, ln.Close()))
	}
	return &Socket{Listener: ln, path: path}, nil
}

// clearSocket removes a socket that nobody answers on.
func clearSocket(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("admin socket %s: %w", path, err)
	case info.Mode()&fs.ModeSocket == 0:
		return fmt.Errorf("admin socket %s: the path is taken by something that is no socket; move it away or choose another path", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = c.Close()
		return fmt.Errorf("admin socket %s: another broker answers on it; stop that one or choose another data_dir", path)
	}
	return os.Remove(path)
}
