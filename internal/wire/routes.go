package wire

import "tombolo/internal/pack"

// entriesMax bounds the entries of one control message.
const entriesMax = 1 << 16

// Flags of a route.
const (
	RouteGone       = 1 << iota // withdrawn; else it is announced, or its counts have changed
	RoutePersistent             // for persistent sessions; else for connection-bound ones (R5)
	routeFlagsEnd
)

// Route is one filter that a node wants to be sent (R5).
type Route struct {
	Flags      uint8
	Mountpoint string
	Filter     string
	Group      string // of a shared subscription; "" for a plain one
	Members    uint32 // of the group, or subscribers
	Online     uint32 // of these, connected: a soft hint (R13)
}

// Routes is a step of the sender's soft routes: first a whole snapshot, then
// what changes. The incarnation stands in the header.
type Routes struct {
	Sequence    uint64 // rises by one with each step
	First, Last bool   // of a snapshot; neither: its middle, or a change after it
	Snapshot    bool
	List        []Route
	Audit       bool   // no step: what the receiver has up to here is to be compared with Count and Hash
	Count, Hash uint64 // of the sender's routes, whatever their order
}

// AppendRoutes appends the body of a step of routes.
func AppendRoutes(dst []byte, m *Routes) []byte {
	dst = pack.AppendUint(pack.AppendArray(dst, 8), m.Sequence)
	dst = pack.AppendBool(pack.AppendBool(pack.AppendBool(dst, m.First), m.Last), m.Snapshot)
	dst = appendList(dst, m.List, func(dst []byte, e *Route) []byte {
		dst = pack.AppendUint(pack.AppendArray(dst, 6), uint64(e.Flags))
		dst = pack.AppendString(pack.AppendString(pack.AppendString(dst, e.Mountpoint), e.Filter), e.Group)
		return pack.AppendUint(pack.AppendUint(dst, uint64(e.Members)), uint64(e.Online))
	})
	return pack.AppendUint(pack.AppendUint(pack.AppendBool(dst, m.Audit), m.Count), m.Hash)
}

// ParseRoutes reads the body of a step of routes.
func ParseRoutes(b []byte, m *Routes) error {
	r := NewReader(b)
	more := r.begin(5)
	m.Sequence = r.Uint()
	m.First = r.Bool()
	m.Last = r.Bool()
	m.Snapshot = r.Bool()
	m.List = list(&r, m.List, entriesMax, func(r *Reader, e *Route) {
		more := r.begin(6)
		e.Flags = uint8(r.UintMax(routeFlagsEnd - 1))
		e.Mountpoint = r.StringMax(stringBytesMax)
		e.Filter = r.StringMax(stringBytesMax)
		e.Group = r.StringMax(stringBytesMax)
		e.Members = uint32(r.UintMax(1<<32 - 1))
		e.Online = uint32(r.UintMax(1<<32 - 1))
		r.finish(more)
	})
	m.Audit, m.Count, m.Hash = false, 0, 0
	if more >= 3 { // they came later
		m.Audit, m.Count, m.Hash = r.Bool(), r.Uint(), r.Uint()
		more -= 3
	}
	r.finish(more)
	return r.End()
}

// Fence ends a generation of the sender's routes for the sessions named: what
// it sent before on this stream belongs to From, what follows to To (R21). Without a To
// nothing that it matched below Generation is From's any more (R11).
type Fence struct {
	Generation uint64 // the first of the new home
	List       []Fenced
}

// Fenced is one session that moves.
type Fenced struct {
	Client   Client
	Epoch    Epoch // of the new home
	From, To NodeID
}

// AppendFence appends the body of a fence.
func AppendFence(dst []byte, m *Fence) []byte {
	dst = pack.AppendUint(pack.AppendArray(dst, 2), m.Generation)
	return appendList(dst, m.List, func(dst []byte, e *Fenced) []byte {
		dst = appendEpoch(appendClient(pack.AppendArray(dst, 5), &e.Client), e.Epoch)
		return pack.AppendUint(pack.AppendUint(dst, uint64(e.From)), uint64(e.To))
	})
}

// ParseFence reads the body of a fence.
func ParseFence(b []byte, m *Fence) error {
	r := NewReader(b)
	more := r.begin(2)
	m.Generation = r.Uint()
	m.List = list(&r, m.List, entriesMax, func(r *Reader, e *Fenced) {
		more := r.begin(5)
		e.Client = r.client()
		e.Epoch = r.epoch()
		e.From = NodeID(r.Uint())
		e.To = NodeID(r.Uint())
		r.finish(more)
	})
	r.finish(more)
	return r.End()
}

