package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"tombolo/internal/wire"
)

// dials keeps one connection to the peer, for as long as ctx lives.
func (p *peer) dials(ctx context.Context, plane wire.Plane) {
	c := &p.m.config
	timer := c.Clock.NewTimer(0)
	defer timer.Stop()
	backoff := c.BackoffMin
	var hushed hushes
	for {
		select {
		case <-timer.C():
		case <-p.kick[plane]:
			backoff = c.BackoffMin
		case <-ctx.Done():
			return
		}
		started := p.m.now()
		conn, err := p.dial(ctx, plane)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			p.fail(explain(err))
		}
		took, stood := time.Duration(p.m.now()-started), conn != nil
		if stood {
			p.stayed(&hushed, conn.stay())
		}
		if stood && took > c.BackoffMax {
			backoff = c.BackoffMin
		}
		if !stood && took > backoff {
			// It has been patient enough: a pause on top would only lengthen a heal.
			timer.Reset(c.BackoffMin)
			continue
		}
		// Jitter over half of it, so that nodes that lost each other at once do
		// not meet in step for ever.
		timer.Reset(backoff/2 + rand.N(backoff/2+1))
		backoff = min(2*backoff, c.BackoffMax)
	}
}

// fail notes why there is no connection.
func (p *peer) fail(err error) {
	p.m.stats.refused(err)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.lastError == err.Error() {
		return
	}
	p.mu.lastError = err.Error()
	var r *RefusedError
	var h *hinted
	known := errors.As(err, &r)
	if known {
		p.mu.refused = r.Code
	}
	advice := errors.As(err, &h) && !h.quiet
	if advice {
		if p.mu.advice == err.Error() {
			return // other failures were between
		}
		p.mu.advice = err.Error()
	}
	if known || advice {
		p.m.config.Log("link to node " + nameOf(p.mu.info.Name, p.id) + ": " + err.Error())
	}
}

// refusedBy notes that a node which dialled this one was refused, or refused
// it: a join has to say why, whichever of the two dials. Nothing is proven by then,
// so that it is told and nothing else.
func (p *peer) refusedBy(err error) {
	var r *RefusedError
	if !errors.As(err, &r) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.conns[0] == nil && p.mu.conns[1] == nil {
		p.mu.lastError, p.mu.refused = err.Error(), r.Code
	}
}

func nameOf(name string, id NodeID) string {
	if name == "" {
		return fmt.Sprintf("%x", uint64(id))
	}
	return name
}

// dial makes a connection and serves it until it ends; nil if it did not come to that.
func (p *peer) dial(ctx context.Context, plane wire.Plane) (*connection, error) {
	c := &p.m.config
	p.mu.Lock()
	address := p.mu.address
	p.mu.Unlock()
	timed, cancel := context.WithTimeout(ctx, c.DialTimeout)
	defer cancel()
	if p.cut.Load() {
		// As soon as a real one: hedge would have asked again by then.
		return nil, p.awaitCut(ctx, min(dialAgain, c.DialTimeout))
	}
	segment := p.width.segment()
	raw, err := hedge(timed, address, segment)
	if err != nil {
		return nil, unanswered(address, false, err)
	}
	tune(raw, c.SilenceMax)
	deadline := time.Now().Add(c.DialTimeout)
	_ = raw.SetDeadline(deadline) // a connection that cannot have one fails at its first use
	if c.TLS != nil {
		t := c.TLS.Clone()
		if t.ServerName == "" {
			t.ServerName, _, _ = net.SplitHostPort(address)
		}
		secure := tls.Client(raw, t)
		if err := secure.HandshakeContext(timed); err != nil {
			_ = raw.Close()
			return nil, unanswered(address, true, err)
		}
		raw = secure
	}
	h := handshake{config: c, conn: raw, plane: plane, expect: p.id, admit: func(info Peer) error { return p.admit(info) }}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	err = h.dial()
	stop()
	if err != nil || ctx.Err() != nil {
		_ = raw.Close()
		return nil, unanswered(address, true, err)
	}
	_ = raw.SetDeadline(time.Time{})
	conn := newConnection(p, plane, raw, h.peer)
	conn.segment, conn.stood = segment, time.Duration(p.m.now())
	defer context.AfterFunc(ctx, func() { conn.close("stopped") })()
	conn.serve()
	return conn, nil
}

