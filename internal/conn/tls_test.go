package conn

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tombolo/internal/certificate"
)

// revoke writes a revocation list.
func (a *testAuthority) revoke(t *testing.T, dir string, serials ...*big.Int) string {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	for _, s := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: s, RevocationTime: time.Now().Add(-time.Hour)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.Leaf, a.Key)
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, dir, "crl.pem", certificate.Block("X509 CRL", der))
}

// tryTLS connects and asks for an echo.
func tryTLS(t *testing.T, h *harness, cfg *tls.Config) error {
	t.Helper()
	nc := tls.Client(closeLater(t, dialTCP(t, h)), cfg)
	if _, err := nc.Write([]byte("echo")); err != nil {
		return err
	}
	_, err := io.ReadFull(nc, make([]byte, 4))
	return err
}

// Which clients get in, by certificate and configuration.
func TestClientCertificates(t *testing.T) {
	a := authority(t)
	good, revoked := a.issue(t, "device-1").TLS(), a.issue(t, "device-2").TLS()
	alone, err := certificate.New("device-3")
	if err != nil {
		t.Fatal(err)
	}
	self := alone.TLS()
	crl := a.revoke(t, t.TempDir(), revoked.Leaf.SerialNumber)
	for name, c := range map[string]struct {
		cfg   TLSConfig
		certs []tls.Certificate
		ok    bool
		cn    string
	}{
		"not asked for":         {TLSConfig{}, []tls.Certificate{good}, true, ""},
		"required and good":     {TLSConfig{RequireCertificate: true}, []tls.Certificate{good}, true, "device-1"},
		"required and missing":  {TLSConfig{RequireCertificate: true}, nil, false, ""},
		"if given, and missing": {TLSConfig{VerifyGiven: true}, nil, true, ""},
		"if given, and good":    {TLSConfig{VerifyGiven: true}, []tls.Certificate{good}, true, "device-1"},
		"self-signed":           {TLSConfig{VerifyGiven: true}, []tls.Certificate{self}, false, ""},
		"revoked":               {TLSConfig{RequireCertificate: true, CRLFile: crl}, []tls.Certificate{revoked}, false, ""},
		"not revoked":           {TLSConfig{RequireCertificate: true, CRLFile: crl}, []tls.Certificate{good}, true, "device-1"},
	} {
		t.Run(name, func(t *testing.T) {
			infos := make(chan Info, 1)
			h := serve(t, Config{Kind: KindSSL, TLS: a.server(t, c.cfg), IdentityAsUser: true},
				func(conn Conn) Handler { infos <- conn.Info(); return echo(conn) })
			client := a.client()
			client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if len(c.certs) == 0 {
					return &tls.Certificate{}, nil
				}
				return &c.certs[0], nil // even one the server does not name
			}
			err := tryTLS(t, h, client)
			if (err == nil) != c.ok {
				t.Fatalf("got %v", err)
			}
			if !c.ok {
				eventually(t, "a refusal", func() bool { return h.l.Stats().Refused(RefusedTLS) == 1 })
				return
			}
			info := await(t, infos, "info")
			if info.TLS == nil || info.CommonName != c.cn || info.CommonNameIsUser != (c.cn != "") {
				t.Fatalf("%+v", info)
			}
		})
	}
}

// The self-signed certificate is refused even if it is itself a trust anchor, and
// a chain that is too long by depth.
func TestPeerCheck(t *testing.T) {
	a := authority(t)
	state := tls.ConnectionState{
		PeerCertificates: []*x509.Certificate{a.Leaf},
		VerifiedChains:   [][]*x509.Certificate{{a.Leaf}},
	}
	if err := (&peerCheck{depth: 1}).verify(state); !errors.Is(err, errSelfSigned) {
		t.Errorf("self-signed anchor: %v", err)
	}
	leaf := a.issue(t, "leaf").Leaf
	long := tls.ConnectionState{
		PeerCertificates: []*x509.Certificate{leaf},
		VerifiedChains:   [][]*x509.Certificate{{leaf, a.Leaf, a.Leaf, a.Leaf}},
	}
	if err := (&peerCheck{depth: 1}).verify(long); !errors.Is(err, errTooDeep) {
		t.Errorf("two intermediates at depth 1: %v", err)
	}
	for _, depth := range []int{2, -1} {
		if err := (&peerCheck{depth: depth}).verify(long); err != nil {
			t.Errorf("two intermediates at depth %d: %v", depth, err)
		}
	}
}

