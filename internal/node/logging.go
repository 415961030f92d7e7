package node

import (
	"log/slog"
	"os"
	"strings"

	"tombolo/internal/log"
	"tombolo/internal/option"
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
