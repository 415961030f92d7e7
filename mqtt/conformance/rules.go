package conformance

// Duty says who has to obey a statement.
type Duty uint8

// The duties.
const (
	Server Duty = iota
	Client
	Both
	Transport
)

// String names the duty as the page does.
func (d Duty) String() string { return [...]string{"server", "client", "both", "transport"}[d] }

// Rule is one normative statement. Immutable.
type Rule struct {
	Number string // as in [MQTT-3.1.2-24], without the frame
	Duty   Duty
	Says   string // in our words; the standard's own hold
	// Code is the function that obeys it, or that holds a client to it, as
	// package.function or package.Type.method. If it is empty, Why says why the
	// statement is not ours.
	Code string
	Why  string
	// Test shows it: package.TestName, or session/NAME for a script of
	// mqtt/session/testdata. It carries the number with the standard's name
	// before it, as in "5/3.1.2-22".
	Test string
}

// Standard is one of the two standards with all its statements, in order.
type Standard struct {
	Name  string // as in CONNECT and on the page: "3.1.1", "5"
	Rules []Rule
}

// Standards returns both.
func Standards() []Standard {
	return []Standard{{"3.1.1", rules311}, {"5", rules5}}
}