// MemberState is where a member stands (R24, R27).
type MemberState uint8

// The states.
const (
	MemberJoined MemberState = iota
	MemberAbsent
	MemberStopped
	MemberLeaving
	memberStates
)

// Member is one node of the member record.
type Member struct {
	ID           NodeID
	Name         string
	Link, Gossip string // host:port that others use
	State        MemberState
	Since        int64 // unix ms
}

// MembersStep says what a member record is sent for (R24).
type MembersStep uint8

// The steps of a change. A version is decided by ballots: a ballot is a round
// and the node whose round it is; docs/formats/members.md tells how.
const (
	MembersPropose   MembersStep = iota // of a ballot that a majority has promised: is this to be the next version?
	MembersConfirm                      // the sender has taken it in this ballot
	MembersRefuse                       // the sender has promised the ballot of Round, or will not do what it was asked: Text
	MembersEffective                    // a majority of the version before confirmed it
	MembersAsk                          // a node that is no member asks to become one; List is itself
	MembersPrepare                      // of a ballot: promise to take part in no lower one
	MembersPromise                      // promised; what was taken before in a lower ballot, if anything
	MembersHeld                         // the sender holds this version as effective; 0: none
	membersSteps
)

// textBytesMax bounds what a node says in words.
const textBytesMax = 1024

// Members is a step of a change of the member set.
type Members struct {
	Step       MembersStep
	Version    uint64
	Nonce      uint64 // of the change: two proposals of one version differ in it
	List       []Member
	Origin     NodeID // the node that founded the cluster, whose name is no other cluster's
	Forced     bool   // made effective by an operator, without a majority
	Round      uint64 // of the ballot; in a refusal of the one that was promised
	Accepted   uint64 // in a promise: the ballot in which List was taken
	AcceptedBy NodeID
	Text       string
}

// AppendMembers appends the body of a member record.
func AppendMembers(dst []byte, m *Members) []byte {
	dst = pack.AppendUint(pack.AppendArray(dst, 10), uint64(m.Step))
	dst = pack.AppendUint(pack.AppendUint(dst, m.Version), m.Nonce)
	dst = AppendMemberList(dst, m.List)
	dst = pack.AppendBool(pack.AppendUint(dst, uint64(m.Origin)), m.Forced)
	dst = pack.AppendUint(pack.AppendUint(dst, m.Round), m.Accepted)
	return pack.AppendString(pack.AppendUint(dst, uint64(m.AcceptedBy)), m.Text)
}

// ParseMembers reads the body of a member record.
func ParseMembers(b []byte, m *Members) error {
	r := NewReader(b)
	more := r.begin(10)
	m.Step = MembersStep(r.UintMax(uint64(membersSteps) - 1))
	m.Version = r.Uint()
	m.Nonce = r.Uint()
	m.List = r.MemberList(m.List)
	m.Origin = NodeID(r.Uint())
	m.Forced = r.Bool()
	m.Round = r.Uint()
	m.Accepted = r.Uint()
	m.AcceptedBy = NodeID(r.Uint())
	m.Text = r.StringMax(textBytesMax)
	r.finish(more)
	return r.End()
}

// AppendMemberList appends members as they stand in frames and in the record
// that is kept.
func AppendMemberList(dst []byte, list []Member) []byte {
	return appendList(dst, list, func(dst []byte, e *Member) []byte {
		dst = pack.AppendUint(pack.AppendArray(dst, 6), uint64(e.ID))
		dst = pack.AppendString(pack.AppendString(pack.AppendString(dst, e.Name), e.Link), e.Gossip)
		return pack.AppendInt(pack.AppendUint(dst, uint64(e.State)), e.Since)
	})
}

// MemberList reads what AppendMemberList wrote into dst, from its beginning.
func (r *Reader) MemberList(dst []Member) []Member {
	return list(r, dst, membersMax, func(r *Reader, e *Member) {
		more := r.begin(6)
		e.ID = NodeID(r.Uint())
		e.Name = r.StringMax(nameBytesMax)
		e.Link = r.StringMax(nameBytesMax)
		e.Gossip = r.StringMax(nameBytesMax)
		e.State = MemberState(r.UintMax(uint64(memberStates) - 1))
		e.Since = r.Int()
		r.finish(more)
	})
}
