package option

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// Each row sets some levels of a setting and says what a listener named a (and
// one named b beside it) gets.
func TestInheritance(t *testing.T) {
	show := map[string]func(Listener) string{
		"max_connections":           func(l Listener) string { return fmt.Sprint(l.MaxConnections) },
		"max_connection_lifetime":   func(l Listener) string { return l.MaxConnectionLifetime.String() },
		"mountpoint":                func(l Listener) string { return l.Mountpoint },
		"allowed_protocol_versions": func(l Listener) string { return fmt.Sprint(l.AllowedVersions) },
		"allow_anonymous_override":  func(l Listener) string { return fmt.Sprint(l.AllowAnonymous) },
		"proxy_protocol":            func(l Listener) string { return fmt.Sprint(l.ProxyProtocol, l.ProxyCNAsUsername) },
		"buffer_sizes":              func(l Listener) string { return fmt.Sprint(l.SendBuffer, l.ReceiveBuffer) },
		"auth_plugins":              func(l Listener) string { return fmt.Sprintf("%q %v", l.AuthPlugins, l.AuthPlugins == nil) },
	}
	for _, c := range []struct{ setting, levels, a, b string }{
		{"max_connections", "", "10000", "10000"},
		{"max_connections", "root 5", "5", "5"},
		{"max_connections", "root 5 tcp 6", "6", "6"},
		{"max_connections", "root 5 tcp 6 a 7", "7", "6"},
		{"max_connections", "tcp 6 a -1", "6", "6"},
		{"max_connections", "root 5 tcp -1 a -1", "5", "5"},
		{"max_connections", "root infinity a 3", "3", "-1"},
		{"max_connections", "ssl 6 ws 7", "10000", "10000"},
		{"max_connection_lifetime", "root 60 a 0", "0s", "1m0s"},
		{"mountpoint", "root x/ a off", "", "x"},
		{"mountpoint", "tcp x a ''", "", "x"},
		{"allowed_protocol_versions", "", "[3 4 5]", "[3 4 5]"},
		{"allowed_protocol_versions", "tcp [5,4] a 3", "[3]", "[4 5]"},
		{"allow_anonymous_override", "tcp on a off", "false", "true"},
		{"proxy_protocol", "a on", "true true", "false false"},
		{"buffer_sizes", "tcp [1024,2048,4096] a ''", "0 0", "1024 2048"},
		{"auth_plugins", "", "[] true", "[] true"},
		{"auth_plugins", "tcp [] a vmq_passwd", `["vmq_passwd"] false`, "[] false"},
	} {
		text := "listener.tcp.a = 127.0.0.1:1\nlistener.tcp.b = 127.0.0.1:2\n"
		fields := strings.Fields(c.levels)
		for i := 0; i < len(fields); i += 2 {
			prefix := map[string]string{"root": "listener.", "a": "listener.tcp.a."}[fields[i]]
			if prefix == "" {
				prefix = "listener." + fields[i] + "."
			}
			text += prefix + c.setting + " = " + fields[i+1] + "\n"
		}
		ls := loadText(t, text).Listeners()
		if a, b := show[c.setting](ls[0]), show[c.setting](ls[1]); a != c.a || b != c.b {
			t.Errorf("%s with %q: a gets %s, b gets %s; want %s and %s", c.setting, c.levels, a, b, c.a, c.b)
		}
	}
}

func TestDefaultListeners(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "tcp/default http/default"},
		{"listener.ws.x = 127.0.0.1:1", "ws/x http/default"},
		{"listener.https.x = 127.0.0.1:1\nlistener.https.certfile = a\nlistener.https.keyfile = b", "tcp/default https/x"},
		{"listener.tcp.default = off\nlistener.http.default = off", ""},
		{"listener.tcp.z = 127.0.0.1:1\nlistener.tcp.a = 127.0.0.1:2\nlistener.http.h = off", "tcp/a tcp/z"},
		{`listener.tcp.a\.b = 127.0.0.1:2` + "\nlistener.http.h = off", "tcp/a.b"},
	} {
		var got []string
		for _, l := range loadText(t, c.text).Listeners() {
			got = append(got, l.Kind+"/"+l.Name)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q gives %v, want %s", c.text, got, c.want)
		}
	}
}

