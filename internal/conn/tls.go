package conn

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
)

// TLSConfig describes the TLS side of a listener. It holds valid values only.
type TLSConfig struct {
	// CertFile and KeyFile are PEM files: the chain, leaf first, and its key.
	CertFile, KeyFile string
	// Certificate reads them, if it is not nil; for keys that are encrypted.
	Certificate func() (tls.Certificate, error)
	// CAFile holds the trust anchors for client certificates.
	CAFile string
	// CRLFile holds PEM revocation lists of those authorities; "" is none.
	CRLFile string
	// RequireCertificate refuses clients without a certificate. VerifyGiven asks
	// for one and verifies it if it comes.
	RequireCertificate, VerifyGiven bool
	// Depth bounds the intermediate certificates of a client's chain; negative is
	// no bound.
	Depth int
	// MinVersion and MaxVersion are constants of crypto/tls; 0 is its default.
	MinVersion, MaxVersion uint16
	// Ciphers and Curves replace the defaults if not empty; see ParseCiphers and
	// ParseCurves. TLS 1.3 suites cannot be chosen.
	Ciphers []uint16
	Curves  []tls.CurveID
}

// TLS holds the keys and certificates in use. It is safe for concurrent use; a
// handshake uses what the last successful Reload has read.
type TLS struct {
	cfg     TLSConfig
	current atomic.Pointer[tls.Config]
}

// NewTLS reads the files. The error names the file and what is wrong with it.
func NewTLS(cfg TLSConfig) (*TLS, error) {
	t := &TLS{cfg: cfg}
	if err := t.Reload(); err != nil {
		return nil, err
	}
	return t, nil
}

// Reload reads all files again. If it fails, what was in use stays in use.
func (t *TLS) Reload() error {
	cfg := &tls.Config{
		MinVersion:                  t.cfg.MinVersion,
		MaxVersion:                  t.cfg.MaxVersion,
		CipherSuites:                t.cfg.Ciphers,
		CurvePreferences:            t.cfg.Curves,
		DynamicRecordSizingDisabled: true, // the outbox has batched already
	}
	read := t.cfg.Certificate
	if read == nil {
		read = func() (tls.Certificate, error) { return readKeyPair(t.cfg.CertFile, t.cfg.KeyFile) }
	}
	cert, err := read()
	if err != nil {
		return err
	}
	cfg.Certificates = []tls.Certificate{cert}
	check := &peerCheck{depth: t.cfg.Depth}
	if t.cfg.RequireCertificate || t.cfg.VerifyGiven {
		cfg.ClientAuth = tls.VerifyClientCertIfGiven
		if t.cfg.RequireCertificate {
			cfg.ClientAuth = tls.RequireAndVerifyClientCert
		}
		if t.cfg.CAFile == "" {
			return errors.New("client certificates are to be verified: set cafile to the authorities to trust")
		}
		anchors, err := readCertificates(t.cfg.CAFile)
		if err != nil {
			return err
		}
		cfg.ClientCAs = x509.NewCertPool()
		for _, a := range anchors {
			cfg.ClientCAs.AddCert(a)
		}
		if t.cfg.CRLFile != "" {
			if check.revoked, err = readRevoked(t.cfg.CRLFile, anchors); err != nil {
				return err
			}
		}
		// Not VerifyPeerCertificate: it is not called for resumed sessions.
		cfg.VerifyConnection = check.verify
	}
	t.current.Store(cfg)
	return nil
}

// Config returns a configuration that follows Reload, for any TLS server.
func (t *TLS) Config() *tls.Config {
	return &tls.Config{
		MinVersion:         t.cfg.MinVersion,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return t.current.Load(), nil },
	}
}

// peerCheck adds to the standard verification what the options promise. Immutable.
type peerCheck struct {
	depth   int
	revoked map[revokedKey]struct{}
}

// revokedKey names a certificate by its issuer's subject and its serial number.
type revokedKey struct{ issuer, serial string }

// Errors of client certificates that are well formed and signed all the same.
var (
	errRevoked    = errors.New("client certificate is revoked")
	errSelfSigned = errors.New("client certificate is self-signed")
	errTooDeep    = errors.New("client certificate has more intermediates than depth allows")
)

func (p *peerCheck) verify(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return nil // ClientAuth has decided that this is allowed
	}
	leaf := state.PeerCertificates[0]
	if string(leaf.RawIssuer) == string(leaf.RawSubject) && leaf.CheckSignatureFrom(leaf) == nil {
		return errSelfSigned
	}
	cause := errTooDeep
	for _, chain := range state.VerifiedChains {
		if p.depth >= 0 && len(chain)-2 > p.depth {
			continue
		}
		if p.chainRevoked(chain) {
			cause = errRevoked
			continue
		}
		return nil
	}
	return cause
}

func (p *peerCheck) chainRevoked(chain []*x509.Certificate) bool {
	for _, cert := range chain {
		if _, ok := p.revoked[revokedKey{string(cert.RawIssuer), cert.SerialNumber.String()}]; ok {
			return true
		}
	}
	return false
}

func readKeyPair(certFile, keyFile string) (tls.Certificate, error) {
	if certFile == "" || keyFile == "" {
		return tls.Certificate{}, errors.New("certfile and keyfile must both be set")
	}
	certPEM, err := os.ReadFile(certFile)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certfile: %w", err)
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("keyfile: %w", err)
	}
	if block, _ := pem.Decode(keyPEM); block != nil && (block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "") {
		return tls.Certificate{}, fmt.Errorf("keyfile %s is encrypted, which is not supported; decrypt it with: openssl pkey -in FILE -out FILE", keyFile)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certfile %s with keyfile %s: %w", certFile, keyFile, err)
	}
	return cert, nil
}

func readCertificates(file string) ([]*x509.Certificate, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cafile: %w", err)
	}
	var all []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("cafile %s: certificate %d: %w", file, len(all)+1, err)
		}
		all = append(all, cert)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("cafile %s holds no PEM certificate", file)
	}
	return all, nil
}

// readRevoked reads revocation lists, each of which one of the anchors must have
// signed.
func readRevoked(file string, anchors []*x509.Certificate) (map[revokedKey]struct{}, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("crlfile: %w", err)
	}
	revoked := make(map[revokedKey]struct{})
	lists := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "X509 CRL" {
			continue
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("crlfile %s: list %d: %w", file, lists+1, err)
		}
		if !signedByOne(list, anchors) {
			return nil, fmt.Errorf("crlfile %s: list %d is not signed by an authority of cafile", file, lists+1)
		}
		for _, entry := range list.RevokedCertificateEntries {
			revoked[revokedKey{string(list.RawIssuer), entry.SerialNumber.String()}] = struct{}{}
		}
		lists++
	}
	if lists == 0 {
		return nil, fmt.Errorf("crlfile %s holds no PEM revocation list", file)
	}
	return revoked, nil
}

func signedByOne(list *x509.RevocationList, anchors []*x509.Certificate) bool {
	for _, a := range anchors {
		if string(a.RawSubject) == string(list.RawIssuer) && list.CheckSignatureFrom(a) == nil {
			return true
		}
	}
	return false
}
