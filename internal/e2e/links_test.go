package e2e

import (
	"crypto/tls"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tombolo/internal/certificate"
)

// linkAuthority signs the certificates of nodes. Immutable.
type linkAuthority struct {
	*certificate.Pair
	dir string
}

func newLinkAuthority(tb testing.TB) *linkAuthority {
	tb.Helper()
	p, err := certificate.New("authority")
	if err != nil {
		tb.Fatal(err)
	}
	a := &linkAuthority{Pair: p, dir: tb.TempDir()}
	write(tb, a.file("ca.crt"), string(p.PEM()))
	return a
}

func (a *linkAuthority) file(name string) string { return filepath.Join(a.dir, name) }

// issue writes the certificate and key of a node, for both ends of a link.
func (a *linkAuthority) issue(tb testing.TB, name string) tls.Certificate {
	tb.Helper()
	p, err := a.Issue(name)
	if err != nil {
		tb.Fatal(err)
	}
	if err := p.Write(a.file(name+".crt"), a.file(name+".key")); err != nil {
		tb.Fatal(err)
	}
	return p.TLS()
}

// greets says whether the link port at address speaks to somebody with these
// certificates: a node that is dialled waits for a hello and then says its own,
// so a connection that lives on for a moment has been let in.
func greets(tb testing.TB, address string, c *tls.Config) bool {
	tb.Helper()
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: patience}, Config: c}
	conn, err := d.DialContext(tb.Context(), "tcp", address)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	_, err = conn.Read(make([]byte, 1))
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}

// TestMutualTLSLinks: three nodes whose links are mutual TLS are one broker, for
// messages of one chunk and of several and for what a netsplit asks of them;
// who has no certificate, or one of another authority, is not spoken to.
func TestMutualTLSLinks(t *testing.T) {
	a := newLinkAuthority(t)
	var certs []tls.Certificate
	for i := range 3 {
		certs = append(certs, a.issue(t, fmt.Sprintf("node%d", i+1)))
	}
	c := newTrio(t, true, "cluster.cafile", a.file("ca.crt"), "cluster.certfile", a.file("$(nodename).crt"), "cluster.keyfile", a.file("$(nodename).key"))
	c.whole()
	for qos := range 3 {
		topic := fmt.Sprintf("tls/%d", qos)
		sub := openShell(t, t.TempDir(), fmt.Sprintf("exec %s sub --url mqtt://%s -t '%s' -q %d -i tls%d -C 2 | cut -c 1-20", binary, c.nodes[2].tcp, topic, qos, qos))
		eventually(t, patience, "the subscription", func() bool {
			return strings.Contains(run(t, c.nodes[0].dir, binary, "session", "show", "--topic", "--socket", c.socket(0)).out, topic)
		})
		large := filepath.Join(t.TempDir(), "large")
		write(t, large, "large "+strings.Repeat("x", 200<<10)) // four chunks
		c.must("pub", "--url", "mqtt://"+c.nodes[0].tcp, "-t", topic, "-m", "small", "-q", fmt.Sprint(qos))
		c.must("pub", "--url", "mqtt://"+c.nodes[0].tcp, "-t", topic, "-f", large, "-q", fmt.Sprint(qos))
		sub.says("small")
		sub.says("large xxx")
		<-sub.ended
	}
	c.cut(2, "node1", "node2")
	c.splits(0, 1, 2)
	c.cut(2)
	c.whole()
	port := net.JoinHostPort("127.0.0.1", c.nodes[0].options["cluster.link_port"])
	strange := newLinkAuthority(t).issue(t, "node2")
	for _, who := range []struct {
		name  string
		certs []tls.Certificate
		ok    bool
	}{{"a node", certs[1:2], true}, {"nobody", nil, false}, {"a node of another authority", []tls.Certificate{strange}, false}} {
		if got := greets(t, port, &tls.Config{RootCAs: a.Pool(), Certificates: who.certs}); got != who.ok {
			t.Errorf("%s: spoken to: %v, want %v", who.name, got, who.ok)
		}
	}
}

// TestBenchAcross: the command of docs/benchmarks/cluster.md starts three nodes,
// runs every row in both placements, and leaves nothing behind.
func TestBenchAcross(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	got := run(t, dir, binary, "bench", "across", "--repeat", "1", "--duration", "200ms", "--warm-up", "50ms", "--quiet")
	if got.code != 0 {
		t.Fatalf("%+v", got)
	}
	for _, row := range []string{"p2p, QoS 0", "p2p, QoS 1", "1,000 /s, QoS 0", "1,000 /s, QoS 1", "1,000 /s, QoS 1, persistent"} {
		if !strings.Contains(got.out, row+" ") {
			t.Errorf("there is no row %q in\n%s", row, got.out)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "tombolo-bench-*")); len(left) > 0 {
		t.Errorf("%q were left behind", left)
	}
}
