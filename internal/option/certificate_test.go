package option

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"
)

// material is a certificate with its key in the forms that files have.
type material struct{ certificate, key, encrypted, pkcs8, crl string }

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func makeMaterial(t *testing.T) material {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "broker"}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCRLSign | x509.KeyUsageCertSign, SubjectKeyId: []byte{1}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	crl, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Unix(0, 0), NextUpdate: time.Unix(1<<33, 0),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: big.NewInt(99), RevocationTime: time.Unix(1, 0)}}}, issuer, key)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	//lint:ignore SA1019 the form that keypasswd is for
	block, err := x509.EncryptPEMBlock(rand.Reader, "EC PRIVATE KEY", ec, []byte("sesame"), x509.PEMCipherAES128)
	if err != nil {
		t.Fatal(err)
	}
	return material{encode("CERTIFICATE", der), encode("EC PRIVATE KEY", ec), string(pem.EncodeToMemory(block)), encode("ENCRYPTED PRIVATE KEY", []byte{1}), encode("X509 CRL", crl)}
}

func TestTLSFilesAreChecked(t *testing.T) {
	m, other := makeMaterial(t), makeMaterial(t)
	const head = "listener.ssl.s = 127.0.0.1:8883\nlistener.ssl.certfile = $(nodename)/crt\nlistener.ssl.keyfile = $(nodename)/key\n"
	for _, c := range []struct {
		name, text, key, fault string
	}{
		{"good", "", m.key, ""},
		{"good, with authorities and revocations", "listener.ssl.cafile = $(nodename)/crt\nlistener.ssl.crlfile = $(nodename)/crl\nlistener.ssl.require_certificate = on\n", m.key, ""},
		{"good, encrypted", "listener.ssl.keypasswd = sesame\n", m.encrypted, ""},
		{"no pass phrase", "", m.encrypted, "is encrypted; set keypasswd"},
		{"wrong pass phrase", "listener.ssl.keypasswd = x\n", m.encrypted, "cannot be decrypted with keypasswd"},
		{"encrypted otherwise", "listener.ssl.keypasswd = sesame\n", m.pkcs8, "openssl pkey"},
		{"key of another", "", other.key, "private key does not match public key"},
		{"no key", "", "nothing", "failed to find any PEM data in key input"},
		{"authorities that are none", "listener.ssl.cafile = $(nodename)/key\n", m.key, "holds no certificate in PEM"},
		{"revocations that are none", "listener.ssl.crlfile = $(nodename)/crt\n", m.key, "holds no revocation list in PEM"},
		{"file missing", "listener.ssl.cafile = $(nodename)/none\n", m.key, "cannot read"},
	} {
		dir := write(t, map[string]string{"crt": m.certificate, "key": c.key, "crl": m.crl})
		text := strings.ReplaceAll(head+c.text, "$(nodename)", dir)
		_, faults := Load(Sources{Files: []string{write(t, map[string]string{"t.conf": text}) + "/t.conf"}, CheckFiles: true})
		switch {
		case c.fault == "" && len(faults) > 0, len(faults) > 1:
			t.Errorf("%s: %v", c.name, faults)
		case c.fault != "" && (len(faults) == 0 || !strings.Contains(faults[0].Text, c.fault)):
			t.Errorf("%s: faults %v, want %q", c.name, faults, c.fault)
		}
	}
}

func TestRevokedSerialNumbers(t *testing.T) {
	m := makeMaterial(t)
	x := &TLS{CRLFile: write(t, map[string]string{"crl": m.crl + m.crl}) + "/crl"}
	revoked, err := x.Revoked()
	if err != nil || !revoked[string(big.NewInt(99).Bytes())] || len(revoked) != 1 {
		t.Errorf("revoked: %v, %v", revoked, err)
	}
}
