package session

import (
	"tombolo/mqtt/packet"
	"tombolo/queue"
)

// Session is the protocol state of one client. Owned by whoever holds the
// session's lock. It outlives connections: Attach begins one, Detach ends it.
//
// Invariants, checked in tests by check:
//
//	(1) a packet id is in at most one of out.flights and out.retry
//	(2) out.used counts the flights that take part in the send quota
//	(3) in.tickets are in order of arrival; the first one is not done
type Session struct {
	limits   *Limits
	queue    *queue.Queue
	durable  bool
	attached bool

	version     packet.Version
	dialect     *dialect
	problemInfo bool
	reauth      reauthState
	expiryAsked bool // CONNECT had a session expiry above zero
	generation  uint16
	packetMax   uint32
	authMethod  string

	in  inbound
	out outbound
}

// New returns a session that is not attached. q is stepped only together with
// the session. durable says that q and the inbound QoS 2 ids are on disk;
// inbound are those that were.
func New(l *Limits, q *queue.Queue, durable bool, inboundIDs []uint16) *Session {
	s := &Session{}
	s.Init(l, q, durable, inboundIDs)
	return s
}

// Init is New in place, for sessions embedded in a larger struct.
func (s *Session) Init(l *Limits, q *queue.Queue, durable bool, inboundIDs []uint16) {
	*s = Session{limits: l, queue: q, durable: durable, dialect: &dialect311}
	for _, id := range inboundIDs {
		s.in.remember(packet.ID(id), qos2Acked)
	}
}

// Received notes an inbound QoS 2 identifier of which the session's old home has
// the message, so that a PUBLISH that comes again is known.
func (s *Session) Received(id uint16) {
	if _, known := s.in.qos2[packet.ID(id)]; !known {
		s.in.remember(packet.ID(id), qos2Acked)
	}
}

// Begun notes an inbound QoS 2 identifier whose message did not get everywhere, as far
// as is known: a PUBLISH with it is to be made again.
func (s *Session) Begun(id uint16) {
	if _, known := s.in.qos2[packet.ID(id)]; !known {
		s.in.remember(packet.ID(id), qos2Begun)
	}
}

// Attached reports whether a connection is attached.
func (s *Session) Attached() bool { return s.attached }

// Queue returns the queue the session is stepped with.
func (s *Session) Queue() *queue.Queue { return s.queue }

// Attach binds the session to a connection that CONNECT opened, sends CONNACK,
// sends again what was in flight, and begins to deliver. New messages take
// their packet ids from a block (R19).
func (s *Session) Attach(p *Params, present bool, block uint8, authData []byte, now int64, e *Effects) {
	s.attached = true
	s.version, s.dialect = p.Version, dialectOf(p.Version)
	s.problemInfo, s.packetMax, s.authMethod = p.problemInfo, p.PacketMax, p.AuthMethod
	s.expiryAsked = p.expiryIn > 0
	s.reauth = reauthNone
	s.generation++
	s.in.attach(s.limits, p)
	s.out.attach(s.limits, p, block)
	s.connack(p, present, authData, e)
	s.queue.SetOnline(true, now)
	if !e.Closing {
		s.resume(e)
		s.Pump(now, e)
	}
}

func (s *Session) connack(p *Params, present bool, authData []byte, e *Effects) {
	ack := packet.Connack{SessionPresent: present && p.Version != packet.V31}
	if p.Version == packet.V5 {
		s.connackProperties(p, authData, &ack.Properties)
	}
	mark := len(e.Out)
	e.Out = packet.AppendConnack(e.Out, p.Version, &ack)
	if !s.fits(mark, e) {
		// Nothing in it may be left out, and DISCONNECT may not come before it
		// ([MQTT-3.14.0-1]).
		e.close(Close{Reason: packet.PacketTooLarge, Detail: "client does not accept a packet as large as CONNACK", Will: true})
	}
}

func (s *Session) connackProperties(p *Params, authData []byte, pr *packet.Properties) {
	l := s.limits
	if p.Expiry != p.expiryIn {
		pr.Set |= packet.PropSessionExpiry
		pr.SessionExpiry = p.Expiry
	}
	if l.ReceiveMaxBroker != 65535 {
		pr.Set |= packet.PropReceiveMaximum
		pr.ReceiveMaximum = l.ReceiveMaxBroker
	}
	if l.PacketBytesMax > 0 {
		pr.Set |= packet.PropMaximumPacketSize
		pr.MaximumPacketSize = uint32(l.PacketBytesMax)
	}
	if p.Assigned {
		pr.Set |= packet.PropAssignedClientID
		pr.AssignedClientID = []byte(p.ClientID)
	}
	if l.TopicAliasMaxClient > 0 {
		pr.Set |= packet.PropTopicAliasMaximum
		pr.TopicAliasMaximum = l.TopicAliasMaxClient
	}
	if p.KeepAlive != p.keepAliveIn {
		pr.Set |= packet.PropServerKeepAlive
		pr.ServerKeepAlive = p.KeepAlive
	}
	if p.AuthMethod != "" {
		pr.Set |= packet.PropAuthMethod
		pr.AuthMethod = []byte(p.AuthMethod)
		if len(authData) > 0 {
			pr.Set |= packet.PropAuthData
			pr.AuthData = authData
		}
	}
}

