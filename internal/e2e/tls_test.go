package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// secured is what is needed to reach the TLS listeners of a node. Immutable.
type secured struct {
	ssl, wss string // addresses
	ca       string // file of the authority, which is the server's certificate itself
	client   *tls.Config
}

// startTLSNode starts a node that listens with and without TLS.
func startTLSNode(tb testing.TB, options ...string) (*node, *secured) {
	tb.Helper()
	n := newNode(tb, options...)
	s := &secured{ssl: freeAddress(tb), wss: freeAddress(tb)}
	cert, key := filepath.Join(n.dir, "server.crt"), filepath.Join(n.dir, "server.key")
	s.ca = cert
	s.client = &tls.Config{RootCAs: certificate(tb, cert, key, 1)}
	for kind, address := range map[string]string{"ssl": s.ssl, "wss": s.wss} {
		n.options["listener."+kind+".default"] = address
		n.options["listener."+kind+".certfile"] = cert
		n.options["listener."+kind+".keyfile"] = key
	}
	n.start()
	return n, s
}

// certificate writes a certificate for 127.0.0.1 that signs itself, and its
// key, and returns a pool that trusts it.
func certificate(tb testing.TB, certPath, keyPath string, serial int64) *x509.CertPool {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	write(tb, keyPath, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
	write(tb, certPath, string(text))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return pool
}
