package option

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parseAddress reads the address of a listener: off, host:port, [IPv6]:port,
// IPv6:port, or local:<path>:<n>. Off reads as the zero Address.
func parseAddress(text string) (Address, error) {
	if text == "off" {
		return Address{}, nil
	}
	if rest, ok := strings.CutPrefix(text, "local:"); ok {
		i := strings.LastIndexByte(rest, ':')
		if i <= 0 {
			return Address{}, fmt.Errorf("%s is not of the form local:<path>:<number>", show(text))
		}
		if _, err := strconv.Atoi(rest[i+1:]); err != nil {
			return Address{}, fmt.Errorf("%s is not of the form local:<path>:<number>", show(text))
		}
		return Address{Network: "unix", Path: rest[:i]}, nil
	}
	host, port, err := splitHostPort(text)
	if err != nil {
		return Address{}, err
	}
	return Address{Network: "tcp", Host: host, Port: port}, nil
}

// defaultListeners stand in when nothing of their kinds is declared.
var defaultListeners = []struct {
	kinds   []string
	key     string
	address string
}{
	{mqttKinds, "listener.tcp.default", "127.0.0.1:1883"},
	{httpKinds, "listener.http.default", "127.0.0.1:8888"},
}

// resolveListeners builds the listeners out of the values.
func (l *loader) resolveListeners(s *Settings) []Listener {
	for _, d := range defaultListeners {
		if !slices.ContainsFunc(d.kinds, func(kind string) bool { return len(l.listenerNames(kind)) > 0 }) {
			l.values[d.key] = value{option: l.table.find(d.key), text: d.address, parsed: parsed{text: d.address}}
		}
	}
	s.current.Store(l.snapshot())
	var out []Listener
	for _, kind := range listenerKinds {
		names := l.listenerNames(kind)
		l.orphans(kind, names)
		for _, name := range names {
			if r := l.resolver(s, kind, name); r.listener.Address.Network != "" {
				r.resolve()
				out = append(out, r.listener)
			}
		}
	}
	l.sameAddress(out)
	return out
}

// listenerNames lists the names declared for a kind, as they stand in the key.
func (l *loader) listenerNames(kind string) []string {
	var names []string
	for key, v := range l.values {
		if v.option.Key == "listener."+kind+".$name" {
			names = append(names, strings.TrimPrefix(key, "listener."+kind+"."))
		}
	}
	slices.Sort(names)
	return names
}

// orphans warns about settings of listeners that are not declared.
func (l *loader) orphans(kind string, names []string) {
	for _, key := range l.order() {
		v := l.values[key]
		segments := splitKey(key)
		if v.option.listener != nil && len(segments) == 4 && segments[1] == kind && !slices.Contains(names, segments[2]) {
			l.warning(v.origin, key, "there is no listener.%s.%s that it could belong to", kind, segments[2])
		}
	}
}

func (l *loader) sameAddress(listeners []Listener) {
	seen := map[Address]Listener{}
	for _, x := range listeners {
		first, taken := seen[x.Address]
		if taken && (x.Address.Network == "unix" || x.Address.Port != 0) {
			l.fault("listener."+x.Kind+"."+x.Name, x.Origin, "%s is the address of listener.%s.%s already", x.Address, first.Kind, first.Name)
		}
		seen[x.Address] = x
	}
}

// resolver finds the settings of one listener. Owned by resolveListeners.
type resolver struct {
	l        *loader
	s        *Settings
	settings map[string]*listenerSetting // those of this kind, by key
	listener Listener
	name     string // as in the key, dots escaped
}

func (l *loader) resolver(s *Settings, kind, name string) *resolver {
	key := "listener." + kind + "." + name
	v := l.values[key]
	var address Address
	var err error
	if v.text != "" { // else its fault has been reported
		address, err = parseAddress(v.text)
	}
	if err == nil && address.Network == "unix" && kind != ListenerTCP {
		err = fmt.Errorf("a Unix socket is for listener.tcp only")
	}
	if err != nil {
		l.fault(key, v.origin, "%v", err)
	}
	r := &resolver{l: l, s: s, name: name, settings: map[string]*listenerSetting{},
		listener: Listener{Kind: kind, Name: unescape(name), Address: address, Origin: v.origin}}
	settings := listenerSettings()
	for i := range settings {
		if slices.Contains(settings[i].kinds, kind) {
			r.settings[settings[i].key] = &settings[i]
		}
	}
	return r
}

// get returns the value of a setting: the listener's, else the protocol's,
// else the root's, else the default.
func (r *resolver) get(setting string) (value, string) {
	ls := r.settings[setting]
	keys := ls.keys(r.listener.Kind, r.name)
	for i, key := range keys {
		v, ok := r.l.values[key]
		if !ok || v.origin.Kind == FromDefault {
			continue
		}
		if setting == "max_connections" && v.text == "-1" && i < len(keys)-1 {
			continue // VerneMQ's way to say: the level above
		}
		return v, key
	}
	return r.s.get(keys[0]), keys[0]
}

func (r *resolver) has(setting string) bool { return r.settings[setting] != nil }

func (r *resolver) on(setting string) bool {
	if !r.has(setting) {
		return false
	}
	v, _ := r.get(setting)
	return v.parsed.number != 0
}

func (r *resolver) number(setting string) int64 {
	if !r.has(setting) {
		return 0
	}
	v, _ := r.get(setting)
	return v.parsed.number
}

func (r *resolver) text(setting string) string {
	if !r.has(setting) {
		return ""
	}
	v, _ := r.get(setting)
	return v.text
}

