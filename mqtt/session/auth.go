package session

import "tombolo/mqtt/packet"

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
	case e.Auth.Reason == packet.Reauthenticate && !s.reauth:
		s.reauth = true
		e.request(RequestAuth, s.token(0, 0))
	case e.Auth.Reason == packet.ContinueAuthentication && s.reauth:
		e.request(RequestAuth, s.token(0, 0))
	default:
		s.Disconnect(packet.ProtocolError, "AUTH out of order", e)
	}
}

// Reauthenticating reports whether RequestAuth began or continues an exchange
// of this connection.
func (s *Session) Reauthenticating() bool { return s.reauth }

// AuthContinue sends the next challenge of a re-authentication.
func (s *Session) AuthContinue(data []byte, e *Effects) {
	e.Out = appendAuth(e.Out, packet.ContinueAuthentication, s.authMethod, data)
}

// AuthDone ends a re-authentication that succeeded; one that failed is ended
// by Disconnect with 0x87.
func (s *Session) AuthDone(data []byte, e *Effects) {
	s.reauth = false
	e.Out = appendAuth(e.Out, packet.Success, s.authMethod, data)
}
