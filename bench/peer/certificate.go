package peer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// certify writes a certificate that vouches for itself, and its key, for a broker
// that lives as long as a benchmark.
func certify(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(7 * 24 * time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for _, block := range []struct {
		file, kind string
		bytes      []byte
	}{{"cert.pem", "CERTIFICATE", certificate}, {"key.pem", "PRIVATE KEY", private}} {
		text := pem.EncodeToMemory(&pem.Block{Type: block.kind, Bytes: block.bytes})
		if err := os.WriteFile(filepath.Join(dir, block.file), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}
