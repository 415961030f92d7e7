package conn

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// testAuthority signs the certificates of the tests. Immutable once built, except
// for serial, which mu guards.
type testAuthority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  []byte
	mu   sync.Mutex
	last int64
}

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
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &testAuthority{key: key, cert: cert, pem: pemBlock("CERTIFICATE", der), last: 1}, nil
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// issue signs a certificate and returns it with its key, as PEM. A nil parent
// makes it self-signed.
func (a *testAuthority) issue(t *testing.T, name string, parent *x509.Certificate) (certPEM, keyPEM []byte, serial *big.Int) {
	t.Helper()
	a.mu.Lock()
	a.last++
	serial = big.NewInt(a.last)
	a.mu.Unlock()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	signer := a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pemBlock("CERTIFICATE", der), pemBlock("PRIVATE KEY", keyDER), serial
}

// server returns the TLS side of a listener, its files freshly written.
func (a *testAuthority) server(t *testing.T, cfg TLSConfig) *TLS {
	t.Helper()
	dir := t.TempDir()
	certPEM, keyPEM, _ := a.issue(t, "server", a.cert)
	cfg.CertFile = writeFile(t, dir, "cert.pem", certPEM)
	cfg.KeyFile = writeFile(t, dir, "key.pem", keyPEM)
	cfg.CAFile = writeFile(t, dir, "ca.pem", a.pem)
	secure, err := NewTLS(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return secure
}

// client returns a client's configuration, with certificates if given.
func (a *testAuthority) client(certs ...tls.Certificate) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{RootCAs: pool, ServerName: "localhost", Certificates: certs}
}

// clientCertificate issues one for a client.
func (a *testAuthority) clientCertificate(t *testing.T, name string, parent *x509.Certificate) (tls.Certificate, *big.Int) {
	t.Helper()
	certPEM, keyPEM, serial := a.issue(t, name, parent)
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return cert, serial
}

func writeFile(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
