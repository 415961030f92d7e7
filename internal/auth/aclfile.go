package auth

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// ACLConfig says where the rules are. Immutable.
type ACLConfig struct {
	Path     string
	Interval time.Duration // between looks at the file; 0 is never
	Log      *slog.Logger  // nil logs nothing
}

// ACLFile authorizes by rules from a file. Safe for concurrent use: the rules
// are immutable and Reload replaces them.
type ACLFile struct {
	*source
	rules atomic.Pointer[rules]
}

// NewACLFile returns an ACLFile without rules; Reload reads them.
func NewACLFile(c ACLConfig) *ACLFile {
	a := &ACLFile{source: newSource("ACL file", c.Path, c.Interval, c.Log)}
	a.take = a.takeOver
	a.rules.Store(newRules())
	return a
}

// takeOver puts a file in force. A missing one changes nothing, as in VerneMQ.
func (a *ACLFile) takeOver(text []byte, path string) (int, string, error) {
	if text == nil {
		return a.rules.Load().count, "", nil
	}
	r, warning, err := parseACL(text, path)
	if err != nil {
		return 0, "", err
	}
	a.rules.Store(r)
	return r.count, warning, nil
}

// AuthorizePublish allows what a write rule matches and has no opinion about
// the rest. It does not allocate.
func (a *ACLFile) AuthorizePublish(c *Client, topic []byte, _ uint8, _ bool) Verdict {
	return verdict(a.rules.Load().write.allows(c, topic))
}

// AuthorizeSubscribe allows what a read rule covers and has no opinion about
// the rest. A $share prefix is part of the filter, as in VerneMQ: the rule
// must cover it as well.
func (a *ACLFile) AuthorizeSubscribe(c *Client, filter string, _ uint8) Verdict {
	return verdict(a.rules.Load().read.allows(c, []byte(filter)))
}

func verdict(allowed bool) Verdict {
	if allowed {
		return Allow
	}
	return Next
}
