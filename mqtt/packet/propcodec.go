package packet

import (
	"bytes"
	"math/bits"
)

// decode reads the property length and the properties of a packet at c into
// p, which it empties first. in is the one packet (or the will) that holds
// them. What it grows is bounded by the bytes received: a user property of
// five bytes takes one UserProperty.
func (p *Properties) decode(c *cursor, in place) {
	p.Reset()
	n := c.varint()
	if int(n) > len(c.b) {
		c.fail(errPropOverflows)
		return
	}
	inner := cursor{b: c.b[:n]}
	c.b = c.b[n:]
	for len(inner.b) > 0 {
		p.decodeOne(&inner, in)
	}
	if inner.err != nil {
		c.fail(inner.err)
	}
}

// decodeOne reads one property. Identifiers are variable byte integers, all
// known ones of one byte.
func (p *Properties) decodeOne(c *cursor, in place) {
	id := c.varint()
	if id > 0xff || propertyRow[id] == 0 {
		c.fail(errPropUnknown)
		return
	}
	row := &propertyTable[propertyRow[id]-1]
	if row.place&in == 0 {
		c.fail(errPropPlace)
		return
	}
	if p.Set&row.bit != 0 && !repeats(row.bit, in) {
		c.fail(errPropTwice)
		return
	}
	p.Set |= row.bit
	p.decodeValue(c, row)
}

// repeats tells the properties that may appear more than once: user
// properties, and the subscription identifiers of a PUBLISH.
func repeats(bit PropertySet, in place) bool {
	return bit == PropUser || bit == PropSubscriptionID && in == inPublish
}

func (p *Properties) decodeValue(c *cursor, row *property) {
	number := uint32(1)
	switch row.kind {
	case kindBool:
		b := c.uint8()
		if b > 1 {
			c.fail(errPropBool)
		}
		*p.boolField(row.bit) = b
	case kindUint16:
		n := c.uint16()
		*p.uint16Field(row.bit), number = n, uint32(n)
	case kindUint32:
		number = c.uint32()
		*p.uint32Field(row.bit) = number
	case kindVarint:
		number = c.varint()
		p.SubscriptionIDs = append(p.SubscriptionIDs, number)
	case kindString:
		s := c.string()
		if row.bit == PropResponseTopic && c.err == nil && (len(s) == 0 || bytes.ContainsAny(s, "+#")) {
			c.fail(errPropResponse)
		}
		*p.bytesField(row.bit) = s
	case kindBinary:
		*p.bytesField(row.bit) = c.binary()
	case kindPair:
		name := c.string()
		p.User = append(p.User, UserProperty{Name: name, Value: c.string()})
	}
	if number == 0 && row.bit&notZero != 0 {
		if row.bit == PropTopicAlias {
			c.fail(errPropAlias)
		} else {
			c.fail(errPropZero)
		}
	}
}

// size is the length of the encoded properties without their length field.
func (p *Properties) size() int {
	if p.Set == 0 {
		return 0
	}
	n := 0
	for rest := p.Set; rest != 0; rest &= rest - 1 {
		row := &propertyTable[bits.TrailingZeros32(uint32(rest))]
		switch row.kind {
		case kindBool:
			n += 2
		case kindUint16:
			n += 3
		case kindUint32:
			n += 5
		case kindVarint:
			for _, id := range p.SubscriptionIDs {
				n += 1 + varintSize(int(id))
			}
		case kindString, kindBinary:
			n += 3 + len(*p.bytesField(row.bit))
		case kindPair:
			for i := range p.User {
				n += 5 + len(p.User[i].Name) + len(p.User[i].Value)
			}
		}
	}
	return n
}

// appendTo writes the properties with their length, which is size.
func (p *Properties) appendTo(dst []byte, size int) []byte {
	dst = appendVarint(dst, size)
	for rest := p.Set; rest != 0; rest &= rest - 1 {
		row := &propertyTable[bits.TrailingZeros32(uint32(rest))]
		switch row.kind {
		case kindBool:
			dst = append(dst, row.id, *p.boolField(row.bit))
		case kindUint16:
			dst = appendUint16(append(dst, row.id), *p.uint16Field(row.bit))
		case kindUint32:
			dst = appendUint32(append(dst, row.id), *p.uint32Field(row.bit))
		case kindVarint:
			for _, id := range p.SubscriptionIDs {
				dst = appendVarint(append(dst, row.id), int(id))
			}
		case kindString, kindBinary:
			dst = appendString(append(dst, row.id), *p.bytesField(row.bit))
		case kindPair:
			for i := range p.User {
				dst = appendString(append(dst, row.id), p.User[i].Name)
				dst = appendString(dst, p.User[i].Value)
			}
		}
	}
	return dst
}

// fieldSize is the length of the properties with their length field, nothing
// before MQTT 5; inner is what appendTo wants.
func (p *Properties) fieldSize(v Version) (field, inner int) {
	if v != V5 {
		return 0, 0
	}
	inner = p.size()
	return varintSize(inner) + inner, inner
}
