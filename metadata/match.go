package metadata

import (
	"bytes"
	"strings"
)

// MatchRetained calls fn for the retained message of every topic that filter
// matches and that has not expired at now (unix ms), in key order, until fn
// returns false. filter is one that the protocol layer accepted, without
// $share. A '+' or '#' at the first level does not match a topic that begins
// with '$' (MQTT-4.7.2-1).
//
// Keys sort by level, so that the walk jumps: after a level that cannot match
// it seeks behind all of it. The cost follows what matches and the number of
// names at the levels of '+', not what is stored.
func (s *Store) MatchRetained(mountpoint, filter string, now int64, fn func(topic string, v *Retained) bool) error {
	m := matcher{levels: strings.Split(filter, "/"), now: now, fn: fn}
	m.key = append(append(m.key, mountpoint...), 0)
	m.root = len(m.key)
	c, err := s.cursor(TableRetained, m.key)
	if err != nil {
		return err
	}
	defer c.Close()
	m.cursor = c
	m.walk(0)
	if m.err == nil {
		m.err = c.Err()
	}
	return m.err
}

// matcher walks the tree of retained topics. Owned by one call of
// MatchRetained.
type matcher struct {
	cursor  *Cursor
	levels  []string
	now     int64
	fn      func(topic string, v *Retained) bool
	key     []byte // mountpoint, 0x00, and the levels above the one in hand, each with its separator
	root    int    // where the topic begins in key
	err     error
	stopped bool
}

func (m *matcher) done() bool { return m.stopped || m.err != nil }

// walk matches the levels from depth on against what lies below key.
func (m *matcher) walk(depth int) {
	level, last := m.levels[depth], depth == len(m.levels)-1
	switch level {
	case "#":
		m.all(depth)
	case "+":
		m.each(depth, last)
	default:
		n := len(m.key)
		m.key = append(m.key, level...)
		m.descend(depth, last)
		m.key = m.key[:n]
	}
}

// descend goes on below key, which ends in the name of the level at depth.
func (m *matcher) descend(depth int, last bool) {
	if last {
		m.exact()
		return
	}
	if m.levels[depth+1] == "#" {
		m.exact() // "a/#" matches "a" as well (MQTT-4.7.1-2)
	}
	n := len(m.key)
	m.key = append(m.key, levelSeparator)
	if !m.done() {
		m.walk(depth + 1)
	}
	m.key = m.key[:n]
}

// exact emits the topic of key, if it is there.
func (m *matcher) exact() {
	if m.cursor.Seek(m.key) && bytes.Equal(m.cursor.Key(), m.key) {
		m.emit()
	}
}

// all emits everything below key.
func (m *matcher) all(depth int) {
	for ok := m.cursor.Seek(m.key); ok && bytes.HasPrefix(m.cursor.Key(), m.key) && !m.done(); {
		if depth == 0 && m.reserved() {
			ok = m.seekBehind("$")
			continue
		}
		m.emit()
		ok = m.cursor.Next()
	}
}

// each goes through the names at this level, jumping from one to the next.
func (m *matcher) each(depth int, last bool) {
	n := len(m.key)
	for ok := m.cursor.Seek(m.key); ok && bytes.HasPrefix(m.cursor.Key(), m.key) && !m.done(); {
		if depth == 0 && m.reserved() {
			ok = m.seekBehind("$")
			continue
		}
		name := m.cursor.Key()[n:]
		if i := bytes.IndexByte(name, levelSeparator); i >= 0 {
			name = name[:i]
		}
		m.key = append(m.key, name...)
		m.descend(depth, last)
		// The name and all below it are before the name with 0x01 behind it.
		m.key = append(m.key, levelSeparator+1)
		ok = !m.done() && m.cursor.Seek(m.key)
		m.key = m.key[:n]
	}
}

// reserved says whether the cursor's topic begins with '$'.
func (m *matcher) reserved() bool {
	k := m.cursor.Key()
	return len(k) > m.root && k[m.root] == '$'
}

// seekBehind jumps over all keys that begin with key and name.
func (m *matcher) seekBehind(name string) bool {
	next := append(append([]byte(nil), m.key...), name...)
	next[len(next)-1]++
	return m.cursor.Seek(next)
}

func (m *matcher) emit() {
	if m.done() {
		return
	}
	v, err := decodeRetained(bytes.Clone(m.cursor.Value()))
	if err != nil {
		m.err = damaged(TableRetained, m.cursor.Key(), err)
		return
	}
	if v.Expired(m.now) {
		return
	}
	m.stopped = !m.fn(topicOf(m.cursor.Key()[m.root:]), v)
}
