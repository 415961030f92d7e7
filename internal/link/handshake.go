package link

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"tombolo/internal/wire"
)

// handshakeBytesMax bounds a frame of the handshake.
const handshakeBytesMax = 4096

// RefusedError is a handshake that one side refused.
type RefusedError struct {
	Code     wire.RefusalCode
	Sentence string
	ByPeer   bool
}

// Error is a sentence for the operator.
func (e *RefusedError) Error() string {
	if e.ByPeer {
		return "the other node refuses: " + e.Sentence
	}
	return "refused: " + e.Sentence
}

func refuse(code wire.RefusalCode, format string, args ...any) *RefusedError {
	return &RefusedError{Code: code, Sentence: fmt.Sprintf(format, args...)}
}

var errHandshake = errors.New("not a handshake")

// handshake is one run of it on a fresh connection. Owned by the goroutine
// that runs it.
type handshake struct {
	config *Config
	conn   net.Conn
	plane  wire.Plane
	expect NodeID             // whom we dialled; 0: they dialled us
	admit  func(p Peer) error // the mesh's own reasons against a peer
	ours   []byte             // body of our hello
	theirs []byte
	hello  wire.Hello // the peer's
	peer   Peer
}

// dial is the handshake of the side that dialled: hello, their hello, our
// proof, their welcome. The one who dialled proves first, so that what listens
// gives nothing to strangers.
func (h *handshake) dial() error {
	if err := h.sayHello(); err != nil {
		return err
	}
	if err := h.hear(wire.TypeHello); err != nil {
		return err
	}
	if err := h.judge(); err != nil {
		return h.refused(err)
	}
	proof, err := h.mac("dialler")
	if err != nil {
		return err
	}
	if err := h.say(wire.TypeProof, wire.AppendProof(nil, &wire.Proof{MAC: proof})); err != nil {
		return err
	}
	b, err := h.read(wire.TypeWelcome)
	if err != nil {
		return err
	}
	var w wire.Welcome
	if err := wire.ParseWelcome(b, &w); err != nil {
		return err
	}
	if w.Version != h.peer.Version {
		return errHandshake
	}
	return h.prove(w.MAC, "listener")
}

// accept is the handshake of the side that listens.
func (h *handshake) accept() error {
	if err := h.hear(wire.TypeHello); err != nil {
		return err
	}
	h.plane = h.hello.Plane
	if err := h.sayHello(); err != nil {
		return err
	}
	b, err := h.read(wire.TypeProof)
	if err != nil {
		return err
	}
	var p wire.Proof
	if err := wire.ParseProof(b, &p); err != nil {
		return err
	}
	if err := h.judge(); err != nil {
		return h.refused(err)
	}
	if err := h.prove(p.MAC, "dialler"); err != nil {
		return h.refused(err)
	}
	if err := h.admit(h.peer); err != nil {
		return h.refused(err)
	}
	proof, err := h.mac("listener")
	if err != nil {
		return err
	}
	return h.say(wire.TypeWelcome, wire.AppendWelcome(nil, &wire.Welcome{Version: h.peer.Version, MAC: proof}))
}

func (h *handshake) sayHello() error {
	c := h.config
	challenge := make([]byte, wire.ChallengeBytes)
	_, _ = rand.Read(challenge) // never fails since Go 1.24
	oldest, newest := c.versions()
	h.ours = wire.AppendHello(nil, &wire.Hello{
		VersionMin: oldest, VersionMax: newest, Cluster: c.Cluster, Node: c.Node, Name: c.Name,
		Incarnation: c.Incarnation, Actor: c.Actor, OpenNonce: c.OpenNonce(), Durability: c.Durability,
		Plane: h.plane, Secret: c.Secret != nil, Challenge: challenge, Advertise: c.Advertise,
	})
	return h.say(wire.TypeHello, h.ours)
}

func (h *handshake) hear(kind wire.Type) (err error) {
	if h.theirs, err = h.read(kind); err != nil {
		return err
	}
	return wire.ParseHello(h.theirs, &h.hello)
}

