package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"tombolo/internal/conn"
	"tombolo/mqtt/packet"
	"tombolo/mqtt/session"
)

// Listener is what a listener adds to the settings. Immutable.
type Listener struct {
	Name       string
	Mountpoint string
	Versions   uint8         // allowed_protocol_versions; see session.Limits
	Anonymous  bool          // allow_anonymous_override
	Lifetime   time.Duration // max_connection_lifetime; 0 = no limit
	// Authenticator and Authorizer replace the broker's for this listener if
	// they are not nil (auth_plugins, authz_plugins).
	Authenticator Authenticator
	Authorizer    Authorizer
}

// peer is one connection as the broker sees it. Owned by the connection's
// driver, except for what is atomic and the fields guarded by the connection's
// Locker.
type peer struct {
	b        *Broker
	conn     conn.Conn
	listener *Listener
	hs       *session.Handshake // until the session is attached
	method   string             // of enhanced authentication
	id       *Identity          // once attached; immutable from then on, as is rules
	rules    Rules
	exchange Exchange
	client   atomic.Pointer[client]
	heard    atomic.Int64 // unix ms of the last bytes
	round    *round       // between OnBytes and OnRoundEnd

	keepAlive int64 // ms after which silence ends the connection; 0 = never; set before the timer is
	diesAt    int64 // unix ms of max_connection_lifetime; 0 = never; likewise
	rateStart int64 // unix ms; the second in which rate counts
	rate      int
	clogged   bool  // reading stopped because the outbox is full
	holds     holds // why it is not read at the moment

	// Guarded by conn.Locker.
	closed   bool
	accepted bool  // what is due from the client came: CONNECT, or the answer to a challenge
	dueBy    int64 // unix ms; when patience for that ends
}

// Accept returns the function that a listener calls for each connection.
func (b *Broker) Accept(l *Listener) conn.Accept {
	return func(c conn.Conn) conn.Handler {
		if b.closing.Load() {
			return nil
		}
		set := b.settings.Load()
		limits := *set.Limits
		if l.Versions != 0 {
			limits.Versions = l.Versions
		}
		p := &peer{b: b, conn: c, listener: l, hs: session.NewHandshake(&limits)}
		now := b.cfg.Now().UnixMilli()
		p.heard.Store(now)
		if set.ConnectTimeout > 0 {
			p.dueBy = now + set.ConnectTimeout.Milliseconds()
			b.wheel.at(p.dueBy, connectTimeout{p})
		}
		return p
	}
}

// OnBytes steps every whole packet in data.
func (p *peer) OnBytes(data []byte) (consumed, want int, err error) {
	if p.round == nil {
		p.round = p.b.begin()
	}
	r := p.round
	p.heard.Store(r.now)
	defer p.recovered(&err)
	if p.client.Load() == nil && p.hs.Fresh() {
		if why := strange(data); why != "" {
			return 0, 0, p.turnAway(why)
		}
	}
	limit := p.b.settings.Load().Limits.PacketBytesMax
	for consumed < len(data) {
		f, n, err := packet.Split(data[consumed:], limit)
		if err != nil {
			p.b.count.bytesIn.Add(uint64(consumed))
			return consumed, 0, p.malformed(err, r)
		}
		if n == 0 {
			want = packet.Need(data[consumed:])
			break
		}
		consumed += n
		if !p.packet(f, r) {
			break
		}
	}
	p.b.count.bytesIn.Add(uint64(consumed))
	return consumed, want, nil
}

// packet steps one packet; false means that the next one must wait, or that
// the connection has ended.
func (p *peer) packet(f packet.Frame, r *round) bool {
	if c := p.client.Load(); c != nil {
		return p.step(c, f, r)
	}
	return p.handshake(f, r)
}

// step has the session take one packet and does what it asks for.
func (p *peer) step(c *client, f packet.Frame, r *round) bool {
	if f.Type != packet.TypePublish {
		p.countType(f.Type)
	}
	e := &r.own
	r.lock(c)
	if c.peer != p {
		r.unlock(c)
		return false
	}
	e.Reset()
	c.core.Packet(f, r.now, e)
	p.b.emit(c, e, r)
	open := c.peer == p
	r.unlock(c)
	if e.Request != session.RequestNone && open {
		p.request(c, e, r)
	}
	return open && !p.limitRate(f.Type, r)
}

func (p *peer) request(c *client, e *session.Effects, r *round) {
	switch e.Request {
	case session.RequestPublish:
		p.b.publishFrom(c, p.rules, e, r)
	case session.RequestSubscribe:
		p.b.subscribe(c, p.rules, e, r)
	case session.RequestUnsubscribe:
		p.b.unsubscribe(c, e, r)
	case session.RequestForget:
		p.b.forget(c, e)
	case session.RequestAuth:
		p.reauthenticate(c, e, r)
	}
}

