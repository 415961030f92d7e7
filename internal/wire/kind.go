package wire

// Type says what a frame's body is.
type Type uint8

// The types. A number is never used again for another meaning.
const (
	_ Type = iota
	TypeHello
	TypeProof
	TypeWelcome
	TypeRefusal
	TypeHeartbeat
	TypeResume
	TypeOpen
	TypeAck
	TypeMetadata // opaque: metadata/replica's own frames
	TypePublish
	TypeFence
	TypeCancel
	TypeRoutes
	TypeRegister
	TypeGrant
	TypeDeny
	TypeRelease
	TypeReleased
	TypeClients
	TypeMigration
	TypeWillFired
	TypeMembers
	TypeSettled
	TypeAsk
	TypeAnswer
	types
)

var typeNames = [types]string{
	TypeHello: "hello", TypeProof: "proof", TypeWelcome: "welcome", TypeRefusal: "refusal",
	TypeHeartbeat: "heartbeat", TypeResume: "resume", TypeOpen: "open", TypeAck: "ack",
	TypeMetadata: "metadata", TypePublish: "publish", TypeFence: "fence", TypeCancel: "cancel",
	TypeRoutes: "routes", TypeRegister: "register", TypeGrant: "grant", TypeDeny: "deny",
	TypeRelease: "release", TypeReleased: "released", TypeClients: "clients",
	TypeMigration: "migration", TypeWillFired: "will_fired", TypeMembers: "members", TypeSettled: "settled",
	TypeAsk: "ask", TypeAnswer: "answer",
}

// String is the type's name as it stands in metrics and logs.
func (t Type) String() string {
	if t == 0 || t >= types {
		return "unknown"
	}
	return typeNames[t]
}

// carriers are the streams that may carry a type, one bit each.
var carriers = [types]uint32{
	TypeHello: 1 << StreamNone, TypeProof: 1 << StreamNone, TypeWelcome: 1 << StreamNone, TypeRefusal: 1 << StreamNone,
	TypeHeartbeat: 1 << StreamNone, TypeResume: 1 << StreamNone, TypeOpen: 1 << StreamNone, TypeAck: 1 << StreamNone,
	TypeMetadata:  1 << StreamMetadata,
	TypePublish:   1<<StreamFast | 1<<StreamPublish,
	TypeFence:     1<<StreamPublish | 1<<StreamMigration,
	TypeCancel:    1 << StreamHead,
	TypeRoutes:    1 << StreamControl,
	TypeRegister:  1 << StreamControl,
	TypeGrant:     1 << StreamControl,
	TypeDeny:      1 << StreamControl,
	TypeRelease:   1 << StreamControl,
	TypeReleased:  1 << StreamControl,
	TypeClients:   1 << StreamControl,
	TypeMigration: 1 << StreamMigration,
	TypeWillFired: 1 << StreamControl,
	TypeMembers:   1 << StreamControl,
	TypeSettled:   1 << StreamControl,
	TypeAsk:       1 << StreamControl,
	TypeAnswer:    1 << StreamControl,
}

func (t Type) on(s Stream) bool { return s < streams && carriers[t]&(1<<s) != 0 }
