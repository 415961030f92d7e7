package option

import (
	"crypto/tls"
	"slices"
	"strings"
	"time"
)

// tlsVersions are the names of the option in ascending order.
var tlsVersions = []struct {
	name string
	id   uint16
}{{"tlsv1", tls.VersionTLS10}, {"tlsv1.1", tls.VersionTLS11}, {"tlsv1.2", tls.VersionTLS12}, {"tlsv1.3", tls.VersionTLS13}}

// goCiphers maps OpenSSL's names to the suites that crypto/tls has.
var goCiphers = map[string]uint16{
	"ECDHE-ECDSA-AES256-GCM-SHA384": tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	"ECDHE-ECDSA-AES128-GCM-SHA256": tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	"ECDHE-RSA-AES256-GCM-SHA384":   tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	"ECDHE-RSA-AES128-GCM-SHA256":   tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	"ECDHE-ECDSA-CHACHA20-POLY1305": tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	"ECDHE-RSA-CHACHA20-POLY1305":   tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	"ECDHE-ECDSA-AES128-SHA256":     tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
	"ECDHE-RSA-AES128-SHA256":       tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256,
	"ECDHE-ECDSA-AES256-SHA":        tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,
	"ECDHE-ECDSA-AES128-SHA":        tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,
	"ECDHE-RSA-AES256-SHA":          tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
	"ECDHE-RSA-AES128-SHA":          tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
	"AES256-GCM-SHA384":             tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
	"AES128-GCM-SHA256":             tls.TLS_RSA_WITH_AES_128_GCM_SHA256,
	"AES128-SHA256":                 tls.TLS_RSA_WITH_AES_128_CBC_SHA256,
	"AES256-SHA":                    tls.TLS_RSA_WITH_AES_256_CBC_SHA,
	"AES128-SHA":                    tls.TLS_RSA_WITH_AES_128_CBC_SHA,
	"ECDHE-RSA-DES-CBC3-SHA":        tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA,
	"DES-CBC3-SHA":                  tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA,
}

