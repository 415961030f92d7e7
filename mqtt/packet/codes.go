package packet

// reasonSet is a set of reason codes. Immutable once built.
type reasonSet [4]uint64

func setOf(codes ...ReasonCode) *reasonSet {
	var s reasonSet
	for _, r := range codes {
		s[r>>6] |= 1 << (r & 63)
	}
	return &s
}

func (s *reasonSet) has(r ReasonCode) bool { return s[r>>6]&(1<<(r&63)) != 0 }

// The codes each packet may carry (MQTT 5, the table of §2.4 and those of the
// packets). SUBACK before MQTT 5 has its own.
var (
	connackReasons = setOf(Success, UnspecifiedError, MalformedPacket, ProtocolError,
		ImplementationSpecificError, UnsupportedProtocolVersion, ClientIDNotValid,
		BadUsernameOrPassword, NotAuthorized, ServerUnavailable, ServerBusy, Banned,
		BadAuthenticationMethod, TopicNameInvalid, PacketTooLarge, QuotaExceeded,
		PayloadFormatInvalid, RetainNotSupported, QoSNotSupported, UseAnotherServer,
		ServerMoved, ConnectionRateExceeded)
	// pubackReasons is also for PUBREC.
	pubackReasons = setOf(Success, NoMatchingSubscribers, UnspecifiedError,
		ImplementationSpecificError, NotAuthorized, TopicNameInvalid, PacketIDInUse,
		QuotaExceeded, PayloadFormatInvalid)
	// pubrelReasons is also for PUBCOMP.
	pubrelReasons = setOf(Success, PacketIDNotFound)
	subackReasons = setOf(Success, GrantedQoS1, GrantedQoS2, UnspecifiedError,
		ImplementationSpecificError, NotAuthorized, TopicFilterInvalid, PacketIDInUse,
		QuotaExceeded, SharedSubNotSupported, SubIDNotSupported, WildcardSubNotSupported)
	subackReasonsOld = setOf(Success, GrantedQoS1, GrantedQoS2, UnspecifiedError)
	unsubackReasons  = setOf(Success, NoSubscriptionExisted, UnspecifiedError,
		ImplementationSpecificError, NotAuthorized, TopicFilterInvalid, PacketIDInUse)
	disconnectReasons = setOf(Success, DisconnectWithWill, UnspecifiedError, MalformedPacket,
		ProtocolError, ImplementationSpecificError, NotAuthorized, ServerBusy,
		ServerShuttingDown, BadAuthenticationMethod, KeepAliveTimeout, SessionTakenOver,
		TopicFilterInvalid, TopicNameInvalid, ReceiveMaximumExceeded, TopicAliasInvalid,
		PacketTooLarge, MessageRateTooHigh, QuotaExceeded, AdministrativeAction,
		PayloadFormatInvalid, RetainNotSupported, QoSNotSupported, UseAnotherServer,
		ServerMoved, SharedSubNotSupported, ConnectionRateExceeded, MaximumConnectTime,
		SubIDNotSupported, WildcardSubNotSupported)
	authReasons = setOf(Success, ContinueAuthentication, Reauthenticate)
)

// Return codes of CONNACK before MQTT 5 (MQTT 3.1.1 §3.2.2.3).
const (
	returnAccepted byte = iota
	returnVersion
	returnClientID
	returnUnavailable
	returnCredentials
	returnNotAuthorized
)

// returnReasons gives the reason code of each return code.
var returnReasons = [...]ReasonCode{
	returnAccepted:      Success,
	returnVersion:       UnsupportedProtocolVersion,
	returnClientID:      ClientIDNotValid,
	returnUnavailable:   ServerUnavailable,
	returnCredentials:   BadUsernameOrPassword,
	returnNotAuthorized: NotAuthorized,
}

// ReturnCode maps a reason to the CONNACK return code of MQTT 3.x. What has no
// counterpart there becomes 3, server unavailable: it says nothing wrong about
// the client.
func ReturnCode(r ReasonCode) byte {
	switch r {
	case Success:
		return returnAccepted
	case UnsupportedProtocolVersion:
		return returnVersion
	case ClientIDNotValid:
		return returnClientID
	case BadUsernameOrPassword:
		return returnCredentials
	case NotAuthorized, Banned, BadAuthenticationMethod:
		return returnNotAuthorized
	}
	return returnUnavailable
}