// dialAgain is after how long an attempt to connect gets a second one beside it.
const dialAgain = 250 * time.Millisecond

// hedge makes a TCP connection. What is sent into a cut is lost without a
// word, and TCP asks again only after 1, 3 and 7 seconds; so an attempt that is
// not answered gets others beside it, and the first answer wins. Without that a
// heal would take up to a second longer.
func hedge(ctx context.Context, address string, segment int) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // the other attempts
	results := make(chan result)
	attempt := func() {
		conn, err := dialer(segment).DialContext(ctx, "tcp", address)
		select {
		case results <- result{conn, err}:
		case <-ctx.Done():
			if err == nil {
				_ = conn.Close()
			}
		}
	}
	again := time.NewTicker(dialAgain)
	defer again.Stop()
	go attempt()
	for {
		select {
		case r := <-results:
			return r.conn, r.err
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-again.C:
			go attempt()
		}
	}
}

// admit holds a peer's hello against who is linked under its id.
func (p *peer) admit(info Peer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heldLocked(info.Incarnation) {
		return refuse(wire.RefuseHolder, "node id %x is held by %q at %s, which is alive: two directories are copies of each other, stop one of them",
			uint64(p.id), p.mu.info.Name, p.mu.info.Advertise)
	}
	return nil
}

// accepts takes connections until the listener is closed.
func (m *Mesh) accepts(ctx context.Context, l net.Listener) {
	slots := make(chan struct{}, handshakesMax)
	for {
		raw, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			m.config.Log("accept a link: " + err.Error())
			select { // out of descriptors, most likely: do not spin
			case <-time.After(m.config.BackoffMin):
			case <-ctx.Done():
				return
			}
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			m.stats.refused(refuse(wire.RefuseBusy, "busy"))
			_ = raw.Close()
			continue
		}
		m.goes(func() {
			conn, err := m.welcome(ctx, raw)
			<-slots
			if err != nil {
				_ = raw.Close()
				m.stats.refused(err)
				if line := m.complaints.line(raw.RemoteAddr(), explain(err), m.now()); line != "" {
					m.config.Log(line)
				}
				return
			}
			defer context.AfterFunc(ctx, func() { conn.close("stopped") })()
			conn.serve()
		})
	}
}

// handshakesMax bounds the connections that have not proven who they are.
const handshakesMax = 64

// welcome is the handshake with whoever has dialled.
func (m *Mesh) welcome(ctx context.Context, raw net.Conn) (*connection, error) {
	c := &m.config
	tune(raw, c.SilenceMax)
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	_ = raw.SetDeadline(time.Now().Add(c.DialTimeout)) // a connection that cannot have one fails at its first use
	if c.TLS != nil {
		secure := tls.Server(raw, c.TLS)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		raw = secure
	}
	var p *peer
	h := handshake{config: c, conn: raw, admit: func(info Peer) error {
		if p = m.peer(info.ID); p == nil || c.Member != nil && !c.Member(info) {
			return refuse(wire.RefuseMember, "node %x (%q) is not known to %q as a member; it is about to join, or was removed: then stop it and move its data directory away", uint64(info.ID), info.Name, c.Name)
		}
		if p.cut.Load() {
			return p.awaitCut(ctx, c.DialTimeout)
		}
		return p.admit(info)
	}}
	if err := h.accept(); err != nil {
		if p := m.peer(h.hello.Node); p != nil {
			p.refusedBy(err)
		}
		return nil, err
	}
	_ = raw.SetDeadline(time.Time{})
	return newConnection(p, h.plane, raw, h.peer), nil
}
