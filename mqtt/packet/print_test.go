package packet

import (
	"fmt"
	"strings"
)

// packets holds one value of each packet, so that tests decode any type into
// reused memory as a connection does; owned by one test.
type packets struct {
	connect     Connect
	connack     Connack
	publish     Publish
	ack         Ack
	subscribe   Subscribe
	suback      Suback
	unsubscribe Unsubscribe
	disconnect  Disconnect
	auth        Auth
}

// decode decodes f by its type and returns the version it was read in, which a
// CONNECT names itself.
func (p *packets) decode(f Frame, v Version) (Version, error) {
	switch f.Type {
	case TypeConnect:
		err := DecodeConnect(f, &p.connect)
		return p.connect.Version, err
	case TypeConnack:
		return v, DecodeConnack(f, v, &p.connack)
	case TypePublish:
		return v, DecodePublish(f, v, &p.publish)
	case TypePuback, TypePubrec, TypePubrel, TypePubcomp:
		return v, DecodeAck(f, v, &p.ack)
	case TypeSubscribe:
		return v, DecodeSubscribe(f, v, &p.subscribe)
	case TypeSuback, TypeUnsuback:
		return v, DecodeSuback(f, v, &p.suback)
	case TypeUnsubscribe:
		return v, DecodeUnsubscribe(f, v, &p.unsubscribe)
	case TypePingreq, TypePingresp:
		return v, DecodePing(f)
	case TypeDisconnect:
		return v, DecodeDisconnect(f, v, &p.disconnect)
	}
	return v, DecodeAuth(f, v, &p.auth)
}

// encode appends what was decoded last as t.
func (p *packets) encode(dst []byte, t Type, v Version) []byte {
	switch t {
	case TypeConnect:
		return AppendConnect(dst, &p.connect)
	case TypeConnack:
		return AppendConnack(dst, v, &p.connack)
	case TypePublish:
		return AppendPublish(dst, v, &p.publish)
	case TypePuback, TypePubrec, TypePubrel, TypePubcomp:
		return AppendAck(dst, v, &p.ack)
	case TypeSubscribe:
		return AppendSubscribe(dst, v, &p.subscribe)
	case TypeSuback:
		return AppendSuback(dst, v, &p.suback)
	case TypeUnsuback:
		return AppendUnsuback(dst, v, &p.suback)
	case TypeUnsubscribe:
		return AppendUnsubscribe(dst, v, &p.unsubscribe)
	case TypePingreq:
		return AppendPingreq(dst)
	case TypePingresp:
		return AppendPingresp(dst)
	case TypeDisconnect:
		return AppendDisconnect(dst, v, &p.disconnect)
	}
	return AppendAuth(dst, v, &p.auth)
}

// print writes what was decoded last as t in one line: every field that means
// something, and nothing else.
func (p *packets) print(t Type) string {
	var b strings.Builder
	b.WriteString(t.String())
	switch t {
	case TypeConnect:
		printConnect(&b, &p.connect)
	case TypeConnack:
		fmt.Fprintf(&b, " session-present=%v reason=%q", p.connack.SessionPresent, p.connack.Reason)
		printProperties(&b, &p.connack.Properties)
	case TypePublish:
		fmt.Fprintf(&b, " dup=%v qos=%d retain=%v topic=%q id=%d", p.publish.Dup, p.publish.QoS,
			p.publish.Retain, p.publish.Topic, p.publish.ID)
		printProperties(&b, &p.publish.Properties)
		fmt.Fprintf(&b, " payload=%q", p.publish.Payload)
	case TypePuback, TypePubrec, TypePubrel, TypePubcomp:
		fmt.Fprintf(&b, " id=%d reason=%q", p.ack.ID, p.ack.Reason)
		printProperties(&b, &p.ack.Properties)
	case TypeSubscribe:
		fmt.Fprintf(&b, " id=%d", p.subscribe.ID)
		printProperties(&b, &p.subscribe.Properties)
		for _, s := range p.subscribe.Subscriptions {
			fmt.Fprintf(&b, " (filter=%q qos=%d no-local=%v retain-as-published=%v retain-handling=%d)",
				s.Filter, s.QoS, s.NoLocal, s.RetainAsPublished, s.RetainHandling)
		}
	case TypeSuback, TypeUnsuback:
		fmt.Fprintf(&b, " id=%d", p.suback.ID)
		printProperties(&b, &p.suback.Properties)
		for _, r := range p.suback.Reasons {
			fmt.Fprintf(&b, " %#02x", uint8(r))
		}
	case TypeUnsubscribe:
		fmt.Fprintf(&b, " id=%d", p.unsubscribe.ID)
		printProperties(&b, &p.unsubscribe.Properties)
		for _, f := range p.unsubscribe.Filters {
			fmt.Fprintf(&b, " %q", f)
		}
	case TypeDisconnect:
		fmt.Fprintf(&b, " reason=%q", p.disconnect.Reason)
		printProperties(&b, &p.disconnect.Properties)
	case TypeAuth:
		fmt.Fprintf(&b, " reason=%q", p.auth.Reason)
		printProperties(&b, &p.auth.Properties)
	}
	return b.String()
}

func printConnect(b *strings.Builder, c *Connect) {
	fmt.Fprintf(b, " version=%s bridge=%v clean=%v keepalive=%d client=%q",
		c.Version, c.Bridge, c.CleanStart, c.KeepAlive, c.ClientID)
	if c.HasUsername {
		fmt.Fprintf(b, " username=%q", c.Username)
	}
	if c.HasPassword {
		fmt.Fprintf(b, " password=%q", c.Password)
	}
	printProperties(b, &c.Properties)
	if c.HasWill {
		fmt.Fprintf(b, " will(qos=%d retain=%v topic=%q payload=%q", c.Will.QoS, c.Will.Retain,
			c.Will.Topic, c.Will.Payload)
		printProperties(b, &c.Will.Properties)
		b.WriteByte(')')
	}
}

func printProperties(b *strings.Builder, p *Properties) {
	for i := range propertyTable {
		row := &propertyTable[i]
		if p.Set&row.bit == 0 {
			continue
		}
		switch row.kind {
		case kindBool:
			fmt.Fprintf(b, " %s=%d", row.name, *p.boolField(row.bit))
		case kindUint16:
			fmt.Fprintf(b, " %s=%d", row.name, *p.uint16Field(row.bit))
		case kindUint32:
			fmt.Fprintf(b, " %s=%d", row.name, *p.uint32Field(row.bit))
		case kindVarint:
			fmt.Fprintf(b, " %s=%d", row.name, p.SubscriptionIDs)
		case kindString, kindBinary:
			fmt.Fprintf(b, " %s=%q", row.name, *p.bytesField(row.bit))
		case kindPair:
			for _, u := range p.User {
				fmt.Fprintf(b, " %s=(%q,%q)", row.name, u.Name, u.Value)
			}
		}
	}
}
