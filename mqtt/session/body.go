package session

import (
	"bytes"

	"tombolo/mqtt/packet"
)

// forwarded are the properties of a PUBLISH that travel with the message
// (MQTT 5 §3.3.2.3). Message expiry travels beside the body, as a time.
const forwarded = packet.PropPayloadFormat | packet.PropContentType | packet.PropResponseTopic |
	packet.PropCorrelationData | packet.PropUser

// EncodeBody gives the bytes under which a message is stored and queued: an
// MQTT 5 PUBLISH packet at QoS 0 with the properties that travel. Using the
// standard's own encoding keeps one parser for both and every byte documented.
func EncodeBody(p *packet.Publish) []byte {
	q := AsBody(p)
	return packet.AppendPublish(make([]byte, 0, packet.PublishSize(packet.V5, &q)), packet.V5, &q)
}

// AsBody is the packet that EncodeBody writes.
func AsBody(p *packet.Publish) packet.Publish {
	q := packet.Publish{Topic: p.Topic, Payload: p.Payload}
	if set := p.Properties.Set & forwarded; set != 0 {
		q.Properties = p.Properties
		q.Properties.Set = set
	}
	return q
}

// IsPlain reports whether EncodeBody gives what packet.AppendPlainPublish writes.
func IsPlain(p *packet.Publish) bool { return p.Properties.Set&forwarded == 0 }

// DecodeBody reads what EncodeBody wrote into p, as views into body.
func DecodeBody(body []byte, p *packet.Publish) error {
	if packet.DecodePlainPublish(body, p) {
		return nil
	}
	f, _, err := packet.Split(body, 0)
	if err != nil {
		return err
	}
	return packet.DecodePublish(f, packet.V5, p)
}

// propertyTopic stands where EncodeProperties needs a topic.
var propertyTopic = []byte{'-'}

// EncodeProperties gives the properties of a message that is kept without its
// topic and payload (a retained message, a will): an MQTT 5 PUBLISH at QoS 0
// to "-" without a payload. None at all is nil. Message expiry is kept.
func EncodeProperties(pr *packet.Properties) []byte {
	p := packet.Publish{Topic: propertyTopic, Properties: *pr}
	p.Properties.Set &= forwarded | packet.PropMessageExpiry
	if p.Properties.Set == 0 {
		return nil
	}
	return packet.AppendPublish(nil, packet.V5, &p)
}

// DecodeProperties reads what EncodeProperties wrote into p.Properties, as
// views, and leaves topic and payload to the caller.
func DecodeProperties(b []byte, p *packet.Publish) error {
	if len(b) == 0 {
		p.Properties.Reset()
		return nil
	}
	return DecodeBody(b, p)
}

// Outgoing is one QoS 0 message on its way to many sessions. The bytes of each
// variant are built once, on first use. Owned by the router for one message;
// p is the router's and must not change until the last delivery.
type Outgoing struct {
	p         *packet.Publish
	expiresAt int64
	variants  [4][]byte
	scratch   packet.Publish
	shares    bool   // the variants end before the payload
	shared    []byte // the payload, once it was copied for all receivers
}

// Set starts a new message; expiresAt is in unix ms, 0 for never.
func (o *Outgoing) Set(p *packet.Publish, expiresAt int64) {
	o.p, o.expiresAt = p, expiresAt
	o.shares, o.shared = false, nil
	for i := range o.variants {
		o.variants[i] = o.variants[i][:0]
	}
}

// Share tells, before the first delivery, how many there will be about. A large
// payload for several is copied once and then sent from there to all of them.
func (o *Outgoing) Share(receivers int) {
	o.shares = receivers > 1 && len(o.p.Payload) >= ShareBytesMin
}

// payload returns the copy that all receivers share.
func (o *Outgoing) payload() []byte {
	if o.shared == nil {
		o.shared = bytes.Clone(o.p.Payload)
	}
	return o.shared
}

// bytes returns the packet, without its payload if that is shared, for a version and retain flag.
func (o *Outgoing) bytes(v packet.Version, retain bool, now int64) []byte {
	i := 0
	if v == packet.V5 {
		i = 1
	} else {
		v = packet.V311 // a PUBLISH is the same in 3.1 and 3.1.1
	}
	if retain {
		i += 2
	}
	switch {
	case len(o.variants[i]) > 0:
	case !retain && !o.shares && o.expiresAt == 0 && IsPlain(o.p): // as nearly all are
		o.variants[i] = packet.AppendPlainPublish(o.variants[i], v, o.p.Topic, o.p.Payload)
	default:
		o.scratch = packet.Publish{Topic: o.p.Topic, Payload: o.p.Payload, Properties: o.p.Properties, Retain: retain}
		o.scratch.Properties.Set &= forwarded
		setExpiry(&o.scratch.Properties, o.expiresAt, now)
		o.variants[i] = packet.AppendPublishHead(o.variants[i], v, &o.scratch)
		if !o.shares {
			o.variants[i] = append(o.variants[i], o.p.Payload...)
		}
	}
	return o.variants[i]
}

// setExpiry writes the remaining lifetime in whole seconds ([MQTT-3.3.2-6]),
// rounded up so that what waited for a moment only keeps what it came with.
func setExpiry(p *packet.Properties, expiresAt, now int64) {
	if expiresAt == 0 {
		p.Set &^= packet.PropMessageExpiry
		return
	}
	p.Set |= packet.PropMessageExpiry
	p.MessageExpiry = uint32(max((expiresAt-now+999)/1000, 0))
}
