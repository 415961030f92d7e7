package packet

// DecodeAuth decodes an AUTH, which exists since MQTT 5. The method may be
// missing only from Success without any property, which may also be written as
// no body at all (§3.15.2.1 against §3.15.2.2.2).
func DecodeAuth(f Frame, v Version, a *Auth) error {
	a.Properties.Reset()
	a.Reason = Success
	if v != V5 {
		return errAuthVersion
	}
	in, err := open(f, v, TypeAuth, 0)
	if err != nil {
		return err
	}
	a.Reason = decodeTail(&in, authReasons, &a.Properties, inAuth)
	if err := in.end(); err != nil {
		return err
	}
	if !a.Properties.Has(PropAuthMethod) && (a.Reason != Success || a.Properties.Set != 0) {
		return errAuthMethod
	}
	return nil
}

// AppendAuth encodes a; v must be V5.
func AppendAuth(dst []byte, v Version, a *Auth) []byte {
	if v != V5 {
		panic("BUG: packet: AUTH before MQTT 5")
	}
	size, inner := tailSize(v, a.Reason, &a.Properties)
	dst = appendHead(dst, TypeAuth, 0, size)
	return appendTail(dst, size, inner, a.Reason, &a.Properties)
}
