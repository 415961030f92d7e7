// Package certificate makes certificates for tests and benchmarks. They name
// localhost and 127.0.0.1, serve both ends of a connection, and last a week.
//
// They are not for production: their keys are written as they are. The package
// has no state but a counter of serial numbers; all of it may be used by several
// goroutines at once.
package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// serials tells apart the certificates of one process.
var serials atomic.Int64

// Pair is a certificate and its key. Immutable.
type Pair struct {
	Leaf *x509.Certificate
	Key  *ecdsa.PrivateKey
}

// New makes a certificate that vouches for itself and may sign others.
func New(name string) (*Pair, error) {
	c := template(name)
	c.IsCA, c.KeyUsage = true, c.KeyUsage|x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return sign(c, key, &Pair{c, key})
}

// Issue makes a certificate that p signs.
func (p *Pair) Issue(name string) (*Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return sign(template(name), key, p)
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serials.Add(1)), Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(7 * 24 * time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func sign(c *x509.Certificate, key *ecdsa.PrivateKey, by *Pair) (*Pair, error) {
	der, err := x509.CreateCertificate(rand.Reader, c, by.Leaf, &key.PublicKey, by.Key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	return &Pair{leaf, key}, err
}

// TLS is the pair as package crypto/tls takes it.
func (p *Pair) TLS() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{p.Leaf.Raw}, PrivateKey: p.Key, Leaf: p.Leaf}
}

// Pool trusts the certificate and what it signed.
func (p *Pair) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(p.Leaf)
	return pool
}

// PEM is the certificate as files have it.
func (p *Pair) PEM() []byte { return Block("CERTIFICATE", p.Leaf.Raw) }

// Block is one block of a PEM file.
func Block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// KeyPEM is the key as files have it, in PKCS #8.
func (p *Pair) KeyPEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(p.Key)
	return Block("PRIVATE KEY", der), err
}

// Write writes both, the key first: who finds the certificate finds its key.
func (p *Pair) Write(certFile, keyFile string) error {
	key, err := p.KeyPEM()
	return errors.Join(err, os.WriteFile(keyFile, key, 0o600), os.WriteFile(certFile, p.PEM(), 0o600))
}
