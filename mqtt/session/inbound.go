package session

import (
	"tombolo/mqtt/packet"
	"tombolo/mqtt/topic"
)

// qos2State is where an inbound QoS 2 identifier stands.
type qos2State uint8

const (
	qos2Pending   qos2State = iota + 1 // the message is with the broker
	qos2Begun                          // it was, and did not get everywhere as far as is known: it is to come again
	qos2Acked                          // PUBREC is out or due
	qos2Releasing                      // PUBREL came; forgetting it is under way
)

// ticket is one acknowledgement owed to the client, in order of arrival.
type ticket struct {
	kind   packet.Type // PUBACK, PUBREC or PUBCOMP
	id     packet.ID
	done   bool
	reason packet.ReasonCode
	detail string
}

// inbound is the receiving half of a session. Guarded like its Session.
// Bound: receiveMax identifiers, ticketsSlack more tickets; a peer that exceeds them is
// disconnected, so nothing here grows with what the peer wants.
type inbound struct {
	tickets    []ticket // the line begins at tickets[head]
	head       int
	first      uint32 // token index of tickets[head]
	qos1       int    // QoS 1 publishes not yet acknowledged to the client
	repeats    int    // PUBRECs in line for publishes sent again while the first is with the broker
	receiveMax int
	qos2       map[packet.ID]qos2State
	aliases    []string // aliases[i] is the topic of alias i+1, "" unset
	aliasMax   uint16
}

func (in *inbound) remember(id packet.ID, st qos2State) {
	if in.qos2 == nil {
		in.qos2 = make(map[packet.ID]qos2State)
	}
	in.qos2[id] = st
}

func (in *inbound) attach(l *Limits, p *Params) {
	in.detach()
	in.receiveMax = 65535
	if p.Version == packet.V5 {
		in.receiveMax = int(l.ReceiveMaxBroker)
	}
	// Exchanges that an earlier connection left open do not count against the
	// Receive Maximum of this one (MQTT 5 §4.9).
	in.receiveMax += len(in.qos2)
	in.aliasMax = l.TopicAliasMaxClient
}

func (in *inbound) detach() {
	in.first += uint32(len(in.tickets) - in.head)
	in.tickets, in.head = nil, 0
	in.repeats = 0
	in.aliases = nil
	in.qos1 = 0
}

// line is the tickets that are still owed.
func (in *inbound) line() []ticket { return in.tickets[in.head:] }

// owes reports whether an acknowledgement of this kind for id stands in line
// and is not due yet.
func (in *inbound) owes(kind packet.Type, id packet.ID) bool {
	for i := range in.line() {
		if t := &in.line()[i]; t.kind == kind && t.id == id && !t.done {
			return true
		}
	}
	return false
}

// PacketID is the identifier that a token is about, 0 for none.
func PacketID(token uint64) packet.ID { return packet.ID(token >> 32) }

// token names a ticket across connections: the generation of the connection,
// the packet id, and the index of the ticket.
func (s *Session) token(id packet.ID, index uint32) uint64 {
	return uint64(s.generation)<<48 | uint64(id)<<32 | uint64(index)
}

func (s *Session) push(kind packet.Type, id packet.ID) uint64 {
	in := &s.in
	if in.head > 0 && in.head == len(in.tickets) {
		in.tickets, in.head = in.tickets[:0], 0
	} else if in.head > 64 && in.head > len(in.tickets)/2 {
		in.tickets = append(in.tickets[:0], in.tickets[in.head:]...)
		in.head = 0
	}
	in.tickets = append(in.tickets, ticket{kind: kind, id: id})
	return s.token(id, in.first+uint32(len(in.tickets)-in.head)-1)
}

func (s *Session) publish(f packet.Frame, e *Effects) {
	p := &e.Publish
	if err := packet.DecodePublish(f, s.version, p); err != nil {
		s.refuse(err, e)
		return
	}
	switch {
	case p.Properties.Has(packet.PropSubscriptionID):
		// Only the server tells which subscription matched ([MQTT-3.3.4-6]).
		s.Disconnect(packet.ProtocolError, "PUBLISH of a client with a subscription identifier", e)
		return
	case f.Size > publishBytesMax:
		s.Disconnect(packet.PacketTooLarge, "packet leaves no room for what delivering adds", e)
		return
	}
	if !s.resolveAlias(p, e) {
		return
	}
	if err := topic.CheckName(p.Topic, s.limits.TopicDepthMax); err != nil {
		s.Disconnect(packet.TopicNameInvalid, "topic name is not valid", e)
		return
	}
	switch p.QoS {
	case 0:
		e.request(RequestPublish, s.token(0, 0))
	case 1:
		if s.admitInbound(e) {
			s.in.qos1++
			e.request(RequestPublish, s.push(packet.TypePuback, p.ID))
		}
	case 2:
		s.publishExactlyOnce(p, e)
	}
}

