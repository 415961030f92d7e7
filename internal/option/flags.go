package option

import "strings"

// FlagSet says which flags a command defines itself: whether a name, without
// its hyphens, is one of them, and whether it takes a value.
type FlagSet func(name string) (known, takesValue bool)

// ParseFlags takes the options out of command-line arguments: --key value,
// --key=value, and a bare --key for a switch that is to be on. Hyphens may
// stand for underscores. The command's own flags, everything that is no flag
// and everything after -- are returned in rest, in order.
func ParseFlags(args []string, own FlagSet) (rest []string, set []Assignment, faults []Fault) {
	p := &flagParser{args: args, own: own, table: theTable()}
	for len(p.args) > 0 {
		p.next()
	}
	return p.rest, p.set, p.faults
}

// flagParser walks over the arguments. Owned by ParseFlags.
type flagParser struct {
	args   []string // what is left to read
	own    FlagSet
	table  *table
	rest   []string
	set    []Assignment
	faults []Fault
}

// pass moves n arguments to the rest, or what there is of them.
func (p *flagParser) pass(n int) {
	n = min(n, len(p.args))
	p.rest = append(p.rest, p.args[:n]...)
	p.args = p.args[n:]
}

func (p *flagParser) next() {
	arg := p.args[0]
	if arg == "--" {
		p.pass(len(p.args))
		return
	}
	name, text, inline := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	if name == "" || arg[0] != '-' {
		p.pass(1)
		return
	}
	if known, takes := p.own(name); known || !strings.HasPrefix(arg, "--") {
		if takes && !inline {
			p.pass(2)
		} else {
			p.pass(1)
		}
		return
	}
	p.args = p.args[1:]
	origin := Origin{Kind: FromFlag, Name: "--" + name}
	o, key := p.table.canonical(name, hyphenEqual)
	if o == nil {
		p.faults = append(p.faults, Fault{Origin: origin, Text: p.table.unknown(strings.ReplaceAll(name, "-", "_"))})
		if !inline && len(p.args) > 0 && !strings.HasPrefix(p.args[0], "-") {
			p.args = p.args[1:] // most likely its value
		}
		return
	}
	if !inline {
		var ok bool
		if text, ok = p.value(o); !ok {
			p.faults = append(p.faults, Fault{Key: key, Origin: origin, Text: "needs a value: --" + name + " " + placeholder(o)})
			return
		}
	}
	p.set = append(p.set, Assignment{Key: key, Value: text, Origin: origin})
}

// value takes the next argument if it is the value of o; a switch that is
// not followed by one of its values is on.
func (p *flagParser) value(o *Option) (string, bool) {
	isSwitch := o.Kind == KindBool || o.Kind == KindEnum && parsesAs(o, "on")
	if isSwitch && (len(p.args) == 0 || !parsesAs(o, p.args[0])) {
		return "on", true
	}
	if len(p.args) == 0 || strings.HasPrefix(p.args[0], "--") {
		return "", false
	}
	text := p.args[0]
	p.args = p.args[1:]
	return text, true
}

func parsesAs(o *Option, text string) bool {
	_, err := parseValue(o, text)
	return err == nil
}

func hyphenEqual(literal, given string) bool {
	return strings.ReplaceAll(literal, "-", "_") == strings.ReplaceAll(given, "-", "_")
}

// placeholder stands for a value in a usage line.
func placeholder(o *Option) string {
	switch o.Kind {
	case KindBool:
		return "on|off"
	case KindEnum:
		return strings.Join(o.Values, "|")
	}
	return "<" + o.Kind.String() + ">"
}
