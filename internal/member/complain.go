package member

import (
	"log"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// logger passes memberlist's lines on, below the level that it gives them:
// what it calls an error is a packet that was lost, and it judges nothing here.
func (g *gossip) logger() *log.Logger {
	return log.New(&logWriter{log: g.config.Log, now: g.config.Clock.Now}, "", 0)
}

// matters are what an operator has to do something about, by what memberlist says.
var matters = []struct{ says, remedy string }{
	{"unacceptable label", "a node there has another cluster.name than this one: correct it, or its cluster.seeds"},
	{"could decrypt", "a node there has another cluster.secret_key than this one: give both the same"},
	{"decrypt packet failed", "a node there has another cluster.secret_key than this one: give both the same"},
	{"is not encrypted", "a node there has no cluster.secret_key, and this one has: give both the same"},
	{"encryption is not configured", "a node there has a cluster.secret_key, and this one has none: give both the same"},
	{"without encryption", "a node there has a cluster.secret_key, and this one has none: give both the same"},
	{"conflicting address", "a node came back under another address before it was known to be gone, or two run from copies of one data directory"},
}

// complainEvery is the time between two warnings of one matter: who does not belong
// here tries again every second, for as long as it runs.
const complainEvery = 30 * time.Second

// logWriter takes memberlist's lines. Guarded by mu.
type logWriter struct {
	log func(slog.Level, string)
	now func() time.Time
	mu  struct {
		sync.Mutex
		said map[string]time.Time // warnings, by remedy
	}
}

// Write takes one line.
func (w *logWriter) Write(b []byte) (int, error) {
	text := strings.TrimSpace(string(b))
	level := slog.LevelDebug
	if rest, ok := strings.CutPrefix(text, "["); ok {
		var name string
		name, text, _ = strings.Cut(rest, "] ")
		switch name {
		case "WARN", "ERR", "ERROR":
			level = slog.LevelInfo
		}
	}
	text = "gossip: " + strings.TrimPrefix(text, "memberlist: ")
	for _, m := range matters {
		if strings.Contains(strings.ToLower(text), m.says) {
			level, text = w.levelOf(m.remedy), text+": "+m.remedy
			break
		}
	}
	w.log(level, text)
	return len(b), nil
}

// levelOf is that of a warning, unless the same was said lately.
func (w *logWriter) levelOf(remedy string) slog.Level {
	now := w.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if last, ok := w.mu.said[remedy]; ok && now.Sub(last) < complainEvery {
		return slog.LevelDebug
	}
	if w.mu.said == nil {
		w.mu.said = map[string]time.Time{}
	}
	w.mu.said[remedy] = now
	return slog.LevelWarn
}
