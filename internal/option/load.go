package option

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Sources is where a configuration comes from, weakest first.
type Sources struct {
	Base       []Assignment // what the subcommand itself sets, as tombolo dev does
	Files      []string     // read in this order
	Environ    []string     // NAME=value, as os.Environ gives them
	Flags      []Assignment // as ParseFlags gives them
	FlagFaults []Fault      // as ParseFlags gives them, to be reported with the rest
	CheckFiles bool         // report files that options name and that cannot be read
}

// loader carries one Load from step to step. Owned by Load.
type loader struct {
	table    *table
	set      map[string]Assignment // by concrete key, the strongest one
	values   map[string]value
	faults   []Fault
	warnings []Fault // what is no fault, but should be known
}

// Load reads all sources and checks everything. The Settings is never nil; if
// there are faults it holds defaults in their places and is fit for a listing
// only, not for a start.
func Load(src Sources) (*Settings, []Fault) {
	l := &loader{table: theTable(), set: map[string]Assignment{}, values: map[string]value{}}
	l.collect(src)
	l.evaluate()
	l.derive()
	s := &Settings{}
	s.current.Store(l.snapshot())
	s.listeners = l.resolveListeners(s)
	l.crossCheck(s)
	if src.CheckFiles {
		l.checkFiles(s)
	}
	l.warn()
	slices.SortStableFunc(l.warnings, byOrigin)
	for _, w := range l.warnings {
		s.warnings = append(s.warnings, w.String())
	}
	slices.SortStableFunc(l.faults, byOrigin)
	return s, l.faults
}

func byOrigin(a, b Fault) int {
	return cmp.Or(cmp.Compare(a.Origin.Kind, b.Origin.Kind), cmp.Compare(a.Origin.Name, b.Origin.Name), cmp.Compare(a.Origin.Line, b.Origin.Line))
}

// fault keeps what is wrong; one value that several listeners inherit is told
// once.
func (l *loader) fault(key string, origin Origin, format string, args ...any) {
	f := Fault{Key: key, Origin: origin, Text: fmt.Sprintf(format, args...)}
	if !slices.Contains(l.faults, f) {
		l.faults = append(l.faults, f)
	}
}

// collect gathers the assignments of all sources; a later one replaces an
// earlier one of the same key.
func (l *loader) collect(src Sources) {
	r := &reader{}
	for _, f := range src.Files {
		r.file(f, Origin{})
	}
	environ, faults := readEnviron(l.table, src.Environ)
	l.faults = slices.Concat(r.faults, faults, src.FlagFaults)
	for _, a := range slices.Concat(src.Base, r.out, environ, src.Flags) {
		if l.table.find(a.Key) == nil {
			l.fault("", a.Origin, "%s", l.table.unknown(a.Key))
			continue
		}
		l.set[a.Key] = a
	}
}

// evaluate gives every option its value: what was set, or the default.
func (l *loader) evaluate() {
	for i := range l.table.options {
		if o := &l.table.options[i]; !o.Wildcard() {
			l.values[o.Key] = defaultValue(o)
		}
	}
	x := &expander{set: l.set, table: l.table, done: map[string]expansion{}}
	for _, key := range slices.Sorted(maps.Keys(l.set)) {
		a, o := l.set[key], l.table.find(key)
		text, err := x.text(key)
		if err == nil {
			text, err = l.evaluateOne(o, key, a, text)
		}
		if err != nil {
			l.fault(key, a.Origin, "%s", maskError(o, text, err))
			v := defaultValue(o)
			if o.Wildcard() {
				v.origin = a.Origin // so that it counts as declared
			}
			l.values[key] = v
		}
	}
}

func (l *loader) evaluateOne(o *Option, key string, a Assignment, text string) (string, error) {
	p, err := parseValue(o, text)
	if err != nil {
		return text, err
	}
	if text == `""` {
		text = ""
	}
	if a.Origin.Kind == FromFile && !a.quoted && len(text) > 1 && text[0] == '"' && text[len(text)-1] == '"' {
		l.warning(a.Origin, key, "the double quotes are part of the value; use single quotes, or none")
	}
	l.values[key] = value{option: o, text: text, parsed: p, origin: a.Origin}
	return text, nil
}

func defaultValue(o *Option) value {
	p, err := parseValue(o, o.Default)
	if err != nil {
		panic("BUG: option: the default of " + o.Key + ": " + err.Error())
	}
	return value{option: o, text: o.Default, parsed: p}
}

// maskError keeps a secret out of the fault that is about it.
func maskError(o *Option, text string, err error) string {
	if !o.Secret || text == "" {
		return err.Error()
	}
	return strings.NewReplacer(show(text), "the value", text, "the value").Replace(err.Error())
}

// warning keeps what should be known; one value that several listeners
// inherit is told once.
func (l *loader) warning(origin Origin, key, format string, args ...any) {
	w := Fault{Key: key, Origin: origin, Text: fmt.Sprintf(format, args...)}
	if !slices.Contains(l.warnings, w) {
		l.warnings = append(l.warnings, w)
	}
}

// warn says what was set although it has no effect, in the order of the table.
func (l *loader) warn() {
	for _, key := range l.order() {
		v := l.values[key]
		switch {
		case v.origin.Kind == FromDefault, v.origin.Kind == FromOption:
		case v.option.NotApplicable != "":
			l.warning(v.origin, key, "has no effect: %s", v.option.NotApplicable)
		case v.option.Pending != "" && v.text != v.option.Default:
			l.warning(v.origin, key, "%s", v.option.Pending)
		}
	}
}

func (l *loader) order() []string { return orderOf(l.table, l.values) }

// orderOf lists the keys that have a value, in the order of the table; the
// instances of a wildcard by name.
func orderOf(t *table, values map[string]value) []string {
	instances := map[*Option][]string{}
	for key, v := range values {
		instances[v.option] = append(instances[v.option], key)
	}
	var out []string
	for i := range t.options {
		keys := instances[&t.options[i]]
		slices.Sort(keys)
		out = append(out, keys...)
	}
	return out
}

func (l *loader) snapshot() *snapshot {
	return &snapshot{order: l.order(), values: maps.Clone(l.values)}
}

// derive applies the options that set others.
func (l *loader) derive() {
	if l.values[keyTradeConsistency].parsed.number == 0 {
		return
	}
	for _, key := range netsplitFlags {
		if l.values[key].origin.Kind != FromDefault {
			if l.values[key].text != "on" {
				l.warning(l.values[key].origin, key, "stays as it is set here although %s is on", keyTradeConsistency)
			}
			continue
		}
		l.values[key] = tradedValue(l.table, key)
	}
}

// tradedValue is what trade_consistency = on makes of a netsplit flag.
func tradedValue(t *table, key string) value {
	return value{option: t.find(key), text: "on", parsed: parsed{text: "on"}, origin: Origin{Kind: FromOption, Name: keyTradeConsistency}}
}
