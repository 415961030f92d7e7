package bench

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tombolo/bench/peertest"
	"tombolo/internal/certificate"
)

// TestWays runs a scenario over TLS, WebSocket and both, against a broker of
// other people.
func TestWays(t *testing.T) {
	cert, key, roots := pair(t)
	secured := fmt.Sprintf("certfile %s\nkeyfile %s", cert, key)
	b := peertest.Mosquitto(t, secured, "protocol websockets", "protocol websockets\n"+secured)
	for i, way := range []string{"mqtts://", "ws://", "wss://"} {
		t.Run(way, func(t *testing.T) {
			cfg := short(P2P, way+b.Extra[i])
			cfg.TLS = &tls.Config{RootCAs: roots}
			cfg.Publishers, cfg.Subscribers, cfg.PIDs, cfg.Drain = 3, 3, []int{b.PID}, 10*time.Second
			scenario(t, cfg)
		})
	}
	untrusted := short(P2P, "mqtts://"+b.Extra[0])
	if _, err := Run(t.Context(), untrusted); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
}

func TestSplitTarget(t *testing.T) {
	for target, want := range map[string][3]string{
		"h:1":                {wayPlain, "h:1", "/mqtt"},
		"mqtt://h:1":         {wayPlain, "h:1", "/mqtt"},
		"tls://[::1]:8883":   {wayTLS, "[::1]:8883", "/mqtt"},
		"wss://h:443/broker": {wayWSS, "h:443", "/broker"},
		"ws://h:80/":         {wayWS, "h:80", "/mqtt"},
	} {
		way, address, path, err := splitTarget(target)
		if got := [3]string{way, address, path}; err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", target, got, err, want)
		}
	}
	for _, bad := range []string{"h", "http://h:80", "ws://h"} {
		if _, _, _, err := splitTarget(bad); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

// TestMigrate has sessions return at another listener of one broker, which
// therefore has them all.
func TestMigrate(t *testing.T) {
	b := peertest.Mosquitto(t, "")
	cfg := short(Migrate, b.Address)
	cfg.Targets = append(cfg.Targets, b.Extra[0])
	cfg.Publishers, cfg.Subscribers, cfg.Messages, cfg.Drain = 2, 6, 50, 10*time.Second
	res, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if f, d := res.Stored, res.Delivery; f.Forgotten != 0 || f.GivenIn <= 0 || d.Received != 300 || d.Lost+d.Duplicated+d.Reordered != 0 {
		t.Errorf("stored %+v, delivery %+v", f, d)
	}
	cfg.Targets = cfg.Targets[:1]
	if err := cfg.Check(); err == nil {
		t.Error("migrate with one node was taken")
	}
}

// pair makes a certificate that vouches for itself.
func pair(t *testing.T) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	p, err := certificate.New("broker")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Write(certFile, keyFile); err != nil {
		t.Fatal(err)
	}
	return certFile, keyFile, p.Pool()
}
