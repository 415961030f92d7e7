package session

import "tombolo/mqtt/packet"

// dialect names what differs between protocol versions, so that no flow asks
// for a version number. Immutable; chosen once at CONNECT.
type dialect struct {
	properties        bool // packets carry properties and reason codes
	serverDisconnect  bool // the server may send DISCONNECT
	failedAckPossible bool // PUBACK and PUBREC can say no
	emptyClientID     bool // an empty client id is allowed (with a clean start before 5)
	perFilterUnsuback bool
	// closeOnRefusedPublish: 3.1.1 has no negative PUBACK, so the standard
	// leaves a positive one or a close ([MQTT-3.3.5-2]).
	closeOnRefusedPublish bool
}

var (
	dialect31  = dialect{}
	dialect311 = dialect{emptyClientID: true, closeOnRefusedPublish: true}
	dialect5   = dialect{
		properties: true, serverDisconnect: true, failedAckPossible: true,
		emptyClientID: true, perFilterUnsuback: true,
	}
)

func dialectOf(v packet.Version) *dialect {
	switch v {
	case packet.V31:
		return &dialect31
	case packet.V311:
		return &dialect311
	default:
		return &dialect5
	}
}