// publishBytesMax leaves room for what a message grows by on its way: the
// properties of version 5, its remaining lifetime, an alias.
const publishBytesMax = packet.MaxSize - 1024

// ticketsSlack is how many acknowledgements beyond the Receive Maximum may
// stand in line: answers to packets sent again, which cost the client nothing.
const ticketsSlack = 1024

// admitInbound holds the client to our Receive Maximum ([MQTT-3.3.4-9]).
func (s *Session) admitInbound(e *Effects) bool {
	if s.in.qos1+len(s.in.qos2) >= s.in.receiveMax {
		s.Disconnect(packet.ReceiveMaximumExceeded, "more unacknowledged publishes than Receive Maximum", e)
		return false
	}
	return true
}

// admitRepeat bounds what repeated packets may add to the line.
func (s *Session) admitRepeat(e *Effects) bool {
	if len(s.in.line()) >= s.in.receiveMax+ticketsSlack {
		s.Disconnect(packet.ReceiveMaximumExceeded, "more repeated packets than can be answered", e)
		return false
	}
	return true
}

// publishExactlyOnce is method B of the standard's §4.3.3: the message goes on
// at once and its identifier is remembered until PUBREL.
func (s *Session) publishExactlyOnce(p *packet.Publish, e *Effects) {
	switch s.in.qos2[p.ID] {
	case qos2Pending:
		// Sent again while the first is with the broker: one PUBREC answers both.
		if !s.in.owes(packet.TypePubrec, p.ID) && s.admitRepeat(e) {
			s.push(packet.TypePubrec, p.ID)
			s.in.repeats++
		}
	case qos2Acked, qos2Releasing:
		if s.admitRepeat(e) {
			s.settle(uint32(s.push(packet.TypePubrec, p.ID)), packet.Success, "", e)
		}
	case qos2Begun:
		s.in.remember(p.ID, qos2Pending)
		e.request(RequestPublish, s.push(packet.TypePubrec, p.ID))
	default:
		if s.admitInbound(e) {
			s.in.remember(p.ID, qos2Pending)
			e.request(RequestPublish, s.push(packet.TypePubrec, p.ID))
		}
	}
}

// resolveAlias replaces an alias by its topic or learns one ([MQTT-3.3.2-8]).
func (s *Session) resolveAlias(p *packet.Publish, e *Effects) bool {
	if !p.Properties.Has(packet.PropTopicAlias) {
		return true
	}
	a := p.Properties.TopicAlias
	if a == 0 || a > s.in.aliasMax {
		s.Disconnect(packet.TopicAliasInvalid, "topic alias above Topic Alias Maximum", e)
		return false
	}
	in := &s.in
	if len(p.Topic) > 0 {
		for len(in.aliases) < int(a) {
			in.aliases = append(in.aliases, "")
		}
		if in.aliases[a-1] != string(p.Topic) {
			in.aliases[a-1] = string(p.Topic)
		}
		return true
	}
	if int(a) > len(in.aliases) || in.aliases[a-1] == "" {
		s.Disconnect(packet.ProtocolError, "topic alias was never set", e)
		return false
	}
	p.Topic = append(p.Topic[:0:0], in.aliases[a-1]...)
	return true
}

// PublishDone tells that the publish of token is settled: durable wherever it
// matched, or refused. At QoS 0 only a refusal is worth telling. Before MQTT 5
// a publish that failed ends the connection ([MQTT-4.8.0-2]).
func (s *Session) PublishDone(token uint64, reason packet.ReasonCode, detail string, e *Effects) {
	id := packet.ID(token >> 32)
	if id == 0 {
		return
	}
	if s.in.qos2[id] == qos2Pending {
		if reason.Failed() {
			delete(s.in.qos2, id)
		} else {
			s.in.qos2[id] = qos2Acked
		}
	}
	if s.attached && s.mustClose(reason) {
		s.Disconnect(reason, detail, e)
		return
	}
	if uint16(token>>48) == s.generation {
		s.settle(uint32(token), reason, detail, e)
	}
	s.settleWaiting(id, reason, detail, e)
}

// mustClose reports whether a publish that was not made ends the connection,
// because the version cannot say no and a positive answer would be a lie: the
// client sends the message again on its next connection. Only for a publish
// that is not permitted does the standard leave a choice ([MQTT-3.3.5-2]),
// which is the broker's.
func (s *Session) mustClose(reason packet.ReasonCode) bool {
	return reason.Failed() && reason != packet.NotAuthorized && !s.dialect.failedAckPossible
}

