package wire

import "tombolo/internal/pack"

// stringBytesMax is the longest string of MQTT: a client id, a filter.
const stringBytesMax = 65535

// Epoch orders the homes of one session (R17); the higher HLC, then the higher
// node, is later.
type Epoch struct {
	HLC  uint64
	Node NodeID
}

// Client names a session in the cluster.
type Client struct{ Mountpoint, ID string }

func appendEpoch(dst []byte, e Epoch) []byte {
	return pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, 2), e.HLC), uint64(e.Node))
}

func (r *Reader) epoch() (e Epoch) {
	more := r.begin(2)
	e.HLC = r.Uint()
	e.Node = NodeID(r.Uint())
	r.finish(more)
	return e
}

func appendClient(dst []byte, c *Client) []byte {
	return pack.AppendString(pack.AppendString(dst, c.Mountpoint), c.ID)
}

func (r *Reader) client() Client {
	return Client{Mountpoint: r.StringMax(stringBytesMax), ID: r.StringMax(stringBytesMax)}
}

// Register asks the leader of a client id for a grant (R16).
type Register struct {
	Request    uint64 // the asker's number, that comes back in the answer
	View       uint64 // hash of the members that the asker reaches
	Client     Client
	Seen       Epoch  // of the session record that the asker has; zero for none
	Home       NodeID // in that record
	CleanStart bool
	Bound      bool // the session ends with its connection
	IfIdle     bool // grant it only if the client is connected nowhere (R23)
}

// AppendRegister appends the body of a registration request.
func AppendRegister(dst []byte, m *Register) []byte {
	dst = pack.AppendArray(dst, 9)
	dst = pack.AppendUint(dst, m.Request)
	dst = pack.AppendUint(dst, m.View)
	dst = appendClient(dst, &m.Client)
	dst = appendEpoch(dst, m.Seen)
	dst = pack.AppendUint(dst, uint64(m.Home))
	dst = pack.AppendBool(dst, m.CleanStart)
	return pack.AppendBool(pack.AppendBool(dst, m.Bound), m.IfIdle)
}

// ParseRegister reads the body of a registration request.
func ParseRegister(b []byte, m *Register) error {
	r := NewReader(b)
	more := r.begin(8)
	m.Request = r.Uint()
	m.View = r.Uint()
	m.Client = r.client()
	m.Seen = r.epoch()
	m.Home = NodeID(r.Uint())
	m.CleanStart = r.Bool()
	m.Bound = r.Bool()
	m.IfIdle = r.lateBool(&more)
	r.finish(more)
	return r.End()
}

// Grant gives a client id to the asker from an epoch on (R17).
type Grant struct {
	Request  uint64
	View     uint64
	Epoch    Epoch
	OldHome  NodeID // 0: there was none
	OldEpoch Epoch
	Closed   bool // the old home confirmed that the client is closed there; else it is down by verdict
}

// AppendGrant appends the body of a grant.
func AppendGrant(dst []byte, m *Grant) []byte {
	dst = pack.AppendArray(dst, 6)
	dst = pack.AppendUint(dst, m.Request)
	dst = pack.AppendUint(dst, m.View)
	dst = appendEpoch(dst, m.Epoch)
	dst = pack.AppendUint(dst, uint64(m.OldHome))
	dst = appendEpoch(dst, m.OldEpoch)
	return pack.AppendBool(dst, m.Closed)
}

// ParseGrant reads the body of a grant.
func ParseGrant(b []byte, m *Grant) error {
	r := NewReader(b)
	more := r.begin(6)
	m.Request = r.Uint()
	m.View = r.Uint()
	m.Epoch = r.epoch()
	m.OldHome = NodeID(r.Uint())
	m.OldEpoch = r.epoch()
	m.Closed = r.Bool()
	r.finish(more)
	return r.End()
}

// DenyReason says why a registration or a release is not granted.
type DenyReason uint8

// The reasons.
const (
	DenyView   DenyReason = iota + 1 // another view: ask again (R16)
	DenyLeader                       // not the leader in this view
	DenyEpoch                        // a higher epoch exists (R17)
	DenyGate                         // registering is closed during the netsplit
	DenyBusy                         // not within the time
	denials
)

// Deny answers a Register or a Release with no.
type Deny struct {
	Request uint64
	View    uint64 // of the one that denies
	Reason  DenyReason
	Epoch   Epoch  // the highest known
	Home    NodeID // a live home, if there is one
}

// AppendDeny appends the body of a denial.
func AppendDeny(dst []byte, m *Deny) []byte {
	dst = pack.AppendArray(dst, 5)
	dst = pack.AppendUint(dst, m.Request)
	dst = pack.AppendUint(dst, m.View)
	dst = pack.AppendUint(dst, uint64(m.Reason))
	dst = appendEpoch(dst, m.Epoch)
	return pack.AppendUint(dst, uint64(m.Home))
}

