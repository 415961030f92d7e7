package conformance

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tombolo/mqtt/packet"
)

// client is the client's end of a socket; it does nothing by itself, so that
// every packet of a test is written in the test. Owned by one test.
type client struct {
	t    testing.TB
	conn net.Conn
	v    packet.Version
	in   []byte
	key  string // the client id
	next packet.ID
}

// dial opens a socket and sends nothing.
func (b *broker) dial(t *testing.T, v packet.Version) *client {
	t.Helper()
	return &client{t: t, conn: b.socket(t, 0), v: v}
}

// with changes a CONNECT before it is sent.
type with func(*packet.Connect)

func keep(c *packet.Connect) { // the session, for longer than any test
	c.CleanStart = false
	if c.Version == packet.V5 {
		c.Properties.Set |= packet.PropSessionExpiry
		c.Properties.SessionExpiry = 600
	}
}

func keepAlive(seconds uint16) with { return func(c *packet.Connect) { c.KeepAlive = seconds } }

func receiveMax(n uint16) with {
	return func(c *packet.Connect) {
		c.Properties.Set |= packet.PropReceiveMaximum
		c.Properties.ReceiveMaximum = n
	}
}

func packetMax(n uint32) with {
	return func(c *packet.Connect) {
		c.Properties.Set |= packet.PropMaximumPacketSize
		c.Properties.MaximumPacketSize = n
	}
}

func expiry(seconds uint32) with {
	return func(c *packet.Connect) {
		c.Properties.Set |= packet.PropSessionExpiry
		c.Properties.SessionExpiry = seconds
	}
}

func will(topic, payload string, qos uint8, retain bool) with {
	return func(c *packet.Connect) {
		c.HasWill = true
		c.Will.Topic, c.Will.Payload, c.Will.QoS, c.Will.Retain = []byte(topic), []byte(payload), qos, retain
	}
}

func willDelay(seconds uint32) with {
	return func(c *packet.Connect) {
		c.Will.Properties.Set |= packet.PropWillDelay
		c.Will.Properties.WillDelay = seconds
	}
}

// hello is the CONNECT of a client.
func hello(v packet.Version, id string, ws ...with) []byte {
	c := &packet.Connect{Version: v, ClientID: []byte(id), CleanStart: true}
	for _, w := range ws {
		w(c)
	}
	return packet.AppendConnect(nil, c)
}

// connect opens a connection, or ends the test.
func (b *broker) connect(t *testing.T, v packet.Version, id string, ws ...with) *client {
	t.Helper()
	c := b.dial(t, v)
	c.key = id
	c.send(hello(v, id, ws...))
	if got := c.receive(); !strings.HasPrefix(got, "CONNACK") || !strings.Contains(got, " 0x00") {
		t.Fatalf("client %s is not let in: %s", id, got)
	}
	return c
}

// resume connects to a session that must be there.
func (b *broker) resume(t *testing.T, v packet.Version, id string, ws ...with) *client {
	t.Helper()
	c := b.dial(t, v)
	c.key = id
	c.send(hello(v, id, append([]with{keep}, ws...)...))
	if got := c.receive(); !strings.HasPrefix(got, "CONNACK present 0x00") {
		t.Fatalf("the session of %s is not there: %s", id, got)
	}
	return c
}

func (c *client) send(packets ...[]byte) {
	c.t.Helper()
	var all []byte
	for _, p := range packets {
		all = append(all, p...)
	}
	if _, err := c.conn.Write(all); err != nil {
		c.t.Fatalf("client %s cannot send: %v", c.key, err)
	}
}

// sendHex sends bytes as they stand in a table.
func (c *client) sendHex(s string) {
	c.t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		c.t.Fatal(err)
	}
	c.send(b)
}

// closed is what receive returns when the connection has ended.
const closed = "closed"

// receive returns the next packet as text.
func (c *client) receive() string {
	c.t.Helper()
	f, ok := c.frame()
	if !ok {
		return closed
	}
	return text(f, c.v)
}

// frame returns the next packet; false at the end of the connection.
func (c *client) frame() (packet.Frame, bool) {
	c.t.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	for {
		f, n, err := packet.Split(c.in, 0)
		if err != nil {
			c.t.Fatalf("client %s received garbage: %x", c.key, c.in)
		}
		if n > 0 {
			c.in = c.in[n:]
			return f, true
		}
		buf := make([]byte, 64<<10)
		n, err = c.conn.Read(buf)
		c.in = append(c.in, buf[:n]...)
		switch {
		case n > 0:
		case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, net.ErrClosed):
			return packet.Frame{}, false
		case err != nil:
			c.t.Fatalf("client %s received nothing more: %v", c.key, err)
		}
	}
}

