package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tombolo/internal/admin"
	"tombolo/internal/conn"
	"tombolo/internal/log"
	"tombolo/internal/metric"
	"tombolo/internal/option"
	"tombolo/mqtt/broker"
)

// port is one listener of the configuration. Immutable once open, but for shut.
type port struct {
	cfg  option.Listener
	mqtt *conn.Listener // one of mqtt and web is set
	web  net.Listener
	tls  *conn.TLS
	shut atomic.Bool // it accepts no more; its connections live on
}

// address is where the port really listens.
func (p *port) address() string {
	if p.mqtt != nil {
		return p.mqtt.AddrString()
	}
	return p.web.Addr().String()
}

// ports are the node's listeners. Safe for concurrent use once open has returned;
// what serve sets is immutable from then on.
type ports struct {
	n         *Node
	list      atomic.Pointer[[]*port] // only added to, by who holds changes
	changes   sync.Mutex
	accepting atomic.Bool
	socket    *admin.Socket
	refusals  *log.Limiter

	serving context.Context
	served  *sync.WaitGroup
}

// all lists the listeners, those that were shut included.
func (p *ports) all() []*port {
	if l := p.list.Load(); l != nil {
		return *l
	}
	return nil
}

func (p *ports) add(list ...*port) {
	whole := slices.Concat(p.all(), list)
	p.list.Store(&whole)
}

// forClients says whether a listener speaks MQTT.
func forClients(l option.Listener) bool {
	return l.Kind != option.ListenerHTTP && l.Kind != option.ListenerHTTPS
}

// open binds every listener, or none: the first that fails closes the rest. With
// suspended it leaves out those of MQTT.
func (p *ports) open(suspended bool) error {
	for _, l := range p.n.set.Listeners() {
		if suspended && forClients(l) {
			continue
		}
		one, err := p.bind(l)
		if err != nil {
			p.closeListeners()
			return err
		}
		p.add(one)
	}
	path := p.n.socketPath()
	socket, err := admin.ListenSocket(path)
	if err != nil {
		p.closeListeners()
		return err
	}
	p.socket = socket
	p.count()
	return nil
}

// bind opens one listener.
func (p *ports) bind(l option.Listener) (*port, error) {
	one := &port{cfg: l}
	var err error
	if l.TLS != nil {
		if one.tls, err = conn.NewTLS(tlsConfig(l.TLS)); err != nil {
			return nil, fmt.Errorf("listener.%s.%s: %w", l.Kind, l.Name, err)
		}
	}
	switch l.Kind {
	case option.ListenerHTTP, option.ListenerHTTPS:
		one.web, err = net.Listen(l.Address.Network, l.Address.String())
		if err == nil && one.tls != nil {
			one.web = tls.NewListener(one.web, one.tls.Config())
		}
	default:
		one.mqtt, err = conn.Listen(p.listenConfig(one))
	}
	if err != nil {
		return nil, fmt.Errorf("listener.%s.%s (%s): %w", l.Kind, l.Name, l.Origin, err)
	}
	return one, nil
}

func tlsConfig(t *option.TLS) conn.TLSConfig {
	return conn.TLSConfig{
		CertFile: t.CertFile, KeyFile: t.KeyFile, Certificate: t.Certificate, CAFile: t.CAFile, CRLFile: t.CRLFile,
		RequireCertificate: t.RequireCertificate, VerifyGiven: t.UseIdentityAsUsername,
		Depth: t.Depth, MinVersion: t.MinVersion, MaxVersion: t.MaxVersion,
		Ciphers: t.CipherSuites, Curves: t.Curves,
	}
}