// ParseDeny reads the body of a denial.
func ParseDeny(b []byte, m *Deny) error {
	r := NewReader(b)
	more := r.begin(5)
	m.Request = r.Uint()
	m.View = r.Uint()
	m.Reason = DenyReason(r.UintMax(uint64(denials) - 1))
	m.Epoch = r.epoch()
	m.Home = NodeID(r.Uint())
	r.finish(more)
	return r.End()
}

// Release asks the old home to close a client, because Epoch is granted to
// NewHome (R17).
type Release struct {
	Request uint64
	Client  Client
	Epoch   Epoch
	NewHome NodeID
	IfIdle  bool // say no if the client is connected (R23)
}

// AppendRelease appends the body of a release.
func AppendRelease(dst []byte, m *Release) []byte {
	dst = pack.AppendArray(dst, 6)
	dst = pack.AppendUint(dst, m.Request)
	dst = appendClient(dst, &m.Client)
	dst = appendEpoch(dst, m.Epoch)
	return pack.AppendBool(pack.AppendUint(dst, uint64(m.NewHome)), m.IfIdle)
}

// ParseRelease reads the body of a release.
func ParseRelease(b []byte, m *Release) error {
	r := NewReader(b)
	more := r.begin(5)
	m.Request = r.Uint()
	m.Client = r.client()
	m.Epoch = r.epoch()
	m.NewHome = NodeID(r.Uint())
	m.IfIdle = r.lateBool(&more)
	r.finish(more)
	return r.End()
}

// Released says that the client is closed and acts no more under OldEpoch.
type Released struct {
	Request  uint64
	OldEpoch Epoch
	Existed  bool
}

// AppendReleased appends the body of a released.
func AppendReleased(dst []byte, m *Released) []byte {
	dst = pack.AppendUint(pack.AppendArray(dst, 3), m.Request)
	return pack.AppendBool(appendEpoch(dst, m.OldEpoch), m.Existed)
}

// ParseReleased reads the body of a released.
func ParseReleased(b []byte, m *Released) error {
	r := NewReader(b)
	more := r.begin(3)
	m.Request = r.Uint()
	m.OldEpoch = r.epoch()
	m.Existed = r.Bool()
	r.finish(more)
	return r.End()
}

// Connected is one client of a node.
type Connected struct {
	Client Client
	Epoch  Epoch
	Bound  bool
	Gone   bool // no longer connected there
}

// Clients tells a leader who is connected at the sender (R16).
type Clients struct {
	View        uint64
	First, Last bool // of a whole listing after a change of view
	List        []Connected
}

// AppendClients appends the body of a listing.
func AppendClients(dst []byte, m *Clients) []byte {
	dst = pack.AppendUint(pack.AppendArray(dst, 4), m.View)
	dst = pack.AppendBool(pack.AppendBool(dst, m.First), m.Last)
	return appendList(dst, m.List, func(dst []byte, c *Connected) []byte {
		dst = appendEpoch(appendClient(pack.AppendArray(dst, 5), &c.Client), c.Epoch)
		return pack.AppendBool(pack.AppendBool(dst, c.Bound), c.Gone)
	})
}

// ParseClients reads the body of a listing.
func ParseClients(b []byte, m *Clients) error {
	r := NewReader(b)
	more := r.begin(4)
	m.View = r.Uint()
	m.First = r.Bool()
	m.Last = r.Bool()
	m.List = list(&r, m.List, entriesMax, func(r *Reader, c *Connected) {
		more := r.begin(5)
		c.Client = r.client()
		c.Epoch = r.epoch()
		c.Bound = r.Bool()
		c.Gone = r.Bool()
		r.finish(more)
	})
	r.finish(more)
	return r.End()
}

// WillFired says that the will of an epoch was published under an id, so that
// nobody publishes it again (R29).
type WillFired struct {
	Client Client
	Epoch  Epoch
	ID     MessageID
}

// AppendWillFired appends the body of a will fired.
func AppendWillFired(dst []byte, m *WillFired) []byte {
	dst = appendEpoch(appendClient(pack.AppendArray(dst, 5), &m.Client), m.Epoch)
	return pack.AppendUint(pack.AppendUint(dst, m.ID.Ingress), m.ID.N)
}

// ParseWillFired reads the body of a will fired.
func ParseWillFired(b []byte, m *WillFired) error {
	r := NewReader(b)
	more := r.begin(5)
	m.Client = r.client()
	m.Epoch = r.epoch()
	m.ID = MessageID{Ingress: r.Uint(), N: r.Uint()}
	r.finish(more)
	return r.End()
}
