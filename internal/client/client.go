package client

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"tombolo/mqtt/packet"
)

const (
	inboundMax = 256   // messages that wait to be taken; then the socket waits
	windowMax  = 1_024 // messages in flight to the broker, also without its limit
)

// Client is one connection to a broker. Its fields are immutable after Dial,
// save for in and aliases, which Run owns, and those under mu and write.
type Client struct {
	conn       net.Conn
	version    packet.Version
	clientID   string
	connack    packet.Connack
	keepAlive  time.Duration
	window     chan struct{} // one token a message in flight
	messages   chan *packet.Publish
	done       chan struct{} // closed with mu.err set
	in         reader
	aliases    map[uint16][]byte
	unreleased map[packet.ID]bool // QoS 2 messages received and not yet released

	write struct {
		sync.Mutex
		buf []byte
	}
	mu struct {
		sync.Mutex
		err     error
		lastID  packet.ID
		waiting map[packet.ID]chan reply
	}
}

// reply ends the wait for an acknowledgement.
type reply struct {
	reason  packet.ReasonCode
	reasons []packet.ReasonCode
	text    string
}

func newClient(conn net.Conn, connect packet.Connect) *Client {
	c := &Client{
		conn:       conn,
		version:    connect.Version,
		messages:   make(chan *packet.Publish, inboundMax),
		done:       make(chan struct{}),
		in:         reader{conn: conn},
		aliases:    map[uint16][]byte{},
		unreleased: map[packet.ID]bool{},
	}
	c.mu.waiting = map[packet.ID]chan reply{}
	return c
}

// Version is the protocol version of the connection.
func (c *Client) Version() packet.Version { return c.version }

// ClientID is the client id in use, the one the broker assigned if it did.
func (c *Client) ClientID() string { return c.clientID }

// Connack is the broker's answer to CONNECT; it must not be changed.
func (c *Client) Connack() *packet.Connack { return &c.connack }

// Messages gives what the broker publishes to us. It is closed when Run ends.
func (c *Client) Messages() <-chan *packet.Publish { return c.messages }

// Run reads from the broker and keeps the connection alive until it ends or
// ctx does; it returns the cause, nil after Disconnect and Close. Call it once.
func (c *Client) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { c.end(context.Cause(ctx)) })
	var pings sync.WaitGroup
	if c.keepAlive > 0 {
		c.in.quiet = c.keepAlive + c.keepAlive/2
		pings.Go(func() { c.ping(ctx) })
	}
	c.end(c.read(ctx))
	cancel()
	stop()
	pings.Wait()
	close(c.messages)
	if err := c.cause(); !errors.Is(err, ErrClosed) {
		return err
	}
	return nil
}

func (c *Client) read(ctx context.Context) error {
	for {
		f, err := c.in.next()
		if err != nil {
			return readError(err)
		}
		if err := c.handle(ctx, f); err != nil {
			return err
		}
		c.in.taken(f)
	}
}

func readError(err error) error {
	var timeout net.Error
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("the broker closed the connection without a reason")
	case errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("the broker did not answer within the keep-alive time")
	}
	return err
}

// ping sends PINGREQ twice in every keep-alive interval.
func (c *Client) ping(ctx context.Context) {
	tick := time.NewTicker(c.keepAlive / 2)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if c.send(packet.AppendPingreq) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// end closes the connection for the reason given; the first reason stays.
func (c *Client) end(err error) {
	if c.resolve(err) {
		c.conn.Close()
	}
}

// resolve records why the connection ends, releases all who wait, and reports
// whether this was the first reason.
func (c *Client) resolve(err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.err != nil {
		return false
	}
	c.mu.err = err
	close(c.done)
	return true
}

func (c *Client) cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.err
}

// send writes one packet. The lock is held across the write on purpose: it
// orders writers, and nothing else waits for it.
func (c *Client) send(encode func(dst []byte) []byte) error {
	c.write.Lock()
	defer c.write.Unlock()
	c.write.buf = encode(c.write.buf[:0])
	if _, err := c.conn.Write(c.write.buf); err != nil {
		c.end(err)
		return c.cause()
	}
	return nil
}

// Disconnect sends DISCONNECT with the reason and closes. What the broker does
// with the connection after that is no fault.
func (c *Client) Disconnect(reason packet.ReasonCode) {
	if !c.resolve(ErrClosed) {
		return
	}
	_ = c.send(func(dst []byte) []byte {
		return packet.AppendDisconnect(dst, c.version, &packet.Disconnect{Reason: reason})
	})
	c.conn.Close()
}

// Close drops the connection without DISCONNECT, as a crash would.
func (c *Client) Close() { c.end(ErrClosed) }
