package log

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
)

// subsystem is the level of one part of the broker. Its words are atomic.
type subsystem struct {
	root *slog.LevelVar
	own  atomic.Pointer[slog.Level] // nil: the common level
}

func (s *subsystem) set(l slog.Level) { s.own.Store(&l) }

func (s *subsystem) level() slog.Level {
	if own := s.own.Load(); own != nil {
		return *own
	}
	return s.root.Level()
}

// handler gives a record that its subsystem lets pass to every sink that
// wants it. Immutable once built.
type handler struct {
	subsystem *subsystem
	sinks     []sink
}

// Enabled tells whether the subsystem's level lets a line pass.
func (h *handler) Enabled(_ context.Context, l slog.Level) bool {
	return len(h.sinks) > 0 && l >= h.subsystem.level()
}

// Handle writes the record to each sink.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	var errs []error
	for _, s := range h.sinks {
		if r.Level >= s.minimum {
			errs = append(errs, s.handler.Handle(ctx, r))
		}
	}
	return errors.Join(errs...)
}

// WithAttrs returns a handler whose lines carry the attributes.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.each(func(s slog.Handler) slog.Handler { return s.WithAttrs(attrs) })
}

// WithGroup returns a handler that nests later attributes under name.
func (h *handler) WithGroup(name string) slog.Handler {
	return h.each(func(s slog.Handler) slog.Handler { return s.WithGroup(name) })
}

func (h *handler) each(f func(slog.Handler) slog.Handler) *handler {
	out := &handler{subsystem: h.subsystem, sinks: make([]sink, len(h.sinks))}
	for i, s := range h.sinks {
		out.sinks[i] = sink{s.minimum, f(s.handler)}
	}
	return out
}

// newHandler returns slog's own handler for the format. Levels are written in
// VerneMQ's words.
func newHandler(w io.Writer, f Format) slog.Handler {
	o := &slog.HandlerOptions{
		Level: lowest,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) > 0 || a.Key != slog.LevelKey {
				return a
			}
			if l, ok := a.Value.Any().(slog.Level); ok {
				return slog.String(slog.LevelKey, LevelName(l))
			}
			return a
		},
	}
	if f == JSON {
		return slog.NewJSONHandler(w, o)
	}
	return slog.NewTextHandler(w, o)
}

// ParseFormat reads a format by VerneMQ's name.
func ParseFormat(s string) (Format, error) {
	switch strings.ToLower(s) {
	case "text":
		return Text, nil
	case "json":
		return JSON, nil
	}
	return 0, errors.New(s + ": a log format is text or json")
}
