package session

import (
	"slices"

	"tombolo/mqtt/packet"
)

// subscribe decodes SUBSCRIBE; what may be subscribed is the broker's to say.
func (s *Session) subscribe(f packet.Frame, e *Effects) {
	if err := packet.DecodeSubscribe(f, s.version, &e.Subscribe); err != nil {
		s.refuse(err, e)
		return
	}
	e.request(RequestSubscribe, s.token(e.Subscribe.ID, 0))
}

func (s *Session) unsubscribe(f packet.Frame, e *Effects) {
	if err := packet.DecodeUnsubscribe(f, s.version, &e.Unsubscribe); err != nil {
		s.refuse(err, e)
		return
	}
	e.request(RequestUnsubscribe, s.token(e.Unsubscribe.ID, 0))
}

// SubscribeDone answers a SUBSCRIBE with one reason code per filter, in order.
func (s *Session) SubscribeDone(token uint64, reasons []packet.ReasonCode, detail string, e *Effects) {
	if uint16(token>>48) != s.generation || !s.attached {
		return
	}
	ack := packet.Suback{ID: packet.ID(token >> 32), Reasons: reasons}
	if !s.dialect.properties {
		// Before MQTT 5 there is one code for every refusal.
		for i, r := range reasons {
			if r.Failed() {
				reasons[i] = packet.UnspecifiedError
			}
		}
	} else if detail != "" && s.problemInfo {
		ack.Properties.Set |= packet.PropReasonString
		ack.Properties.ReasonString = []byte(detail)
	}
	mark := len(e.Out)
	e.Out = packet.AppendSuback(e.Out, s.version, &ack)
	if !s.fits(mark, e) && ack.Properties.Set != 0 {
		ack.Properties.Reset()
		e.Out = packet.AppendSuback(e.Out, s.version, &ack)
		s.fits(mark, e)
	}
}

// UnsubscribeDone answers an UNSUBSCRIBE.
func (s *Session) UnsubscribeDone(token uint64, reasons []packet.ReasonCode, e *Effects) {
	if uint16(token>>48) != s.generation || !s.attached {
		return
	}
	if !s.dialect.perFilterUnsuback && slices.Contains(reasons, packet.UnspecifiedError) {
		// An UNSUBACK that says nothing would say that it was done.
		s.Disconnect(packet.UnspecifiedError, "unsubscribing failed", e)
		return
	}
	ack := packet.Suback{ID: packet.ID(token >> 32), Reasons: reasons}
	mark := len(e.Out)
	e.Out = packet.AppendUnsuback(e.Out, s.version, &ack)
	s.fits(mark, e)
}
