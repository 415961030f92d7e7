package option

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Kind says how the text of a value is read.
type Kind uint8

// The kinds; syntax.go has the grammar of each.
const (
	KindString   Kind = iota // any text
	KindBool                 // on or off
	KindInt                  // a decimal integer
	KindBytes                // an integer with an optional KB, MB or GB, 1024-based
	KindDuration             // 250ms, 10s, 5m, 2h, 7d; a bare integer counts Option.Unit where there is one
	KindCalendar             // VerneMQ's retention: 30s, 2h, 7d, 2w, 3m (28 days each), 1y (48 weeks each)
	KindEnum                 // one of Option.Values
	KindList                 // items separated by commas, brackets optional
	KindFile                 // the path of a file that is read
	KindDir                  // the path of a directory
	KindOutput               // the path of a file or socket that is written
	KindAddress              // host:port; for a listener also local:path:n and off
)

var kindNames = [...]string{"string", "on/off", "integer", "bytes", "duration", "retention", "one of", "list", "file", "directory", "output file", "address"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Word is a named value of a numeric option, such as infinity. Immutable.
type Word struct {
	Name  string
	Value int64 // for durations in nanoseconds
}

// Option is one declaration. Immutable once the table is built.
type Option struct {
	Key     string // dotted; a segment that begins with $ stands for any word
	Section string // heading of the reference page
	Kind    Kind
	Unit    string // what a number counts: "ms" and "s" are also the unit of a bare duration
	Default string // in file syntax; "" means unset, which reads as the zero value
	Min     int64  // bounds of the numeric kinds, in units of the value; both zero means no bounds
	Max     int64
	Words   []Word   // named values beside the numbers
	Values  []string // of KindEnum; of KindList, if not empty, what items may be
	Doc     string   // what it does, with the formula it enters
	More    string   // what more and less of it do
	Zero    string   // what zero means, for numeric kinds that accept it
	Example string   // a value for the example file when Default is not telling

	Hidden     bool   // not in the example file
	Reloadable bool   // Set changes it on a running node
	Secret     bool   // masked wherever it is shown
	Since      string // version that introduced it; "" means VerneMQ's, known from the first version

	// NotApplicable is the reason why the option has no effect here. It is
	// accepted, with a warning that gives the reason.
	NotApplicable string
	// Pending is what the option waits for, if this version does not yet act
	// on it; setting it to something other than its default is warned about.
	Pending string

	listener *listenerSetting // the setting that this key is one level of, or nil
	segments []string
}

// Applies reports whether the option has an effect in this version.
func (o *Option) Applies() bool { return o.NotApplicable == "" && o.Pending == "" }

// Wildcard reports whether the key has segments that the user names.
func (o *Option) Wildcard() bool { return strings.Contains(o.Key, "$") }

// table is the index over all declarations. Immutable once built.
type table struct {
	options  []Option
	exact    map[string]*Option
	patterns []*Option // keys with wildcards, most literal segments first
}

var theTable = sync.OnceValue(func() *table { return buildTable(declarations()) })

func buildTable(options []Option) *table {
	t := &table{options: options, exact: make(map[string]*Option, len(options))}
	for i := range options {
		o := &options[i]
		o.segments = splitKey(o.Key)
		if t.exact[o.Key] != nil {
			panic("BUG: option: " + o.Key + " is declared twice")
		}
		t.exact[o.Key] = o
		if o.Wildcard() {
			t.patterns = append(t.patterns, o)
		}
	}
	slices.SortStableFunc(t.patterns, func(a, b *Option) int { return literals(b) - literals(a) })
	return t
}

func literals(o *Option) int {
	n := 0
	for _, s := range o.segments {
		if s[0] != '$' {
			n++
		}
	}
	return n
}

// All returns every declaration in the order of the reference page. The slice
// is the caller's; what it holds is shared and must not be changed.
func All() []Option { return slices.Clone(theTable().options) }

// Lookup returns the declaration that a concrete key falls under.
func Lookup(key string) (Option, bool) {
	if o := theTable().find(key); o != nil {
		return *o, true
	}
	return Option{}, false
}

// find returns the declaration of a concrete key as it stands in a file.
func (t *table) find(key string) *Option {
	if o := t.exact[key]; o != nil && !o.Wildcard() {
		return o
	}
	segments := splitKey(key)
	for _, o := range t.patterns {
		if matches(o.segments, segments, func(a, b string) bool { return a == b }) {
			return o
		}
	}
	return nil
}

// canonical returns the declaration and the proper spelling of a key that was
// written under the looser rules of flags and environment variables, where
// equal says which spellings of a literal segment are the same.
func (t *table) canonical(key string, equal func(a, b string) bool) (*Option, string) {
	segments := splitKey(key)
	best, most := (*Option)(nil), -1
	for i := range t.options {
		o := &t.options[i]
		if n := literals(o); n > most && matches(o.segments, segments, equal) {
			best, most = o, n
		}
	}
	if best == nil {
		return nil, key
	}
	out := slices.Clone(segments)
	for i, s := range best.segments {
		if s[0] != '$' {
			out[i] = s
		}
	}
	return best, strings.Join(out, ".")
}

func matches(pattern, segments []string, equal func(a, b string) bool) bool {
	if len(pattern) != len(segments) {
		return false
	}
	for i, p := range pattern {
		if segments[i] == "" || p[0] != '$' && !equal(p, segments[i]) {
			return false
		}
	}
	return true
}

// splitKey cuts a key at its dots; a dot after a backslash belongs to the word.
func splitKey(key string) []string {
	var out []string
	start := 0
	for i := 0; i < len(key); i++ {
		switch key[i] {
		case '\\':
			i++
		case '.':
			out = append(out, key[start:i])
			start = i + 1
		}
	}
	return append(out, key[start:])
}

// unescape returns a segment without the backslashes before its dots.
func unescape(segment string) string { return strings.ReplaceAll(segment, `\.`, ".") }
