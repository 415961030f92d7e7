package packet

// DecodeSuback decodes SUBACK and UNSUBACK. An UNSUBACK before MQTT 5 has no
// reason codes; every other has at least one.
func DecodeSuback(f Frame, v Version, s *Suback) error {
	s.Properties.Reset()
	s.Reasons = emptied(s.Reasons)
	if f.Type != TypeSuback && f.Type != TypeUnsuback {
		return errWrongType
	}
	in, err := open(f, v, f.Type, 0)
	if err != nil {
		return err
	}
	s.ID = in.id()
	if v == V5 {
		s.Properties.decode(&in, 1<<f.Type)
	}
	allowed := subackReasonsOld
	switch {
	case f.Type == TypeUnsuback && v != V5:
		return in.end()
	case f.Type == TypeUnsuback:
		allowed = unsubackReasons
	case v == V5:
		allowed = subackReasons
	}
	if in.err == nil && len(in.b) == 0 {
		return errNoReason
	}
	for len(in.b) > 0 {
		s.Reasons = append(s.Reasons, in.reason(allowed))
	}
	return in.end()
}

// AppendSuback encodes a SUBACK. Before MQTT 5 every failure is 0x80.
func AppendSuback(dst []byte, v Version, s *Suback) []byte {
	dst = appendSubackHead(dst, TypeSuback, v, s, len(s.Reasons))
	for _, r := range s.Reasons {
		if v != V5 && r.Failed() {
			r = UnspecifiedError
		}
		dst = append(dst, uint8(r))
	}
	return dst
}

// AppendUnsuback encodes an UNSUBACK. Before MQTT 5 it has no reason codes.
func AppendUnsuback(dst []byte, v Version, s *Suback) []byte {
	if v != V5 {
		return appendSubackHead(dst, TypeUnsuback, v, s, 0)
	}
	dst = appendSubackHead(dst, TypeUnsuback, v, s, len(s.Reasons))
	for _, r := range s.Reasons {
		dst = append(dst, uint8(r))
	}
	return dst
}

func appendSubackHead(dst []byte, t Type, v Version, s *Suback, reasonCount int) []byte {
	props, inner := s.Properties.fieldSize(v)
	dst = appendHead(dst, t, 0, 2+props+reasonCount)
	dst = appendUint16(dst, uint16(s.ID))
	if v == V5 {
		dst = s.Properties.appendTo(dst, inner)
	}
	return dst
}