func (p *ports) listenConfig(one *port) conn.Config {
	l, set := one.cfg, p.n.set
	outbox := int(set.Bytes("max_outbox_bytes"))
	c := conn.Config{
		Name: l.Name, Kind: l.Kind, Mountpoint: l.Mountpoint,
		Address: l.Address.String(), MaxConnections: max(l.MaxConnections, 0), DescriptorsMax: clientDescriptors(),
		OutboxHighMark: outbox / 2, OutboxLowMark: outbox / 4,
		CloseLinger: max(min(set.Duration("shutdown_timeout")/2, linger), time.Millisecond),
		SendBuffer:  l.SendBuffer, ReceiveBuffer: l.ReceiveBuffer,
		TLS: one.tls,
		WebSocket: conn.WebSocket{
			FrameBytesMax:  max(set.Bytes("max_ws_frame_size"), 0),
			RequestLineMax: l.MaxRequestLine, HeaderValueMax: l.MaxHeaderValue,
			ForwardedFor: l.XFF.Enabled, Trusted: l.XFF.Trusted,
		},
		Proxy:  conn.Proxy{Enabled: l.ProxyProtocol, CommonNameAsUser: l.ProxyCNAsUsername},
		Events: p.refused,
	}
	if l.Address.Network == "unix" {
		c.Address = "local:" + l.Address.Path
	}
	if l.XFF.CNAsUsername {
		c.WebSocket.CommonNameHeader = l.XFF.CNHeader
	}
	if l.TLS != nil {
		c.HandshakeTimeout, c.IdentityAsUser = l.TLS.HandshakeTimeout, l.TLS.UseIdentityAsUsername
	}
	return c
}

// refused logs connections that were turned away, at most one line a reason
// and while; the counters have them all.
func (p *ports) refused(e conn.Event) {
	p.refusals.Log(p.n.log.For("listener"), log.LevelWarning, e.Listener+e.Reason.String(),
		"connection refused", "listener", e.Listener, "peer", e.Peer, "reason", e.Reason.String(), "error", e.Err)
}

// serve accepts on every listener and returns how to wait, for a limited time,
// until all connections have ended.
func (p *ports) serve(run context.Context) (ended func(time.Duration) bool) {
	ctx, cancel := context.WithCancel(run)
	wg := &sync.WaitGroup{}
	p.serving, p.served = ctx, wg
	for _, one := range p.all() {
		p.serveOne(one)
	}
	wg.Go(func() {
		if err := p.n.admin.ServeSocket(ctx, p.socket); err != nil && !errors.Is(err, net.ErrClosed) {
			p.n.logger.Error("admin socket failed", "error", err)
		}
	})
	p.accepting.Store(slices.ContainsFunc(p.all(), func(one *port) bool { return one.mqtt != nil }))
	return func(limit time.Duration) bool { return p.drain(wg, cancel, limit) }
}

func (p *ports) serveOne(one *port) {
	p.served.Go(func() {
		if one.mqtt != nil {
			one.mqtt.Serve(p.serving, p.n.broker.Accept(p.listener(one)))
			return
		}
		if err := p.n.admin.Serve(p.serving, one.web, p.access(one)); err != nil && !errors.Is(err, net.ErrClosed) {
			p.n.logger.Error("http listener failed", "listener", one.cfg.Name, "error", err)
		}
	})
}

// suspend closes the listeners of MQTT; connections live on.
func (p *ports) suspend() {
	p.changes.Lock()
	defer p.changes.Unlock()
	p.accepting.Store(false)
	for _, one := range p.all() {
		if one.mqtt != nil && !one.shut.Swap(true) {
			_ = one.mqtt.Close() // a second close says so; nothing to do about it
		}
	}
}

// resume opens the listeners of MQTT again, all or none.
func (p *ports) resume() error {
	p.changes.Lock()
	defer p.changes.Unlock()
	if p.accepting.Load() || p.n.stopping() {
		return nil
	}
	var opened []*port
	for _, l := range p.n.set.Listeners() {
		if !forClients(l) {
			continue
		}
		one, err := p.bind(l)
		if err != nil {
			for _, o := range opened {
				_ = o.mqtt.Close()
			}
			return err
		}
		opened = append(opened, one)
	}
	p.add(opened...)
	for _, one := range opened {
		p.serveOne(one)
	}
	p.accepting.Store(true)
	return nil
}

// drainPoll is how often a stopping node looks whether its clients have left.
const drainPoll = 5 * time.Millisecond

// drainRestMin is what closing sockets may take however short the limit is.
const drainRestMin = 100 * time.Millisecond

