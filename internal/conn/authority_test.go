package conn

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"tombolo/internal/certificate"
)

// testAuthority signs the certificates of the tests. Immutable.
type testAuthority struct{ *certificate.Pair }

var newAuthorityOnce = sync.OnceValues(newAuthority)

func authority(t *testing.T) *testAuthority {
	t.Helper()
	a, err := newAuthorityOnce()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newAuthority() (*testAuthority, error) {
	p, err := certificate.New("test authority")
	return &testAuthority{p}, err
}

// issue signs a certificate.
func (a *testAuthority) issue(t *testing.T, name string) *certificate.Pair {
	t.Helper()
	p, err := a.Issue(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// server returns the TLS side of a listener, its files freshly written.
func (a *testAuthority) server(t *testing.T, cfg TLSConfig) *TLS {
	t.Helper()
	dir := t.TempDir()
	cfg.CertFile, cfg.KeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := a.issue(t, "server").Write(cfg.CertFile, cfg.KeyFile); err != nil {
		t.Fatal(err)
	}
	cfg.CAFile = writeFile(t, dir, "ca.pem", a.PEM())
	secure, err := NewTLS(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return secure
}

// client returns a client's configuration, with certificates if given.
func (a *testAuthority) client(certs ...tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: a.Pool(), ServerName: "localhost", Certificates: certs}
}

func writeFile(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
