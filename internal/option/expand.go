package option

import (
	"errors"
	"fmt"
	"strings"
)

// expander replaces $(…) in the unquoted values of files. Owned by Load.
type expander struct {
	set   map[string]Assignment
	table *table
	done  map[string]expansion // a key being expanded stands in it as a circle
}

type expansion struct {
	text string
	err  error
}

// text returns the text of key with every substitution made: what was set,
// else the default.
func (x *expander) text(key string) (string, error) {
	if e, ok := x.done[key]; ok {
		return e.text, e.err
	}
	a, set := x.set[key]
	if !set {
		return x.table.find(key).Default, nil
	}
	if !a.substitute {
		return a.Value, nil
	}
	x.done[key] = expansion{err: errors.New("$(…) goes round in a circle")}
	text, err := x.expand(a)
	x.done[key] = expansion{text, err}
	return text, err
}

func (x *expander) expand(a Assignment) (string, error) {
	if path, ok := strings.CutPrefix(a.Value, "$(<"); ok {
		path, after, found := strings.Cut(path, ")")
		if !found || after != "" || path == "" {
			return a.Value, fmt.Errorf("%s is not of the form $(<file)", show(a.Value))
		}
		path = relativeTo(a.Origin.Name, strings.Trim(path, " \t"))
		text, err := readSmall(path)
		if err != nil {
			return "", fmt.Errorf("cannot read %s: %w", path, reason(err))
		}
		return strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r"), nil
	}
	var out strings.Builder
	rest := a.Value
	for {
		before, after, found := strings.Cut(rest, "$(")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		key, tail, found := strings.Cut(after, ")")
		if !found {
			return a.Value, fmt.Errorf("%s opens $( that nothing closes; quote the value to take it literally", show(a.Value))
		}
		key = strings.Trim(key, " \t")
		if x.table.find(key) == nil {
			return a.Value, fmt.Errorf("$(%s): %s", key, x.table.unknown(key))
		}
		text, err := x.text(key)
		if err != nil {
			return a.Value, fmt.Errorf("$(%s): %w", key, err)
		}
		if out.WriteString(text); out.Len() > valueBytesMax {
			return a.Value, fmt.Errorf("the value grows beyond %d bytes", valueBytesMax)
		}
		rest = tail
	}
}
