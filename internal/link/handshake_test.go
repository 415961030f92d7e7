package link

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"tombolo/internal/certificate"
	"tombolo/internal/wire"
)

// TestRefusals: whom a node does not want, it tells so by name, and both count
// it.
func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		code   wire.RefusalCode
		says   string
	}{
		"other cluster":   {func(c *Config) { c.Cluster = "another" }, wire.RefuseCluster, `cluster "another"`},
		"wrong secret":    {func(c *Config) { c.Secret = []byte("quite another secret") }, wire.RefuseSecret, "same secret"},
		"no secret":       {func(c *Config) { c.Secret = nil }, wire.RefuseSecret, "the other has not"},
		"durability":      {func(c *Config) { c.Durability = "os" }, wire.RefuseDurability, "durability = os"},
		"not a member":    {func(c *Config) { c.Node = 7 }, wire.RefuseMember, "not known"},
		"copied node id":  {func(c *Config) { c.Node = 9; c.Incarnation = 5 }, wire.RefuseHolder, `held by "n9"`},
		"dialled oneself": {func(c *Config) { c.Node = 9 }, wire.RefuseSelf, "itself"},
	} {
		t.Run(name, func(t *testing.T) {
			b := prepare(t, 9, nil)
			_ = b.mesh.AddPeer(1, "127.0.0.1:1")
			b.start(t)
			config := Config{Cluster: "test", Node: 1, Name: "a", Incarnation: 1, Durability: "fsync", Secret: testSecret,
				OpenNonce: func() uint64 { return 0 }}
			c.change(&config)
			var r *RefusedError
			if err := insist(t, b, &config); !errors.As(err, &r) || !r.ByPeer || r.Code != c.code || !strings.Contains(r.Sentence, c.says) {
				t.Fatalf("got %v, want %v with %q", err, c.code, c.says)
			}
			within(t, "the count", func() bool { return b.mesh.Stats().Refusals[c.code.String()] == 1 })
			if err := dialOnce(t, b, &config); !errors.As(err, &r) || r.Code != c.code {
				t.Fatalf("a dialler that looks first says %v", err)
			}
		})
	}
}