// want receives packets and compares their texts.
func (c *client) want(texts ...string) {
	c.t.Helper()
	for _, w := range texts {
		if got := c.receive(); got != w {
			c.t.Fatalf("client %s received\n  %s\nnot\n  %s", c.key, got, w)
		}
	}
}

// nothing shows that no packet has come before the answer to a PINGREQ.
func (c *client) nothing() {
	c.t.Helper()
	c.send(packet.AppendPingreq(nil))
	c.want("PINGRESP")
}

// fence waits until the broker has worked off what c sent before.
func (c *client) fence() { c.t.Helper(); c.nothing() }

// drop ends the connection as a network failure does.
func (c *client) drop() { c.conn.Close() }

// leave disconnects in good order.
func (c *client) leave() {
	c.t.Helper()
	c.send(packet.AppendDisconnect(nil, c.v, &packet.Disconnect{}))
	c.want(closed)
}

func (c *client) id() packet.ID { c.next++; return c.next }

// subscribe subscribes to filters, each may be followed by its options:
// "filter 1 nl rap rh2 id7".
func (c *client) subscribe(filters ...string) {
	c.t.Helper()
	id := c.id()
	s := packet.Subscribe{ID: id}
	var codes []string
	for _, f := range filters {
		words := strings.Fields(f)
		sub := packet.Subscription{Filter: []byte(words[0])}
		for _, w := range words[1:] {
			switch {
			case w == "nl":
				sub.NoLocal = true
			case w == "rap":
				sub.RetainAsPublished = true
			case strings.HasPrefix(w, "rh"):
				sub.RetainHandling = w[2] - '0'
			case strings.HasPrefix(w, "id"):
				s.Properties.Set |= packet.PropSubscriptionID
				s.Properties.SubscriptionIDs = []uint32{uint32(w[2] - '0')}
			default:
				sub.QoS = w[0] - '0'
			}
		}
		codes = append(codes, "0x0"+string('0'+rune(sub.QoS)))
		s.Subscriptions = append(s.Subscriptions, sub)
	}
	c.send(packet.AppendSubscribe(nil, c.v, &s))
	c.want("SUBACK " + idText(id) + " " + strings.Join(codes, ","))
}

// pub is a PUBLISH; change may be nil.
func (c *client) pub(topic, payload string, qos uint8, id packet.ID, change func(*packet.Publish)) []byte {
	p := &packet.Publish{Topic: []byte(topic), Payload: []byte(payload), QoS: qos, ID: id}
	if change != nil {
		change(p)
	}
	return packet.AppendPublish(nil, c.v, p)
}

func retained(p *packet.Publish) { p.Retain = true }

// publish publishes and completes the exchange.
func (c *client) publish(topic, payload string, qos uint8, change func(*packet.Publish)) {
	c.t.Helper()
	switch qos {
	case 0:
		c.send(c.pub(topic, payload, 0, 0, change))
		c.fence()
	case 1:
		id := c.id()
		c.send(c.pub(topic, payload, 1, id, change))
		c.wantPrefix("PUBACK " + idText(id) + " ")
	case 2:
		id := c.id()
		c.send(c.pub(topic, payload, 2, id, change))
		c.wantPrefix("PUBREC " + idText(id) + " ")
		c.send(c.ack(packet.TypePubrel, id))
		c.want("PUBCOMP " + idText(id) + " 0x00")
	}
}

func (c *client) wantPrefix(p string) {
	c.t.Helper()
	if got := c.receive(); !strings.HasPrefix(got, p) {
		c.t.Fatalf("client %s received\n  %s\nnot\n  %s…", c.key, got, p)
	}
}

func (c *client) ack(kind packet.Type, id packet.ID) []byte {
	return c.nack(kind, id, packet.Success)
}

func (c *client) nack(kind packet.Type, id packet.ID, reason packet.ReasonCode) []byte {
	return packet.AppendAck(nil, c.v, &packet.Ack{Type: kind, ID: id, Reason: reason})
}

// wantPublish receives a PUBLISH that begins with text and returns its packet
// id, which the broker chooses.
func (c *client) wantPublish(text string) packet.ID {
	c.t.Helper()
	got := c.receive()
	rest, ok := strings.CutPrefix(got, text+" id")
	if !ok {
		c.t.Fatalf("client %s received\n  %s\nnot\n  %s id…", c.key, got, text)
	}
	digits, _, _ := strings.Cut(rest, " ")
	id, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		c.t.Fatal(err)
	}
	return packet.ID(id)
}

// caughtUp waits until what is retained under c's filters has been sent: it is
// sent in the order of the subscriptions, after SUBACK, and a message that is
// published meanwhile may come both ways.
func (c *client) caughtUp(p *client) {
	c.t.Helper()
	topic := fmt.Sprintf("caught-up/%s/%d", c.key, c.next)
	p.publish(topic, "x", 1, retained)
	c.subscribe(topic)
	c.want("PUBLISH " + topic + " x qos0 retain")
}
