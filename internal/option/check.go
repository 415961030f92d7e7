package option

import (
	"net/netip"
	"os"
	"slices"
	"strings"
)

// secretCharactersMin is the shortest cluster.secret_key: 16 bytes in base64
// have more.
const secretCharactersMin = 16

// crossCheck holds options against each other.
func (l *loader) crossCheck(s *Settings) {
	fault := func(key, format string, args ...any) { l.fault(key, s.Origin(key), format, args...) }
	if key := "cluster.secret_key"; s.Text(key) != "" && len(strings.TrimSpace(s.Text(key))) < secretCharactersMin {
		fault(key, "has less than %d characters; openssl rand -base64 32 makes one", secretCharactersMin)
	}
	for _, key := range []string{"cluster.bind_address", "cluster.advertise_address"} {
		if text := s.Text(key); text != "" {
			if _, err := netip.ParseAddr(text); err != nil {
				fault(key, "%s is not an IP address", show(text))
			}
		}
	}
	for _, seed := range s.List("cluster.seeds") {
		if _, err := netip.ParseAddr(seed); err == nil || !strings.Contains(seed, ":") && seed != "" {
			continue // the port is cluster.gossip_port
		}
		if _, _, err := splitHostPort(seed); err != nil {
			fault("cluster.seeds", "%s: %v; write host, host:port or [address]:port", show(seed), err)
		}
	}
	if s.Text("cluster.name") == "" {
		fault("cluster.name", "must not be empty: nodes of one name are one cluster")
	}
	if s.Text("cluster.certfile") == "" != (s.Text("cluster.keyfile") == "") {
		fault("cluster.certfile", "cluster.certfile and cluster.keyfile belong together")
	}
	if s.Int("cluster.link_port") == s.Int("cluster.gossip_port") {
		key := "cluster.gossip_port"
		if !s.IsSet(key) {
			key = "cluster.link_port"
		}
		fault(key, "cluster.link_port and cluster.gossip_port must differ, and both are %d", s.Int(key))
	}
	if p, i := "cluster.memberlist.probe_timeout", "cluster.memberlist.probe_interval"; s.Duration(p) >= s.Duration(i) {
		fault(p, "must be less than %s, which is %s", i, s.Text(i))
	}
	if name := s.Text("nodename"); name == "" || strings.ContainsAny(name, "/+#") {
		fault("nodename", "%s cannot be a level of $SYS/<nodename>/: it must not be empty nor contain / + #", show(name))
	}
	if key := "cluster.rehearsal_clock"; s.Int(key) != 0 && !s.Bool("cluster.rehearsal") {
		fault(key, "wants cluster.rehearsal = on: no node in production reads its clock wrong on purpose")
	}
	if s.Text("data_dir") == "" {
		fault("data_dir", "must not be empty")
	}
	if ns := s.Text("prometheus_namespace"); !validNamespace(ns) {
		fault("prometheus_namespace", "%s is not the beginning of a metric name: letters, digits, _ and :, no digit first", show(ns))
	}
	if s.Bool("allow_anonymous") {
		l.warnAnonymous(s)
	}
}

func validNamespace(ns string) bool {
	for i, c := range ns {
		if c != '_' && c != ':' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return true
}

func (l *loader) warnAnonymous(s *Settings) {
	for _, x := range s.listeners {
		if slices.Contains(mqttKinds, x.Kind) && !x.Address.Loopback() {
			l.warning(s.Origin("allow_anonymous"), "allow_anonymous", "everyone who reaches listener.%s.%s at %s may connect without a password", x.Kind, x.Name, x.Address)
		}
	}
}

// checkFiles reports files that options name and that cannot be read. Files
// that only a default names may be missing.
func (l *loader) checkFiles(s *Settings) {
	for _, key := range l.order() {
		v := l.values[key]
		if v.option.Kind != KindFile || !v.option.Applies() || v.origin.Kind == FromDefault || v.text == "" {
			continue
		}
		f, err := os.Open(v.text)
		if err == nil {
			var st os.FileInfo
			if st, err = f.Stat(); err == nil && st.IsDir() {
				l.fault(key, v.origin, "%s is a directory", v.text)
			}
			_ = f.Close() // nothing was written
		}
		switch {
		case err == nil:
		case key == "vmq_passwd.password_file" && os.IsNotExist(err):
			l.fault(key, v.origin, "%s does not exist; make it with: tombolo passwd %s USER", v.text, v.text)
		default:
			l.fault(key, v.origin, "cannot read %s: %v", v.text, reason(err))
		}
	}
	for _, x := range s.listeners {
		if x.TLS != nil {
			l.checkTLS(x)
		}
	}
}

// checkTLS loads what a TLS listener would load; files that cannot be read
// have been reported before.
func (l *loader) checkTLS(x Listener) {
	key := "listener." + x.Kind + "." + x.Name
	if x.TLS.CertFile != "" && x.TLS.KeyFile != "" {
		if _, err := x.TLS.Certificate(); err != nil && !unreadable(err) {
			l.fault(key, x.Origin, "%v", err)
		}
	}
	if x.TLS.CAFile != "" {
		if _, err := x.TLS.Authorities(); err != nil && !unreadable(err) {
			l.fault(key, x.Origin, "%v", err)
		}
	}
	if x.TLS.CRLFile != "" {
		if _, err := x.TLS.Revoked(); err != nil && !unreadable(err) {
			l.fault(key, x.Origin, "%v", err)
		}
	}
}