func TestListenerDetails(t *testing.T) {
	s := loadText(t, `
listener.ws.w = 127.0.0.1:8080
listener.ws.proxy_xff_support = on
listener.ws.proxy_xff_trusted_intermediate = 10.0.0.1; ::1
listener.ws.proxy_xff_use_cn_as_username = on
listener.ws.w.max_request_line_length = 100
listener.http.h = 127.0.0.1:8888
listener.http.h.http_modules = [vmq_metrics_http, health, metrics]
listener.tcp.u = local:/run/mqtt.sock:0
`)
	ls := s.Listeners()
	u, w, h := ls[0], ls[1], ls[2]
	if u.Address.Network != "unix" || u.Address.Path != "/run/mqtt.sock" {
		t.Errorf("unix listener: %+v", u.Address)
	}
	if !w.XFF.Enabled || len(w.XFF.Trusted) != 2 || !w.XFF.CNAsUsername || w.XFF.CNHeader != "x-ssl-client-cn" || w.MaxRequestLine != 100 || w.MaxHeaderValue != 4096 {
		t.Errorf("ws listener: %+v", w)
	}
	if !slices.Equal(h.HTTPModules, []string{"metrics", "health"}) {
		t.Errorf("modules: %v", h.HTTPModules)
	}
}

func TestTLSSettings(t *testing.T) {
	base := "listener.ssl.s = 127.0.0.1:8883\nlistener.ssl.certfile = a\nlistener.ssl.keyfile = b\nlistener.http.h = off\n"
	for _, c := range []struct{ text, want string }{
		{"", "0303-0304 [] [] 5s 1"},
		{"listener.ssl.tls_version = tlsv1.3", "0304-0304 [] [] 5s 1"},
		{"listener.ssl.tls_version = tlsv1,tlsv1.1,tlsv1.2", "0301-0303 [] [] 5s 1"},
		{"listener.ssl.ciphers = ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA", "0303-0304 [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 TLS_RSA_WITH_AES_128_CBC_SHA] [] 5s 1"},
		{"listener.ssl.ciphers = TLS_AES_256_GCM_SHA384", "0304-0304 [] [] 5s 1"},
		{"listener.ssl.s.eccs = [prime256v1, x25519, secp256r1]", "0303-0304 [] [CurveP256 X25519] 5s 1"},
		{"listener.ssl.tls_handshake_timeout = infinity\nlistener.ssl.depth = 3", "0303-0304 [] [] " + Unlimited.String() + " 3"},
		{"listener.ssl.tls_handshake_timeout = -1", "0303-0304 [] [] 5s 1"},
	} {
		x := loadText(t, base+c.text).Listeners()[0].TLS
		var names []string
		for _, id := range x.CipherSuites {
			names = append(names, tls.CipherSuiteName(id))
		}
		if got := fmt.Sprintf("%04x-%04x %v %v %v %d", x.MinVersion, x.MaxVersion, names, x.Curves, x.HandshakeTimeout, x.Depth); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.text, got, c.want)
		}
	}
}

// Every suite that the table maps is one that crypto/tls has, and every suite
// of crypto/tls below 1.3 can be named, but for RC4.
func TestCipherTableIsWhole(t *testing.T) {
	mapped := map[uint16]bool{}
	for name, id := range goCiphers {
		if mapped[id] {
			t.Errorf("%s stands twice in the table", name)
		}
		mapped[id] = true
	}
	for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		if below := suite.SupportedVersions[0] < tls.VersionTLS13; below && !mapped[suite.ID] && !strings.Contains(suite.Name, "RC4") {
			t.Errorf("%s has no name", suite.Name)
		}
	}
}

func TestTimesOfListeners(t *testing.T) {
	s := loadText(t, "listener.tcp.a = 127.0.0.1:1\nlistener.tcp.a.max_connection_lifetime = 2h\nmqtt_connect_timeout = 250\n")
	if got := s.Listeners()[0].MaxConnectionLifetime; got != 2*time.Hour {
		t.Errorf("lifetime %v", got)
	}
	if got := s.Duration("mqtt_connect_timeout"); got != 250*time.Millisecond {
		t.Errorf("connect timeout %v", got)
	}
}