// dialOnce runs one handshake of a control connection with b.
func dialOnce(t *testing.T, b *node, config *Config) error {
	t.Helper()
	raw, err := net.Dial("tcp", b.mesh.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	h := handshake{config: config, conn: raw, expect: 9, admit: func(Peer) error { return nil }}
	return h.dial()
}

// insist runs a handshake with b whose dialler takes any hello.
func insist(t *testing.T, b *node, config *Config) error {
	t.Helper()
	raw, err := net.Dial("tcp", b.mesh.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	h := handshake{config: config, conn: raw, expect: 9}
	if err := errors.Join(h.sayHello(), h.hear(wire.TypeHello)); err != nil {
		t.Fatal(err)
	}
	proof, err := h.mac("dialler")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.say(wire.TypeProof, wire.AppendProof(nil, &wire.Proof{MAC: proof})); err != nil {
		t.Fatal(err)
	}
	_, err = h.read(wire.TypeWelcome)
	return err
}

// TestVersions: the lower of the highest that both know is agreed; none is a
// refusal.
func TestVersions(t *testing.T) {
	for name, c := range map[string]struct {
		low, high uint8
		ok        bool
	}{"the same": {1, 1, true}, "a later one that knows ours": {1, 9, true}, "a later one that does not": {2, 9, false}} {
		h := handshake{config: &Config{Node: 1, Cluster: "c"}, expect: 2, admit: func(Peer) error { return nil }}
		h.hello = wire.Hello{Node: 2, Cluster: "c", VersionMin: c.low, VersionMax: c.high}
		err := h.judge()
		var r *RefusedError
		if c.ok && (err != nil || h.peer.Version != 1) || !c.ok && (!errors.As(err, &r) || r.Code != wire.RefuseVersion) {
			t.Errorf("%s: %v, version %d", name, err, h.peer.Version)
		}
	}
}

// TestMixedVersions: two nodes of different releases link, whoever dials, and
// carry messages in the lower of their versions; with none in common both are
// told, by name, and neither tries to go on.
func TestMixedVersions(t *testing.T) {
	later := func(c *Config) { c.oldest, c.newest = 1, 9 }
	for name, change := range map[string][2]func(*Config){"the newer dials": {later, nil}, "the older dials": {nil, later}} {
		a, b := prepare(t, 1, change[0]), prepare(t, 2, change[1])
		connect(t, a, b)
		a.start(t)
		b.start(t)
		within(t, name, func() bool { return a.up(2) && b.up(1) })
		for i, n := range []*node{a, b} {
			to := []NodeID{2, 1}[i]
			if got := n.mesh.Status()[0].Version; got != 1 {
				t.Errorf("%s: node %d speaks version %d", name, i+1, got)
			}
			for id, s := range []wire.Stream{wire.StreamPublish, wire.StreamControl} {
				kind := []wire.Type{wire.TypePublish, wire.TypeRoutes}[id]
				if err := n.mesh.Send(to, s, kind, numbered(uint32(id), 100<<10), end{n, uint32(id)}); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, n := range []*node{a, b} {
			within(t, name+": messages", func() (ok bool) { n.read(func() { ok = n.mu.results[Stored] == 2 }); return ok })
		}
	}
	a, b := prepare(t, 1, nil), prepare(t, 2, func(c *Config) { c.oldest, c.newest = 8, 9 })
	connect(t, a, b)
	a.start(t)
	b.start(t)
	for _, n := range []*node{a, b} {
		within(t, "the refusal", func() bool {
			s := n.mesh.Status()[0]
			return n.mesh.Stats().Refusals[wire.RefuseVersion.String()] > 0 && !s.Up
		})
	}
	if s := a.mesh.Status()[0].LastError; !strings.Contains(s, "upgrade the older one first") {
		t.Errorf("the operator is told %q", s)
	}
}

// TestSecondHolder is R30: while a process of a node id is linked, another one
// is refused by name; once it has gone, the other is taken.
func TestSecondHolder(t *testing.T) {
	a, b := prepare(t, 1, nil), prepare(t, 9, func(c *Config) { c.HolderAlive = time.Hour })
	connect(t, a, b)
	a.start(t)
	b.start(t)
	within(t, "the link", func() bool { return a.up(9) && b.up(1) })
	copied := a.mesh.config
	copied.Incarnation, copied.Name = 77, "copy"
	err := dialOnce(t, b, &copied)
	var r *RefusedError
	if !errors.As(err, &r) || r.Code != wire.RefuseHolder || !strings.Contains(r.Sentence, `"n1"`) || !r.ByPeer {
		t.Fatalf("got %v", err)
	}
	a.stop()
	within(t, "the first to go", func() bool { return !b.up(1) && dialOnce(t, b, &copied) == nil })
}

// TestProofsDoNotTravel: what proves one side in one handshake proves neither
// the other side nor another handshake.
func TestProofsDoNotTravel(t *testing.T) {
	c := &Config{Secret: testSecret}
	dialler := handshake{config: c, expect: 2, ours: []byte("hello of the one"), theirs: []byte("hello of the other")}
	listener := handshake{config: c, ours: dialler.theirs, theirs: dialler.ours}
	proof, _ := dialler.mac("dialler")
	if err := listener.prove(proof, "dialler"); err != nil {
		t.Fatalf("a right proof: %v", err)
	}
	other := listener
	other.ours = []byte("hello with another challenge")
	for what, err := range map[string]error{
		"sent back": dialler.prove(proof, "listener"), "of another handshake": other.prove(proof, "dialler"), "none": listener.prove(nil, "dialler"),
	} {
		if err == nil {
			t.Errorf("a proof that is %s was taken", what)
		}
	}
}

// TestHostileFrames: a linked peer that sends nonsense loses its connection
// with a counted reason; the mesh goes on.
func TestHostileFrames(t *testing.T) {
	good := wire.Header{Version: 1, TTL: 1, Source: 1, Destination: 9, Incarnation: 1, Flags: wire.FlagFirst | wire.FlagLast}
	frame := func(change func(h *wire.Header), body []byte) []byte {
		h := good
		h.Length = uint32(len(body))
		change(&h)
		return append(wire.AppendHeader(nil, &h), body...)
	}
	ack := func(a *wire.Ack) []byte {
		return frame(func(h *wire.Header) { h.Type = wire.TypeAck }, wire.AppendAck(nil, a))
	}
	control := func(h *wire.Header) { h.Type, h.Stream, h.Sequence = wire.TypeRoutes, wire.StreamControl, 1 }
	for reason, b := range map[string][]byte{
		"frame_length":    frame(func(h *wire.Header) { control(h); h.Length = 1 << 31 }, nil),
		"frame_version":   frame(func(h *wire.Header) { control(h); h.Version = 9 }, nil),
		"frame_type":      frame(func(h *wire.Header) { h.Type = 200 }, nil),
		"frame_stream":    frame(func(h *wire.Header) { control(h); h.Sequence = 0 }, nil),
		"frame_ttl":       frame(func(h *wire.Header) { control(h); h.TTL = 0 }, nil),
		"frame_flags":     frame(func(h *wire.Header) { control(h); h.Flags = 0x80 }, nil),
		"frame_short":     frame(func(h *wire.Header) { h.Type = wire.TypeAck }, []byte{0x95, 4, 1}),
		"frame_kind":      frame(func(h *wire.Header) { h.Type = wire.TypeHeartbeat }, []byte{0x95, 0xc0, 1, 1, 1, 0x90}),
		"address":         frame(func(h *wire.Header) { control(h); h.Source = 5 }, nil),
		"plane":           frame(func(h *wire.Header) { control(h); h.Type, h.Stream = wire.TypePublish, wire.StreamPublish }, nil),
		"gap":             frame(func(h *wire.Header) { control(h); h.Sequence = 5 }, nil),
		"chunk":           frame(func(h *wire.Header) { control(h); h.Flags = wire.FlagLast }, nil),
		"ack_unsent":      ack(&wire.Ack{Stream: wire.StreamControl, Incarnation: 1, Through: 9}),
		"ack_unsorted":    ack(&wire.Ack{Stream: wire.StreamControl, Incarnation: 1, Outcomes: []wire.Outcome{{Sequence: 2, Result: 1}, {Sequence: 2, Result: 1}}}),
		"incarnation":     ack(&wire.Ack{Stream: wire.StreamControl, Incarnation: 7}),
		"frame_trail":     frame(func(h *wire.Header) { h.Type = wire.TypeAck }, append(wire.AppendAck(nil, &wire.Ack{Stream: wire.StreamControl}), 0)),
		"frame_range":     frame(func(h *wire.Header) { h.Type = wire.TypeHeartbeat }, []byte{0x95, 0xcd, 9, 9, 1, 1, 1, 0x90}),
		"frame_deep":      frame(func(h *wire.Header) { h.Type = wire.TypeAck }, deep(&wire.Ack{Stream: wire.StreamControl})),
		"credit":          tooMuch(control),
		"too_long":        endless(),
		"handshake_again": frame(func(h *wire.Header) { h.Type = wire.TypeHello }, nil),
		"truncated":       frame(control, make([]byte, 10))[:20],
	} {
		t.Run(reason, func(t *testing.T) {
			n := prepare(t, 9, nil)
			_ = n.mesh.AddPeer(1, "127.0.0.1:1")
			if reason == "credit" {
				n.on = func(Message) {} // nothing ends, so nothing is granted
			}
			n.start(t)
			raw := stranger(t, n, wire.Control)
			if _, err := raw.Write(b); err != nil && reason != "credit" && reason != "too_long" { // they close before it has all gone
				t.Fatal(err)
			}
			if reason == "truncated" {
				_ = raw.(*net.TCPConn).CloseWrite()
			}
			_, _ = io.Copy(io.Discard, raw) // until they close
			within(t, "the reason", func() bool { return n.mesh.Stats().Closes[reason] == 1 })
		})
	}
}

// stranger links with node 9 as node 1, which is nobody's mesh: the test says what
// it sends.
func stranger(t *testing.T, n *node, plane wire.Plane) net.Conn {
	t.Helper()
	raw, err := net.Dial("tcp", n.mesh.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	h := handshake{config: &Config{Cluster: "test", Node: 1, Incarnation: 1, Durability: "fsync", Secret: testSecret,
		OpenNonce: func() uint64 { return 0 }}, conn: raw, plane: plane, expect: 9, admit: func(Peer) error { return nil }}
	if err := h.dial(); err != nil {
		t.Fatal(err)
	}
	return raw
}

// deep is an ack with a field of a later version, of arrays in each other.
func deep(a *wire.Ack) []byte {
	b := wire.AppendAck(nil, a)
	b[0]++ // one field more
	return append(b, bytes.Repeat([]byte{0x91}, 1000)...)
}

// endless is a message without a number whose chunks have no end.
func endless() (b []byte) {
	body := make([]byte, wire.BodyBytesMax)
	for i := range endlessBytes/wire.BodyBytesMax + 2 {
		h := wire.Header{Version: 1, TTL: 1, Source: 1, Destination: 9, Incarnation: 1, Type: wire.TypeMetadata, Stream: wire.StreamMetadata, Length: wire.BodyBytesMax}
		if i == 0 {
			h.Flags = wire.FlagFirst
		}
		b = append(wire.AppendHeader(b, &h), body...)
	}
	return b
}

// endlessBytes is how long a message without a number may be, unless the settings
// say something else.
const endlessBytes = 1 << 20

// tooMuch is more than a receiver grants a peer that waits for nothing.
func tooMuch(stream func(*wire.Header)) (b []byte) {
	body := make([]byte, wire.BodyBytesMax)
	for i := range uint64(100) {
		h := wire.Header{Version: 1, TTL: 1, Source: 1, Destination: 9, Incarnation: 1, Length: wire.BodyBytesMax}
		stream(&h)
		h.Sequence = 1 + i
		h.Flags = wire.FlagFirst | wire.FlagLast
		b = append(wire.AppendHeader(b, &h), body...)
	}
	return b
}

// TestExposed is guarantee 5.
func TestExposed(t *testing.T) {
	base := Config{Cluster: "c", Node: 1, Handler: &node{}}
	for bind, c := range map[string]struct {
		change func(*Config)
		ok     bool
	}{
		"127.0.0.1:0":     {func(*Config) {}, true},
		"[::1]:0":         {func(*Config) {}, true},
		"0.0.0.0:0":       {func(*Config) {}, false},
		"192.0.2.1:1":     {func(*Config) {}, false},
		"192.0.2.1:2":     {func(c *Config) { c.Secret = testSecret }, true},
		"192.0.2.1:3":     {func(c *Config) { c.Secret = []byte("short") }, false},
		"192.0.2.1:4":     {func(c *Config) { c.TLS = &tls.Config{} }, false},
		"192.0.2.1:5":     {func(c *Config) { c.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert} }, true},
		"[2001:db8::1]:6": {func(c *Config) { c.Insecure = true }, true},
	} {
		config := base
		config.Bind = bind
		c.change(&config)
		if _, err := New(config); (err == nil) != c.ok {
			t.Errorf("%s: %v, want ok=%v", bind, err, c.ok)
		}
	}
}

// TestMutualTLS links two nodes by certificates, with the secret bound to the
// session, and refuses one without.
func TestMutualTLS(t *testing.T) {
	pair, err := certificate.New("n")
	if err != nil {
		t.Fatal(err)
	}
	pool := pair.Pool()
	secure := func(c *Config) {
		c.TLS = &tls.Config{Certificates: []tls.Certificate{pair.TLS()}, RootCAs: pool, ClientCAs: pool,
			ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13}
	}
	a, b := prepare(t, 1, secure), prepare(t, 2, secure)
	connect(t, a, b)
	a.start(t)
	b.start(t)
	within(t, "the link", func() bool { return a.up(2) && b.up(1) })
	if err := b.mesh.Send(1, wire.StreamPublish, wire.TypePublish, bytes.Repeat([]byte{0}, 100<<10), end{b, 0}); err != nil {
		t.Fatal(err)
	}
	within(t, "a message", func() (ok bool) {
		b.read(func() { ok = b.mu.results[Stored] == 1 })
		return ok
	})
	d := tls.Dialer{Config: &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}}
	if c, err := d.DialContext(context.Background(), "tcp", b.mesh.Addr().String()); err == nil {
		if _, err = c.Read(make([]byte, 1)); err == nil {
			t.Error("somebody without a certificate is spoken to")
		}
		_ = c.Close()
	}
}
