package option

import (
	"fmt"
	"strings"
)

// OriginKind says what kind of place a value came from.
type OriginKind uint8

// The places a value can come from, weakest first.
const (
	FromDefault OriginKind = iota
	FromCommand            // given by the subcommand itself, as tombolo dev does
	FromFile
	FromEnvironment
	FromFlag
	FromRuntime // changed with Set
	FromOption  // follows from another option, named by Name
)

// Origin is where a value was set. Immutable.
type Origin struct {
	Kind OriginKind
	Name string // file, environment variable, flag, subcommand or option
	Line int    // for files
}

func (o Origin) String() string {
	switch o.Kind {
	case FromCommand:
		return o.Name
	case FromFile:
		return fmt.Sprintf("%s:%d", o.Name, o.Line)
	case FromEnvironment:
		return "environment " + o.Name
	case FromFlag:
		return "flag " + o.Name
	case FromRuntime:
		return "set at run time"
	case FromOption:
		return "follows from " + o.Name
	default:
		return "default"
	}
}

// Fault is one thing that is wrong with a configuration. Immutable.
type Fault struct {
	Key    string // "" when no key could be read
	Origin Origin
	Text   string // what is wrong and what to do about it
}

func (f Fault) Error() string { return f.String() }

func (f Fault) String() string {
	var b strings.Builder
	if f.Origin.Kind != FromDefault {
		b.WriteString(f.Origin.String() + ": ")
	}
	if f.Key != "" {
		b.WriteString(f.Key + ": ")
	}
	b.WriteString(f.Text)
	return b.String()
}

// Assignment is a key with its text and where it stands. Immutable.
type Assignment struct {
	Key    string
	Value  string
	Origin Origin

	quoted     bool // stood between quotes
	substitute bool // $(…) in it is replaced: unquoted text of a file
}
