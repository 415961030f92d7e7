package packet

// Flags of a PUBLISH header.
const (
	publishRetain = 0x01
	publishQoS    = 0x06
	publishDup    = 0x08
)

// DecodePublish decodes a PUBLISH. An empty topic is let through only with a
// topic alias; what else a topic must be is for package topic to say.
func DecodePublish(f Frame, v Version, p *Publish) error {
	p.Properties.Reset()
	p.Dup = f.Flags&publishDup != 0
	p.QoS = f.Flags & publishQoS >> 1
	p.Retain = f.Flags&publishRetain != 0
	p.Topic, p.ID, p.Payload = nil, 0, nil
	in, err := open(f, v, TypePublish, f.Flags)
	switch {
	case err != nil:
		return err
	case p.QoS == 3:
		return errPublishQoS
	case p.QoS == 0 && p.Dup:
		return errPublishDup
	}
	p.Topic = in.string()
	if p.QoS > 0 {
		p.ID = in.id()
	}
	if v == V5 {
		p.Properties.decode(&in, inPublish)
	}
	if len(p.Topic) == 0 && !p.Properties.Has(PropTopicAlias) {
		in.fail(errPublishTopic)
	}
	if in.err != nil {
		return in.err
	}
	p.Payload = in.b
	return nil
}

// publishRemaining is the remaining length of p, and what its properties'
// appendTo wants.
func publishRemaining(v Version, p *Publish) (remaining, inner int) {
	props, inner := p.Properties.fieldSize(v)
	remaining = 2 + len(p.Topic) + props + len(p.Payload)
	if p.QoS > 0 {
		remaining += 2
	}
	return remaining, inner
}

// PublishSize is the length of the whole packet that AppendPublish writes. It
// can exceed MaxSize; such a packet must not be encoded.
func PublishSize(v Version, p *Publish) int {
	remaining, _ := publishRemaining(v, p)
	return packetSize(remaining)
}

// AppendPublish encodes p. DUP is written only where it may be, above QoS 0.
func AppendPublish(dst []byte, v Version, p *Publish) []byte {
	return append(AppendPublishHead(dst, v, p), p.Payload...)
}

// AppendPublishHead encodes all of p that stands before the payload, for a
// caller that sends the payload itself without a copy.
func AppendPublishHead(dst []byte, v Version, p *Publish) []byte {
	remaining, inner := publishRemaining(v, p)
	flags := p.QoS << 1
	if p.Dup && p.QoS > 0 {
		flags |= publishDup
	}
	if p.Retain {
		flags |= publishRetain
	}
	dst = appendHead(dst, TypePublish, flags, remaining)
	dst = appendString(dst, p.Topic)
	if p.QoS > 0 {
		dst = appendUint16(dst, uint16(p.ID))
	}
	if v == V5 {
		dst = p.Properties.appendTo(dst, inner)
	}
	return dst
}

// PlainPublishSize is the length of what AppendPlainPublish writes.
func PlainPublishSize(v Version, topic, payload []byte) int {
	return packetSize(plainRemaining(v, topic, payload))
}

func plainRemaining(v Version, topic, payload []byte) int {
	n := 2 + len(topic) + len(payload)
	if v == V5 {
		n++
	}
	return n
}

// AppendPlainPublish is AppendPublish for a message at QoS 0 that has a topic and a
// payload and nothing else.
func AppendPlainPublish(dst []byte, v Version, topic, payload []byte) []byte {
	dst = appendString(appendHead(dst, TypePublish, 0, plainRemaining(v, topic, payload)), topic)
	if v == V5 {
		dst = append(dst, 0)
	}
	return append(dst, payload...)
}

// DecodePlainPublish reads what AppendPlainPublish wrote for MQTT 5, in less time than
// DecodePublish takes. False says that b is something else, or faulty, and nothing of p.
func DecodePlainPublish(b []byte, p *Publish) bool {
	if len(b) < 6 || b[0] != byte(TypePublish)<<4 {
		return false
	}
	remaining, in := int(b[1]), b[2:]
	if remaining >= 0x80 {
		if b[2] == 0 || b[2] >= 0x80 {
			return false // 16 KiB and more, or not minimal
		}
		remaining, in = remaining&0x7f|int(b[2])<<7, b[3:]
	}
	end := 2 + int(in[0])<<8 + int(in[1])
	if len(in) != remaining || end == 2 || end >= remaining || in[end] != 0 || !wellFormed(in[2:end]) {
		return false
	}
	p.Properties.Reset()
	p.Dup, p.QoS, p.Retain, p.ID = false, 0, false, 0
	p.Topic, p.Payload = in[2:end:end], in[end+1:]
	return true
}

// PublishIDOffset tells where the packet identifier stands in an encoded
// PUBLISH with QoS > 0, so that one encoding serves many subscribers. encoded
// is our own work; anything else panics.
func PublishIDOffset(encoded []byte) int {
	headBytes, size, err := head(encoded)
	if err != nil || size == 0 || size > len(encoded) || encoded[0]&publishQoS == 0 {
		panic("BUG: packet: no packet identifier in these bytes")
	}
	return headBytes + 2 + int(encoded[headBytes])<<8 + int(encoded[headBytes+1])
}
