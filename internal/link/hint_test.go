package link

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"tombolo/internal/certificate"
)

// TestTLSHints: whatever is wrong with the certificates of two nodes, the one that dials
// says what to do, in what the operator is shown, and in its log if it can be nothing else.
func TestTLSHints(t *testing.T) {
	ours, err := certificate.New("ours")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := certificate.New("theirs")
	if err != nil {
		t.Fatal(err)
	}
	with := func(pair *certificate.Pair, trusted *x509.CertPool, ahead time.Duration) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{pair.TLS()}, RootCAs: trusted, ClientCAs: trusted, MinVersion: tls.VersionTLS13,
			ClientAuth: tls.RequireAndVerifyClientCert, Time: func() time.Time { return time.Now().Add(ahead) }}
	}
	good := with(ours, ours.Pool(), 0)
	for _, c := range []struct {
		name          string
		dials, hears  *tls.Config
		told, toldToo string // by who dials, by who hears
	}{
		{"the other one's authority is not known", good, with(theirs, ours.Pool(), 0), "not of an authority in cluster.cafile here", "is not accepted there"},
		{"its own authority is not known there", with(theirs, ours.Pool(), 0), good, "not of an authority in cluster.cafile there", "not of an authority in cluster.cafile here"},
		{"run out", with(ours, ours.Pool(), 30*24*time.Hour), good, "renew cluster.certfile", ""},
		{"its own has run out, as the other one says", good, with(ours, ours.Pool(), 30*24*time.Hour), "renew cluster.certfile", "renew cluster.certfile"},
		{"the other one has none", good, nil, "perhaps only one of the two has", ""},
		{"it has none", nil, good, "perhaps only one of the two has", "only one of the two nodes has"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var said, saidToo heardLog
			a := prepare(t, 1, func(x *Config) { x.TLS, x.Log = c.dials, said.line })
			b := prepare(t, 2, func(x *Config) { x.TLS, x.Log = c.hears, saidToo.line })
			connect(t, a, b)
			a.start(t)
			b.start(t)
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("shown: %q; logged: %q and %q", a.mesh.Status()[0].LastError, said.text, saidToo.text)
				}
			})
			within(t, "what to do", func() bool { return strings.Contains(a.mesh.Status()[0].LastError, c.told) && saidToo.has(c.toldToo) })
			if hangsUp := c.dials == nil || c.hears == nil; !hangsUp {
				within(t, "a line of the log", func() bool { return said.has(c.told) })
			}
		})
	}
}

// heardLog is what was logged. Safe for concurrent use.
type heardLog struct {
	mu   sync.Mutex
	text string
}

func (h *heardLog) line(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text += text + "\n"
}

func (h *heardLog) has(part string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Contains(h.text, part)
}

// TestUnanswered: at an address where somebody takes connections and says nothing, the
// node that dials says so, and what it may be, in its log once.
func TestUnanswered(t *testing.T) {
	pair, err := certificate.New("ours")
	if err != nil {
		t.Fatal(err)
	}
	for name, secure := range map[string]*tls.Config{"plain": nil, "TLS": {Certificates: []tls.Certificate{pair.TLS()}, RootCAs: pair.Pool(), MinVersion: tls.VersionTLS13}} {
		t.Run(name, func(t *testing.T) {
			mute, err := net.Listen("tcp", "127.0.0.1:0") // the system takes connections for it
			if err != nil {
				t.Fatal(err)
			}
			defer mute.Close()
			var said heardLog
			a := prepare(t, 1, func(x *Config) { x.TLS, x.Log, x.DialTimeout = secure, said.line, 50*time.Millisecond })
			if err := a.mesh.AddPeer(2, mute.Addr().String()); err != nil {
				t.Fatal(err)
			}
			a.start(t)
			const told = "takes the connection and says nothing"
			within(t, "what is wrong", func() bool { return strings.Contains(a.mesh.Status()[0].LastError, mute.Addr().String()+" "+told) })
			within(t, "a line of the log", func() bool { return said.has(told) })
			within(t, "the reason in the counter", func() bool { return a.mesh.Stats().Refusals[Silence] > 0 })
			for range 6 { // and as many attempts
				c, err := mute.Accept()
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			}
			said.mu.Lock()
			defer said.mu.Unlock()
			if got := strings.Count(said.text, told); got != 1 {
				t.Errorf("it was logged %d times, want once:\n%s", got, said.text)
			}
		})
	}
}
