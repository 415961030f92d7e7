package topic

import (
	"bytes"
	"strings"
)

// Name is a topic that something is published to.
type Name string

// Filter is a subscription pattern without the $share prefix.
type Filter string

// lengthMax is what the two-byte length of an MQTT string can say.
const lengthMax = 65535

// sharePrefix begins a shared subscription (MQTT 5 §4.8.2).
const sharePrefix = "$share/"

// CheckName says what is wrong with b as a published topic (MQTT 3.1.1 and
// 5, §4.7.3), or nil. maxDepth bounds the number of levels; 0 is no bound.
// That b is UTF-8 is the packet codec's concern.
func CheckName(b []byte, maxDepth int) error {
	switch {
	case len(b) == 0:
		return ErrEmpty
	case len(b) > lengthMax:
		return ErrTooLong
	case bytes.IndexByte(b, 0) >= 0:
		return ErrNul
	case bytes.IndexByte(b, '+') >= 0 || bytes.IndexByte(b, '#') >= 0:
		return ErrWildcard
	case maxDepth > 0 && bytes.Count(b, []byte{'/'})+1 > maxDepth:
		return ErrTooDeep
	}
	return nil
}

// CheckFilter says what is wrong with b as it stands in a SUBSCRIBE or
// UNSUBSCRIBE, $share forms included (MQTT 3.1.1 §4.7.1, 5 §4.7.1 and
// §4.8.2), or nil. The two levels "$share/<group>" count towards maxDepth, as
// they do in VerneMQ's topic_max_depth; 0 is no bound.
func CheckFilter(b []byte, maxDepth int) error {
	switch {
	case len(b) == 0:
		return ErrEmpty
	case len(b) > lengthMax:
		return ErrTooLong
	case bytes.IndexByte(b, 0) >= 0:
		return ErrNul
	}
	rest := b
	if isShare(b) {
		group, filter, ok := cutShare(string(b))
		if !ok || !validGroup(group) || isShare([]byte(filter)) {
			return ErrShare
		}
		rest = b[len(b)-len(filter):]
	}
	if !wildcardsValid(rest) {
		return ErrWildcard
	}
	if maxDepth > 0 && bytes.Count(b, []byte{'/'})+1 > maxDepth {
		return ErrTooDeep
	}
	return nil
}

// SplitShare takes a filter as it stands in a packet apart. For a plain
// filter group is empty and shared is false. The only errors are ErrShare
// and ErrEmpty; CheckFilter says the rest.
func SplitShare(f string) (group string, filter Filter, shared bool, err error) {
	if f == "" {
		return "", "", false, ErrEmpty
	}
	if !isShare([]byte(f)) {
		return "", Filter(f), false, nil
	}
	group, rest, ok := cutShare(f)
	if !ok || !validGroup(group) || isShare([]byte(rest)) {
		return "", "", true, ErrShare
	}
	return group, Filter(rest), true, nil
}

// isShare reports whether b claims to be a shared subscription. The bare
// "$share" does as well: VerneMQ refuses it, and taken as a plain filter it
// could match nothing that a client may publish.
func isShare(b []byte) bool {
	return string(b) == "$share" || bytes.HasPrefix(b, []byte(sharePrefix))
}

// cutShare splits "$share/<group>/<filter>"; ok is false if a part lacks.
func cutShare(f string) (group, filter string, ok bool) {
	rest, ok := strings.CutPrefix(f, sharePrefix)
	if !ok {
		return "", "", false
	}
	group, filter, ok = strings.Cut(rest, "/")
	return group, filter, ok && filter != ""
}

// validGroup obeys [MQTT-4.8.2-1] and [MQTT-4.8.2-2].
func validGroup(group string) bool {
	return group != "" && !strings.ContainsAny(group, "+#")
}

// wildcardsValid reports whether every '+' is a level of its own and '#' is,
// if it stands at all, the whole last level ([MQTT-4.7.1-1], [MQTT-4.7.1-2]).
func wildcardsValid(f []byte) bool {
	for i, c := range f {
		if c != '+' && c != '#' {
			continue
		}
		if i > 0 && f[i-1] != '/' {
			return false
		}
		last := i == len(f)-1
		if !last && (c == '#' || f[i+1] != '/') {
			return false
		}
	}
	return true
}

// Matches reports whether f matches n, level by level, the plain way: it is
// for single questions and the oracle of Index in the tests. A wildcard in
// the first level does not match a name that begins with '$' ([MQTT-4.7.2-1]).
func Matches(f Filter, n Name) bool {
	filter, name := string(f), string(n)
	if strings.HasPrefix(name, "$") && startsWild(filter) {
		return false
	}
	for {
		fl, frest, fmore := strings.Cut(filter, "/")
		if fl == "#" && !fmore {
			return true
		}
		nl, nrest, nmore := strings.Cut(name, "/")
		if fl != "+" && fl != nl {
			return false
		}
		if !nmore {
			// "a/#" matches "a" as well: '#' includes the parent level.
			return !fmore || frest == "#"
		}
		if !fmore {
			return false
		}
		filter, name = frest, nrest
	}
}

// startsWild reports whether the first level of f is a wildcard.
func startsWild(f string) bool {
	first, _, more := strings.Cut(f, "/")
	return first == "+" || first == "#" && !more
}

// hasWildcard reports whether f can match more than the name equal to it.
func hasWildcard(f string) bool {
	for {
		level, rest, more := strings.Cut(f, "/")
		if level == "+" || level == "#" && !more {
			return true
		}
		if !more {
			return false
		}
		f = rest
	}
}
