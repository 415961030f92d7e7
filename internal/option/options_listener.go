package option

import (
	"slices"
	"strings"
)

// listenerKinds are the kinds that open something, in the order of Listeners.
var listenerKinds = []string{ListenerTCP, ListenerSSL, ListenerWS, ListenerWSS, ListenerHTTP, ListenerHTTPS}

var (
	mqttKinds  = []string{ListenerTCP, ListenerSSL, ListenerWS, ListenerWSS}
	tlsKinds   = []string{ListenerSSL, ListenerWSS, ListenerHTTPS}
	httpKinds  = []string{ListenerHTTP, ListenerHTTPS}
	wsKinds    = []string{ListenerWS}
	webKinds   = []string{ListenerWS, ListenerWSS, ListenerHTTP, ListenerHTTPS}
	proxyKinds = []string{ListenerTCP, ListenerWS, ListenerHTTP}
)

// listenerSetting is one setting of listeners, from which its keys at the
// levels root (if it has one), protocol and listener are made. Immutable.
type listenerSetting struct {
	key    string
	kinds  []string
	root   bool
	option Option // all but the key
}

// keys of one listener, from the one that wins to the one that loses.
func (ls *listenerSetting) keys(kind, name string) []string {
	keys := []string{"listener." + kind + "." + name + "." + ls.key, "listener." + kind + "." + ls.key}
	if ls.root {
		keys = append(keys, "listener."+ls.key)
	}
	return keys
}

func listenerOptions() []Option {
	var out []Option
	for _, kind := range listenerKinds {
		out = append(out, Option{Key: "listener." + kind + ".$name", Section: sectionListeners, Kind: KindAddress, Hidden: kind == ListenerHTTPS,
			Example: listenerExamples[kind], Doc: listenerDocs[kind]})
	}
	settings := listenerSettings()
	for i := range settings {
		ls := &settings[i]
		if ls.root {
			out = append(out, ls.at("listener."+ls.key))
		}
		for _, kind := range ls.kinds {
			out = append(out, ls.at("listener."+kind+"."+ls.key), ls.at("listener."+kind+".$name."+ls.key))
		}
	}
	return out
}

func (ls *listenerSetting) at(key string) Option {
	o := ls.option
	o.Key, o.listener = key, ls
	if o.Section == "" {
		o.Section = sectionListeners
	}
	o.Hidden = o.Hidden || strings.Count(key, ".") != 1
	if strings.HasPrefix(key, "listener.http.") && strings.HasPrefix(ls.key, "proxy_protocol") {
		o.NotApplicable = "http listeners read no PROXY header, in VerneMQ as here"
	}
	return o
}

// hasListenerSetting reports whether a listener cannot have this name.
func hasListenerSetting(name string) bool {
	return slices.ContainsFunc(listenerSettings(), func(ls listenerSetting) bool { return ls.key == name })
}

var listenerExamples = map[string]string{
	ListenerTCP: "127.0.0.1:1883", ListenerSSL: "0.0.0.0:8883", ListenerWS: "127.0.0.1:8080",
	ListenerWSS: "0.0.0.0:8443", ListenerHTTP: "127.0.0.1:8888", ListenerHTTPS: "127.0.0.1:8889",
}

var listenerDocs = map[string]string{
	ListenerTCP:   "A listener for MQTT over TCP: address:port, [IPv6]:port, or local:<path>:<n> for a Unix socket (n is any number). off removes it. If no listener for MQTT is declared at all, there is listener.tcp.default = 127.0.0.1:1883. A listener cannot be named like one of the settings below.",
	ListenerSSL:   "A listener for MQTT over TLS. certfile and keyfile are needed.",
	ListenerWS:    "A listener for MQTT over WebSocket at the path /mqtt, subprotocols mqtt and mqttv3.1.",
	ListenerWSS:   "A listener for MQTT over WebSocket over TLS. certfile and keyfile are needed.",
	ListenerHTTP:  "A listener for /metrics, /health, /ready and the API. off removes it. If neither http nor https is declared, there is listener.http.default = 127.0.0.1:8888.",
	ListenerHTTPS: "The same over TLS. certfile and keyfile are needed.",
}