func (p *peer) countType(t packet.Type) {
	if m := p.b.count.received[t.String()]; m != nil {
		m.Inc()
	}
}

// limitRate pauses a client that publishes faster than max_message_rate until
// the second is over; the kernel's window then slows the client down.
func (p *peer) limitRate(t packet.Type, r *round) bool {
	if t != packet.TypePublish {
		return false
	}
	limit := p.b.settings.Load().MessageRateMax
	if limit <= 0 {
		return false
	}
	if r.now-p.rateStart >= 1000 {
		p.rateStart, p.rate = r.now, 0
	}
	if p.rate++; p.rate < limit {
		return false
	}
	p.b.count.paused.Inc()
	p.hold(holdRate)
	p.b.wheel.at(p.rateStart+1000, resume{p})
	return true
}

// malformed answers bytes that are no packet.
func (p *peer) malformed(err error, r *round) error {
	p.b.count.malformed.Inc()
	reason, detail := packet.MalformedPacket, "malformed packet"
	var pe *packet.Error
	if errors.As(err, &pe) {
		reason, detail = pe.Reason, pe.Detail
	}
	if c := p.client.Load(); c != nil {
		p.b.kick(c, p, reason, detail, r)
		return nil
	}
	p.b.count.closed[closeProtocol].Inc()
	p.logClose(&session.Close{Reason: reason, Detail: detail})
	return err
}

// OnRoundEnd writes what the round produced, everywhere.
func (p *peer) OnRoundEnd() {
	if p.round != nil {
		r := p.round
		p.round = nil
		p.b.end(r)
	}
	p.unclog(true)
}

// unclog stops reading from a client that does not read what it is sent, and
// begins again when it has. Its own acknowledgements are bounded this way.
func (p *peer) unclog(mayClog bool) {
	l := p.conn.Locker()
	l.Lock()
	n := p.conn.Buffered()
	l.Unlock()
	limit := p.b.settings.Load().OutboxBytesMax
	switch {
	case mayClog && !p.clogged && limit > 0 && n > limit:
		p.clogged = true
		p.b.count.paused.Inc()
		p.hold(holdOutbox)
	case p.clogged && n <= limit/2:
		p.clogged = false
		p.release(holdOutbox)
	}
}

// OnWritable sends what waited for room.
func (p *peer) OnWritable() {
	p.unclog(false)
	c := p.client.Load()
	if c == nil {
		return
	}
	r := p.b.begin()
	r.lock(c)
	if c.peer == p {
		r.other.Reset()
		c.core.Pump(r.now, &r.other)
		p.b.emit(c, &r.other, r)
	}
	r.unlock(c)
	p.b.end(r)
}

// OnClose ends the session's connection, unless the broker did so already.
func (p *peer) OnClose(err error) {
	if p.round != nil {
		r := p.round
		p.round = nil
		p.b.end(r)
	}
	l := p.conn.Locker()
	l.Lock()
	p.closed = true
	l.Unlock()
	c := p.client.Load()
	if c == nil {
		return
	}
	r := p.b.begin()
	r.lock(c)
	if c.peer == p {
		p.b.count.closed[closeLost].Inc()
		p.logLost(err)
		p.b.detach(c, session.Close{Reason: packet.UnspecifiedError, Detail: "connection lost", Will: true}, r)
	}
	r.unlock(c)
	p.b.end(r)
}

// recovered ends the session in whose step a bug of ours showed, and no other.
func (p *peer) recovered(err *error) {
	x := recover()
	if x == nil {
		return
	}
	p.b.count.panics.Inc()
	r := p.round
	c := r.locked
	p.b.cfg.Log.Error("session ended by a bug; please report it", "error", fmt.Sprint(x), "stack", string(debug.Stack()))
	if c != nil {
		r.locked = nil
		if c.conn != nil {
			victim := c.conn
			p.b.detach(c, session.Close{Reason: packet.UnspecifiedError, Detail: "internal error", Will: true}, r)
			victim.Shutdown(errKicked, 0)
		}
		c.mu.Unlock()
	}
	*err = errKicked
}

// ClosedText is the line of the log for a connection that this node has ended, with
// its code if its CONNECT had come.
const ClosedText = "connection closed"

