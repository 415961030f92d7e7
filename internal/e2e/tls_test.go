package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"path/filepath"
	"testing"

	"tombolo/internal/certificate"
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
	s.client = &tls.Config{RootCAs: selfSigned(tb, cert, key)}
	for kind, address := range map[string]string{"ssl": s.ssl, "wss": s.wss} {
		n.options["listener."+kind+".default"] = address
		n.options["listener."+kind+".certfile"] = cert
		n.options["listener."+kind+".keyfile"] = key
	}
	n.start()
	return n, s
}

// selfSigned writes a certificate that vouches for itself, and its key, and returns
// a pool that trusts it.
func selfSigned(tb testing.TB, certPath, keyPath string) *x509.CertPool {
	tb.Helper()
	p, err := certificate.New("localhost")
	if err != nil {
		tb.Fatal(err)
	}
	if err := p.Write(certPath, keyPath); err != nil {
		tb.Fatal(err)
	}
	return p.Pool()
}
