package packet

// ackShape gives the header flags and the allowed reason codes of PUBACK,
// PUBREC, PUBREL and PUBCOMP.
func ackShape(t Type) (flags uint8, allowed *reasonSet) {
	switch t {
	case TypePuback, TypePubrec:
		return 0, pubackReasons
	case TypePubrel:
		return 2, pubrelReasons
	case TypePubcomp:
		return 0, pubrelReasons
	}
	return 0, nil
}

// DecodeAck decodes PUBACK, PUBREC, PUBREL and PUBCOMP. In MQTT 5 an absent
// reason code means Success, and absent properties mean none (§3.4.2.1).
func DecodeAck(f Frame, v Version, a *Ack) error {
	a.Properties.Reset()
	a.Type, a.ID, a.Reason = f.Type, 0, Success
	flags, allowed := ackShape(f.Type)
	if allowed == nil {
		return errWrongType
	}
	in, err := open(f, v, f.Type, flags)
	if err != nil {
		return err
	}
	a.ID = in.id()
	if v == V5 {
		a.Reason = decodeTail(&in, allowed, &a.Properties, 1<<f.Type)
	}
	return in.end()
}

// decodeTail reads the reason code and properties that may both be left out,
// as ACKs, DISCONNECT and AUTH have them.
func decodeTail(in *cursor, allowed *reasonSet, p *Properties, at place) ReasonCode {
	if len(in.b) == 0 {
		return Success
	}
	r := in.reason(allowed)
	if len(in.b) > 0 {
		p.decode(in, at)
	}
	return r
}

// tailSize is the length of what appendTail writes.
func tailSize(v Version, r ReasonCode, p *Properties) (size, inner int) {
	if v != V5 {
		return 0, 0
	}
	inner = p.size()
	switch {
	case inner > 0:
		return 1 + varintSize(inner) + inner, inner
	case r != Success:
		return 1, 0
	}
	return 0, 0
}

func appendTail(dst []byte, size, inner int, r ReasonCode, p *Properties) []byte {
	if size == 0 {
		return dst
	}
	dst = append(dst, uint8(r))
	if inner == 0 {
		return dst
	}
	return p.appendTo(dst, inner)
}

// AppendAck encodes a in its shortest form.
func AppendAck(dst []byte, v Version, a *Ack) []byte {
	flags, allowed := ackShape(a.Type)
	if allowed == nil {
		panic("BUG: packet: an Ack of type " + a.Type.String())
	}
	size, inner := tailSize(v, a.Reason, &a.Properties)
	dst = appendHead(dst, a.Type, flags, 2+size)
	dst = appendUint16(dst, uint16(a.ID))
	return appendTail(dst, size, inner, a.Reason, &a.Properties)
}
