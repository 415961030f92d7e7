package session

import (
	"tombolo/mqtt/packet"
	"tombolo/mqtt/topic"
)

// Params is what CONNECT settled, owned by the caller once it was handed out:
// nothing in it is a view.
type Params struct {
	Version     packet.Version
	Bridge      bool
	ClientID    string // empty: the broker assigns one and sets Assigned
	Assigned    bool
	CleanStart  bool
	KeepAlive   uint16 // seconds, effective; 0 = off
	keepAliveIn uint16 // what the client asked for
	Expiry      uint32 // seconds the session outlives its connection, effective
	expiryIn    uint32
	ReceiveMax  uint16 // what the client accepts unacknowledged
	PacketMax   uint32 // largest packet the client accepts; 0 = no limit
	AliasMax    uint16 // aliases we may use towards the client
	problemInfo bool
	HasUsername bool
	Username    string
	HasPassword bool
	Password    []byte
	AuthMethod  string
	AuthData    []byte
	Will        *Will
}

// Persistent reports whether the session outlives its connection.
func (p *Params) Persistent() bool { return p.Expiry > 0 }

// Will is a will message kept for a session. Immutable once built.
type Will struct {
	Topic      string
	Payload    []byte
	Properties []byte // see EncodeProperties; message expiry counts from publication
	QoS        uint8
	Retain     bool
	Delay      uint32 // seconds, effective
}

type handshakeState uint8

const (
	wantConnect handshakeState = iota
	wantVerdict                // a request is with the broker
	wantAuth                   // a challenge is with the client
	handshakeOver
)

// Handshake is the protocol core of a connection before it has a session.
// Owned by the connection's driver.
type Handshake struct {
	limits    *Limits
	state     handshakeState
	params    Params
	packetMax uint32 // of CONNECT; 0 = no limit
}

// NewHandshake waits for CONNECT under the given limits.
func NewHandshake(l *Limits) *Handshake { return &Handshake{limits: l} }

// Waiting reports whether an answer of the broker is outstanding; the caller
// holds back further packets until then.
func (h *Handshake) Waiting() bool { return h.state == wantVerdict }

// Fresh reports whether CONNECT has not come yet.
func (h *Handshake) Fresh() bool { return h.state == wantConnect }

// Packet steps one packet that came before the session was attached.
func (h *Handshake) Packet(f packet.Frame, e *Effects) {
	switch {
	case h.state == wantConnect && f.Type == packet.TypeConnect:
		h.connect(f, e)
	case h.state == wantAuth && f.Type == packet.TypeAuth:
		h.authResponse(f, e)
	case h.state == wantAuth && f.Type == packet.TypeDisconnect:
		e.close(Close{Reason: packet.Success, Detail: "client left during authentication", Clean: true})
	case h.state == wantConnect:
		// The first packet must be CONNECT ([MQTT-3.1.0-1]); before it there is
		// no version in which an answer could be written.
		e.close(Close{Reason: packet.ProtocolError, Detail: "first packet is not CONNECT"})
	default:
		h.refuseNow(packet.ProtocolError, "packet before CONNACK", e)
	}
}

func (h *Handshake) connect(f packet.Frame, e *Effects) {
	h.state = wantVerdict
	c := &e.Connect
	if err := packet.DecodeConnect(f, c); err != nil {
		h.badConnect(c, err, e)
		return
	}
	h.params.Version = c.Version
	if c.Properties.Has(packet.PropMaximumPacketSize) {
		h.packetMax = c.Properties.MaximumPacketSize
	}
	if !h.limits.allows(c.Version) {
		h.refuseNow(packet.UnsupportedProtocolVersion, "protocol version is not allowed here", e)
		return
	}
	if reason, detail := h.checkConnect(c); reason.Failed() {
		h.refuseNow(reason, detail, e)
		return
	}
	h.settle(c)
	e.request(RequestConnect, 0)
}

// badConnect answers a CONNECT that does not decode. Only where the version is
// known can the peer read the answer; otherwise the connection just closes.
func (h *Handshake) badConnect(c *packet.Connect, err error, e *Effects) {
	reason, detail := reasonOf(err)
	h.params.Version = c.Version
	if reason == packet.UnsupportedProtocolVersion && c.Version < packet.V5 {
		h.params.Version = packet.V311
	}
	if reason == packet.UnsupportedProtocolVersion || c.Version >= packet.V5 {
		if h.params.Version > packet.V5 {
			h.params.Version = packet.V5
		}
		h.refuseNow(reason, detail, e)
		return
	}
	e.close(Close{Reason: reason, Detail: detail})
}

func (h *Handshake) checkConnect(c *packet.Connect) (packet.ReasonCode, string) {
	l, d := h.limits, dialectOf(c.Version)
	if len(c.ClientID) > l.ClientIDBytesMax {
		return packet.ClientIDNotValid, "client id is longer than max_client_id_size"
	}
	if len(c.ClientID) == 0 && !(d.emptyClientID && (c.CleanStart || d.properties)) {
		return packet.ClientIDNotValid, "empty client id needs a clean session"
	}
	if c.HasWill {
		if err := topic.CheckName(c.Will.Topic, l.TopicDepthMax); err != nil {
			return packet.TopicNameInvalid, "will topic is not valid"
		}
	}
	return packet.Success, ""
}

