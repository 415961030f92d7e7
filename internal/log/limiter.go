package log

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Limiter lets one line per key and interval pass and counts the others, so
// that a client in a loop cannot fill the disk. Guarded by mu. It remembers at
// most keysMax keys; at the bound the keys whose interval is over are
// forgotten, and while there are none, all new keys share one line.
type Limiter struct {
	interval time.Duration
	keysMax  int
	now      func() time.Time

	mu struct {
		sync.Mutex
		keys  map[string]*limited
		swept time.Time // of the last search for keys to forget
	}
}

// limited is what is known of one key. Guarded by Limiter.mu.
type limited struct {
	last       time.Time
	suppressed uint64
}

// overflowKey stands for all keys that found no room.
const overflowKey = "\x00overflow"

// NewLimiter returns a limiter; now is asked for the time of each line.
func NewLimiter(interval time.Duration, keysMax int, now func() time.Time) *Limiter {
	l := &Limiter{interval: interval, keysMax: max(keysMax, 1), now: now}
	l.mu.keys = map[string]*limited{}
	return l
}

// Allow tells whether a line of this key may be written now, and if so how
// many were held back since the last one.
func (l *Limiter) Allow(key string) (ok bool, suppressed uint64) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.mu.keys[key]
	if k == nil && len(l.mu.keys) >= l.keysMax && !l.forgetLocked(now) {
		key = overflowKey
		k = l.mu.keys[key]
	}
	if k == nil {
		l.mu.keys[key] = &limited{last: now}
		return true, 0
	}
	if now.Sub(k.last) < l.interval {
		k.suppressed++
		return false, 0
	}
	suppressed, k.suppressed, k.last = k.suppressed, 0, now
	return true, suppressed
}

// forgetLocked drops the keys whose interval is over and tells whether there
// were any. It searches once an interval at most, so that a flood of new keys
// does not walk the map for each. A count of a forgotten key that was never
// written is given up.
func (l *Limiter) forgetLocked(now time.Time) bool {
	if now.Sub(l.mu.swept) < l.interval {
		return false
	}
	l.mu.swept = now
	before := len(l.mu.keys)
	for key, k := range l.mu.keys {
		if now.Sub(k.last) >= l.interval {
			delete(l.mu.keys, key)
		}
	}
	return len(l.mu.keys) < before
}

// Log writes the line if the key's turn has come; held-back lines since the
// last one are told in the attribute "suppressed".
func (l *Limiter) Log(to *slog.Logger, level slog.Level, key, msg string, args ...any) {
	if !to.Enabled(context.Background(), level) {
		return
	}
	ok, suppressed := l.Allow(key)
	if !ok {
		return
	}
	if suppressed > 0 {
		args = append(args[:len(args):len(args)], "suppressed", suppressed)
	}
	to.Log(context.Background(), level, msg, args...)
}
