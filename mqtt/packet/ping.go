package packet

// DecodePing checks a PINGREQ or PINGRESP, which have no body.
func DecodePing(f Frame) error {
	switch {
	case f.Type != TypePingreq && f.Type != TypePingresp:
		return errWrongType
	case f.Flags != 0:
		return errFlags
	case len(f.Body) > 0:
		return errTrailing
	}
	return nil
}

// AppendPingreq encodes a PINGREQ.
func AppendPingreq(dst []byte) []byte { return append(dst, byte(TypePingreq)<<4, 0) }

// AppendPingresp encodes a PINGRESP.
func AppendPingresp(dst []byte) []byte { return append(dst, byte(TypePingresp)<<4, 0) }
