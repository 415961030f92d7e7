package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"path/filepath"
	"testing"
)

// made takes a pair that has to be there.
func made(t *testing.T, p *Pair, err error) *Pair {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestWhoVouchesForWhom: a pair is trusted by itself and by its issuer, at both ends
// of a connection and by both names of this machine, and by nobody else.
func TestWhoVouchesForWhom(t *testing.T) {
	a, err := New("authority")
	made(t, a, err)
	stranger, err := New("authority")
	made(t, stranger, err)
	leaf, err := a.Issue("node")
	made(t, leaf, err)
	for _, c := range []struct {
		leaf, by *Pair
		ok       bool
	}{{a, a, true}, {leaf, a, true}, {leaf, stranger, false}, {a, stranger, false}} {
		for _, name := range []string{"localhost", "127.0.0.1"} {
			for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
				_, err := c.leaf.Leaf.Verify(x509.VerifyOptions{Roots: c.by.Pool(), DNSName: name, KeyUsages: []x509.ExtKeyUsage{use}})
				if (err == nil) != c.ok {
					t.Errorf("%s by %s as %s: %v, want ok=%v", c.leaf.Leaf.SerialNumber, c.by.Leaf.SerialNumber, name, err, c.ok)
				}
			}
		}
	}
}

// TestWrite: the files are a pair that crypto/tls takes, and another issue is another
// certificate.
func TestWrite(t *testing.T) {
	a, err := New("a")
	made(t, a, err)
	b, err := a.Issue("a")
	made(t, b, err)
	cert, key := filepath.Join(t.TempDir(), "cert"), filepath.Join(t.TempDir(), "key")
	for _, p := range []*Pair{a, b} {
		if err := p.Write(cert, key); err != nil {
			t.Fatal(err)
		}
		got, err := tls.LoadX509KeyPair(cert, key)
		if err != nil || got.Leaf.SerialNumber.Cmp(p.TLS().Leaf.SerialNumber) != 0 {
			t.Errorf("%v, %v", got.Leaf, err)
		}
	}
	if a.Leaf.SerialNumber.Cmp(b.Leaf.SerialNumber) == 0 {
		t.Error("two certificates have one serial number")
	}
	if err := a.Write(filepath.Join(cert, "none"), key); err == nil {
		t.Error("a file below a file was written")
	}
}
