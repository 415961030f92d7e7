package metadata

import (
	"bytes"
	"strings"
)

// MatchRetained calls fn as RetainedView.Match does, on a view of its own.
func (s *Store) MatchRetained(mountpoint, filter string, now int64, fn func(topic string, v *Retained) bool) error {
	view, err := s.ViewRetained(mountpoint)
	if err != nil {
		return err
	}
	defer view.Close()
	return view.Match(filter, "", now, fn)
}

// RetainedView is what is retained under one mountpoint, as it was when the view
// was made: for many filters it costs one look at the database. It belongs to one
// goroutine and holds back compaction: close it within about 30 s.
type RetainedView struct {
	m     matcher
	empty bool
}

// ViewRetained makes a view.
func (s *Store) ViewRetained(mountpoint string) (*RetainedView, error) {
	v := &RetainedView{}
	v.m.key = append(append(v.m.key, mountpoint...), 0)
	v.m.root = len(v.m.key)
	c, err := s.cursor(TableRetained, v.m.key)
	if err != nil {
		return nil, err
	}
	v.m.cursor = c
	// What was deleted counts here: looking for the first that was not could take
	// long.
	v.empty = len(c.pending) == 0 && !c.it.First() && c.it.Err() == nil
	return v, nil
}

// Close lets go of the instant that the view shows.
func (v *RetainedView) Close() { v.m.cursor.Close() }

// Match calls fn for the retained message of every topic that filter
// matches and that has not expired at now (unix ms), in key order, until fn
// returns false; of the topics behind after only, unless that is "". filter is one that the protocol layer accepted, without
// $share. A '+' or '#' at the first level does not match a topic that begins
// with '$' (MQTT-4.7.2-1).
//
// Keys sort by level, so that the walk jumps: after a level that cannot match
// it seeks behind all of it. The cost follows what matches and the number of
// names at the levels of '+', not what is stored.
func (v *RetainedView) Match(filter, after string, now int64, fn func(topic string, v *Retained) bool) error {
	if v.empty {
		return nil
	}
	m := &v.m
	m.now, m.fn, m.stopped, m.err = now, fn, false, nil
	m.after = m.after[:0]
	if after != "" {
		m.after = appendLevels(append(m.after, m.key[:m.root]...), after)
	}
	m.levels = m.levels[:0]
	for level := range strings.SplitSeq(filter, "/") {
		m.levels = append(m.levels, level)
	}
	m.walk(0)
	m.fn = nil
	if m.err == nil {
		m.err = m.cursor.Err()
	}
	return m.err
}

// matcher walks the tree of retained topics. Owned by its RetainedView.
type matcher struct {
	cursor  *Cursor
	levels  []string
	now     int64
	fn      func(topic string, v *Retained) bool
	key     []byte // mountpoint, 0x00, and the levels above the one in hand, each with its separator
	root    int    // where the topic begins in key
	after   []byte // the key before the first that counts
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

// begin finds the first key from key on that may count.
func (m *matcher) begin() bool {
	if bytes.Compare(m.after, m.key) > 0 {
		return m.cursor.Seek(m.after)
	}
	return m.cursor.Seek(m.key)
}

// all emits everything below key.
func (m *matcher) all(depth int) {
	for ok := m.begin(); ok && bytes.HasPrefix(m.cursor.Key(), m.key) && !m.done(); {
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
	for ok := m.begin(); ok && bytes.HasPrefix(m.cursor.Key(), m.key) && !m.done(); {
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
	if m.done() || bytes.Compare(m.cursor.Key(), m.after) <= 0 {
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
