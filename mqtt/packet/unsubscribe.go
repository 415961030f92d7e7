package packet

// DecodeUnsubscribe decodes an UNSUBSCRIBE with at least one filter.
func DecodeUnsubscribe(f Frame, v Version, u *Unsubscribe) error {
	u.Properties.Reset()
	u.Filters = emptied(u.Filters)
	in, err := open(f, v, TypeUnsubscribe, 2)
	if err != nil {
		return err
	}
	u.ID = in.id()
	if v == V5 {
		u.Properties.decode(&in, 1<<TypeUnsubscribe)
	}
	if in.err == nil && len(in.b) == 0 {
		return errNoFilter
	}
	for len(in.b) > 0 {
		u.Filters = append(u.Filters, in.string())
	}
	return in.end()
}

// AppendUnsubscribe encodes u.
func AppendUnsubscribe(dst []byte, v Version, u *Unsubscribe) []byte {
	props, inner := u.Properties.fieldSize(v)
	remaining := 2 + props
	for _, filter := range u.Filters {
		remaining += 2 + len(filter)
	}
	dst = appendHead(dst, TypeUnsubscribe, 2, remaining)
	dst = appendUint16(dst, uint16(u.ID))
	if v == V5 {
		dst = u.Properties.appendTo(dst, inner)
	}
	for _, filter := range u.Filters {
		dst = appendString(dst, filter)
	}
	return dst
}
