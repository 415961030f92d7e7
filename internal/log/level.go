package log

import (
	"fmt"
	"log/slog"
	"strings"
)

// The levels of VerneMQ's log.console.level as slog levels. The four that
// slog knows have its values.
const (
	LevelDebug     = slog.LevelDebug
	LevelInfo      = slog.LevelInfo
	LevelNotice    = slog.Level(2)
	LevelWarning   = slog.LevelWarn
	LevelError     = slog.LevelError
	LevelCritical  = slog.Level(12)
	LevelAlert     = slog.Level(16)
	LevelEmergency = slog.Level(20)
)

// levelNames lists the names in ascending order.
var levelNames = []struct {
	name  string
	level slog.Level
}{
	{"debug", LevelDebug}, {"info", LevelInfo}, {"notice", LevelNotice}, {"warning", LevelWarning},
	{"error", LevelError}, {"critical", LevelCritical}, {"alert", LevelAlert}, {"emergency", LevelEmergency},
}

// ParseLevel reads a level by VerneMQ's name, in any case; "warn" is taken as
// well.
func ParseLevel(s string) (slog.Level, error) {
	want := strings.ToLower(s)
	if want == "warn" {
		want = "warning"
	}
	names := make([]string, 0, len(levelNames))
	for _, l := range levelNames {
		if l.name == want {
			return l.level, nil
		}
		names = append(names, l.name)
	}
	return 0, fmt.Errorf("%q is not a log level; use one of %s", s, strings.Join(names, ", "))
}

// LevelName returns the name of the highest known level that is not above l.
func LevelName(l slog.Level) string {
	name := levelNames[0].name
	for _, known := range levelNames {
		if l >= known.level {
			name = known.name
		}
	}
	return name
}