// judge holds the peer's hello against ours.
func (h *handshake) judge() error {
	c, p := h.config, &h.hello
	oldest, newest := c.versions()
	version := min(newest, p.VersionMax)
	switch {
	case p.Cluster != c.Cluster:
		return refuse(wire.RefuseCluster, "node %q is of cluster %q, this is %q (cluster.name)", p.Name, p.Cluster, c.Cluster)
	case version < max(oldest, p.VersionMin):
		return refuse(wire.RefuseVersion, "node %q speaks versions %d to %d, %q %d to %d: upgrade the older one first",
			p.Name, p.VersionMin, p.VersionMax, c.Name, oldest, newest)
	case p.Node == c.Node && p.Incarnation == c.Incarnation:
		return refuse(wire.RefuseSelf, "node %q has dialled itself", c.Name)
	case p.Node == c.Node:
		return refuse(wire.RefuseHolder, "node id %x is held by %q at %s: two directories are copies of each other, stop one of them",
			uint64(p.Node), c.Name, c.Advertise)
	case h.expect != 0 && p.Node != h.expect:
		return refuse(wire.RefuseDestination, "node %x was dialled, %q answers with %x", uint64(h.expect), p.Name, uint64(p.Node))
	case p.Plane != h.plane:
		return errHandshake
	case p.Secret != (c.Secret != nil):
		return refuse(wire.RefuseSecret, "one of %q and %q has a secret (cluster.secret_key), the other has not", c.Name, p.Name)
	case p.Durability != c.Durability && !c.DurabilityMayDiffer:
		return refuse(wire.RefuseDurability, "node %q has durability = %s, %q has %s: give all nodes the same, or set cluster.durability_may_differ = on on both", p.Name, p.Durability, c.Name, c.Durability)
	}
	h.peer = Peer{ID: p.Node, Name: p.Name, Incarnation: p.Incarnation, Actor: p.Actor, OpenNonce: p.OpenNonce,
		Durability: p.Durability, Advertise: p.Advertise, Version: version}
	if h.expect != 0 {
		return h.admit(h.peer)
	}
	return nil
}

// mac is what proves that its maker holds the secret and saw this handshake on
// this very connection; nil without a secret. A proof of one role is none of
// the other, so that nothing can be sent back as it came.
func (h *handshake) mac(role string) ([]byte, error) {
	if h.config.Secret == nil {
		return nil, nil
	}
	m := hmac.New(sha256.New, h.config.Secret)
	first, second := h.ours, h.theirs
	if h.expect == 0 {
		first, second = second, first
	}
	for _, part := range [][]byte{[]byte("tombolo link 1"), []byte(role), first, second} {
		m.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		m.Write(part)
	}
	if t, ok := h.conn.(*tls.Conn); ok {
		state := t.ConnectionState()
		key, err := state.ExportKeyingMaterial("EXPORTER-tombolo-link", nil, 32)
		if err != nil {
			return nil, fmt.Errorf("bind the proof to the TLS session: %w", err)
		}
		m.Write(key)
	}
	return m.Sum(nil), nil
}

func (h *handshake) prove(got []byte, role string) error {
	want, err := h.mac(role)
	if err != nil {
		return err
	}
	if !hmac.Equal(got, want) {
		return refuse(wire.RefuseSecret, "node %q and %q do not hold the same secret (cluster.secret_key)", h.config.Name, h.hello.Name)
	}
	return nil
}

// refused tells the peer why, and gives err back.
func (h *handshake) refused(err error) error {
	var r *RefusedError
	if errors.As(err, &r) {
		_ = h.say(wire.TypeRefusal, wire.AppendRefusal(nil, &wire.Refusal{Code: r.Code, Sentence: r.Sentence}))
	}
	return err
}

func (h *handshake) say(kind wire.Type, body []byte) error {
	header := wire.Header{Version: wire.Version, TTL: 1, Source: h.config.Node, Destination: h.hello.Node, Incarnation: h.config.Incarnation}
	_, err := h.conn.Write(appendFrame(nil, header, kind, func(dst []byte) []byte { return append(dst, body...) }))
	return err
}

// read takes the next frame, which has to be of a kind or a refusal.
func (h *handshake) read(kind wire.Type) ([]byte, error) {
	var head [wire.HeaderBytes]byte
	if _, err := io.ReadFull(h.conn, head[:]); err != nil {
		return nil, err
	}
	var header wire.Header
	if err := wire.ParseHeader(head[:], &header); err != nil {
		return nil, err
	}
	if header.Length > handshakeBytesMax {
		return nil, wire.ErrLength
	}
	body := make([]byte, header.Length) // at most handshakeBytesMax
	if _, err := io.ReadFull(h.conn, body); err != nil {
		return nil, err
	}
	switch header.Type {
	case kind:
		return body, nil
	case wire.TypeRefusal:
		var f wire.Refusal
		if err := wire.ParseRefusal(body, &f); err != nil {
			return nil, err
		}
		return nil, &RefusedError{Code: f.Code, Sentence: string(bytes.ToValidUTF8([]byte(f.Sentence), []byte("?"))), ByPeer: true}
	}
	return nil, errHandshake
}