// listenerSettings is the table of settings that listeners have.
func listenerSettings() []listenerSetting {
	common := []listenerSetting{
		{"max_connections", listenerKinds, true, Option{Kind: KindInt, Unit: "connections", Default: "10000", Words: infinite, Min: -1, Max: 1 << 31,
			Doc:  "How many connections the listener holds at once; one more is closed and counted. infinity is no limit but that of open files. In a listener or protocol, -1 stands for the level above.",
			More: "More accepts more clients, each with a descriptor and about 5 KB; less protects the machine.", Zero: "0 is a fault: a listener that accepts nobody is removed with the address off."}},
		{"max_connection_lifetime", mqttKinds, true, Option{Kind: KindDuration, Unit: "s", Default: "0", Min: 0, Max: 31536000 * 10 * seconds,
			Doc:  "After how long a connection is ended (MQTT 5: reason 0x98), so that long-lived ones spread over the nodes again or authenticate anew.",
			More: "More disturbs clients more rarely; less spreads them sooner.", Zero: "0 ends none."}},
		{"mountpoint", mqttKinds, true, Option{Kind: KindString, Default: "off", Hidden: true,
			Doc: "The namespace of the listener: topics and client ids of one mountpoint are invisible to another. off and '' are the common one; a trailing / is dropped."}},
		{"nr_of_acceptors", listenerKinds, true, Option{Kind: KindInt, Default: "10", Hidden: true, NotApplicable: "one accept loop keeps up: it hands each connection on and does nothing else",
			Doc: "In VerneMQ: parallel accept loops."}},
		{"allowed_protocol_versions", mqttKinds, false, Option{Kind: KindList, Default: "3,4,5", Values: []string{"3", "4", "5", "131", "132"},
			Doc: "The MQTT versions that may connect: 3 is 3.1, 4 is 3.1.1, 5 is 5.0. 131 and 132, the bridge variants of 3.1 and 3.1.1, are accepted with a warning and mean nothing yet. VerneMQ's default is 3,4,5,131."}},
		{"allow_anonymous_override", mqttKinds, false, Option{Kind: KindBool, Default: "off",
			Doc: "Lets everyone connect through this listener although allow_anonymous is off."}},
		{"auth_plugins", mqttKinds, false, Option{Kind: KindList, Values: []string{"vmq_passwd"}, Hidden: true,
			Doc: "The authenticators that are asked for connections through this listener, in this order. Unset, all that are enabled; [] refuses everyone."}},
		{"authz_plugins", mqttKinds, false, Option{Kind: KindList, Values: []string{"vmq_acl"}, Hidden: true,
			Doc: "The authorisers that are asked for publishes and subscriptions of clients of this listener, in this order. Unset, all that are enabled; [] refuses everything."}},
		{"buffer_sizes", []string{ListenerTCP, ListenerSSL}, false, Option{Kind: KindString, Hidden: true, Example: "65536,65536,65536",
			Doc: "Socket buffers in bytes: send,receive,user. Unset, the system tunes them, which is nearly always better. The third number has no meaning here."}},
		{"active_n", []string{ListenerTCP, ListenerSSL}, false, Option{Kind: KindInt, Default: "1", Hidden: true, NotApplicable: "a socket is read until it is empty; there is nothing to arm again",
			Doc: "In VerneMQ: packets read before the socket is armed again."}},
		{"forward_connection_opts", mqttKinds, false, Option{Kind: KindBool, Default: "off", Hidden: true, NotApplicable: "authenticators always see listener, peer and common name",
			Doc: "In VerneMQ: passes facts about the connection to auth_on_register."}},
	}
	return slices.Concat(common, proxySettings(), webSettings(), tlsSettings())
}

func proxySettings() []listenerSetting {
	return []listenerSetting{
		{"proxy_protocol", proxyKinds, false, Option{Kind: KindBool, Default: "off",
			Doc: "Expects the header of the PROXY protocol, version 1 or 2, in front of each connection and takes the client's address from it. Only for listeners that nothing but the proxy can reach: whoever connects can claim any address."}},
		{"proxy_protocol_use_cn_as_username", proxyKinds, false, Option{Kind: KindBool, Default: "on", Hidden: true,
			Doc: "Takes the common name that a PROXY version 2 header carries as the user name; without one the CONNECT's counts. (VerneMQ ignores what the file says; in ws it behaves like off.)"}},
		{"proxy_xff_support", wsKinds, false, Option{Kind: KindBool, Default: "off", Hidden: true,
			Doc: "Takes the client's address from the first entry of X-Forwarded-For, if the peer is one of proxy_xff_trusted_intermediate. Without that list it has no effect."}},
		{"proxy_xff_trusted_intermediate", wsKinds, false, Option{Kind: KindString, Hidden: true, Example: "10.0.0.5;10.0.0.6",
			Doc: "IP addresses of trusted proxies, separated by semicolons. A connection from anywhere else is refused."}},
		{"proxy_xff_use_cn_as_username", wsKinds, false, Option{Kind: KindBool, Default: "off", Hidden: true,
			Doc: "Takes the user name from the header proxy_xff_cn_header; a connection without it is refused."}},
		{"proxy_xff_cn_header", wsKinds, false, Option{Kind: KindString, Default: "x-ssl-client-cn", Hidden: true,
			Doc: "The header in which the proxy passes the common name of the client's certificate."}},
	}
}

