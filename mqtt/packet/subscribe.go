package packet

import "bytes"

// Bits of the subscription options (MQTT 5 §3.8.3.1).
const (
	subQoS            = 0x03
	subNoLocal        = 0x04
	subRetainAsPub    = 0x08
	subRetainHandling = 0x30
	subReserved       = 0xC0
	subReservedOld    = 0xFC
)

// sharePrefix begins a shared subscription (MQTT 5 §4.8.2).
var sharePrefix = []byte("$share/")

// DecodeSubscribe decodes a SUBSCRIBE with at least one subscription.
func DecodeSubscribe(f Frame, v Version, s *Subscribe) error {
	s.Properties.Reset()
	s.Subscriptions = emptied(s.Subscriptions)
	in, err := open(f, v, TypeSubscribe, 2)
	if err != nil {
		return err
	}
	s.ID = in.id()
	if v == V5 {
		s.Properties.decode(&in, inSubscribe)
	}
	if in.err == nil && len(in.b) == 0 {
		return errNoFilter
	}
	for len(in.b) > 0 {
		sub := Subscription{Filter: in.string()}
		sub.decodeOptions(&in, v)
		s.Subscriptions = append(s.Subscriptions, sub)
	}
	return in.end()
}

func (s *Subscription) decodeOptions(in *cursor, v Version) {
	options := in.uint8()
	s.QoS = options & subQoS
	if v != V5 {
		switch {
		case options&subReservedOld != 0:
			in.fail(errSubReserved)
		case s.QoS == 3:
			in.fail(errSubQoSOld)
		}
		return
	}
	s.NoLocal = options&subNoLocal != 0
	s.RetainAsPublished = options&subRetainAsPub != 0
	s.RetainHandling = options & subRetainHandling >> 4
	switch {
	case options&subReserved != 0:
		in.fail(errSubReserved)
	case s.QoS == 3:
		in.fail(errSubQoS)
	case s.RetainHandling == 3:
		in.fail(errRetainOption)
	case s.NoLocal && bytes.HasPrefix(s.Filter, sharePrefix): // MQTT-3.8.3-4
		in.fail(errShareNoLocal)
	}
}

// options encodes the subscription options byte.
func (s *Subscription) options(v Version) uint8 {
	options := s.QoS
	if v != V5 {
		return options
	}
	if s.NoLocal {
		options |= subNoLocal
	}
	if s.RetainAsPublished {
		options |= subRetainAsPub
	}
	return options | s.RetainHandling<<4
}

// AppendSubscribe encodes s.
func AppendSubscribe(dst []byte, v Version, s *Subscribe) []byte {
	props, inner := s.Properties.fieldSize(v)
	remaining := 2 + props
	for i := range s.Subscriptions {
		remaining += 3 + len(s.Subscriptions[i].Filter)
	}
	dst = appendHead(dst, TypeSubscribe, 2, remaining)
	dst = appendUint16(dst, uint16(s.ID))
	if v == V5 {
		dst = s.Properties.appendTo(dst, inner)
	}
	for i := range s.Subscriptions {
		dst = appendString(dst, s.Subscriptions[i].Filter)
		dst = append(dst, s.Subscriptions[i].options(v))
	}
	return dst
}