func (r *resolver) fault(setting, format string, args ...any) {
	v, key := r.get(setting)
	r.l.fault(key, v.origin, format, args...)
}

func (r *resolver) warn(setting, format string, args ...any) {
	v, key := r.get(setting)
	r.l.warning(v.origin, key, format, args...)
}

func (r *resolver) resolve() {
	x := &r.listener
	if hasListenerSetting(x.Name) {
		r.l.fault("listener."+x.Kind+"."+r.name, x.Origin, "a listener cannot be named like the setting %s", x.Name)
	}
	x.MaxConnections = int(r.number("max_connections"))
	if x.MaxConnections == 0 {
		r.fault("max_connections", "0 would accept nobody; write off as the address to remove the listener, or infinity for no limit")
	}
	x.MaxConnectionLifetime = time.Duration(r.number("max_connection_lifetime"))
	if m := strings.TrimRight(r.text("mountpoint"), "/"); m != "off" {
		x.Mountpoint = m
	}
	if strings.ContainsAny(x.Mountpoint, "+#") {
		r.fault("mountpoint", "%s contains a wildcard", show(x.Mountpoint))
	}
	x.AllowAnonymous = r.on("allow_anonymous_override")
	x.ProxyProtocol = r.on("proxy_protocol") && x.Kind != ListenerHTTP
	x.ProxyCNAsUsername = x.ProxyProtocol && r.on("proxy_protocol_use_cn_as_username")
	x.MaxRequestLine = int(r.number("max_request_line_length"))
	x.MaxHeaderValue = int(r.number("max_header_value_length"))
	if slices.Contains(mqttKinds, x.Kind) {
		r.versions()
		x.AuthPlugins = r.plugins("auth_plugins")
		x.AuthzPlugins = r.plugins("authz_plugins")
	}
	if r.has("buffer_sizes") {
		r.buffers()
	}
	if r.has("proxy_xff_support") {
		r.forwarded()
	}
	if r.has("http_modules") {
		r.modules()
	}
	if slices.Contains(tlsKinds, x.Kind) {
		x.TLS = r.tls()
	}
}

func (r *resolver) versions() {
	v, _ := r.get("allowed_protocol_versions")
	for _, item := range v.parsed.items {
		if item == "131" || item == "132" {
			r.warn("allowed_protocol_versions", "%s, a bridge variant, is %s", item, pendingFeature)
			continue
		}
		r.listener.AllowedVersions = append(r.listener.AllowedVersions, int(item[0]-'0'))
	}
	slices.Sort(r.listener.AllowedVersions)
	if len(r.listener.AllowedVersions) == 0 {
		r.fault("allowed_protocol_versions", "no version is left that could connect; write some of 3,4,5")
	}
}

// plugins returns nil when nothing was said, and what was said otherwise.
func (r *resolver) plugins(setting string) []string {
	v, _ := r.get(setting)
	if v.origin.Kind == FromDefault {
		return nil
	}
	for _, name := range v.parsed.items {
		if !r.s.Bool("plugins." + name) {
			r.fault(setting, "%s is not enabled; set plugins.%s = on", name, name)
		}
	}
	return append([]string{}, v.parsed.items...)
}

func (r *resolver) buffers() {
	v, _ := r.get("buffer_sizes")
	if v.text == "" {
		return
	}
	var sizes []int
	for _, item := range strings.Split(strings.Trim(v.text, "[] "), ",") {
		n, err := strconv.Atoi(strings.TrimSpace(item))
		if err != nil || n < 0 || n > 1<<30 {
			r.fault("buffer_sizes", "%s is not of the form send,receive,user in bytes", show(v.text))
			return
		}
		sizes = append(sizes, n)
	}
	if len(sizes) != 3 {
		r.fault("buffer_sizes", "%s is not of the form send,receive,user in bytes", show(v.text))
		return
	}
	r.listener.SendBuffer, r.listener.ReceiveBuffer = sizes[0], sizes[1]
}

func (r *resolver) forwarded() {
	f := &r.listener.XFF
	for _, item := range strings.FieldsFunc(r.text("proxy_xff_trusted_intermediate"), func(c rune) bool { return c == ';' }) {
		addr, err := netip.ParseAddr(strings.TrimSpace(item))
		if err != nil {
			r.fault("proxy_xff_trusted_intermediate", "%s is not an IP address; separate addresses by semicolons", show(item))
			continue
		}
		f.Trusted = append(f.Trusted, addr)
	}
	f.Enabled = r.on("proxy_xff_support") && len(f.Trusted) > 0
	f.CNAsUsername = f.Enabled && r.on("proxy_xff_use_cn_as_username") && !r.listener.ProxyCNAsUsername
	f.CNHeader = r.text("proxy_xff_cn_header")
	if r.on("proxy_xff_support") && !f.Enabled {
		r.warn("proxy_xff_support", "has no effect without proxy_xff_trusted_intermediate")
	}
}

func (r *resolver) modules() {
	v, key := r.get("http_modules")
	if v.origin.Kind == FromDefault {
		v, key = r.s.get("http_modules"), "http_modules"
	}
	r.listener.HTTPModules = []string{}
	for _, item := range v.parsed.items {
		name, aliased := httpModuleAlias[item]
		if !aliased {
			name = item
		}
		if name == "" {
			r.l.warning(v.origin, key, "%s is %s", item, pendingFeature)
			continue
		}
		if !slices.Contains(r.listener.HTTPModules, name) {
			r.listener.HTTPModules = append(r.listener.HTTPModules, name)
		}
	}
}
