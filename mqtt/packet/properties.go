package packet

// PropertySet tells which properties of a Properties value are present.
type PropertySet uint32

// One bit for each property of MQTT 5 §2.2.2.2.
const (
	PropPayloadFormat PropertySet = 1 << iota
	PropMessageExpiry
	PropContentType
	PropResponseTopic
	PropCorrelationData
	PropSubscriptionID
	PropSessionExpiry
	PropAssignedClientID
	PropServerKeepAlive
	PropAuthMethod
	PropAuthData
	PropRequestProblemInfo
	PropWillDelay
	PropRequestResponseInfo
	PropResponseInfo
	PropServerReference
	PropReasonString
	PropReceiveMaximum
	PropTopicAliasMaximum
	PropTopicAlias
	PropMaximumQoS
	PropRetainAvailable
	PropUser
	PropMaximumPacketSize
	PropWildcardSubAvailable
	PropSubIDAvailable
	PropSharedSubAvailable
)

// UserProperty is one name-value pair; order and repetition are significant.
type UserProperty struct {
	Name, Value []byte
}

// Properties holds the properties of one packet. A field means something only
// when its bit is in Set. The zero value is "no properties". Decoders reuse
// the slices; use Reset between packets. Byte slices are views.
type Properties struct {
	Set                 PropertySet
	PayloadFormat       uint8
	RequestProblemInfo  uint8
	RequestResponseInfo uint8
	MaximumQoS          uint8
	RetainAvailable     uint8
	WildcardSub         uint8
	SubIDAvailable      uint8
	SharedSub           uint8
	ServerKeepAlive     uint16 // seconds
	ReceiveMaximum      uint16
	TopicAliasMaximum   uint16
	TopicAlias          uint16
	MessageExpiry       uint32 // seconds
	SessionExpiry       uint32 // seconds; 0xFFFFFFFF never expires
	WillDelay           uint32 // seconds
	MaximumPacketSize   uint32 // bytes
	ContentType         []byte
	ResponseTopic       []byte
	CorrelationData     []byte
	AssignedClientID    []byte
	AuthMethod          []byte
	AuthData            []byte
	ResponseInfo        []byte
	ServerReference     []byte
	ReasonString        []byte
	SubscriptionIDs     []uint32
	User                []UserProperty
}

// Has reports whether all properties in set are present.
func (p *Properties) Has(set PropertySet) bool { return p.Set&set == set }

// reuseMax is the length up to which decoders keep a slice for the next packet:
// one packet full of tiny user properties must not hold its memory for as long
// as the connection lives.
const reuseMax = 256

// Reset empties p and keeps its slices for reuse, unless they grew beyond what
// is ordinary.
func (p *Properties) Reset() {
	p.Set = 0
	p.SubscriptionIDs = emptied(p.SubscriptionIDs)
	p.User = emptied(p.User)
}

func emptied[T any](s []T) []T {
	if cap(s) > reuseMax {
		return nil
	}
	return s[:0]
}
