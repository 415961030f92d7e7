package option

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Unlimited is what never, client and infinity read as in a duration.
const Unlimited = time.Duration(math.MaxInt64)

// Settings is the configuration of one process. Safe for concurrent use: the
// snapshot is immutable and swapped atomically; mu guards the rest.
type Settings struct {
	current   atomic.Pointer[snapshot]
	listeners []Listener // immutable
	warnings  []string   // immutable

	mu struct {
		sync.Mutex
		nextID     int
		watchers   []watcher
		pending    []change
		delivering bool
	}
}

// snapshot is all values at one moment. Immutable once built.
type snapshot struct {
	order  []string // declaration order, the instances of a wildcard sorted
	values map[string]value
}

// value is one setting. Immutable once built.
type value struct {
	option *Option
	text   string
	parsed parsed
	origin Origin
}

type watcher struct {
	id  int
	key string // "" for every key
	f   func(key, old, new string)
}

type change struct{ key, old, new string }

// Entry is one line of a listing. Immutable.
type Entry struct {
	Key    string
	Value  string // masked if the option is secret
	Origin Origin
	Option *Option // shared; must not be changed
}

// get returns the value of key, which must be of one of the kinds.
func (s *Settings) get(key string, kinds ...Kind) value {
	v, ok := s.current.Load().values[key]
	if !ok {
		o := theTable().find(key)
		if o == nil {
			panic("BUG: option: there is no option " + key)
		}
		p, _ := parseValue(o, o.Default)
		v = value{option: o, text: o.Default, parsed: p}
	}
	if len(kinds) > 0 && !slices.Contains(kinds, v.option.Kind) {
		panic(fmt.Sprintf("BUG: option: %s is read as %v and declared as %v", key, kinds[0], v.option.Kind))
	}
	return v
}

// String returns the text of a string, enum, path or address.
func (s *Settings) String(key string) string {
	return s.get(key, KindString, KindEnum, KindFile, KindDir, KindOutput, KindAddress).parsed.text
}

// Bool returns whether a switch is on.
func (s *Settings) Bool(key string) bool { return s.get(key, KindBool).parsed.number != 0 }

// Int returns an integer.
func (s *Settings) Int(key string) int { return int(s.get(key, KindInt).parsed.number) }

// Bytes returns a size in bytes.
func (s *Settings) Bytes(key string) int64 { return s.get(key, KindBytes).parsed.number }

// Duration returns a duration; never and infinity read as Unlimited.
func (s *Settings) Duration(key string) time.Duration {
	return time.Duration(s.get(key, KindDuration, KindCalendar).parsed.number)
}

// List returns the items of a list; the slice is the caller's.
func (s *Settings) List(key string) []string {
	return slices.Clone(s.get(key, KindList).parsed.items)
}

// Text returns any option as it stands in a file, secrets included.
func (s *Settings) Text(key string) string { return s.get(key).text }

// Masked returns any option as text that may be shown.
func (s *Settings) Masked(key string) string {
	v := s.get(key)
	return mask(v.option, v.text)
}

func mask(o *Option, text string) string {
	if o != nil && o.Secret && text != "" {
		return "********"
	}
	return text
}

// Origin returns where the value of key was set.
func (s *Settings) Origin(key string) Origin { return s.get(key).origin }

// IsSet reports whether key was set anywhere.
func (s *Settings) IsSet(key string) bool { return s.get(key).origin.Kind != FromDefault }

// Warnings returns what an operator should know although it is no fault; the
// slice is the caller's.
func (s *Settings) Warnings() []string { return slices.Clone(s.warnings) }

// Listeners returns the listeners in the order of their kinds, then names,
// each with its settings resolved.
func (s *Settings) Listeners() []Listener { return slices.Clone(s.listeners) }

// Each calls f for every option without wildcards and every instance of those
// with wildcards that was set, in the order of the reference page.
func (s *Settings) Each(f func(Entry) bool) {
	snap := s.current.Load()
	for _, key := range snap.order {
		v := snap.values[key]
		if !f(Entry{Key: key, Value: mask(v.option, v.text), Origin: v.origin, Option: v.option}) {
			return
		}
	}
}
