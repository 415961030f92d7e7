package conformance

import (
	"fmt"
	"strings"

	"tombolo/mqtt/packet"
)

func idText(id packet.ID) string { return fmt.Sprintf("id%d", id) }

// text is the form in which tests compare packets: the type, what is set, the
// reason codes, and the properties in braces.
func text(f packet.Frame, v packet.Version) string {
	var b strings.Builder
	b.WriteString(f.Type.String())
	pr, err := describe(&b, f, v)
	if err != nil {
		fmt.Fprintf(&b, " UNREADABLE: %v: %x", err, f.Body)
	}
	if pr != nil && pr.Set != 0 {
		b.WriteString(" {" + properties(pr) + "}")
	}
	return b.String()
}

func describe(b *strings.Builder, f packet.Frame, v packet.Version) (*packet.Properties, error) {
	switch f.Type {
	case packet.TypeConnack:
		var c packet.Connack
		err := packet.DecodeConnack(f, v, &c)
		if c.SessionPresent {
			b.WriteString(" present")
		}
		code := c.Reason
		if v != packet.V5 {
			code = packet.ReasonCode(packet.ReturnCode(c.Reason))
		}
		fmt.Fprintf(b, " 0x%02x", uint8(code))
		return &c.Properties, err
	case packet.TypePublish:
		var p packet.Publish
		err := packet.DecodePublish(f, v, &p)
		describePublish(b, &p)
		return &p.Properties, err
	case packet.TypePuback, packet.TypePubrec, packet.TypePubrel, packet.TypePubcomp:
		var a packet.Ack
		err := packet.DecodeAck(f, v, &a)
		fmt.Fprintf(b, " id%d 0x%02x", a.ID, uint8(a.Reason))
		return &a.Properties, err
	case packet.TypeSuback, packet.TypeUnsuback:
		var a packet.Suback
		err := packet.DecodeSuback(f, v, &a)
		var codes []string
		for _, r := range a.Reasons {
			codes = append(codes, fmt.Sprintf("0x%02x", uint8(r)))
		}
		fmt.Fprintf(b, " id%d %s", a.ID, strings.Join(codes, ","))
		return &a.Properties, err
	case packet.TypeDisconnect:
		var d packet.Disconnect
		err := packet.DecodeDisconnect(f, v, &d)
		fmt.Fprintf(b, " 0x%02x", uint8(d.Reason))
		return &d.Properties, err
	case packet.TypeAuth:
		var a packet.Auth
		err := packet.DecodeAuth(f, v, &a)
		fmt.Fprintf(b, " 0x%02x", uint8(a.Reason))
		return &a.Properties, err
	}
	return nil, nil
}

func describePublish(b *strings.Builder, p *packet.Publish) {
	fmt.Fprintf(b, " %s %s qos%d", p.Topic, p.Payload, p.QoS)
	if p.QoS > 0 {
		fmt.Fprintf(b, " id%d", p.ID)
	}
	if p.Dup {
		b.WriteString(" dup")
	}
	if p.Retain {
		b.WriteString(" retain")
	}
}

// properties prints them in the order of the table of the standard.
func properties(pr *packet.Properties) string {
	var out []string
	add := func(bit packet.PropertySet, value any) {
		if pr.Has(bit) {
			out = append(out, fmt.Sprintf("%v=%v", bit, value))
		}
	}
	add(packet.PropPayloadFormat, pr.PayloadFormat)
	add(packet.PropMessageExpiry, pr.MessageExpiry)
	add(packet.PropContentType, string(pr.ContentType))
	add(packet.PropResponseTopic, string(pr.ResponseTopic))
	add(packet.PropCorrelationData, fmt.Sprintf("%x", pr.CorrelationData))
	add(packet.PropSubscriptionID, pr.SubscriptionIDs)
	add(packet.PropSessionExpiry, pr.SessionExpiry)
	add(packet.PropAssignedClientID, string(pr.AssignedClientID))
	add(packet.PropServerKeepAlive, pr.ServerKeepAlive)
	add(packet.PropAuthMethod, string(pr.AuthMethod))
	add(packet.PropAuthData, string(pr.AuthData))
	add(packet.PropResponseInfo, string(pr.ResponseInfo))
	add(packet.PropServerReference, string(pr.ServerReference))
	add(packet.PropReasonString, string(pr.ReasonString))
	add(packet.PropReceiveMaximum, pr.ReceiveMaximum)
	add(packet.PropTopicAliasMaximum, pr.TopicAliasMaximum)
	add(packet.PropTopicAlias, pr.TopicAlias)
	add(packet.PropMaximumQoS, pr.MaximumQoS)
	add(packet.PropRetainAvailable, pr.RetainAvailable)
	for _, u := range pr.User {
		add(packet.PropUser, string(u.Name)+":"+string(u.Value))
	}
	add(packet.PropMaximumPacketSize, pr.MaximumPacketSize)
	add(packet.PropWildcardSubAvailable, pr.WildcardSub)
	add(packet.PropSubIDAvailable, pr.SubIDAvailable)
	add(packet.PropSharedSubAvailable, pr.SharedSub)
	return strings.Join(out, " ")
}