// logClose writes the one line that says why a connection ended.
func (p *peer) logClose(c *session.Close) {
	level := slog.LevelWarn
	switch {
	case c.Client:
		level = slog.LevelDebug
	case c.Reason == packet.KeepAliveTimeout && p.b.settings.Load().QuietKeepAlive:
		level = slog.LevelInfo
	case c.Reason == packet.SessionTakenOver, c.Reason == packet.ServerShuttingDown, c.Reason == packet.ServerMoved, c.Reason == packet.AdministrativeAction:
		level = slog.LevelInfo
	}
	if m := p.b.count.errors[c.Reason]; m != nil && !c.Client {
		m.Inc()
	}
	if !p.b.cfg.Log.Enabled(context.Background(), level) {
		return
	}
	p.b.cfg.Log.Log(context.Background(), level, ClosedText, "client", p.clientID(), "peer", p.conn.Info().PeerName,
		"reason", c.Reason.String(), "code", fmt.Sprintf("0x%02x", uint8(c.Reason)), "detail", c.Detail)
}

func (p *peer) logLost(err error) {
	if err == nil || errors.Is(err, io.EOF) {
		if !p.b.cfg.Log.Enabled(context.Background(), slog.LevelDebug) {
			return // most connections of a storm end here
		}
		p.b.cfg.Log.Debug("connection lost", "client", p.clientID(), "peer", p.conn.Info().PeerName)
		return
	}
	p.b.cfg.Log.Info("connection lost", "client", p.clientID(), "peer", p.conn.Info().PeerName, "error", err)
}

// clientID is for the log: it is known once CONNECT has come.
func (p *peer) clientID() string {
	if c := p.client.Load(); c != nil {
		return c.key.ClientID
	}
	return p.hs.Params().ClientID
}

// connectTimeout ends a connection that did not send CONNECT in time, or the
// answer to a challenge.
type connectTimeout struct{ p *peer }

func (t connectTimeout) due(now int64) int64 {
	p := t.p
	l := p.conn.Locker()
	l.Lock()
	waiting, by := !p.accepted && !p.closed, p.dueBy
	l.Unlock()
	switch {
	case !waiting:
		return 0
	case now < by:
		return by
	}
	p.b.count.closed[closeSilent].Inc()
	p.b.cfg.Log.Warn(ClosedText, "client", p.clientID(), "peer", p.conn.Info().PeerName, "detail", errNoConnect.Error())
	p.conn.Shutdown(errNoConnect, 0)
	return 0
}

// await gives the client until the connect timeout for its next packet.
func (p *peer) await(now int64) {
	limit := p.b.settings.Load().ConnectTimeout
	if limit <= 0 {
		return
	}
	l := p.conn.Locker()
	l.Lock()
	p.accepted, p.dueBy = false, now+limit.Milliseconds()
	l.Unlock()
	p.b.wheel.at(now+limit.Milliseconds(), connectTimeout{p})
}

var errNoConnect = errors.New("client did not finish CONNECT within mqtt_connect_timeout")

// resume ends the pause of a client that published too fast.
type resume struct{ p *peer }

func (t resume) due(int64) int64 {
	t.p.release(holdRate)
	return 0
}

// recheckMax is how long a timer may hold on to a connection or a session that
// is gone: it looks again after that time at the latest.
const recheckMax = int64(time.Minute / time.Millisecond)

// peerCheck ends a connection that was silent for too long, or has lived for
// too long. It is put back as long as neither is so.
type peerCheck struct{ p *peer }

func (t peerCheck) due(now int64) int64 {
	p := t.p
	c := p.client.Load()
	if c == nil || p.gone() {
		return 0
	}
	next := now + recheckMax
	if p.held(holdIDs) {
		p.heard.Store(now) // it is us who do not listen
	}
	if p.keepAlive > 0 {
		silent := p.heard.Load() + p.keepAlive
		if now >= silent {
			if p.expire(c, packet.KeepAliveTimeout, "silent for 1.5 times the keep alive") {
				p.b.count.keepAlive.Inc()
			}
			return 0
		}
		next = min(next, silent)
	}
	if p.diesAt > 0 {
		if now >= p.diesAt {
			p.expire(c, packet.AdministrativeAction, "connection reached max_connection_lifetime")
			return 0
		}
		next = min(next, p.diesAt)
	}
	return next
}

// gone reports whether the connection has ended.
func (p *peer) gone() bool {
	l := p.conn.Locker()
	l.Lock()
	defer l.Unlock()
	return p.closed
}

// expire ends the connection, if it is still c's.
func (p *peer) expire(c *client, reason packet.ReasonCode, detail string) bool {
	r := p.b.begin()
	defer p.b.end(r)
	return p.b.kick(c, p, reason, detail, r)
}

// grace is how long keep alive allows: one and a half times what was agreed
// ([MQTT-3.1.2-22]).
func grace(seconds uint16) int64 {
	return (time.Duration(seconds) * time.Second * 3 / 2).Milliseconds()
}
