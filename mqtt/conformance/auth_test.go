package conformance

import (
	"context"
	"crypto/rand"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"tombolo/internal/conn"
	"tombolo/internal/kv"
	"tombolo/internal/metric"
	"tombolo/metadata"
	core "tombolo/mqtt/broker"
	"tombolo/mqtt/packet"
	"tombolo/mqtt/session"
	"tombolo/netsplit"
	"tombolo/queue"
)

// mirror is an authentication by challenge: the client must send each word
// back reversed. Method "mirror" asks once, "mirrors" twice.
type mirror struct{}

func (mirror) Begin(_ *core.Identity, method string) core.Exchange {
	rounds := strings.Count(method, "s") + 1
	if !strings.HasPrefix(method, "mirror") {
		return nil
	}
	return &mirroring{left: rounds}
}

// mirroring is one exchange. Owned by the broker's worker of the moment.
type mirroring struct {
	left  int
	asked string
}

func (m *mirroring) Next(_ context.Context, data []byte) ([]byte, bool, core.Verdict) {
	if m.asked != "" && reversed(m.asked) != string(data) || string(data) == "liar" {
		return nil, false, core.Verdict{Reason: packet.NotAuthorized, Detail: "that is not it"}
	}
	if m.left == 0 {
		return []byte("welcome"), true, core.Verdict{}
	}
	m.left--
	m.asked = "word" + string('0'+rune(m.left))
	return []byte(m.asked), false, core.Verdict{}
}

func reversed(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}

// nobody lets no one in with a password.
type nobody struct{}

func (nobody) Authenticate(context.Context, *core.Identity, []byte) core.Verdict {
	return core.Verdict{Reason: packet.BadUsernameOrPassword, Detail: "no"}
}

func (nobody) RulesFor(*core.Identity) core.Rules { return nil }

