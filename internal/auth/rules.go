package auth

import (
	"bytes"
	"errors"
	"strings"
)

var errFilter = errors.New("is not a valid topic filter")

// filterLengthMax is what an MQTT string can hold.
const filterLengthMax = 65535

// filterValid reports whether every wildcard is a level of its own, and '#'
// the last one. (mqtt/topic knows the same, but this package stands below it.)
func filterValid(f string) bool {
	if f == "" || len(f) > filterLengthMax || strings.IndexByte(f, 0) >= 0 {
		return false
	}
	for rest, more := f, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		if level == "+" || level == "#" && !more {
			continue
		}
		if strings.ContainsAny(level, "+#") {
			return false
		}
	}
	return true
}

// rules are an ACL, compiled. Immutable once built.
//
// VerneMQ substitutes %u, %c and %m for each question and compares the
// result with the topic. Here they are branches of a tree, compared with the
// client's names when they are reached: nothing is built for a question, and
// there is nothing to cache for a client.
type rules struct {
	read, write ruleSet
	count       int
}

// ruleSet is the rules of one access. Immutable once built.
type ruleSet struct {
	all      *ruleNode
	users    map[string]*ruleNode
	patterns *ruleNode
}

// ruleNode is one level of filters. Immutable once built.
type ruleNode struct {
	literal map[string]*ruleNode
	plus    *ruleNode
	user    *ruleNode // %u
	client  *ruleNode // %c
	mount   *ruleNode // %m
	rest    bool      // '#' stands below
	here    bool      // a filter ends here
}

func newRules() *rules { return &rules{read: newRuleSet(), write: newRuleSet()} }

func newRuleSet() ruleSet {
	return ruleSet{all: new(ruleNode), users: map[string]*ruleNode{}, patterns: new(ruleNode)}
}

// add takes a valid filter; user "" is everyone.
func (s *ruleSet) add(pattern bool, user, filter string) {
	switch {
	case pattern:
		s.patterns.add(filter, true)
	case user == "":
		s.all.add(filter, false)
	default:
		if s.users[user] == nil {
			s.users[user] = new(ruleNode)
		}
		s.users[user].add(filter, false)
	}
}

func (n *ruleNode) add(filter string, pattern bool) {
	for more := true; more; {
		var level string
		level, filter, more = strings.Cut(filter, "/")
		if level == "#" && !more {
			n.rest = true
			return
		}
		n = n.below(level, pattern)
	}
	n.here = true
}

// below returns the child for a level, made if it is not there. Only pattern
// lines substitute; in others %u is an ordinary word.
func (n *ruleNode) below(level string, pattern bool) *ruleNode {
	branch := (**ruleNode)(nil)
	switch {
	case level == "+":
		branch = &n.plus
	case pattern && level == "%u":
		branch = &n.user
	case pattern && level == "%c":
		branch = &n.client
	case pattern && level == "%m":
		branch = &n.mount
	default:
		if n.literal == nil {
			n.literal = map[string]*ruleNode{}
		}
		if n.literal[level] == nil {
			n.literal[level] = new(ruleNode)
		}
		return n.literal[level]
	}
	if *branch == nil {
		*branch = new(ruleNode)
	}
	return *branch
}

// allows asks everyone's rules, then the user's, then the patterns.
func (s *ruleSet) allows(c *Client, topic []byte) bool {
	if s.all.covers(c, topic) {
		return true
	}
	if c.Username != "" {
		if n := s.users[c.Username]; n != nil && n.covers(c, topic) {
			return true
		}
	}
	return s.patterns.covers(c, topic)
}

// covers reports whether a filter below n matches the levels of topic, which
// is a name or a filter. Of a filter, '#' is covered by '#' alone and '+' by
// '+' and '#'.
func (n *ruleNode) covers(c *Client, topic []byte) bool {
	if n.rest {
		return true
	}
	level, rest, more := bytes.Cut(topic, slash)
	if len(level) == 1 && level[0] == '#' {
		return false
	}
	return n.plus.ends(c, rest, more) ||
		n.literal[string(level)].ends(c, rest, more) ||
		n.user != nil && isName(level, c.Username) && n.user.ends(c, rest, more) ||
		n.client != nil && isName(level, c.ClientID) && n.client.ends(c, rest, more) ||
		n.mount != nil && string(level) == c.Mountpoint && n.mount.ends(c, rest, more)
}

// ends goes on below n with what is left of the topic; n may be nil.
func (n *ruleNode) ends(c *Client, rest []byte, more bool) bool {
	if n == nil {
		return false
	}
	if more {
		return n.covers(c, rest)
	}
	return n.here || n.rest // '#' includes the level above it
}

var slash = []byte{'/'}

// isName reports whether a level is the client's name. A name with a
// wildcard in it stands for nothing (guarantee 6), and neither does none.
func isName(level []byte, name string) bool {
	return name != "" && string(level) == name && !strings.ContainsAny(name, "+#")
}
