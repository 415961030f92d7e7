package packet

// Version is the protocol level of a connection as it stands in CONNECT.
type Version uint8

// The protocol levels this broker speaks. MQTT 3.1 has the protocol name
// "MQIsdp"; the others have "MQTT".
const (
	V31  Version = 3
	V311 Version = 4
	V5   Version = 5
)

// Type is the control packet type, the high nibble of the first byte.
type Type uint8

// Control packet types (MQTT 5 §2.1.2).
const (
	TypeConnect Type = iota + 1
	TypeConnack
	TypePublish
	TypePuback
	TypePubrec
	TypePubrel
	TypePubcomp
	TypeSubscribe
	TypeSuback
	TypeUnsubscribe
	TypeUnsuback
	TypePingreq
	TypePingresp
	TypeDisconnect
	TypeAuth
)

// ID is a packet identifier; 0 means none.
type ID uint16

// Frame is one whole control packet as found in a receive buffer. Body is a
// view into that buffer and dies with it.
type Frame struct {
	Type  Type
	Flags uint8  // low nibble of the first byte
	Body  []byte // variable header and payload
	Size  int    // bytes of the whole packet, fixed header included
}

// Connect is a decoded CONNECT. Byte slices are views into the frame.
type Connect struct {
	Version     Version // without the bridge bit
	Bridge      bool    // protocol level had the bridge bit (0x80) set
	CleanStart  bool    // Clean Session before MQTT 5
	KeepAlive   uint16
	ClientID    []byte
	HasUsername bool
	Username    []byte
	HasPassword bool
	Password    []byte
	Properties  Properties
	HasWill     bool
	Will        Will
}

// Will is the will message inside a CONNECT.
type Will struct {
	QoS        uint8
	Retain     bool
	Topic      []byte
	Payload    []byte
	Properties Properties
}

// Connack is the answer to CONNECT.
type Connack struct {
	SessionPresent bool
	// Reason is the MQTT 5 code. The encoder maps it to the 3.x return code
	// for older versions.
	Reason     ReasonCode
	Properties Properties
}

// Publish is one PUBLISH. Byte slices are views into the frame when decoded.
type Publish struct {
	Dup        bool
	QoS        uint8
	Retain     bool
	Topic      []byte
	ID         ID // 0 at QoS 0
	Properties Properties
	Payload    []byte
}

// Ack is a PUBACK, PUBREC, PUBREL or PUBCOMP.
type Ack struct {
	Type       Type
	ID         ID
	Reason     ReasonCode
	Properties Properties
}

// Subscription is one entry of a SUBSCRIBE.
type Subscription struct {
	Filter            []byte
	QoS               uint8
	NoLocal           bool
	RetainAsPublished bool
	RetainHandling    uint8 // 0 send, 1 send if new, 2 do not send
}

// Subscribe is a SUBSCRIBE. Subscriptions is reused by the decoder.
type Subscribe struct {
	ID            ID
	Properties    Properties
	Subscriptions []Subscription
}

// Suback answers SUBSCRIBE; Unsuback has the same shape.
type Suback struct {
	ID         ID
	Properties Properties
	Reasons    []ReasonCode
}

// Unsubscribe is an UNSUBSCRIBE. Filters is reused by the decoder.
type Unsubscribe struct {
	ID         ID
	Properties Properties
	Filters    [][]byte
}

// Disconnect is a DISCONNECT; before MQTT 5 it has no body.
type Disconnect struct {
	Reason     ReasonCode
	Properties Properties
}

// Auth is an AUTH packet (MQTT 5 only).
type Auth struct {
	Reason     ReasonCode
	Properties Properties
}