// startMirrors runs a broker with that authentication; the node has no option
// for one yet.
func startMirrors(t *testing.T) *broker {
	t.Helper()
	var b *core.Broker
	meta, err := metadata.Open(kv.OpenMemory(), metadata.Config{Node: 1})
	if err != nil {
		t.Fatal(err)
	}
	store, err := queue.OpenStore(kv.OpenMemory(), queue.StoreConfig{Durability: queue.Memory, BatchEnd: func() { b.BatchEnd() }})
	if err != nil {
		t.Fatal(err)
	}
	limits := &session.Limits{Versions: session.AllVersions, ClientIDBytesMax: 100, ReceiveMaxBroker: 65535, ReceiveMaxClient: 65535, SessionExpiryMax: session.ExpiryNever}
	b = core.New(core.Config{
		Node: "n", NodeID: 1, Gate: &netsplit.Gate{}, Metadata: meta, Queue: store,
		Settings:      &core.Settings{Limits: limits, Queue: queue.Config{MaxOnline: 100, MaxOffline: 100}, OutboxBytesMax: 1 << 20, ConnectTimeout: time.Second},
		Authenticator: nobody{}, Authorizer: nobody{}, Enhanced: mirror{},
		Metrics: metric.New(), Log: slog.New(slog.DiscardHandler), Now: time.Now, Random: func(p []byte) { _, _ = rand.Read(p) },
	})
	l, err := conn.Listen(conn.Config{Name: "auth", Kind: conn.KindTCP, Address: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	inner, stopInner := context.WithCancel(context.Background())
	outer, stopOuter := context.WithCancel(context.Background())
	var stores, above sync.WaitGroup
	stores.Go(func() { _ = meta.Run(inner) })
	stores.Go(func() { _ = store.Run(inner) })
	<-meta.Running()
	if err := b.Load(); err != nil {
		t.Fatal(err)
	}
	above.Go(func() { l.Serve(outer, b.Accept(&core.Listener{Name: "auth"})) })
	above.Go(func() { _ = b.Run(outer) })
	t.Cleanup(func() {
		stopOuter()
		above.Wait()
		stopInner()
		stores.Wait()
	})
	return &broker{addrs: []string{l.AddrString()}}
}

func method(name, data string) with {
	return func(c *packet.Connect) {
		c.Properties.Set |= packet.PropAuthMethod | packet.PropAuthData
		c.Properties.AuthMethod, c.Properties.AuthData = []byte(name), []byte(data)
	}
}

func auth(reason packet.ReasonCode, name, data string) []byte {
	a := &packet.Auth{Reason: reason}
	a.Properties.Set = packet.PropAuthMethod | packet.PropAuthData
	a.Properties.AuthMethod, a.Properties.AuthData = []byte(name), []byte(data)
	return packet.AppendAuth(nil, packet.V5, a)
}

func asked(name, word string) string {
	return "AUTH 0x18 {authentication-method=" + name + " authentication-data=" + word + "}"
}

// TestEnhancedAuthentication: challenges before CONNACK. Rules 5/3.1.2-30,
// 5/3.2.0-1, 5/4.12.0-1, 5/4.12.0-2, 5/4.12.0-3, 5/4.12.0-4, 5/4.12.0-5,
// 5/4.12.0-6, 5/3.15.2-1, 5/3.15.2-2, 5/3.15.2-3, 5/3.1.4-2.
func TestEnhancedAuthentication(t *testing.T) {
	t.Parallel()
	b := startMirrors(t)
	const begin, next = packet.Reauthenticate, packet.ContinueAuthentication
	welcome := func(m string) string {
		return "CONNACK 0x00 {authentication-method=" + m + " authentication-data=welcome}"
	}
	for _, ws := range [][]with{{method("mirror", "hi")}, {method("mirror", "hi"), keep}} {
		c := b.dial(t, packet.V5)
		c.send(hello(packet.V5, "one", ws...))
		c.want(asked("mirror", "word0"))
		c.send(auth(next, "mirror", "0drow"), packet.AppendPingreq(nil))
		c.want(welcome("mirror"), "PINGRESP")
		c.leave()
	}
	c := b.dial(t, packet.V5)
	c.send(hello(packet.V5, "two", method("mirrors", "hi")))
	c.want(asked("mirrors", "word1"))
	c.send(auth(next, "mirrors", "1drow"))
	c.want(asked("mirrors", "word0"))
	c.send(auth(next, "mirrors", "0drow"))
	c.want(welcome("mirrors"))
	for _, wrong := range []struct {
		packet []byte
		code   string
	}{
		{auth(next, "mirror", "no"), "0x87"},
		{auth(begin, "mirror", "0drow"), "0x82"},
		{auth(next, "mirrors", "0drow"), "0x82"},
		{packet.AppendPingreq(nil), "0x82"},
		{hello(packet.V5, "x", method("mirror", "hi")), "0x82"},
	} {
		c := b.dial(t, packet.V5)
		c.send(hello(packet.V5, "wrong", method("mirror", "hi")))
		c.want(asked("mirror", "word0"))
		c.send(wrong.packet)
		c.wantPrefix("CONNACK " + wrong.code)
		c.want(closed)
	}
	c = b.dial(t, packet.V5)
	c.send(hello(packet.V5, "unknown", method("other", "hi")))
	c.wantPrefix("CONNACK 0x8c")
	c.want(closed)
	// Without a method it is the password that counts, and there is no AUTH.
	for v, answer := range map[packet.Version]string{packet.V5: "CONNACK 0x86 {reason-string=no}", packet.V311: "CONNACK 0x04"} {
		c = b.dial(t, v)
		c.send(hello(v, "plain"))
		c.want(answer, closed)
	}
}

// TestSilentChallenge: a client that leaves a challenge unanswered is closed
// as one that never sends CONNECT.
func TestSilentChallenge(t *testing.T) {
	t.Parallel()
	b := startMirrors(t)
	begun := time.Now()
	c := b.dial(t, packet.V5)
	c.send(hello(packet.V5, "silent", method("mirror", "hi")))
	c.want(asked("mirror", "word0"), closed)
	if took := time.Since(begun); took < time.Second || took > 8*time.Second {
		t.Errorf("closed after %v", took)
	}
}

// TestReauthentication: on a connection that is up; other packets go on
// meanwhile. Rules 5/4.12.1-1, 5/4.12.1-2, 5/4.12.0-2, 5/4.12.0-5.
func TestReauthentication(t *testing.T) {
	t.Parallel()
	b := startMirrors(t)
	up := func() *client {
		c := b.dial(t, packet.V5)
		c.send(hello(packet.V5, "c", method("mirror", "hi")))
		c.want(asked("mirror", "word0"))
		c.send(auth(packet.ContinueAuthentication, "mirror", "0drow"))
		c.wantPrefix("CONNACK 0x00")
		return c
	}
	c := up()
	for range 2 {
		c.send(auth(packet.Reauthenticate, "mirror", "again"))
		c.want(asked("mirror", "word0"))
		c.fence()
		c.send(auth(packet.ContinueAuthentication, "mirror", "0drow"))
		c.want("AUTH 0x00 {authentication-method=mirror authentication-data=welcome}")
	}
	c.send(auth(packet.Reauthenticate, "mirror", "liar"))
	c.want("DISCONNECT 0x87 {reason-string=that is not it}", closed)
	for _, wrong := range [][]byte{
		auth(packet.ContinueAuthentication, "mirror", "0drow"),
		auth(packet.Reauthenticate, "mirrors", "again"),
		append(auth(packet.Reauthenticate, "mirror", "again"), auth(packet.Reauthenticate, "mirror", "again")...),
	} {
		c := up()
		c.send(wrong)
		got := c.receive()
		for strings.HasPrefix(got, "AUTH") {
			got = c.receive()
		}
		if !strings.HasPrefix(got, "DISCONNECT 0x82") {
			t.Errorf("%x: got %s", wrong, got)
		}
		c.want(closed)
	}
}
