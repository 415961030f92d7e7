package conn

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
)

var (
	proxySource = &net.TCPAddr{IP: net.ParseIP("203.0.113.7"), Port: 4711}
	proxyTarget = &net.TCPAddr{IP: net.ParseIP("198.51.100.1"), Port: 1883}
)

// proxyHeader builds a header with the library's writer.
func proxyHeader(t *testing.T, version byte, tlvs ...proxyproto.TLV) []byte {
	t.Helper()
	h := proxyproto.HeaderProxyFromAddrs(version, proxySource, proxyTarget)
	if err := h.SetTLVs(tlvs); err != nil {
		t.Fatal(err)
	}
	b, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sslTLV(t *testing.T, verify uint32) proxyproto.TLV {
	t.Helper()
	tlv, err := tlvparse.PP2SSL{Client: tlvparse.PP2_BITFIELD_CLIENT_SSL, Verify: verify, TLV: []proxyproto.TLV{
		{Type: proxyproto.PP2_SUBTYPE_SSL_VERSION, Value: []byte("TLSv1.3")},
		{Type: proxyproto.PP2_SUBTYPE_SSL_CN, Value: []byte("device-9")},
	}}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return tlv
}

// The peer's address and the certificate's name come from the header, whatever
// pieces it arrives in, and the bytes behind it are the handler's.
func TestProxyHeader(t *testing.T) {
	local := []byte("\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00")
	for name, c := range map[string]struct {
		header  []byte
		version int // 0: taken as a direct connection
		cn      string
	}{
		"v1":                    {proxyHeader(t, 1), 1, ""},
		"v1 unknown":            {[]byte("PROXY UNKNOWN\r\n"), 0, ""},
		"v2":                    {proxyHeader(t, 2), 2, ""},
		"v2 local":              {local, 0, ""},
		"v2 with certificate":   {proxyHeader(t, 2, sslTLV(t, 0)), 2, "device-9"},
		"v2 unverified":         {proxyHeader(t, 2, sslTLV(t, 1)), 2, ""},
		"v2 with long metadata": {proxyHeader(t, 2, proxyproto.TLV{Type: 0xe0, Value: make([]byte, 3000)}), 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, piece := range []int{1, 13, 1 << 20} {
				infos := make(chan Info, 1)
				h := serve(t, Config{Proxy: Proxy{Enabled: true, CommonNameAsUser: true}},
					func(conn Conn) Handler { infos <- conn.Info(); return echo(conn) })
				nc := closeLater(t, dialTCP(t, h))
				for rest := append(bytes.Clone(c.header), "echo"...); len(rest) > 0; {
					n := min(piece, len(rest))
					if _, err := nc.Write(rest[:n]); err != nil {
						t.Fatal(err)
					}
					rest = rest[n:]
				}
				b := make([]byte, 4)
				if _, err := io.ReadFull(nc, b); err != nil || string(b) != "echo" {
					t.Fatalf("piece %d: %q %v", piece, b, err)
				}
				mustEcho(t, nc)
				info := await(t, infos, "info")
				peer := addrPort(proxySource)
				if c.version == 0 {
					peer = addrPort(nc.LocalAddr())
				}
				if info.Peer != peer || info.PeerName != peer.String() || info.CommonName != c.cn || info.CommonNameIsUser != (c.cn != "") {
					t.Fatalf("piece %d: %+v", piece, info)
				}
				if (info.Proxy == nil) != (c.version == 0) || info.Proxy != nil && (info.Proxy.Version != c.version || info.Proxy.Via != addrPort(nc.LocalAddr())) {
					t.Fatalf("piece %d: %+v", piece, info.Proxy)
				}
				_ = nc.Close()
			}
		})
	}
}

func TestProxyRefusals(t *testing.T) {
	for name, header := range map[string]string{
		"mqtt":           "\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00",
		"line too long":  "PROXY TCP4 " + strings.Repeat("1", 200),
		"bad line":       "PROXY TCP4 nonsense\r\n",
		"v2 too long":    "\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff",
		"v2 too short":   "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x01x",
		"v2 bad command": "\r\n\r\n\x00\r\nQUIT\n\x2f\x11\x00\x0c123456789012",
		"silence":        "",
	} {
		t.Run(name, func(t *testing.T) {
			h := serve(t, Config{Proxy: Proxy{Enabled: true, Timeout: 100 * time.Millisecond}}, echo)
			nc := closeLater(t, dialTCP(t, h))
			if _, err := io.WriteString(nc, header); err != nil {
				t.Fatal(err)
			}
			mustBeClosed(t, nc)
			eventually(t, "a refusal", func() bool { return h.l.Stats().Refused(RefusedProxy) == 1 })
		})
	}
}

// X-Forwarded-For counts from trusted peers only.
func TestForwardedFor(t *testing.T) {
	here, elsewhere := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.9")
	for name, c := range map[string]struct {
		trusted []netip.Addr
		header  string
		cn      string // name of the header that is asked for
		status  int
		peer    string // "" is the socket's
		user    string
	}{
		"trusted":             {[]netip.Addr{elsewhere, here}, "X-Forwarded-For: 203.0.113.7, 10.0.0.1\r\n", "", 101, "203.0.113.7", ""},
		"lower case":          {[]netip.Addr{here}, "x-forwarded-for: 2001:db8::1\r\n", "", 101, "2001:db8::1", ""},
		"without the header":  {[]netip.Addr{here}, "", "", 101, "", ""},
		"not trusted":         {[]netip.Addr{elsewhere}, "X-Forwarded-For: 203.0.113.7\r\n", "", 403, "", ""},
		"nobody trusted":      {nil, "X-Forwarded-For: 203.0.113.7\r\n", "", 101, "", ""},
		"not an address":      {[]netip.Addr{here}, "X-Forwarded-For: somewhere\r\n", "", 400, "", ""},
		"common name":         {[]netip.Addr{here}, "x-ssl-client-cn: device-9\r\n", "X-SSL-Client-CN", 101, "", "device-9"},
		"common name missing": {[]netip.Addr{here}, "", "X-SSL-Client-CN", 403, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			infos := make(chan Info, 1)
			h := serve(t, Config{Kind: KindWS, WebSocket: WebSocket{ForwardedFor: true, Trusted: c.trusted, CommonNameHeader: c.cn}},
				func(conn Conn) Handler { infos <- conn.Info(); return echo(conn) })
			nc := closeLater(t, dialTCP(t, h))
			if _, err := io.WriteString(nc, upgradeRequest+c.header+"\r\n"); err != nil {
				t.Fatal(err)
			}
			response, err := http.ReadResponse(bufio.NewReader(nc), nil)
			if err != nil || response.StatusCode != c.status {
				t.Fatalf("got %v %v, want %d", response, err, c.status)
			}
			if c.status != 101 {
				eventually(t, "a refusal", func() bool { return h.l.Stats().Refused(RefusedProxy) == 1 })
				return
			}
			info := await(t, infos, "info")
			want := addrPort(nc.LocalAddr())
			if c.peer != "" {
				want = netip.AddrPortFrom(netip.MustParseAddr(c.peer), want.Port())
			}
			if info.Peer != want || info.CommonName != c.user || info.CommonNameIsUser != (c.user != "") {
				t.Fatalf("%+v, want peer %v and user %q", info, want, c.user)
			}
		})
	}
}
