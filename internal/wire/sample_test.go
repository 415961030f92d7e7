package wire

import "bytes"

// codec is one frame's body, as tests see it. A value.
type codec struct {
	kind   Type
	sample []byte                               // of a filled struct
	again  func(b []byte) (out []byte, e error) // parses, and appends what it has parsed
}

// of binds the two functions of a type together; the struct is used again, as
// links do it.
func of[T any](kind Type, v T, add func([]byte, *T) []byte, parse func([]byte, *T) error) codec {
	var used T
	return codec{kind: kind, sample: add(nil, &v), again: func(b []byte) ([]byte, error) {
		if err := parse(b, &used); err != nil {
			return nil, err
		}
		return add(nil, &used), nil
	}}
}

var (
	epoch  = Epoch{HLC: 1 << 40, Node: 2}
	client = Client{Mountpoint: "", ID: "client-1"}
	ack    = Ack{Stream: StreamPublish, Incarnation: 3, Through: 300, Credit: 1 << 20,
		Outcomes: []Outcome{{Sequence: 298, Result: NoMatch}, {Sequence: 299, Result: Refused, Reason: 0x97}}}
	hello = Hello{VersionMin: 1, VersionMax: 1, Cluster: "tombolo", Node: 1, Name: "a", Incarnation: 7, Actor: 1 << 63, OpenNonce: 9,
		Durability: "fsync", Plane: Bulk, Secret: true, Challenge: bytes.Repeat([]byte{0xab}, ChallengeBytes), Advertise: "10.0.0.1:44053"}
	publish = Publish{ID: MessageID{Ingress: 1 << 33, N: 1000}, Generation: 4, Flags: 1 | PublishRetain, ExpiresAt: 1700000000000,
		Retained: Dot{Actor: 5, Counter: 6}, Mountpoint: []byte("mp"), Targets: ToMatching,
		Groups: []Group{{Name: []byte("g"), Filter: []byte("a/+")}}, Body: []byte{0x30, 3, 0, 1, 'a', 0}}
)

// codecs lists every body.
func codecs() []codec {
	return []codec{
		of(TypeHello, hello, AppendHello, ParseHello),
		of(TypeProof, Proof{MAC: bytes.Repeat([]byte{1}, ProofBytes)}, AppendProof, ParseProof),
		of(TypeWelcome, Welcome{Version: 1, MAC: bytes.Repeat([]byte{2}, ProofBytes)}, AppendWelcome, ParseWelcome),
		of(TypeRefusal, Refusal{Code: RefuseCluster, Sentence: "no"}, AppendRefusal, ParseRefusal),
		of(TypeHeartbeat, Heartbeat{Plane: Control, Seq: 5, Echo: 4, Version: 3,
			Rows: []Row{{Node: 1, Incarnation: 7, Seq: 2, Up: []NodeID{2, 3}, Doubt: []NodeID{3}, Seated: true}, {Node: 2}}}, AppendHeartbeat, ParseHeartbeat),
		of(TypeResume, Resume{Ack: ack, Received: 310, Accepted: 4096}, AppendResume, ParseResume),
		of(TypeOpen, Open{Stream: StreamPublish, Next: 311}, AppendOpen, ParseOpen),
		of(TypeAck, ack, AppendAck, ParseAck),
		of(TypePublish, publish, AppendPublish, ParsePublish),
		of(TypeFence, Fence{Generation: 5, List: []Fenced{{Client: client, Epoch: epoch, From: 1, To: 2}}}, AppendFence, ParseFence),
		of(TypeCancel, Cancel{Messages: []Cancelled{{ID: MessageID{1, 2}, Group: "g", Filter: "f"}}}, AppendCancel, ParseCancel),
		of(TypeRoutes, Routes{Sequence: 1, First: true, Last: true, Snapshot: true, List: []Route{
			{Filter: "a/#", Members: 1, Online: 1}, {Flags: RoutePersistent | RouteGone, Mountpoint: "mp", Filter: "b", Group: "g", Members: 70000}}},
			AppendRoutes, ParseRoutes),
		of(TypeRegister, Register{Request: 1, View: 1 << 60, Client: client, Seen: epoch, Home: 3, CleanStart: true, IfIdle: true}, AppendRegister, ParseRegister),
		of(TypeGrant, Grant{Request: 1, View: 2, Epoch: epoch, OldHome: 3, OldEpoch: Epoch{1, 3}, Closed: true}, AppendGrant, ParseGrant),
		of(TypeDeny, Deny{Request: 1, View: 2, Reason: DenyEpoch, Epoch: epoch, Home: 2}, AppendDeny, ParseDeny),
		of(TypeRelease, Release{Request: 1, Client: client, Epoch: epoch, NewHome: 2, IfIdle: true}, AppendRelease, ParseRelease),
		of(TypeReleased, Released{Request: 1, OldEpoch: epoch, Existed: true}, AppendReleased, ParseReleased),
		of(TypeClients, Clients{View: 9, First: true, List: []Connected{{Client: client, Epoch: epoch, Bound: true}}}, AppendClients, ParseClients),
		of(TypeMigration, Migration{Client: client, Epoch: epoch, Generation: 4, Acknowledged: []Span{{1, 9}, {300, 2}}, Final: true,
			Records: []Migrated{{Sequence: 12, ID: MessageID{1, 2}, Flags: 2 | MigratedDup, QoS: 2, ExpiresAt: 5, PacketID: 77,
				SubIDs: []uint32{1, 70000}, Body: []byte("body")}, {Sequence: 13, Flags: MigratedReleased, PacketID: 1}, {Sequence: 9, ID: MessageID{1, 3}, Flags: MigratedReceived | MigratedBegun, PacketID: 9}}},
			AppendMigration, ParseMigration),
		of(TypeWillFired, WillFired{Client: client, Epoch: epoch, ID: MessageID{1, 2}}, AppendWillFired, ParseWillFired),
		of(TypeMembers, Members{Step: MembersPropose, Version: 2, Nonce: 1 << 62, List: []Member{
			{ID: 1, Name: "a", Link: "10.0.0.1:44053", Gossip: "10.0.0.1:44054", State: MemberStopped, Since: -1}},
			Origin: 1, Forced: true, Round: 300, Accepted: 2, AcceptedBy: 1 << 40, Text: "no"}, AppendMembers, ParseMembers),
		of(TypeAsk, Ask{7, "GET", "/api/v1/cluster", []byte("{}")}, AppendAsk, ParseAsk),
		of(TypeAnswer, Answer{7, 200, []byte("{}")}, AppendAnswer, ParseAnswer),
		of(TypeSettled, Settled{Below: MessageID{1, 1 << 20}, Except: []uint64{7, 300}}, AppendSettled, ParseSettled),
	}
}
