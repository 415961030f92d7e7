package packet

// The refusals of the codec. They are shared values so that a hostile peer
// costs no allocation, and their sentences are fixed so that they can label a
// counter. Callers must not change them.
var (
	errHeadLength    = &Error{MalformedPacket, "remaining length is longer than four bytes"}
	errHeadMinimal   = &Error{MalformedPacket, "remaining length is not in its shortest form"}
	errHeadType      = &Error{MalformedPacket, "packet type 0 is reserved"}
	errTooLarge      = &Error{PacketTooLarge, "packet is larger than the limit"}
	errWrongType     = &Error{ProtocolError, "packet type does not belong here"}
	errFlags         = &Error{MalformedPacket, "reserved header flags are wrong"}
	errShort         = &Error{MalformedPacket, "packet ends inside a field"}
	errTrailing      = &Error{MalformedPacket, "packet has bytes after its last field"}
	errString        = &Error{MalformedPacket, "string is not well-formed UTF-8 or holds U+0000"}
	errVarint        = &Error{MalformedPacket, "variable byte integer is too long or not in its shortest form"}
	errID            = &Error{ProtocolError, "packet identifier is zero"}
	errReason        = &Error{ProtocolError, "reason code is not allowed in this packet"}
	errVersion       = &Error{UnsupportedProtocolVersion, "protocol name or level is not supported"}
	errConnectFlag   = &Error{MalformedPacket, "reserved CONNECT flag is set"}
	errWillFlags     = &Error{MalformedPacket, "will QoS or will retain is set without a will"}
	errWillQoS       = &Error{MalformedPacket, "will QoS is 3"}
	errPassword      = &Error{MalformedPacket, "password comes without a user name"}
	errAuthData      = &Error{ProtocolError, "authentication data comes without an authentication method"}
	errAuthMethod    = &Error{ProtocolError, "AUTH lacks an authentication method"}
	errAuthVersion   = &Error{ProtocolError, "AUTH does not exist before MQTT 5"}
	errConnackFlags  = &Error{MalformedPacket, "reserved CONNACK flags are set"}
	errConnackState  = &Error{ProtocolError, "CONNACK refuses and has session present set"}
	errPublishQoS    = &Error{MalformedPacket, "PUBLISH QoS is 3"}
	errPublishDup    = &Error{MalformedPacket, "PUBLISH at QoS 0 has DUP set"}
	errPublishTopic  = &Error{ProtocolError, "PUBLISH has neither topic nor topic alias"}
	errNoFilter      = &Error{ProtocolError, "packet holds no topic filter"}
	errNoReason      = &Error{ProtocolError, "packet holds no reason code"}
	errSubReserved   = &Error{MalformedPacket, "reserved subscription option bits are set"}
	errSubQoS        = &Error{ProtocolError, "subscription QoS is 3"}
	errSubQoSOld     = &Error{MalformedPacket, "subscription QoS is 3"}
	errRetainOption  = &Error{ProtocolError, "retain handling is 3"}
	errShareNoLocal  = &Error{ProtocolError, "shared subscription has No Local set"}
	errPropUnknown   = &Error{MalformedPacket, "property identifier is unknown"}
	errPropPlace     = &Error{MalformedPacket, "property does not belong in this packet"}
	errPropTwice     = &Error{ProtocolError, "property appears twice"}
	errPropBool      = &Error{ProtocolError, "property takes only 0 or 1"}
	errPropZero      = &Error{ProtocolError, "property must not be zero"}
	errPropAlias     = &Error{TopicAliasInvalid, "topic alias is zero"}
	errPropResponse  = &Error{ProtocolError, "response topic is empty or holds a wildcard"}
	errPropOverflows = &Error{MalformedPacket, "property length exceeds the packet"}
)
