package bench

import (
	"fmt"

	"tombolo/mqtt/packet"
)

// subscriber receives and checks the messages of one connection. Owned by the
// event loop.
type subscriber struct {
	index    uint32
	first    uint32   // publisher of streams[0]
	streams  []stream // one for each publisher that it should hear
	pooled   bool     // streams are those of the run: each message has one receiver
	newest   []uint64 // if pooled, of each publisher: beyond the newest message
	received uint64   // once each
	seen     []bitset // if set, messages of one publisher may come in any order
	every    uint64   // if set, every so many messages of a publisher are for us
}

// arrive accounts for a message. In a pool others may have later messages
// already; what comes to one subscriber still keeps its order.
func (s *subscriber) arrive(at uint32, n uint64) arrival {
	if s.seen != nil {
		return s.seen[at].arrive(n)
	}
	if s.every > 0 {
		n /= s.every
	}
	came := s.streams[at].arrive(n)
	if !s.pooled || came == duplicated {
		return came
	}
	if n < s.newest[at] {
		return reordered
	}
	s.newest[at] = n + 1
	return inOrder
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
	if !ok || h.receiver != 0 && h.receiver != s.index+1 || int(at) >= len(s.streams) || int(h.publisher) >= len(r.pubs) {
		r.total.foreign++
		return nil
	}
	if h.number >= r.pubs[h.publisher].next {
		return fmt.Errorf("message %d of publisher %d came before it was sent", h.number, h.publisher)
	}
	switch s.arrive(at, h.number) {
	case duplicated:
		r.total.duplicated++
		return nil
	case reordered:
		r.total.reordered++
	}
	s.received++
	r.receivedOne(h.sentAt, r.pubs[h.publisher].writtenAt(h.number))
	r.pubs[h.publisher].delivered(r, h.number)
	return nil
}

func (s *subscriber) drained(*run) {}