func webSettings() []listenerSetting {
	na := "the routes of a listener are chosen with http_modules"
	return []listenerSetting{
		{"http_modules", httpKinds, false, Option{Kind: KindList, Hidden: true, Example: "metrics,health", Values: httpModuleNames,
			Doc: "What this listener serves; unset, what the global http_modules says."}},
		{"max_request_line_length", webKinds, false, Option{Kind: KindInt, Unit: "bytes", Default: "8000", Min: 64, Max: 1 << 20, Hidden: true,
			Doc: "The longest request line, also of a WebSocket upgrade.", More: "More accepts longer URLs; less refuses them."}},
		{"max_header_value_length", webKinds, false, Option{Kind: KindInt, Unit: "bytes", Default: "4096", Min: 64, Max: 1 << 20, Hidden: true,
			Doc: "The longest value of one header. Together with max_request_line_length it bounds the memory of a request.", More: "More accepts large cookies and tokens; less refuses them."}},
		{"config_mod", httpKinds, false, Option{Kind: KindString, Default: "vmq_http_config", Hidden: true, NotApplicable: na, Doc: "In VerneMQ: the module that gives the routes."}},
		{"config_fun", httpKinds, false, Option{Kind: KindString, Default: "config", Hidden: true, NotApplicable: na, Doc: "In VerneMQ: the function that gives the routes."}},
	}
}

func tlsSettings() []listenerSetting {
	psk := "Go's TLS has no pre-shared keys; use certificates"
	ssl := []string{ListenerSSL}
	settings := []listenerSetting{
		{"certfile", tlsKinds, false, Option{Kind: KindFile, Example: "/etc/tombolo/server.crt", Doc: "PEM file of the server's certificate, followed by its intermediates."}},
		{"keyfile", tlsKinds, false, Option{Kind: KindFile, Example: "/etc/tombolo/server.key", Doc: "PEM file of the key to certfile."}},
		{"keypasswd", tlsKinds, false, Option{Kind: KindString, Secret: true, Doc: "The pass phrase of keyfile, for the traditional encrypted PEM form. A key in the PKCS #8 encrypted form must be decrypted first (openssl pkey -in a -out b)."}},
		{"cafile", tlsKinds, false, Option{Kind: KindFile, Example: "/etc/tombolo/ca.crt", Doc: "PEM file of the authorities whose client certificates are accepted."}},
		{"require_certificate", tlsKinds, false, Option{Kind: KindBool, Default: "off", Doc: "Refuses clients without a certificate that cafile's authorities have signed."}},
		{"use_identity_as_username", []string{ListenerSSL, ListenerWSS}, false, Option{Kind: KindBool, Default: "off", Doc: "Takes the common name of the client's certificate as the user name instead of the CONNECT's; certificates are then verified even if they are not required."}},
		{"crlfile", tlsKinds, false, Option{Kind: KindFile, Doc: "PEM file of revoked certificates; clients whose serial number is listed are refused. Read again every crl_refresh_interval."}},
		{"depth", tlsKinds, false, Option{Kind: KindInt, Unit: "certificates", Default: "1", Min: 0, Max: 100, Doc: "How many intermediate certificates may stand between a client's and an authority's.", More: "More accepts longer chains; less refuses them.", Zero: "0 accepts only what an authority of cafile signed itself."}},
		{"tls_version", tlsKinds, false, Option{Kind: KindList, Default: "tlsv1.2,tlsv1.3", Values: []string{"tlsv1", "tlsv1.1", "tlsv1.2", "tlsv1.3"}, Doc: "The TLS versions that are spoken, without a gap between them. tlsv1 and tlsv1.1 are broken and only for devices that cannot do better. VerneMQ's default is tlsv1.2 alone."}},
		{"ciphers", tlsKinds, false, Option{Kind: KindString, Example: "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256", Doc: "The cipher suites of TLS 1.2 and below by OpenSSL's names, joined by colons; they replace the default list. Those that Go does not have are left out with a warning. The suites of TLS 1.3 are fixed."}},
		{"eccs", tlsKinds, false, Option{Kind: KindList, Example: "[x25519, secp256r1]", Doc: "The curves of the key exchange. Those that Go does not have are left out with a warning. Unset, Go's list, which begins with the post-quantum hybrid."}},
		{"tls_handshake_timeout", tlsKinds, false, Option{Kind: KindDuration, Unit: "ms", Default: "5000", Words: []Word{{"infinity", int64(Unlimited)}, {"-1", 5000 * millis}}, Min: millis, Max: 3600 * seconds, Doc: "How long a handshake may take. mqtt_connect_timeout bounds it too.", More: "More is kinder to slow devices; less frees descriptors sooner."}},
		{"psk_support", ssl, false, Option{Kind: KindBool, Default: "off", NotApplicable: psk, Doc: "In VerneMQ: TLS with pre-shared keys. on is a fault here, because such clients could not connect."}},
		{"psk_identity_hint", ssl, false, Option{Kind: KindString, Default: "VMQ_PSK", NotApplicable: psk, Doc: "In VerneMQ: the hint sent to clients."}},
		{"pskfile", ssl, false, Option{Kind: KindString, NotApplicable: psk, Doc: "In VerneMQ: the file of the keys."}},
		{"pskfile_separator", ssl, false, Option{Kind: KindString, Default: ":", NotApplicable: psk, Doc: "In VerneMQ: what separates identity and key in it."}},
	}
	for i := range settings {
		settings[i].option.Section = sectionTLS
		settings[i].option.Hidden = true
	}
	return settings
}