// Detach ends the connection: what is in flight waits for the next one.
func (s *Session) Detach(now int64) {
	if !s.attached {
		return
	}
	s.attached = false
	s.out.detach()
	s.in.detach()
	s.queue.SetOnline(false, now)
}

// Packet steps one packet of an attached connection.
func (s *Session) Packet(f packet.Frame, now int64, e *Effects) {
	switch f.Type {
	case packet.TypePublish:
		s.publish(f, e)
	case packet.TypePuback, packet.TypePubrec, packet.TypePubrel, packet.TypePubcomp:
		s.acknowledge(f, now, e)
	case packet.TypeSubscribe:
		s.subscribe(f, e)
	case packet.TypeUnsubscribe:
		s.unsubscribe(f, e)
	case packet.TypePingreq:
		s.ping(f, e)
	case packet.TypeDisconnect:
		s.disconnected(f, e)
	case packet.TypeAuth:
		s.auth(f, e)
	case packet.TypeConnect:
		s.Disconnect(packet.ProtocolError, "second CONNECT", e)
	default:
		s.Disconnect(packet.ProtocolError, "packet type that only a server sends", e)
	}
}

// pingBytes is the size of a PINGREQ in its shortest form.
const pingBytes = 2

func (s *Session) ping(f packet.Frame, e *Effects) {
	if err := packet.DecodePing(f); err != nil {
		s.refuse(err, e)
		return
	}
	if s.dialect.properties && f.Size != pingBytes { // [MQTT-1.5.5-1]
		s.Disconnect(packet.MalformedPacket, "remaining length is not in its shortest form", e)
		return
	}
	e.Out = packet.AppendPingresp(e.Out)
}

// disconnected handles the client's own DISCONNECT.
func (s *Session) disconnected(f packet.Frame, e *Effects) {
	d := packet.Disconnect{}
	if err := packet.DecodeDisconnect(f, s.version, &d); err != nil {
		s.refuse(err, e)
		return
	}
	if !clientDisconnects(d.Reason) {
		s.Disconnect(packet.ProtocolError, "DISCONNECT with a reason that only a server has", e)
		return
	}
	if d.Properties.Has(packet.PropSessionExpiry) {
		if !s.expiryAsked && d.Properties.SessionExpiry > 0 {
			// A session that began without a lifetime cannot get one at the
			// end ([MQTT-3.1.2-11], §3.14.2.2.2).
			s.Disconnect(packet.ProtocolError, "session expiry raised from zero at DISCONNECT", e)
			return
		}
		e.HasSessionExpiry = true
		e.SessionExpiry = min(d.Properties.SessionExpiry, s.limits.SessionExpiryMax)
	}
	// Only 0x00 calls the will off ([MQTT-3.14.4-3]).
	clean := d.Reason == packet.Success
	e.close(Close{Reason: d.Reason, Detail: "client disconnected", Client: true, Clean: clean, Will: !clean})
}

// clientDisconnects tells the reasons with which a client may disconnect
// (MQTT 5 §3.14.2.1); the others are the server's to give.
func clientDisconnects(r packet.ReasonCode) bool {
	switch r {
	case packet.Success, packet.DisconnectWithWill, packet.UnspecifiedError, packet.MalformedPacket,
		packet.ProtocolError, packet.ImplementationSpecificError, packet.TopicNameInvalid,
		packet.ReceiveMaximumExceeded, packet.TopicAliasInvalid, packet.PacketTooLarge,
		packet.MessageRateTooHigh, packet.QuotaExceeded, packet.AdministrativeAction,
		packet.PayloadFormatInvalid, packet.BadAuthenticationMethod, packet.NotAuthorized:
		return true
	}
	return false
}

// Disconnect ends the connection from our side: DISCONNECT with the reason
// where the version has it, then a close. A will is due.
func (s *Session) Disconnect(reason packet.ReasonCode, detail string, e *Effects) {
	if s.dialect.serverDisconnect && !e.Closing {
		d := &e.disconnect
		d.Reason = reason
		d.Properties.Reset()
		if s.problemInfo && detail != "" {
			d.Properties.Set |= packet.PropReasonString
			d.Properties.ReasonString = append(d.Properties.ReasonString[:0], detail...)
		}
		mark := len(e.Out)
		e.Out = packet.AppendDisconnect(e.Out, s.version, d)
		if !s.fits(mark, e) && d.Properties.Set != 0 {
			d.Properties.Reset()
			e.Out = packet.AppendDisconnect(e.Out, s.version, d)
			s.fits(mark, e)
		}
	}
	e.close(Close{Reason: reason, Detail: detail, Will: true})
}

// refuse disconnects for an error of the codec or of package topic.
func (s *Session) refuse(err error, e *Effects) {
	reason, detail := reasonOf(err)
	s.Disconnect(reason, detail, e)
}

// Speaks5 reports whether refusals can be told apart by reason codes.
func (s *Session) Speaks5() bool { return s.dialect.properties }

// Version is the protocol version of the last connection; 0 before the first.
func (s *Session) Version() packet.Version { return s.version }
