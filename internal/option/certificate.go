package option

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// unreadable reports whether err came from opening or reading a file.
func unreadable(err error) bool {
	_, ok := errors.AsType[*fs.PathError](err)
	return ok
}

// Certificate reads certfile and keyfile and checks that they belong
// together. Call it again to take renewed files.
func (t *TLS) Certificate() (tls.Certificate, error) {
	certificate, err := os.ReadFile(t.CertFile)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certfile: %w", err)
	}
	key, err := os.ReadFile(t.KeyFile)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("keyfile: %w", err)
	}
	if key, err = t.decrypt(key); err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certfile %s and keyfile %s: %w", t.CertFile, t.KeyFile, err)
	}
	return pair, nil
}

// decrypt opens an encrypted key of the traditional PEM form. That form is
// weak, and the standard library says so; but it is what keypasswd was made
// for, and the alternative is a key in the clear.
func (t *TLS) decrypt(key []byte) ([]byte, error) {
	block, _ := pem.Decode(key)
	if block == nil {
		return key, nil // X509KeyPair has the better message
	}
	if block.Type == "ENCRYPTED PRIVATE KEY" {
		return nil, fmt.Errorf("keyfile %s is encrypted in the PKCS #8 form, which cannot be read here; decrypt it with: openssl pkey -in %s -out key.pem", t.KeyFile, t.KeyFile)
	}
	//lint:ignore SA1019 see the comment of this function
	if !x509.IsEncryptedPEMBlock(block) {
		return key, nil
	}
	if t.keyPassword == "" {
		return nil, fmt.Errorf("keyfile %s is encrypted; set keypasswd", t.KeyFile)
	}
	//lint:ignore SA1019 see the comment of this function
	der, err := x509.DecryptPEMBlock(block, []byte(t.keyPassword))
	if err != nil {
		return nil, fmt.Errorf("keyfile %s cannot be decrypted with keypasswd: %w", t.KeyFile, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: der}), nil
}

// Authorities reads cafile.
func (t *TLS) Authorities() (*x509.CertPool, error) {
	text, err := os.ReadFile(t.CAFile)
	if err != nil {
		return nil, fmt.Errorf("cafile: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("cafile %s holds no certificate in PEM", t.CAFile)
	}
	return pool, nil
}

// Revoked reads crlfile: the serial numbers that are refused, as the bytes of
// big.Int in a string.
func (t *TLS) Revoked() (map[string]bool, error) {
	text, err := os.ReadFile(t.CRLFile)
	if err != nil {
		return nil, fmt.Errorf("crlfile: %w", err)
	}
	out, found := map[string]bool{}, false
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = bytes.TrimSpace(rest)
		if block.Type != "X509 CRL" {
			continue
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("crlfile %s: %w", t.CRLFile, err)
		}
		found = true
		for _, e := range list.RevokedCertificateEntries {
			out[string(e.SerialNumber.Bytes())] = true
		}
	}
	if !found {
		return nil, fmt.Errorf("crlfile %s holds no revocation list in PEM", t.CRLFile)
	}
	return out, nil
}