// drain gives connections time to take their last packet, then ends what is
// left.
func (p *ports) drain(wg *sync.WaitGroup, cancel context.CancelFunc, limit time.Duration) bool {
	deadline := time.Now().Add(limit)
	clean := true
	for p.active() > 0 {
		if time.Now().After(deadline) {
			clean = false
			break
		}
		time.Sleep(drainPoll)
	}
	cancel()
	ended := make(chan struct{})
	go func() { defer close(ended); wg.Wait() }()
	// What is not over by then, such as half a question over HTTP, ends with
	// the process.
	rest := time.NewTimer(max(limit, drainRestMin))
	defer rest.Stop()
	select {
	case <-ended:
	case <-rest.C:
		clean = false
	}
	return clean
}

// active counts the connections of MQTT listeners.
func (p *ports) active() int64 {
	n := int64(0)
	for _, one := range p.all() {
		if one.mqtt != nil {
			n += one.mqtt.Stats().Active()
		}
	}
	return n
}

// listener is what the broker needs to know of a port.
func (p *ports) listener(one *port) *broker.Listener {
	chains := p.n.security.chainsFor(&one.cfg)
	return &broker.Listener{
		Authenticator: chains, Authorizer: chains,
		Name: one.cfg.Name, Mountpoint: one.cfg.Mountpoint,
		Versions: versions(one.cfg.AllowedVersions), Anonymous: one.cfg.AllowAnonymous,
		Lifetime: one.cfg.MaxConnectionLifetime,
	}
}

// access is what an http listener serves: its http_modules. The management API
// has no keys yet, so it is served over loopback only, and only where the
// operator has named it; the admin socket always has it.
func (p *ports) access(one *port) admin.Access {
	has := func(m string) bool { return slices.Contains(one.cfg.HTTPModules, m) }
	local := one.cfg.Address.Loopback()
	named := p.n.cfg.AllowAll || p.n.set.IsSet("http_modules") ||
		p.n.set.IsSet("listener."+one.cfg.Kind+"."+one.cfg.Name+".http_modules")
	return admin.Access{
		Metrics: has("metrics"), Health: has("health"),
		API: has("api") && local && named, Profile: local && p.n.set.Bool("pprof"),
	}
}

// closeListeners stops accepting; connections live on.
func (p *ports) closeListeners() {
	p.changes.Lock()
	defer p.changes.Unlock()
	p.accepting.Store(false)
	for _, one := range p.all() {
		if one.mqtt != nil {
			_ = one.mqtt.Close() // a second close says so; nothing to do about it
		} else if one.web != nil && !p.n.stopping() {
			_ = one.web.Close()
		}
	}
}

// reload reads certificates again.
func (p *ports) reload() error {
	var errs []error
	for _, one := range p.all() {
		if one.tls != nil {
			if err := one.tls.Reload(); err != nil {
				errs = append(errs, fmt.Errorf("listener.%s.%s: %w", one.cfg.Kind, one.cfg.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// count shows the listeners' own numbers as metrics.
func (p *ports) count() {
	sum := func(f func(*conn.Stats) float64) func() float64 {
		return func() float64 {
			total := 0.0
			for _, one := range p.all() {
				if one.mqtt != nil {
					total += f(one.mqtt.Stats())
				}
			}
			return total
		}
	}
	m := p.n.metrics
	m.CounterFunc(metric.Opts{Name: "connections_accepted_total", Help: "Connections accepted.", Verne: "socket_open"},
		sum(func(s *conn.Stats) float64 { return float64(s.Accepted()) }))
	m.CounterFunc(metric.Opts{Name: "connections_ended_total", Help: "Connections ended.", Verne: "socket_close"},
		sum(func(s *conn.Stats) float64 { return float64(s.Closed()) }))
	m.GaugeFunc(metric.Opts{Name: "connections_active", Help: "Connections of all MQTT listeners."},
		sum(func(s *conn.Stats) float64 { return float64(s.Active()) }))
	for _, why := range conn.Refusals() {
		m.CounterFunc(metric.Opts{Name: "connections_refused_" + why.String() + "_total", Help: "Connections turned away before MQTT: " + why.String() + "."},
			sum(func(s *conn.Stats) float64 { return float64(s.Refused(why)) }))
	}
}
