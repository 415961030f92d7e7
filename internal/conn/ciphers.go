package conn

import (
	"crypto/tls"
	"fmt"
	"strings"
)

// cipherNames maps the names that OpenSSL gives the suites to those that
// crypto/tls has. Suites that only have the weakest protection there (RC4, 3DES)
// are left out on purpose.
var cipherNames = map[string]uint16{
	"ECDHE-ECDSA-AES256-GCM-SHA384": tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	"ECDHE-RSA-AES256-GCM-SHA384":   tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	"ECDHE-ECDSA-AES128-GCM-SHA256": tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	"ECDHE-RSA-AES128-GCM-SHA256":   tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	"ECDHE-ECDSA-CHACHA20-POLY1305": tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	"ECDHE-RSA-CHACHA20-POLY1305":   tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	"ECDHE-ECDSA-AES128-SHA256":     tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
	"ECDHE-RSA-AES128-SHA256":       tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256,
	"ECDHE-ECDSA-AES256-SHA":        tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,
	"ECDHE-RSA-AES256-SHA":          tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
	"ECDHE-ECDSA-AES128-SHA":        tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,
	"ECDHE-RSA-AES128-SHA":          tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
	"AES256-GCM-SHA384":             tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
	"AES128-GCM-SHA256":             tls.TLS_RSA_WITH_AES_128_GCM_SHA256,
	"AES128-SHA256":                 tls.TLS_RSA_WITH_AES_128_CBC_SHA256,
	"AES256-SHA":                    tls.TLS_RSA_WITH_AES_256_CBC_SHA,
	"AES128-SHA":                    tls.TLS_RSA_WITH_AES_128_CBC_SHA,
}

// ParseCiphers reads a list of OpenSSL names joined by colons. Names that this
// build cannot offer, and those of TLS 1.3, which are always on, come back in
// ignored. It fails if nothing of a list that is not empty is left for TLS 1.2.
func ParseCiphers(list string) (suites []uint16, ignored []string, err error) {
	for name := range strings.SplitSeq(list, ":") {
		name = strings.TrimSpace(name)
		if name == "" {
			continue
		}
		if id, ok := cipherNames[name]; ok {
			suites = append(suites, id)
			continue
		}
		ignored = append(ignored, name)
	}
	for _, name := range ignored {
		if len(suites) == 0 && !strings.HasPrefix(name, "TLS_") {
			return nil, ignored, fmt.Errorf("no cipher suite of %q is supported", list)
		}
	}
	return suites, ignored, nil
}

var curveNames = map[string]tls.CurveID{
	"x25519": tls.X25519, "secp256r1": tls.CurveP256, "prime256v1": tls.CurveP256,
	"secp384r1": tls.CurveP384, "secp521r1": tls.CurveP521,
}

// ParseCurves reads a list of curve names, with or without brackets, joined by
// commas or colons. Curves that this build cannot offer come back in ignored.
func ParseCurves(list string) (curves []tls.CurveID, ignored []string, err error) {
	split := func(r rune) bool { return strings.ContainsRune("[],: '\"", r) }
	for _, name := range strings.FieldsFunc(list, split) {
		if id, ok := curveNames[strings.ToLower(name)]; ok {
			curves = append(curves, id)
			continue
		}
		ignored = append(ignored, name)
	}
	if len(curves) == 0 && len(ignored) > 0 {
		return nil, ignored, fmt.Errorf("no curve of %q is supported", list)
	}
	return curves, ignored, nil
}

var versionNames = map[string]uint16{
	"tlsv1": tls.VersionTLS10, "tlsv1.1": tls.VersionTLS11, "tlsv1.2": tls.VersionTLS12, "tlsv1.3": tls.VersionTLS13,
}

// ParseVersions reads a list of tlsv1, tlsv1.1, tlsv1.2, tlsv1.3 joined by
// commas and returns the lowest and the highest; all between are allowed too.
func ParseVersions(list string) (lowest, highest uint16, err error) {
	for name := range strings.SplitSeq(list, ",") {
		id, ok := versionNames[strings.TrimSpace(name)]
		if !ok {
			return 0, 0, fmt.Errorf("unknown TLS version %q; use tlsv1, tlsv1.1, tlsv1.2 or tlsv1.3", name)
		}
		if lowest == 0 || id < lowest {
			lowest = id
		}
		highest = max(highest, id)
	}
	return lowest, highest, nil
}
