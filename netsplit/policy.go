package netsplit

import "fmt"

// Mode is one allow_…_during_netsplit flag.
type Mode uint8

// The modes.
const (
	Off      Mode = iota // closed during a netsplit
	On                   // open, on every side
	Majority             // open on the side that holds more than half of the members
)

// ParseMode reads a mode as it stands in the configuration.
func ParseMode(s string) (Mode, error) {
	switch s {
	case "off":
		return Off, nil
	case "on":
		return On, nil
	case "majority":
		return Majority, nil
	}
	return Off, fmt.Errorf("%q is none of off, on, majority", s)
}

// String is the mode as it stands in the configuration.
func (m Mode) String() string { return [...]string{"off", "on", "majority"}[m] }

// Policy says what is allowed during a netsplit, by operation. A value.
type Policy [operations]Mode

// Snapshot applies the policy to a verdict.
func (p Policy) Snapshot(v *Verdict) *Snapshot {
	s := &Snapshot{Split: v.Split || v.Unproven}
	for o := range s.open {
		switch p[o] {
		case On:
			s.open[o] = !v.Unproven
		case Majority:
			s.open[o] = v.Majority && !v.Unproven
		}
	}
	return s
}
