package packet

// kind is the data type of a property (MQTT 5 §1.5).
type kind uint8

const (
	kindNone kind = iota
	kindBool      // one byte that is 0 or 1; every one-byte property is such
	kindUint16
	kindUint32
	kindVarint
	kindString
	kindBinary
	kindPair
)

// place is a set of packets that may hold a property: one bit for each Type,
// and bit 0 for the will of a CONNECT.
type place uint16

const (
	inWill       place = 1 << 0
	inConnect    place = 1 << TypeConnect
	inConnack    place = 1 << TypeConnack
	inPublish    place = 1 << TypePublish
	inSubscribe  place = 1 << TypeSubscribe
	inDisconnect place = 1 << TypeDisconnect
	inAuth       place = 1 << TypeAuth
	inAcks       place = 1<<TypePuback | 1<<TypePubrec | 1<<TypePubrel | 1<<TypePubcomp |
		1<<TypeSuback | 1<<TypeUnsuback
	inMessage    = inPublish | inWill
	inEverything = inWill | inConnect | inConnack | inPublish | inSubscribe | inDisconnect |
		inAuth | inAcks | 1<<TypeUnsubscribe
)

// property is one row of the standard's table 2-4. Immutable.
type property struct {
	id    uint8
	bit   PropertySet
	kind  kind
	place place
	name  string
}

// propertyTable has one row for each property, in the order of the bits of
// PropertySet; encoding writes in this order. Who may send a property is in
// here only as far as the packet type tells: that a client may not send a
// subscription identifier in PUBLISH, or a server a session expiry in
// DISCONNECT, is the session's to know.
var propertyTable = [...]property{
	{0x01, PropPayloadFormat, kindBool, inMessage, "payload-format-indicator"},
	{0x02, PropMessageExpiry, kindUint32, inMessage, "message-expiry-interval"},
	{0x03, PropContentType, kindString, inMessage, "content-type"},
	{0x08, PropResponseTopic, kindString, inMessage, "response-topic"},
	{0x09, PropCorrelationData, kindBinary, inMessage, "correlation-data"},
	{0x0B, PropSubscriptionID, kindVarint, inPublish | inSubscribe, "subscription-identifier"},
	{0x11, PropSessionExpiry, kindUint32, inConnect | inConnack | inDisconnect, "session-expiry-interval"},
	{0x12, PropAssignedClientID, kindString, inConnack, "assigned-client-identifier"},
	{0x13, PropServerKeepAlive, kindUint16, inConnack, "server-keep-alive"},
	{0x15, PropAuthMethod, kindString, inConnect | inConnack | inAuth, "authentication-method"},
	{0x16, PropAuthData, kindBinary, inConnect | inConnack | inAuth, "authentication-data"},
	{0x17, PropRequestProblemInfo, kindBool, inConnect, "request-problem-information"},
	{0x18, PropWillDelay, kindUint32, inWill, "will-delay-interval"},
	{0x19, PropRequestResponseInfo, kindBool, inConnect, "request-response-information"},
	{0x1A, PropResponseInfo, kindString, inConnack, "response-information"},
	{0x1C, PropServerReference, kindString, inConnack | inDisconnect, "server-reference"},
	{0x1F, PropReasonString, kindString, inConnack | inAcks | inDisconnect | inAuth, "reason-string"},
	{0x21, PropReceiveMaximum, kindUint16, inConnect | inConnack, "receive-maximum"},
	{0x22, PropTopicAliasMaximum, kindUint16, inConnect | inConnack, "topic-alias-maximum"},
	{0x23, PropTopicAlias, kindUint16, inPublish, "topic-alias"},
	{0x24, PropMaximumQoS, kindBool, inConnack, "maximum-qos"},
	{0x25, PropRetainAvailable, kindBool, inConnack, "retain-available"},
	{0x26, PropUser, kindPair, inEverything, "user-property"},
	{0x27, PropMaximumPacketSize, kindUint32, inConnect | inConnack, "maximum-packet-size"},
	{0x28, PropWildcardSubAvailable, kindBool, inConnack, "wildcard-subscription-available"},
	{0x29, PropSubIDAvailable, kindBool, inConnack, "subscription-identifier-available"},
	{0x2A, PropSharedSubAvailable, kindBool, inConnack, "shared-subscription-available"},
}

// notZero are the numbers for which the standard forbids zero; the topic alias
// has a reason code of its own.
const notZero = PropReceiveMaximum | PropMaximumPacketSize | PropSubscriptionID | PropTopicAlias

// propertyRow gives the row of an identifier plus one, 0 for unknown ones.
var propertyRow = func() (rows [256]uint8) {
	for i, row := range propertyTable {
		rows[row.id] = uint8(i + 1)
	}
	return rows
}()

// String names the properties of the set, in table order, with spaces between.
func (s PropertySet) String() string {
	text := ""
	for i := range propertyTable {
		if row := &propertyTable[i]; s&row.bit != 0 {
			if text != "" {
				text += " "
			}
			text += row.name
		}
	}
	return text
}

// boolField returns the field of a kindBool property.
func (p *Properties) boolField(bit PropertySet) *uint8 {
	switch bit {
	case PropPayloadFormat:
		return &p.PayloadFormat
	case PropRequestProblemInfo:
		return &p.RequestProblemInfo
	case PropRequestResponseInfo:
		return &p.RequestResponseInfo
	case PropMaximumQoS:
		return &p.MaximumQoS
	case PropRetainAvailable:
		return &p.RetainAvailable
	case PropWildcardSubAvailable:
		return &p.WildcardSub
	case PropSubIDAvailable:
		return &p.SubIDAvailable
	case PropSharedSubAvailable:
		return &p.SharedSub
	}
	panic("BUG: packet: property is not a boolean")
}

// uint16Field returns the field of a kindUint16 property.
func (p *Properties) uint16Field(bit PropertySet) *uint16 {
	switch bit {
	case PropServerKeepAlive:
		return &p.ServerKeepAlive
	case PropReceiveMaximum:
		return &p.ReceiveMaximum
	case PropTopicAliasMaximum:
		return &p.TopicAliasMaximum
	case PropTopicAlias:
		return &p.TopicAlias
	}
	panic("BUG: packet: property is not a two byte integer")
}

// uint32Field returns the field of a kindUint32 property.
func (p *Properties) uint32Field(bit PropertySet) *uint32 {
	switch bit {
	case PropMessageExpiry:
		return &p.MessageExpiry
	case PropSessionExpiry:
		return &p.SessionExpiry
	case PropWillDelay:
		return &p.WillDelay
	case PropMaximumPacketSize:
		return &p.MaximumPacketSize
	}
	panic("BUG: packet: property is not a four byte integer")
}

// bytesField returns the field of a kindString or kindBinary property.
func (p *Properties) bytesField(bit PropertySet) *[]byte {
	switch bit {
	case PropContentType:
		return &p.ContentType
	case PropResponseTopic:
		return &p.ResponseTopic
	case PropCorrelationData:
		return &p.CorrelationData
	case PropAssignedClientID:
		return &p.AssignedClientID
	case PropAuthMethod:
		return &p.AuthMethod
	case PropAuthData:
		return &p.AuthData
	case PropResponseInfo:
		return &p.ResponseInfo
	case PropServerReference:
		return &p.ServerReference
	case PropReasonString:
		return &p.ReasonString
	}
	panic("BUG: packet: property is neither a string nor binary")
}
