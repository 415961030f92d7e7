package option

import (
	"slices"
	"strings"
)

// unknown says that there is no option key, and what may have been meant.
func (t *table) unknown(key string) string {
	if len(key) > keyBytesMax {
		key = key[:keyBytesMax]
	}
	text := "there is no option " + key
	if o, kinds := t.elsewhere(key); o != nil {
		return text + ": " + o.listener.key + " exists for the listeners " + strings.Join(kinds, ", ")
	}
	near := t.nearest(key)
	if near == "" {
		return text + "; tombolo config doc lists all of them"
	}
	return text + "; the nearest is " + near
}

// nearest returns the known key with the smallest edit distance; wildcard
// segments take the words of the asked key. Empty when nothing resembles it.
func (t *table) nearest(key string) string {
	if len(key) > keyBytesMax {
		return ""
	}
	segments := splitKey(key)
	best, bestDistance := "", len(key)/2+1
	for pass := range 2 { // options that apply win over those that do not, at equal distance
		for i := range t.options {
			o := &t.options[i]
			if (o.NotApplicable == "") != (pass == 0) {
				continue
			}
			candidate := instance(o, segments)
			if d := distance(key, candidate, bestDistance); d < bestDistance {
				best, bestDistance = candidate, d
			}
		}
	}
	if best == "" {
		best = t.longer(key)
	}
	return best
}

// longer returns the first key that contains the asked one, for keys of which
// only the beginning was remembered.
func (t *table) longer(key string) string {
	for i := range t.options {
		if o := &t.options[i]; len(key) > 3 && o.Applies() && strings.Contains(o.Key, key) {
			return instance(o, nil)
		}
	}
	return ""
}

// instance writes the words of a key into the wildcards of an option with as
// many segments; with another number of them the wildcards stay visible.
func instance(o *Option, segments []string) string {
	if !o.Wildcard() {
		return o.Key
	}
	out := slices.Clone(o.segments)
	for i, s := range out {
		if s[0] != '$' {
			continue
		}
		if len(out) == len(segments) && segments[i] != "" {
			out[i] = segments[i]
		} else {
			out[i] = "<" + s[1:] + ">"
		}
	}
	return strings.Join(out, ".")
}

// distance is the number of bytes to insert, remove or replace to make b of
// a, or limit when it is not smaller than that.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		smallest := row[0]
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next := min(row[j]+1, row[j+1]+1, diagonal+cost)
			diagonal, row[j+1] = row[j+1], next
			smallest = min(smallest, next)
		}
		if smallest >= limit {
			return limit
		}
	}
	return min(row[len(b)], limit)
}

// elsewhere finds a listener setting that exists, but not for this protocol.
func (t *table) elsewhere(key string) (*Option, []string) {
	segments := splitKey(key)
	if len(segments) < 3 || segments[0] != "listener" || !slices.Contains(listenerKinds, segments[1]) {
		return nil, nil
	}
	last := segments[len(segments)-1]
	for i := range t.options {
		if o := &t.options[i]; o.listener != nil && o.listener.key == last && len(o.listener.kinds) > 0 {
			return o, o.listener.kinds
		}
	}
	return nil, nil
}
