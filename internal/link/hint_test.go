package link

import (
	"crypto/tls"
	"crypto/x509"
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
