package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"tombolo/mqtt/packet"
)

// Config says where and how to connect. Immutable during Dial.
type Config struct {
	Address   string         // host:port
	TLS       *tls.Config    // nil for plain TCP
	WebSocket bool           // MQTT over WebSocket
	Path      string         // of the WebSocket, "/mqtt" if empty
	Connect   packet.Connect // Version 0 means 5
	// Timeout bounds the handshake up to CONNACK; 0 means ten seconds.
	Timeout time.Duration
	// Dial makes the TCP connection, for clients on another host of a
	// laboratory; nil is the ordinary way. WebSocket does not use it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

const timeoutDefault = 10 * time.Second

// Dial connects, sends CONNECT and waits for CONNACK. A refusal is a
// *RefusedError; everything before it a *DialError.
func Dial(ctx context.Context, cfg Config) (*Client, error) {
	timeout := cfg.Timeout
	if timeout == 0 {
		timeout = timeoutDefault
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %v", timeout))
	defer cancel()
	if cfg.Connect.Version == 0 {
		cfg.Connect.Version = packet.V5
	}
	conn, err := Transport(ctx, cfg)
	if err != nil {
		return nil, &DialError{Address: cfg.Address, Err: causeOf(ctx, err)}
	}
	c := newClient(conn, cfg.Connect)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err = c.handshake(&cfg.Connect)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err == nil {
		return c, nil
	}
	conn.Close()
	var refused *RefusedError
	if errors.As(err, &refused) {
		return nil, err
	}
	return nil, &DialError{Address: cfg.Address, Err: causeOf(ctx, err)}
}

// causeOf prefers the reason why ctx ended over what that did to a socket.
func causeOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// Transport connects as cfg says, by TCP, TLS or WebSocket, and sends nothing
// of MQTT. Of cfg.Connect it takes the version, which names the subprotocol of a
// WebSocket. ctx bounds the handshakes; the connection outlives it.
func Transport(ctx context.Context, cfg Config) (net.Conn, error) {
	if cfg.WebSocket {
		return dialWebSocket(ctx, cfg)
	}
	dial := cfg.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	conn, err := dial(ctx, "tcp", cfg.Address)
	if err != nil || cfg.TLS == nil {
		return conn, err
	}
	return secure(ctx, conn, cfg)
}

// secure does the TLS handshake on conn, for the name in the address unless
// the configuration has another.
func secure(ctx context.Context, conn net.Conn, cfg Config) (net.Conn, error) {
	settings := cfg.TLS
	if settings.ServerName == "" {
		settings = settings.Clone()
		host, _, err := net.SplitHostPort(cfg.Address)
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		settings.ServerName = host
	}
	c := tls.Client(conn, settings)
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

func dialWebSocket(ctx context.Context, cfg Config) (net.Conn, error) {
	scheme, path, protocol := "ws", cfg.Path, "mqtt"
	transport := &http.Transport{DisableKeepAlives: true}
	if cfg.TLS != nil {
		scheme = "wss"
		transport.TLSClientConfig = cfg.TLS
	}
	if path == "" {
		path = "/mqtt"
	}
	if cfg.Connect.Version == packet.V31 {
		protocol = "mqttv3.1"
	}
	conn, _, err := websocket.Dial(ctx, scheme+"://"+cfg.Address+path, &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: transport},
		Subprotocols: []string{protocol},
	})
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(-1)
	// The connection outlives the handshake's context; Close ends it.
	return websocket.NetConn(context.WithoutCancel(ctx), conn, websocket.MessageBinary), nil
}

// handshake sends CONNECT and reads CONNACK.
func (c *Client) handshake(connect *packet.Connect) error {
	if _, err := c.conn.Write(packet.AppendConnect(nil, connect)); err != nil {
		return err
	}
	f, err := c.in.next()
	if err != nil {
		return err
	}
	if f.Type == packet.TypeAuth {
		return errors.New("the broker asks for enhanced authentication, which this client does not speak")
	}
	f.Body = bytes.Clone(f.Body) // Connack keeps views
	c.in.taken(f)
	version := c.version
	err = packet.DecodeConnack(f, version, &c.connack)
	if err != nil && version == packet.V5 && len(f.Body) == 2 {
		// A broker that does not know MQTT 5 answers as it can.
		version = packet.V311
		err = packet.DecodeConnack(f, version, &c.connack)
	}
	if err != nil {
		return fmt.Errorf("the answer is not MQTT: %w", err)
	}
	if r := c.connack.Reason; r != packet.Success || version != c.version {
		p := &c.connack.Properties
		refused := &RefusedError{Version: version, Reason: r}
		if p.Has(packet.PropReasonString) {
			refused.Text = string(p.ReasonString)
		}
		if p.Has(packet.PropServerReference) {
			refused.Reference = string(p.ServerReference)
		}
		return refused
	}
	c.agree(connect)
	return nil
}

// agree takes over what CONNACK set.
func (c *Client) agree(connect *packet.Connect) {
	p := &c.connack.Properties
	c.keepAlive = time.Duration(connect.KeepAlive) * time.Second
	if p.Has(packet.PropServerKeepAlive) {
		c.keepAlive = time.Duration(p.ServerKeepAlive) * time.Second
	}
	window := windowMax
	if p.Has(packet.PropReceiveMaximum) {
		window = min(window, int(p.ReceiveMaximum))
	}
	c.window = make(chan struct{}, window)
	c.clientID = string(connect.ClientID)
	if p.Has(packet.PropAssignedClientID) {
		c.clientID = string(p.AssignedClientID)
	}
}