// settle computes what holds for this connection from what was asked.
func (h *Handshake) settle(c *packet.Connect) {
	l, p, pr := h.limits, &h.params, &c.Properties
	*p = Params{
		Version: c.Version, Bridge: c.Bridge, ClientID: string(c.ClientID), CleanStart: c.CleanStart,
		keepAliveIn: c.KeepAlive, KeepAlive: c.KeepAlive,
		HasUsername: c.HasUsername, Username: string(c.Username),
		HasPassword: c.HasPassword, Password: append([]byte(nil), c.Password...),
		ReceiveMax: 65535, problemInfo: true,
	}
	if c.Version == packet.V5 {
		if l.ServerKeepAlive > 0 {
			p.KeepAlive = l.ServerKeepAlive
		}
		if pr.Has(packet.PropSessionExpiry) {
			p.expiryIn = pr.SessionExpiry
		}
		p.Expiry = min(p.expiryIn, l.SessionExpiryMax)
	} else if !c.CleanStart {
		p.Expiry, p.expiryIn = l.PersistentExpiry, l.PersistentExpiry
	}
	if l.KeepAliveMax > 0 && (p.KeepAlive == 0 || p.KeepAlive > l.KeepAliveMax) {
		// Version 5 is told so; an older client is held to it all the same.
		p.KeepAlive = l.KeepAliveMax
	}
	if pr.Has(packet.PropReceiveMaximum) {
		p.ReceiveMax = pr.ReceiveMaximum
	}
	if pr.Has(packet.PropMaximumPacketSize) {
		p.PacketMax = pr.MaximumPacketSize
	}
	if pr.Has(packet.PropTopicAliasMaximum) {
		p.AliasMax = min(pr.TopicAliasMaximum, l.TopicAliasMaxBroker)
	}
	if pr.Has(packet.PropRequestProblemInfo) {
		p.problemInfo = pr.RequestProblemInfo == 1
	}
	if pr.Has(packet.PropAuthMethod) {
		p.AuthMethod = string(pr.AuthMethod)
		p.AuthData = append([]byte(nil), pr.AuthData...)
	}
	if c.HasWill {
		p.Will = newWill(&c.Will, l)
	}
}

func newWill(w *packet.Will, l *Limits) *Will {
	out := &Will{
		Topic: string(w.Topic), QoS: w.QoS, Retain: w.Retain,
		Payload: append([]byte(nil), w.Payload...), Properties: EncodeProperties(&w.Properties),
	}
	if w.Properties.Has(packet.PropWillDelay) {
		out.Delay = min(w.Properties.WillDelay, l.WillDelayMax)
	}
	return out
}

// Params returns what CONNECT settled; valid after RequestConnect.
func (h *Handshake) Params() *Params { return &h.params }

// Challenge sends the next step of an enhanced authentication (MQTT 5 §4.12).
func (h *Handshake) Challenge(data []byte, e *Effects) {
	h.state = wantAuth
	mark := len(e.Out)
	e.Out = appendAuth(e.Out, packet.ContinueAuthentication, h.params.AuthMethod, data)
	if tooLarge(len(e.Out)-mark, h.packetMax) {
		e.Out = e.Out[:mark]
		h.refuseNow(packet.PacketTooLarge, "client does not accept a packet as large as AUTH", e)
	}
}

func (h *Handshake) authResponse(f packet.Frame, e *Effects) {
	h.state = wantVerdict
	if err := packet.DecodeAuth(f, h.params.Version, &e.Auth); err != nil {
		reason, detail := reasonOf(err)
		h.refuseNow(reason, detail, e)
		return
	}
	pr := &e.Auth.Properties
	if e.Auth.Reason != packet.ContinueAuthentication || string(pr.AuthMethod) != h.params.AuthMethod {
		h.refuseNow(packet.ProtocolError, "AUTH with another method or reason", e)
		return
	}
	h.params.AuthData = append(h.params.AuthData[:0], pr.AuthData...)
	e.request(RequestAuth, 0)
}

// Refuse answers RequestConnect or RequestAuth with a CONNACK that says why.
func (h *Handshake) Refuse(reason packet.ReasonCode, detail string, e *Effects) {
	h.refuseNow(reason, detail, e)
}

func (h *Handshake) refuseNow(reason packet.ReasonCode, detail string, e *Effects) {
	h.state = handshakeOver
	ack := packet.Connack{Reason: reason}
	v := h.params.Version
	if v == packet.V5 && detail != "" {
		// CONNACK may carry a reason string whatever Request Problem
		// Information says ([MQTT-3.1.2-29]).
		ack.Properties.Set |= packet.PropReasonString
		ack.Properties.ReasonString = []byte(detail)
	}
	if v == 0 {
		v = packet.V311
	}
	mark := len(e.Out)
	e.Out = packet.AppendConnack(e.Out, v, &ack)
	if tooLarge(len(e.Out)-mark, h.packetMax) {
		ack.Properties.Reset()
		if e.Out = packet.AppendConnack(e.Out[:mark], v, &ack); tooLarge(len(e.Out)-mark, h.packetMax) {
			e.Out = e.Out[:mark]
		}
	}
	e.close(Close{Reason: reason, Detail: detail})
}

// reasonOf unwraps a codec error.
func reasonOf(err error) (packet.ReasonCode, string) {
	if pe, ok := err.(*packet.Error); ok {
		return pe.Reason, pe.Detail
	}
	return packet.MalformedPacket, "packet does not decode"
}

func appendAuth(dst []byte, reason packet.ReasonCode, method string, data []byte) []byte {
	a := packet.Auth{Reason: reason}
	a.Properties.Set = packet.PropAuthMethod
	a.Properties.AuthMethod = []byte(method)
	if len(data) > 0 {
		a.Properties.Set |= packet.PropAuthData
		a.Properties.AuthData = data
	}
	return packet.AppendAuth(dst, packet.V5, &a)
}