// settleWaiting closes the tickets of a QoS 2 publish that was sent again
// while the first copy was with the broker.
func (s *Session) settleWaiting(id packet.ID, reason packet.ReasonCode, detail string, e *Effects) {
	if s.in.repeats == 0 {
		return // the common case: no walk along the line for each publish
	}
	line := s.in.line()
	for i := range line {
		t := &line[i]
		if t.kind == packet.TypePubrec && t.id == id && !t.done {
			t.done, t.reason, t.detail = true, reason, detail
			s.in.repeats--
		}
	}
	s.drain(e)
}

// settle closes the ticket with the given index and sends what is due.
func (s *Session) settle(index uint32, reason packet.ReasonCode, detail string, e *Effects) {
	i := index - s.in.first
	if i >= uint32(len(s.in.line())) {
		return
	}
	t := &s.in.line()[i]
	t.done, t.reason, t.detail = true, reason, detail
	s.drain(e)
}

// drain sends the acknowledgements at the head of the line.
func (s *Session) drain(e *Effects) {
	in := &s.in
	for in.head < len(in.tickets) && in.tickets[in.head].done {
		t := &in.tickets[in.head]
		if t.kind == packet.TypePuback {
			in.qos1--
		}
		s.appendAck(t.kind, t.id, t.reason, t.detail, e)
		in.head++
		in.first++
	}
}

func (s *Session) appendAck(kind packet.Type, id packet.ID, reason packet.ReasonCode, detail string, e *Effects) {
	a := &e.ack
	a.Type, a.ID, a.Reason = kind, id, reason
	a.Properties.Reset()
	if !s.dialect.failedAckPossible {
		a.Reason = packet.Success
	} else if detail != "" && s.problemInfo {
		a.Properties.Set |= packet.PropReasonString
		a.Properties.ReasonString = append(a.Properties.ReasonString[:0], detail...)
	}
	mark := len(e.Out)
	e.Out = packet.AppendAck(e.Out, s.version, a)
	if !s.fits(mark, e) && a.Properties.Set != 0 {
		a.Properties.Reset()
		e.Out = packet.AppendAck(e.Out, s.version, a)
		s.fits(mark, e)
	}
}

// ClosesOnRefusedPublish reports whether a publish that may not be made ends
// the connection, because the version has no acknowledgement that says no.
func (s *Session) ClosesOnRefusedPublish() bool {
	return s.dialect.closeOnRefusedPublish ||
		(s.version == packet.V31 && s.limits.DisconnectRefusedV31)
}

// pubrel ends an inbound QoS 2 exchange.
func (s *Session) pubrel(a *packet.Ack, e *Effects) {
	if !s.admitRepeat(e) {
		return
	}
	switch s.in.qos2[a.ID] {
	case qos2Acked, qos2Begun: // who has the PUBREC was answered after it got everywhere
		tok := s.push(packet.TypePubcomp, a.ID)
		if s.durable {
			s.in.qos2[a.ID] = qos2Releasing
			e.PacketID = a.ID
			e.request(RequestForget, tok)
			return
		}
		delete(s.in.qos2, a.ID)
		s.settle(uint32(tok), packet.Success, "", e)
	case qos2Releasing:
		if !s.in.owes(packet.TypePubcomp, a.ID) {
			s.push(packet.TypePubcomp, a.ID)
		}
	case qos2Pending:
		s.Disconnect(packet.ProtocolError, "PUBREL before PUBREC", e)
	default:
		s.settle(uint32(s.push(packet.TypePubcomp, a.ID)), packet.PacketIDNotFound, "", e)
	}
}

// Receiving reports whether a QoS 2 publish of the client is with the broker.
func (s *Session) Receiving() bool {
	for _, st := range s.in.qos2 {
		if st == qos2Pending {
			return true
		}
	}
	return false
}

// Remembers reports whether an inbound QoS 2 identifier of the client is known.
func (s *Session) Remembers() bool { return len(s.in.qos2) > 0 }

// Forgotten tells that the inbound identifier of token is durably forgotten,
// so that PUBCOMP may go out and the client may use it for a new message.
func (s *Session) Forgotten(token uint64, e *Effects) {
	id := packet.ID(token >> 32)
	delete(s.in.qos2, id)
	line := s.in.line()
	for i := range line {
		if t := &line[i]; t.kind == packet.TypePubcomp && t.id == id {
			t.done = true
		}
	}
	s.drain(e)
}
