package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

// fileBytesMax bounds what is read into memory: two million users.
const fileBytesMax = 256 << 20

// settleTime is how old a file's time stamp must be before an equal one means
// an equal file: two writes within one tick of the file system's clock share
// a stamp.
const settleTime = 2 * time.Second

// State is what a file's last reading came to. Immutable.
type State struct {
	Path     string
	Read     bool   // it has been read and parsed at least once
	Missing  bool   // it was not there at the last try
	Fault    string // why the last try failed, "" if it did not
	Entries  int    // users or rules in force
	Loads    uint64 // times that its content was taken over
	Failures uint64 // tries that failed, missing files included
}

// source reads a file again when it has changed. State and interval are
// guarded by mu; last belongs to whoever holds the turn.
type source struct {
	what string // for the log: "password file", "ACL file"
	log  *slog.Logger
	// take parses what was read, puts it in force and returns the number of
	// entries; text is nil for a missing file. Called by the turn's holder.
	take func(text []byte, path string) (entries int, warning string, err error)
	wake chan struct{} // tells Run of a new interval
	turn chan struct{} // filled by the one who loads; reading under a mutex would stop State
	last reading

	mu struct {
		sync.Mutex
		state    State
		interval time.Duration
	}
}

// reading is what is known of the last file that was read. Immutable.
type reading struct {
	path    string
	info    fs.FileInfo // nil: nothing was read
	settled bool        // the time stamp was old enough to be trusted
	sum     [sha256.Size]byte
	err     error // what take said
}

func newSource(what, path string, interval time.Duration, log *slog.Logger) *source {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &source{what: what, log: log, wake: make(chan struct{}, 1), turn: make(chan struct{}, 1)}
	s.mu.state.Path = path
	s.mu.interval = interval
	return s
}

// State tells what the last reading came to.
func (s *source) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.state
}

// SetPath takes another file; Reload or the interval reads it.
func (s *source) SetPath(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.state.Path = path
}

// SetInterval changes how often the file is looked at; 0 is never.
func (s *source) SetInterval(d time.Duration) {
	s.mu.Lock()
	s.mu.interval = d
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default: // Run has not yet taken note of the last change either
	}
}

// Run looks at the file at every interval until ctx ends. The first look is
// the caller's, by Reload, so that it can act on a missing file at start.
func (s *source) Run(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		s.mu.Lock()
		interval := s.mu.interval
		s.mu.Unlock()
		var tick <-chan time.Time // nil, and never ready, without an interval
		if interval > 0 {
			timer.Reset(interval)
			tick = timer.C
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-tick:
			_ = s.load(false) // logged and counted there
		}
	}
}

// Reload reads the file now, changed or not: at start and on SIGHUP. The
// error has been logged and counted.
func (s *source) Reload() error { return s.load(true) }

// load reads the file if there is reason to, has it taken over, counts and
// logs.
func (s *source) load(force bool) error {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	before := s.State()
	found, err := s.read(force, before.Path)

	s.mu.Lock()
	st := &s.mu.state
	st.Missing = errors.Is(err, fs.ErrNotExist)
	st.Fault = ""
	if err != nil {
		st.Failures++
		st.Fault = err.Error()
	}
	if found != nil {
		st.Entries = found.entries
		if err == nil {
			st.Read = true
			st.Loads++
		}
	}
	after := *st
	s.mu.Unlock()

	switch {
	case err != nil && (force || after.Fault != before.Fault):
		// A file that is not there yet is a state, not a fault: whoever refuses
		// clients because of it says so.
		level := slog.LevelError
		if after.Missing && !after.Read {
			level = slog.LevelInfo
		}
		s.log.Log(context.Background(), level, s.what+" not loaded; "+inForce(after), "error", err)
	case err == nil && found != nil:
		s.log.Info(s.what+" loaded", "file", after.Path, "entries", after.Entries)
		if found.warning != "" {
			s.log.Warn(s.what+": "+found.warning, "file", after.Path)
		}
	}
	return err
}

// inForce says what counts after a failed reading.
func inForce(st State) string {
	if st.Entries == 0 {
		return "nothing is in force"
	}
	return fmt.Sprintf("%d entries from before stay in force", st.Entries)
}

// finding is what take made of a file. Immutable.
type finding struct {
	entries int
	warning string
}

// read returns nil for a file that is as it was, with the error it had.
func (s *source) read(force bool, path string) (*finding, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.last = reading{}
		entries, _, takeErr := s.take(nil, path)
		return &finding{entries: entries}, errors.Join(err, takeErr)
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: %w", path, errNotRegular)
	case !force && s.last.is(path, info):
		return nil, s.last.err
	}
	text, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	now := reading{path: path, info: info, sum: sha256.Sum256(text),
		settled: time.Since(info.ModTime()) > settleTime}
	if !force && s.last.info != nil && s.last.path == path && s.last.sum == now.sum {
		now.err = s.last.err
		s.last = now
		return nil, now.err
	}
	entries, warning, err := s.take(text, path)
	now.err = err
	s.last = now
	if err != nil {
		return nil, err
	}
	return &finding{entries: entries, warning: warning}, nil
}

// is reports whether a file is surely the one that was read.
func (r *reading) is(path string, info fs.FileInfo) bool {
	return r.info != nil && r.settled && r.path == path && os.SameFile(r.info, info) &&
		r.info.Size() == info.Size() && r.info.ModTime().Equal(info.ModTime())
}

var errNotRegular = errors.New("not a regular file")

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, fileBytesMax+1))
	if err != nil {
		return nil, err
	}
	if len(text) > fileBytesMax {
		return nil, fmt.Errorf("%s: %w", path, errTooLarge)
	}
	return text, nil
}