// A silent client is gone after the limit, and a plain one at once.
func TestHandshakeTimeout(t *testing.T) {
	for _, kind := range []string{KindSSL, KindWS} {
		cfg := Config{Kind: kind, HandshakeTimeout: 30 * time.Millisecond}
		if kind == KindSSL {
			cfg.TLS = authority(t).server(t, TLSConfig{})
		}
		h := serve(t, cfg, echo)
		mustBeClosed(t, closeLater(t, dialTCP(t, h)))
		eventually(t, "a refusal", func() bool {
			return h.l.Stats().Refused(RefusedTLS)+h.l.Stats().Refused(RefusedWebSocket) == 1
		})
	}
	h := serve(t, Config{Kind: KindSSL, TLS: authority(t).server(t, TLSConfig{})}, echo)
	nc := closeLater(t, dialTCP(t, h))
	if _, err := nc.Write([]byte("\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a refusal", func() bool { return h.l.Stats().Refused(RefusedTLS) == 1 })
}

// Serve ends though a handshake is under way that nobody will finish.
func TestServeEndsDuringHandshake(t *testing.T) {
	h := serve(t, Config{Kind: KindSSL, TLS: authority(t).server(t, TLSConfig{}), HandshakeTimeout: time.Hour}, echo)
	closeLater(t, dialTCP(t, h))
	eventually(t, "the handshake", func() bool { return h.l.Stats().Active() == 1 })
	h.stop()
}

// Reload takes new files for new connections, and keeps the old ones in use when
// the new are broken.
func TestReload(t *testing.T) {
	a := authority(t)
	secure := a.server(t, TLSConfig{})
	h := serve(t, Config{Kind: KindSSL, TLS: secure}, echo)
	serial := func() string {
		nc := tls.Client(closeLater(t, dialTCP(t, h)), a.client())
		if err := nc.Handshake(); err != nil {
			t.Fatal(err)
		}
		return nc.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	before := serial()
	next := a.issue(t, "server")
	if err := os.WriteFile(secure.cfg.CertFile, next.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := secure.Reload(); err == nil || !strings.Contains(err.Error(), secure.cfg.CertFile) {
		t.Fatalf("a certificate without its key: %v", err)
	}
	if got := serial(); got != before {
		t.Fatalf("serial %s after a failed reload, want %s", got, before)
	}
	if err := next.Write(secure.cfg.CertFile, secure.cfg.KeyFile); err != nil {
		t.Fatal(err)
	}
	if err := secure.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != next.Leaf.SerialNumber.String() {
		t.Fatalf("serial %s after reload, want %s", got, next.Leaf.SerialNumber)
	}
}

func TestTLSErrors(t *testing.T) {
	a := authority(t)
	dir := t.TempDir()
	pair := a.issue(t, "server")
	cert, key := filepath.Join(dir, "c"), filepath.Join(dir, "k")
	if err := pair.Write(cert, key); err != nil {
		t.Fatal(err)
	}
	junk := writeFile(t, dir, "j", []byte("junk"))
	locked := writeFile(t, dir, "l", certificate.Block("ENCRYPTED PRIVATE KEY", []byte("x")))
	ca := writeFile(t, dir, "ca", a.PEM())
	other, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	foreign := other.revoke(t, t.TempDir(), pair.Leaf.SerialNumber)
	for name, c := range map[string]struct {
		cfg  TLSConfig
		want string
	}{
		"nothing":       {TLSConfig{}, "certfile"},
		"missing":       {TLSConfig{CertFile: dir + "/none", KeyFile: key}, "none"},
		"junk":          {TLSConfig{CertFile: junk, KeyFile: key}, junk},
		"encrypted key": {TLSConfig{CertFile: cert, KeyFile: locked}, "openssl pkey"},
		"no cafile":     {TLSConfig{CertFile: cert, KeyFile: key, RequireCertificate: true}, "cafile"},
		"junk cafile":   {TLSConfig{CertFile: cert, KeyFile: key, RequireCertificate: true, CAFile: junk}, junk},
		"junk crlfile":  {TLSConfig{CertFile: cert, KeyFile: key, RequireCertificate: true, CAFile: ca, CRLFile: junk}, junk},
		"foreign crl":   {TLSConfig{CertFile: cert, KeyFile: key, RequireCertificate: true, CAFile: ca, CRLFile: foreign}, "not signed"},
	} {
		if _, err := NewTLS(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", name, err, c.want)
		}
	}
}

func TestParseTLSNames(t *testing.T) {
	suites, ignored, err := ParseCiphers("ECDHE-RSA-AES128-GCM-SHA256:TLS_AES_128_GCM_SHA256:DHE-DSS-AES256-SHA")
	if err != nil || !slices.Equal(suites, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}) || len(ignored) != 2 {
		t.Errorf("%v %v %v", suites, ignored, err)
	}
	if _, _, err := ParseCiphers("RC4-MD5:NONE"); err == nil {
		t.Error("a list without any known suite is taken")
	}
	curves, ignored, err := ParseCurves("[secp384r1, sect571r1,x25519]")
	if err != nil || !slices.Equal(curves, []tls.CurveID{tls.CurveP384, tls.X25519}) || len(ignored) != 1 {
		t.Errorf("%v %v %v", curves, ignored, err)
	}
	lowest, highest, err := ParseVersions("tlsv1.3,tlsv1.2")
	if err != nil || lowest != tls.VersionTLS12 || highest != tls.VersionTLS13 {
		t.Errorf("%x %x %v", lowest, highest, err)
	}
	if _, _, err := ParseVersions("tlsv1.4"); err == nil {
		t.Error("an unknown version is taken")
	}
}
