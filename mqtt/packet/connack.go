package packet

// DecodeConnack decodes a CONNACK; the return codes of MQTT 3.x become their
// reason codes.
func DecodeConnack(f Frame, v Version, c *Connack) error {
	*c = Connack{Properties: c.Properties}
	c.Properties.Reset()
	in, err := open(f, v, TypeConnack, 0)
	if err != nil {
		return err
	}
	flags := in.uint8()
	if flags > 1 {
		in.fail(errConnackFlags)
	}
	c.SessionPresent = flags == 1 && v != V31 // a reserved byte there
	if v == V5 {
		c.Reason = in.reason(connackReasons)
		c.Properties.decode(&in, inConnack)
	} else {
		code := in.uint8()
		if int(code) >= len(returnReasons) {
			in.fail(errReason)
			code = 0
		}
		c.Reason = returnReasons[code]
	}
	if c.SessionPresent && c.Reason != Success {
		in.fail(errConnackState)
	}
	return in.end()
}

// AppendConnack encodes c. Session present is left out where the standard
// forbids it: with a refusal, and in MQTT 3.1, which has no such flag.
func AppendConnack(dst []byte, v Version, c *Connack) []byte {
	var flags uint8
	if c.SessionPresent && c.Reason == Success && v != V31 {
		flags = 1
	}
	if v != V5 {
		return append(appendHead(dst, TypeConnack, 0, 2), flags, ReturnCode(c.Reason))
	}
	props, inner := c.Properties.fieldSize(v)
	dst = appendHead(dst, TypeConnack, 0, 2+props)
	return c.Properties.appendTo(append(dst, flags, uint8(c.Reason)), inner)
}
