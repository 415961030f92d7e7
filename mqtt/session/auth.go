package session

import "tombolo/mqtt/packet"

// reauthState is where a re-authentication stands.
type reauthState uint8

const (
	reauthNone       reauthState = iota
	reauthAsked                  // the broker has what the client sent
	reauthChallenged             // the client has a challenge
)

// auth handles AUTH on a connection that is already up: re-authentication
// (MQTT 5 §4.12.1) or the next step of one.
func (s *Session) auth(f packet.Frame, e *Effects) {
	if !s.dialect.properties {
		s.Disconnect(packet.ProtocolError, "AUTH before MQTT 5", e)
		return
	}
	if err := packet.DecodeAuth(f, s.version, &e.Auth); err != nil {
		s.refuse(err, e)
		return
	}
	switch {
	case s.authMethod == "" || string(e.Auth.Properties.AuthMethod) != s.authMethod:
		s.Disconnect(packet.ProtocolError, "AUTH without the method of CONNECT", e)
	case e.Auth.Reason == packet.Reauthenticate && s.reauth == reauthNone,
		e.Auth.Reason == packet.ContinueAuthentication && s.reauth == reauthChallenged:
		s.reauth = reauthAsked
		e.request(RequestAuth, s.token(0, 0))
	default:
		s.Disconnect(packet.ProtocolError, "AUTH out of order", e)
	}
}

// Reauthenticating reports whether RequestAuth began or continues an exchange
// of this connection.
func (s *Session) Reauthenticating() bool { return s.reauth != reauthNone }

// AuthContinue sends the next challenge of a re-authentication.
func (s *Session) AuthContinue(data []byte, e *Effects) {
	s.reauth = reauthChallenged
	s.sendAuth(packet.ContinueAuthentication, data, e)
}

// AuthDone ends a re-authentication that succeeded; one that failed is ended
// by Disconnect with 0x87.
func (s *Session) AuthDone(data []byte, e *Effects) {
	s.reauth = reauthNone
	s.sendAuth(packet.Success, data, e)
}

// sendAuth writes AUTH; one that the client does not accept because of its
// size cannot be left out, so the connection ends.
func (s *Session) sendAuth(reason packet.ReasonCode, data []byte, e *Effects) {
	mark := len(e.Out)
	e.Out = appendAuth(e.Out, reason, s.authMethod, data)
	if !s.fits(mark, e) {
		s.Disconnect(packet.PacketTooLarge, "client does not accept a packet as large as AUTH", e)
	}
}
