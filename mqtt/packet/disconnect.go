package packet

// DecodeDisconnect decodes a DISCONNECT; before MQTT 5 it has no body.
func DecodeDisconnect(f Frame, v Version, d *Disconnect) error {
	d.Properties.Reset()
	d.Reason = Success
	in, err := open(f, v, TypeDisconnect, 0)
	if err != nil {
		return err
	}
	if v == V5 {
		d.Reason = decodeTail(&in, disconnectReasons, &d.Properties, inDisconnect)
	}
	return in.end()
}

// AppendDisconnect encodes d in its shortest form.
func AppendDisconnect(dst []byte, v Version, d *Disconnect) []byte {
	size, inner := tailSize(v, d.Reason, &d.Properties)
	dst = appendHead(dst, TypeDisconnect, 0, size)
	return appendTail(dst, size, inner, d.Reason, &d.Properties)
}
