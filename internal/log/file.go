package log

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
)

// fileMode keeps client ids and addresses from other users of the machine.
const fileMode = 0o640

// lossCounter counts lines that could not be written. Atomic.
type lossCounter struct{ n atomic.Uint64 }

func (c *lossCounter) load() uint64 { return c.n.Load() }

// lockedWriter writes one line at a time to a writer that may not be safe for
// concurrent use. Guarded by mu.
type lockedWriter struct {
	mu   sync.Mutex
	w    io.Writer
	lost *lossCounter
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.w.Write(p)
	if err != nil {
		l.lost.n.Add(1)
	}
	return n, err
}

// file is a log file that rotates by size. The fields in mu are guarded by it;
// writing holds it, which is the one place where this package does I/O under a
// lock: a line must not be split.
type file struct {
	config FileConfig
	lost   *lossCounter
	// packing is the one rotated file that is being compressed, beside the
	// lock: a large file takes seconds, and no line waits for it.
	packing sync.WaitGroup

	mu struct {
		sync.Mutex
		f     *os.File // nil when closed
		bytes int64
	}
}

func newFile(c FileConfig, lost *lossCounter) *file { return &file{config: c, lost: lost} }

func (f *file) open() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.openLocked()
}

// openLocked replaces the descriptor by a fresh one, or leaves it on error.
func (f *file) openLocked() error {
	if err := os.MkdirAll(filepath.Dir(f.config.Path), 0o750); err != nil {
		return fmt.Errorf("create the log directory: %w", err)
	}
	opened, err := os.OpenFile(f.config.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, fileMode)
	if err != nil {
		return fmt.Errorf("open the log file: %w", err)
	}
	info, err := opened.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("look at the log file: %w", err), opened.Close())
	}
	if f.mu.f != nil {
		err = f.mu.f.Close()
	}
	f.mu.f, f.mu.bytes = opened, info.Size()
	return err
}

func (f *file) reopen() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.f == nil {
		return nil
	}
	return f.openLocked()
}

func (f *file) close() error {
	f.packing.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.f == nil {
		return nil
	}
	err := f.mu.f.Close()
	f.mu.f = nil
	return err
}

// Write appends one line, rotating first if it would pass the size.
func (f *file) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.f == nil {
		f.lost.n.Add(1)
		return 0, os.ErrClosed
	}
	limit := f.config.Rotation.SizeBytes
	if limit > 0 && f.mu.bytes > 0 && f.mu.bytes+int64(len(p)) > limit {
		// A rotation that fails is no reason to lose the line: the file grows
		// past its size, and the next line tries again.
		_ = f.rotateLocked()
	}
	n, err := f.mu.f.Write(p)
	f.mu.bytes += int64(n)
	if err != nil {
		f.lost.n.Add(1)
	}
	return n, err
}

// rotateLocked moves path to path.1, path.1 to path.2 and so on, and forgets
// what is older than Keep. With Keep 0 the file is just begun anew.
func (f *file) rotateLocked() error {
	f.packing.Wait() // only when two rotations meet
	r := f.config.Rotation
	if r.Keep <= 0 {
		if err := f.mu.f.Truncate(0); err != nil {
			return err
		}
		f.mu.bytes = 0
		return nil
	}
	if err := removeBoth(f.numbered(r.Keep)); err != nil {
		return err
	}
	for i := r.Keep - 1; i >= 1; i-- {
		for _, suffix := range []string{"", ".gz"} {
			err := os.Rename(f.numbered(i)+suffix, f.numbered(i+1)+suffix)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	if err := os.Rename(f.config.Path, f.numbered(1)); err != nil {
		return err
	}
	if err := f.openLocked(); err != nil {
		return err
	}
	if r.Compress {
		// A failure leaves the plain file, which is as good.
		f.packing.Go(func() { _ = compress(f.numbered(1)) })
	}
	return nil
}

func (f *file) numbered(i int) string { return f.config.Path + "." + strconv.Itoa(i) }

func removeBoth(path string) error {
	for _, p := range []string{path, path + ".gz"} {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// compress replaces path by path.gz. The plain file goes last, so that a
// failure in between leaves the lines readable.
func compress(path string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(path+".gz", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, fileMode)
	if err != nil {
		return err
	}
	z := gzip.NewWriter(out)
	_, err = io.Copy(z, in)
	if err = errors.Join(err, z.Close(), out.Close()); err != nil {
		return errors.Join(err, os.Remove(path+".gz"))
	}
	return os.Remove(path)
}
