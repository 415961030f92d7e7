package node

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"tombolo/internal/log"
	"tombolo/internal/option"
	"tombolo/mqtt/broker"
)

// newLog builds the log of the log.* options.
func newLog(set *option.Settings) (*log.Log, error) {
	c := log.Config{}
	var err error
	if c.Level, err = log.ParseLevel(set.String("log.console.level")); err != nil {
		return nil, err
	}
	c.Level = max(c.Level, floorLevel(set))
	where := set.String("log.console")
	if where == "console" || where == "both" {
		c.Console = os.Stderr
		if c.ConsoleFormat, err = log.ParseFormat(set.String("log.console.console.format")); err != nil {
			return nil, err
		}
	}
	if where == "file" || where == "both" {
		if c.Main, err = logFile(set, "console"); err != nil {
			return nil, err
		}
	}
	if set.Bool("log.error") {
		if c.Error, err = logFile(set, "error"); err != nil {
			return nil, err
		}
	}
	l := log.New(c)
	set.Each(func(e option.Entry) bool {
		if sub, ok := strings.CutPrefix(e.Key, "log.level."); ok {
			if level, perr := log.ParseLevel(e.Value); perr == nil {
				err = l.SetLevel(sub, max(level, floorLevel(set)))
			}
		}
		return err == nil
	})
	return l, err
}

// floorLevel is log.level: what no subsystem goes below.
func floorLevel(set *option.Settings) slog.Level {
	level, err := log.ParseLevel(set.String("log.level"))
	if err != nil {
		return log.LevelDebug // "all"
	}
	return level
}

func logFile(set *option.Settings, sink string) (log.FileConfig, error) {
	format, err := log.ParseFormat(set.String("log." + sink + ".file.format"))
	return log.FileConfig{
		Path: set.String("log." + sink + ".file"), Format: format,
		Rotation: log.Rotation{
			SizeBytes: max(set.Bytes("log."+sink+".rotation.size"), 0),
			Keep:      set.Int("log." + sink + ".rotation.keep"),
			Compress:  set.Bool("log." + sink + ".rotation.compress_on_rotate"),
		},
	}, err
}

// refusalCodes are the reason codes with which many clients are turned away at
// once, and come again and again: server unavailable, server busy.
var refusalCodes = []string{"0x88", "0x89"}

// refusals lets one line pass for each of these codes and while, with the number
// of those held back. Immutable.
type refusals struct {
	slog.Handler
	limit *log.Limiter
}

// noCode stands for the lines of connections that are closed before their CONNECT:
// when a crowd comes, the kernel takes more of them than the node reads in time.
const noCode = "none"

// Handle implements slog.Handler.
func (h refusals) Handle(ctx context.Context, r slog.Record) error {
	code := ""
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "code" {
			code = a.Value.String()
		}
		return code == ""
	})
	if code == "" && r.Message == broker.ClosedText {
		code = noCode
	}
	if code != noCode && !slices.Contains(refusalCodes, code) {
		return h.Handler.Handle(ctx, r)
	}
	ok, suppressed := h.limit.Allow(code)
	if !ok {
		return nil
	}
	if suppressed > 0 {
		r.AddAttrs(slog.Uint64("suppressed", suppressed))
	}
	return h.Handler.Handle(ctx, r)
}

// limitRefusals is a log in which a crowd that is turned away is one line.
func limitRefusals(l *slog.Logger) *slog.Logger {
	return slog.New(refusals{l.Handler(), log.NewLimiter(refusalEvery, 8, time.Now)})
}
