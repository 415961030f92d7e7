package packet

import (
	"fmt"
	"strconv"
	"strings"
)

// WillProperties stands for the will of a CONNECT where SetText asks for a packet type.
const WillProperties Type = 0

// SetText adds a property that a person wrote: name as the standard spells it
// in small letters with hyphens, value as plain text, a user property as
// "name=value". at is the packet that will hold p, WillProperties for a will.
// The error tells what would do instead.
func (p *Properties) SetText(at Type, name, value string) error {
	row := rowNamed(name)
	in := place(1) << at
	if row == nil || row.place&in == 0 {
		return fmt.Errorf("no property %q here; there are: %s", name, placeNames(in))
	}
	if p.Set&row.bit != 0 && !repeats(row.bit, in) {
		return fmt.Errorf("property %s is given twice", name)
	}
	if err := p.setValue(row, value); err != nil {
		return fmt.Errorf("property %s: %w", name, err)
	}
	p.Set |= row.bit
	return nil
}

func rowNamed(name string) *property {
	for i := range propertyTable {
		if propertyTable[i].name == name {
			return &propertyTable[i]
		}
	}
	return nil
}

func placeNames(in place) string {
	var names []string
	for i := range propertyTable {
		if propertyTable[i].place&in != 0 {
			names = append(names, propertyTable[i].name)
		}
	}
	return strings.Join(names, ", ")
}

func (p *Properties) setValue(row *property, value string) error {
	switch row.kind {
	case kindBool:
		n, err := number(value, 1)
		*p.boolField(row.bit) = uint8(n)
		return err
	case kindUint16:
		n, err := number(value, 1<<16-1)
		*p.uint16Field(row.bit) = uint16(n)
		return nonZero(row, n, err)
	case kindUint32:
		n, err := number(value, 1<<32-1)
		*p.uint32Field(row.bit) = uint32(n)
		return nonZero(row, n, err)
	case kindVarint:
		n, err := number(value, MaxRemaining)
		p.SubscriptionIDs = append(p.SubscriptionIDs, uint32(n))
		return nonZero(row, n, err)
	case kindPair:
		name, content, found := strings.Cut(value, "=")
		if !found {
			return fmt.Errorf("%q is not NAME=VALUE", value)
		}
		p.User = append(p.User, UserProperty{Name: []byte(name), Value: []byte(content)})
		return checkText(name, content)
	case kindBinary:
		*p.bytesField(row.bit) = []byte(value)
		if len(value) > stringMax {
			return fmt.Errorf("longer than %d bytes", stringMax)
		}
		return nil
	}
	*p.bytesField(row.bit) = []byte(value)
	return checkText(value)
}

func number(value string, most uint64) (uint64, error) {
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil || n > most {
		return 0, fmt.Errorf("%q is not a number from 0 to %d", value, most)
	}
	return n, nil
}

func nonZero(row *property, n uint64, err error) error {
	if err == nil && n == 0 && row.bit&notZero != 0 {
		return fmt.Errorf("must not be 0")
	}
	return err
}

func checkText(texts ...string) error {
	for _, s := range texts {
		if len(s) > stringMax || !wellFormed([]byte(s)) {
			return fmt.Errorf("not a UTF-8 string of at most %d bytes without U+0000", stringMax)
		}
	}
	return nil
}
