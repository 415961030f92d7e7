package bench

import (
	"fmt"

	"tombolo/mqtt/packet"
)

// subscriber receives and checks the messages of one connection. Owned by the
// event loop.
type subscriber struct {
	first   uint32   // publisher of streams[0]
	streams []stream // one for each publisher that it should hear
}

func (s *subscriber) handle(r *run, e *endpoint, f packet.Frame) error {
	switch f.Type {
	case packet.TypePublish:
	case packet.TypePubrel:
		if err := packet.DecodeAck(f, r.cfg.Version, &r.ackIn); err != nil {
			return err
		}
		e.sendAck(r, packet.TypePubcomp, r.ackIn.ID)
		return nil
	default:
		return e.other(r, f)
	}
	in := &r.in
	if err := packet.DecodePublish(f, r.cfg.Version, in); err != nil {
		return err
	}
	switch in.QoS {
	case 1:
		e.sendAck(r, packet.TypePuback, in.ID)
	case 2:
		e.sendAck(r, packet.TypePubrec, in.ID)
	}
	h, ok := parseHeader(in.Payload, r.id, r.cfg.PayloadSize)
	at := h.publisher - s.first
	if !ok || int(at) >= len(s.streams) || int(h.publisher) >= len(r.pubs) {
		r.total.foreign++
		return nil
	}
	if h.number >= r.pubs[h.publisher].next {
		return fmt.Errorf("message %d of publisher %d came before it was sent", h.number, h.publisher)
	}
	switch s.streams[at].arrive(h.number) {
	case duplicated:
		r.total.duplicated++
		return nil
	case reordered:
		r.total.reordered++
	}
	r.receivedOne(h.sentAt)
	r.pubs[h.publisher].delivered(r, h.number)
	return nil
}

func (s *subscriber) drained(*run) {}
