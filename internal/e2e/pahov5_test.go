package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"testing"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
)

// keptFor is the session expiry of visitors who come back.
const keptFor = 3600

// pahoV5 is github.com/eclipse/paho.golang/paho: MQTT 5 on a connection of our
// own. Owned by its test.
type pahoV5 struct {
	address, id string
	tls         *tls.Config // nil: plain
	got         chan<- letter
	client      *paho.Client
}

func invitePahoV5(c *tls.Config) invite {
	return func(_ testing.TB, address, id string, got chan<- letter) visitor {
		return &pahoV5{address: address, id: id, tls: c, got: got}
	}
}

func limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}

func (p *pahoV5) connect(clean bool, will *letter) (bool, error) {
	ctx, cancel := limited()
	defer cancel()
	var conn net.Conn
	var err error
	if p.tls != nil {
		conn, err = (&tls.Dialer{Config: p.tls}).DialContext(ctx, "tcp", p.address)
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", p.address)
	}
	if err != nil {
		return false, err
	}
	p.client = paho.NewClient(paho.ClientConfig{
		ClientID: p.id, Conn: packets.NewThreadSafeConn(conn),
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){delivered(p.got)},
	})
	expiry := uint32(0)
	if !clean {
		expiry = keptFor
	}
	c := &paho.Connect{ClientID: p.id, CleanStart: clean, KeepAlive: 60,
		Properties: &paho.ConnectProperties{SessionExpiryInterval: &expiry, RequestProblemInfo: true}}
	if will != nil {
		c.WillMessage = &paho.WillMessage{Topic: will.topic, Payload: []byte(will.payload), QoS: will.qos, Retain: will.retain}
	}
	ack, err := p.client.Connect(ctx, c)
	if err != nil {
		return false, err
	}
	return ack.SessionPresent, nil
}

func delivered(got chan<- letter) func(paho.PublishReceived) (bool, error) {
	return func(m paho.PublishReceived) (bool, error) {
		got <- letter{m.Packet.Topic, string(m.Packet.Payload), m.Packet.QoS, m.Packet.Retain}
		return true, nil
	}
}

func (p *pahoV5) subscribe(filter string, qos byte) error {
	ctx, cancel := limited()
	defer cancel()
	return granted(p.client.Subscribe(ctx, subscription(filter, qos)))(qos)
}

func subscription(filter string, qos byte) *paho.Subscribe {
	return &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: filter, QoS: qos}}}
}

func granted(ack *paho.Suback, err error) func(qos byte) error {
	return func(qos byte) error {
		if err == nil && ack.Reasons[0] != qos {
			err = fmt.Errorf("granted %#x", ack.Reasons[0])
		}
		return err
	}
}

func (p *pahoV5) publish(l letter) error {
	ctx, cancel := limited()
	defer cancel()
	_, err := p.client.Publish(ctx, publication(l))
	return err
}

func publication(l letter) *paho.Publish {
	return &paho.Publish{Topic: l.topic, Payload: []byte(l.payload), QoS: l.qos, Retain: l.retain}
}

func (p *pahoV5) disconnect() {
	_ = p.client.Disconnect(&paho.Disconnect{}) // the broker may be gone already
	<-p.client.Done()
}

func (p *pahoV5) tells() bool { return true }

// autoPaho is github.com/eclipse/paho.golang/autopaho, which brings its own
// transports and reconnects. Owned by its test.
type autoPaho struct {
	url, id string
	tls     *tls.Config
	got     chan<- letter
	manager *autopaho.ConnectionManager
}

func inviteAutoPaho(scheme string, c *tls.Config) invite {
	return func(_ testing.TB, address, id string, got chan<- letter) visitor {
		return &autoPaho{url: scheme + "://" + address + "/mqtt", id: id, tls: c, got: got}
	}
}

func (p *autoPaho) connect(clean bool, will *letter) (bool, error) {
	u, err := url.Parse(p.url)
	if err != nil {
		return false, err
	}
	up := make(chan bool, 1)
	c := autopaho.ClientConfig{
		ServerUrls: []*url.URL{u}, TlsCfg: p.tls, KeepAlive: 60, CleanStartOnInitialConnection: clean,
		OnConnectionUp:   func(_ *autopaho.ConnectionManager, ack *paho.Connack) { up <- ack.SessionPresent },
		OnConnectionDown: func() bool { return false },
		ClientConfig: paho.ClientConfig{ClientID: p.id,
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){delivered(p.got)}},
	}
	if !clean {
		c.SessionExpiryInterval = keptFor
	}
	if will != nil {
		c.WillMessage = &paho.WillMessage{Topic: will.topic, Payload: []byte(will.payload), QoS: will.qos, Retain: will.retain}
	}
	if p.manager, err = autopaho.NewConnection(context.Background(), c); err != nil {
		return false, err
	}
	ctx, cancel := limited()
	defer cancel()
	if err := p.manager.AwaitConnection(ctx); err != nil {
		return false, err
	}
	return <-up, nil
}

func (p *autoPaho) subscribe(filter string, qos byte) error {
	ctx, cancel := limited()
	defer cancel()
	return granted(p.manager.Subscribe(ctx, subscription(filter, qos)))(qos)
}

func (p *autoPaho) publish(l letter) error {
	ctx, cancel := limited()
	defer cancel()
	_, err := p.manager.Publish(ctx, publication(l))
	return err
}

func (p *autoPaho) disconnect() {
	ctx, cancel := limited()
	defer cancel()
	_ = p.manager.Disconnect(ctx)
	<-p.manager.Done()
}

func (p *autoPaho) tells() bool { return true }

// TestPahoV5 serves paho.golang over TCP and TLS.
func TestPahoV5(t *testing.T) {
	n, secure := startTLSNode(t)
	t.Run("TCP", func(t *testing.T) { serve(t, n.tcp, invitePahoV5(nil)) })
	t.Run("TLS", func(t *testing.T) { serve(t, secure.ssl, invitePahoV5(secure.client)) })
}

// TestAutoPaho serves autopaho over everything it speaks.
func TestAutoPaho(t *testing.T) {
	n, secure := startTLSNode(t)
	for _, c := range []struct{ name, scheme, address string }{
		{"TCP", "mqtt", n.tcp}, {"WebSocket", "ws", n.ws},
		{"TLS", "tls", secure.ssl}, {"WebSocket TLS", "wss", secure.wss},
	} {
		t.Run(c.name, func(t *testing.T) { serve(t, c.address, inviteAutoPaho(c.scheme, secure.client)) })
	}
}
