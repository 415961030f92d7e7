package log

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
)

// Format is the shape of a line.
type Format uint8

// The formats of VerneMQ's log.console.*.format.
const (
	Text Format = iota
	JSON
)

// Rotation says when a log file gives way to the next. A value.
type Rotation struct {
	SizeBytes int64 // rotate before a line that would pass this; 0 is never (VerneMQ: infinity)
	Keep      int   // rotated files that stay: name.1 is the newest
	Compress  bool  // gzip rotated files
}

// FileConfig is one log file. A value.
type FileConfig struct {
	Path     string // "" for none
	Format   Format
	Rotation Rotation
}

// Config is where lines go. A value; see the log.* options.
type Config struct {
	Console       io.Writer // nil for none; "console" and "both" of log.console
	ConsoleFormat Format
	Main          FileConfig // "file" and "both" of log.console
	Error         FileConfig // lines at error and above once more; log.error
	Level         slog.Level // of subsystems that have none of their own
	Levels        map[string]slog.Level
}

// Log is the set of sinks and levels of one process. The sinks are immutable
// after Open; mu guards the subsystems.
type Log struct {
	config Config
	sinks  []sink // console, main, error
	files  []*file
	root   *slog.LevelVar
	lost   lossCounter

	mu struct {
		sync.Mutex
		subsystems map[string]*subsystem
	}
}

// sink is one place that lines go to. Immutable once built.
type sink struct {
	minimum slog.Level
	handler slog.Handler
}

// New returns a Log that writes nowhere until Open.
func New(c Config) *Log {
	l := &Log{config: c, root: new(slog.LevelVar)}
	l.root.Set(c.Level)
	l.mu.subsystems = map[string]*subsystem{}
	for name, level := range c.Levels {
		l.subsystemNamed(name).set(level)
	}
	return l
}

// lowest is below every level: the sinks take what the subsystem let pass.
const lowest = slog.Level(-1 << 20)

// Open opens the files. It must return before the first call of For.
func (l *Log) Open() error {
	if w := l.config.Console; w != nil {
		l.sinks = append(l.sinks, sink{lowest, newHandler(&lockedWriter{w: w, lost: &l.lost}, l.config.ConsoleFormat)})
	}
	var errs []error
	for _, f := range []struct {
		config  FileConfig
		minimum slog.Level
	}{{l.config.Main, lowest}, {l.config.Error, LevelError}} {
		if f.config.Path == "" {
			continue
		}
		out := newFile(f.config, &l.lost)
		if err := out.open(); err != nil {
			errs = append(errs, err)
			continue
		}
		l.files = append(l.files, out)
		l.sinks = append(l.sinks, sink{f.minimum, newHandler(out, f.config.Format)})
	}
	if err := errors.Join(errs...); err != nil {
		return errors.Join(err, l.Close())
	}
	return nil
}

// Close closes the files. Lines that come later are lost and counted.
func (l *Log) Close() error {
	var errs []error
	for _, f := range l.files {
		errs = append(errs, f.close())
	}
	return errors.Join(errs...)
}

// Reopen opens every file anew by its name, for SIGHUP after a tool such as
// logrotate has moved it away. A file that cannot be opened keeps the old
// descriptor, so that no line is lost to a wrong permission.
func (l *Log) Reopen() error {
	var errs []error
	for _, f := range l.files {
		errs = append(errs, f.reopen())
	}
	return errors.Join(errs...)
}

// Lost returns how many lines could not be written.
func (l *Log) Lost() uint64 { return l.lost.load() }

// For returns the logger of a subsystem. Its lines carry the attribute "sys".
func (l *Log) For(name string) *slog.Logger {
	h := &handler{subsystem: l.subsystemNamed(name), sinks: slices.Clone(l.sinks)}
	return slog.New(h.WithAttrs([]slog.Attr{slog.String("sys", name)}))
}

// SetLevel sets the level of a subsystem that has asked for its logger or was
// configured; "" sets the level of all that have none of their own.
func (l *Log) SetLevel(name string, level slog.Level) error {
	if name == "" {
		l.root.Set(level)
		return nil
	}
	l.mu.Lock()
	s := l.mu.subsystems[name]
	l.mu.Unlock()
	if s == nil {
		return fmt.Errorf("no subsystem is called %q", name)
	}
	s.set(level)
	return nil
}

// ResetLevel takes a subsystem's own level away: it follows the common one.
func (l *Log) ResetLevel(name string) error {
	l.mu.Lock()
	s := l.mu.subsystems[name]
	l.mu.Unlock()
	if s == nil {
		return fmt.Errorf("no subsystem is called %q", name)
	}
	s.own.Store(nil)
	return nil
}

// SubsystemLevel is one row of Levels. A value.
type SubsystemLevel struct {
	Name  string // "" is the common level
	Level slog.Level
	Own   bool // set for this subsystem, not inherited
}

// Levels lists the common level first, then the subsystems by name.
func (l *Log) Levels() []SubsystemLevel {
	out := []SubsystemLevel{{Level: l.root.Level(), Own: true}}
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, s := range l.mu.subsystems {
		out = append(out, SubsystemLevel{Name: name, Level: s.level(), Own: s.own.Load() != nil})
	}
	slices.SortFunc(out, func(a, b SubsystemLevel) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func (l *Log) subsystemNamed(name string) *subsystem {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.mu.subsystems[name]
	if s == nil {
		s = &subsystem{root: l.root}
		l.mu.subsystems[name] = s
	}
	return s
}
