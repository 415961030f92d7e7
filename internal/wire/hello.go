package wire

import "tombolo/internal/pack"

// Bounds of what a peer says of itself.
const (
	nameBytesMax     = 256
	ChallengeBytes   = 32
	ProofBytes       = 32
	sentenceBytesMax = 1024
)

// Hello is the first frame of either side of a connection. Its layout is
// frozen: a later version adds fields behind these.
type Hello struct {
	VersionMin, VersionMax uint8
	Cluster                string
	Node                   NodeID
	Name                   string
	Incarnation            Incarnation
	Actor                  uint64 // of the metadata store (R30)
	OpenNonce              uint64 // of its last opening (R30)
	Durability             string // "fsync", "os" … (R35)
	Plane                  Plane
	Secret                 bool   // a proof of the shared secret is wanted
	Challenge              []byte // random; the peer's proof covers it. A view of the frame
	Advertise              string // host:port at which this node takes links
}

const helloFields = 13

// AppendHello appends the body of a hello.
func AppendHello(dst []byte, h *Hello) []byte {
	dst = pack.AppendArray(dst, helloFields)
	dst = pack.AppendUint(dst, uint64(h.VersionMin))
	dst = pack.AppendUint(dst, uint64(h.VersionMax))
	dst = pack.AppendString(dst, h.Cluster)
	dst = pack.AppendUint(dst, uint64(h.Node))
	dst = pack.AppendString(dst, h.Name)
	dst = pack.AppendUint(dst, uint64(h.Incarnation))
	dst = pack.AppendUint(dst, h.Actor)
	dst = pack.AppendUint(dst, h.OpenNonce)
	dst = pack.AppendString(dst, h.Durability)
	dst = pack.AppendUint(dst, uint64(h.Plane))
	dst = pack.AppendBool(dst, h.Secret)
	dst = pack.AppendBytes(dst, h.Challenge)
	return pack.AppendString(dst, h.Advertise)
}

// ParseHello reads the body of a hello.
func ParseHello(b []byte, h *Hello) error {
	r := NewReader(b)
	more := r.begin(helloFields)
	h.VersionMin = uint8(r.UintMax(255))
	h.VersionMax = uint8(r.UintMax(255))
	h.Cluster = r.StringMax(nameBytesMax)
	h.Node = NodeID(r.Uint())
	h.Name = r.StringMax(nameBytesMax)
	h.Incarnation = Incarnation(r.Uint())
	h.Actor = r.Uint()
	h.OpenNonce = r.Uint()
	h.Durability = r.StringMax(nameBytesMax)
	h.Plane = Plane(r.UintMax(uint64(Planes) - 1))
	h.Secret = r.Bool()
	h.Challenge = r.Bytes()
	h.Advertise = r.StringMax(nameBytesMax)
	r.finish(more)
	if len(h.Challenge) != ChallengeBytes || h.Node == 0 || h.VersionMin > h.VersionMax {
		r.Fail(pack.ErrRange)
	}
	return r.End()
}

// Proof shows that its sender holds the shared secret; nil if none was wanted.
type Proof struct {
	MAC []byte // a view of the frame
}

// AppendProof appends the body of a proof.
func AppendProof(dst []byte, p *Proof) []byte {
	return pack.AppendBytes(pack.AppendArray(dst, 1), p.MAC)
}

// ParseProof reads the body of a proof.
func ParseProof(b []byte, p *Proof) error {
	r := NewReader(b)
	more := r.begin(1)
	p.MAC = r.Bytes()
	r.finish(more)
	if len(p.MAC) != 0 && len(p.MAC) != ProofBytes {
		r.Fail(pack.ErrRange)
	}
	return r.End()
}

// Welcome ends a handshake: the link stands.
type Welcome struct {
	Version uint8  // the one that both will write
	MAC     []byte // the listener's own proof; a view of the frame
}

// AppendWelcome appends the body of a welcome.
func AppendWelcome(dst []byte, w *Welcome) []byte {
	dst = pack.AppendArray(dst, 2)
	dst = pack.AppendUint(dst, uint64(w.Version))
	return pack.AppendBytes(dst, w.MAC)
}

// ParseWelcome reads the body of a welcome.
func ParseWelcome(b []byte, w *Welcome) error {
	r := NewReader(b)
	more := r.begin(2)
	w.Version = uint8(r.UintMax(255))
	w.MAC = r.Bytes()
	r.finish(more)
	if len(w.MAC) != 0 && len(w.MAC) != ProofBytes {
		r.Fail(pack.ErrRange)
	}
	return r.End()
}

// RefusalCode says why a connection is not wanted.
type RefusalCode uint8

// The refusals.
const (
	_                 RefusalCode = iota
	RefuseCluster                 // the peer is of another cluster
	RefuseVersion                 // no version that both know
	RefuseSecret                  // the proof is wrong, or one side wants one and the other does not
	RefuseSelf                    // the node has dialled itself
	RefuseHolder                  // another live process holds this node id (R30)
	RefuseDurability              // the setting differs (R35)
	RefuseMember                  // not a member of this cluster
	RefuseBusy                    // too many handshakes at once
	RefuseDestination             // the dialled node is not the one that was meant
	refusals
)

var refusalNames = [refusals]string{"unknown", "cluster", "version", "secret", "self", "holder", "durability", "member", "busy", "destination"}

// String is the code's name as it stands in metrics and logs.
func (c RefusalCode) String() string {
	if c >= refusals {
		return refusalNames[0]
	}
	return refusalNames[c]
}

// Refusal ends a handshake: the connection is closed.
type Refusal struct {
	Code     RefusalCode
	Sentence string // for the operator of the node that was refused
}

// AppendRefusal appends the body of a refusal.
func AppendRefusal(dst []byte, f *Refusal) []byte {
	dst = pack.AppendArray(dst, 2)
	dst = pack.AppendUint(dst, uint64(f.Code))
	return pack.AppendString(dst, f.Sentence)
}

// ParseRefusal reads the body of a refusal.
func ParseRefusal(b []byte, f *Refusal) error {
	r := NewReader(b)
	more := r.begin(2)
	f.Code = RefusalCode(r.UintMax(255))
	f.Sentence = r.StringMax(sentenceBytesMax)
	r.finish(more)
	return r.End()
}