// otherCiphers are names of OpenSSL and Erlang whose suites crypto/tls lacks,
// by how they begin or end.
func otherCipher(name string) bool {
	for _, prefix := range []string{"DHE-", "ECDH-", "ADH-", "AECDH-", "EDH-", "PSK-", "SRP-", "RSA-PSK-", "DHE-PSK-", "ECDHE-PSK-", "CAMELLIA", "ARIA", "ECDHE-ARIA", "SEED", "IDEA", "RC4", "ECDHE-RSA-RC4", "ECDHE-ECDSA-RC4", "NULL"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	for _, suffix := range []string{"-CCM", "-CCM8", "-SHA384", "-DES-CBC3-SHA", "-NULL-SHA", "-CAMELLIA128-SHA256", "AES256-SHA256"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// goCurves maps Erlang's and OpenSSL's names to what crypto/tls has; zero is
// a curve that it lacks.
var goCurves = map[string]tls.CurveID{
	"x25519": tls.X25519, "secp256r1": tls.CurveP256, "prime256v1": tls.CurveP256, "secp384r1": tls.CurveP384, "secp521r1": tls.CurveP521,
	"x25519mlkem768": tls.X25519MLKEM768,
	"x448":           0, "secp256k1": 0, "brainpoolP512r1": 0, "brainpoolP384r1": 0, "brainpoolP256r1": 0,
	"sect571r1": 0, "sect571k1": 0, "sect409k1": 0, "sect409r1": 0, "sect283k1": 0, "sect283r1": 0, "sect239k1": 0, "sect233k1": 0, "sect233r1": 0,
	"sect193r1": 0, "sect193r2": 0, "sect163k1": 0, "sect163r1": 0, "sect163r2": 0,
	"secp224k1": 0, "secp224r1": 0, "secp192k1": 0, "secp192r1": 0, "prime192v1": 0, "secp160k1": 0, "secp160r1": 0, "secp160r2": 0,
}

func (r *resolver) tls() *TLS {
	t := &TLS{
		CAFile: r.text("cafile"), CertFile: r.text("certfile"), KeyFile: r.text("keyfile"), CRLFile: r.text("crlfile"),
		RequireCertificate:    r.on("require_certificate"),
		UseIdentityAsUsername: r.on("use_identity_as_username"),
		Depth:                 int(r.number("depth")),
		HandshakeTimeout:      time.Duration(r.number("tls_handshake_timeout")),
		keyPassword:           r.text("keypasswd"),
	}
	key := "listener." + r.listener.Kind + "." + r.name
	for _, setting := range []string{"certfile", "keyfile"} {
		if r.text(setting) == "" {
			r.l.fault(key, r.listener.Origin, "needs a %s; set %s.%s, or listener.%s.%s for all listeners of this kind", setting, key, setting, r.listener.Kind, setting)
		}
	}
	if t.CAFile == "" && (t.RequireCertificate || t.UseIdentityAsUsername) {
		r.l.fault(key, r.listener.Origin, "asks for client certificates, which needs a cafile to judge them by")
	}
	if r.on("psk_support") {
		r.fault("psk_support", "cannot be on: Go's TLS has no pre-shared keys; use client certificates (require_certificate = on)")
	}
	r.tlsRange(t)
	r.ciphers(t)
	r.curves(t)
	return t
}

// tlsRange turns the list of versions into a range, which is what Go takes.
func (r *resolver) tlsRange(t *TLS) {
	v, _ := r.get("tls_version")
	var have []bool
	for _, known := range tlsVersions {
		on := slices.Contains(v.parsed.items, known.name)
		have = append(have, on)
		if !on {
			continue
		}
		if t.MinVersion == 0 {
			t.MinVersion = known.id
		}
		t.MaxVersion = known.id
		if known.id < tls.VersionTLS12 {
			r.warn("tls_version", "%s is broken; allow it only for devices that cannot do better", known.name)
		}
	}
	if t.MinVersion == 0 {
		r.fault("tls_version", "no version is left; write tlsv1.2,tlsv1.3")
		return
	}
	for i, known := range tlsVersions {
		if known.id > t.MinVersion && known.id < t.MaxVersion && !have[i] {
			r.fault("tls_version", "%s is missing between the others: a range without a gap is needed", known.name)
		}
	}
}

func (r *resolver) ciphers(t *TLS) {
	text := r.text("ciphers")
	if text == "" {
		return
	}
	tls13 := false
	for _, name := range strings.FieldsFunc(text, func(c rune) bool { return c == ':' || c == ' ' || c == ',' }) {
		id, known := goCiphers[name]
		switch {
		case known:
			t.CipherSuites = append(t.CipherSuites, id)
			if strings.Contains(name, "DES-CBC3") {
				r.warn("ciphers", "%s is broken; allow it only for devices that cannot do better", name)
			}
		case strings.HasPrefix(name, "TLS_AES_"), strings.HasPrefix(name, "TLS_CHACHA20_"):
			tls13 = true
		case otherCipher(name):
			r.warn("ciphers", "%s is left out: Go's TLS does not have it", name)
		default:
			r.fault("ciphers", "%s is not the name of a cipher suite; names are OpenSSL's, as in ECDHE-RSA-AES128-GCM-SHA256", show(name))
			return
		}
	}
	if tls13 {
		r.warn("ciphers", "the suites of TLS 1.3 are fixed; those named here are used anyway if Go has them")
	}
	if len(t.CipherSuites) == 0 && t.MinVersion < tls.VersionTLS13 && !(tls13 && t.MaxVersion == tls.VersionTLS13) {
		r.fault("ciphers", "none of them is a suite that Go's TLS has for the versions allowed")
	}
	if len(t.CipherSuites) == 0 && tls13 && t.MaxVersion == tls.VersionTLS13 {
		t.MinVersion = tls.VersionTLS13 // only suites of 1.3 were named
	}
}

func (r *resolver) curves(t *TLS) {
	v, _ := r.get("eccs")
	for _, name := range v.parsed.items {
		id, known := goCurves[name]
		switch {
		case !known:
			r.fault("eccs", "%s is not the name of a curve", show(name))
		case id == 0:
			r.warn("eccs", "%s is left out: Go's TLS does not have it", name)
		case !slices.Contains(t.Curves, id):
			t.Curves = append(t.Curves, id)
		}
	}
	if len(v.parsed.items) > 0 && len(t.Curves) == 0 {
		r.fault("eccs", "none of them is a curve that Go's TLS has")
	}
}
