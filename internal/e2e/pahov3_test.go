package e2e

import (
	"crypto/tls"
	"errors"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// pahoV3 is github.com/eclipse/paho.mqtt.golang: MQTT 3.1 and 3.1.1. Owned by
// its test.
type pahoV3 struct {
	url, id string
	version uint
	tls     *tls.Config
	got     chan<- letter
	client  mqtt.Client
}

func invitePahoV3(scheme string, version uint, c *tls.Config) invite {
	return func(_ testing.TB, address, id string, got chan<- letter) visitor {
		path := ""
		if scheme == "ws" || scheme == "wss" {
			path = "/mqtt"
		}
		return &pahoV3{url: scheme + "://" + address + path, id: id, version: version, tls: c, got: got}
	}
}

func (p *pahoV3) connect(clean bool, will *letter) (bool, error) {
	o := mqtt.NewClientOptions().AddBroker(p.url).SetClientID(p.id).SetProtocolVersion(p.version).
		SetCleanSession(clean).SetAutoReconnect(false).SetConnectTimeout(patience).SetTLSConfig(p.tls)
	if will != nil {
		o.SetWill(will.topic, will.payload, will.qos, will.retain)
	}
	o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
		p.got <- letter{m.Topic(), string(m.Payload()), m.Qos(), m.Retained()}
	})
	p.client = mqtt.NewClient(o)
	t := p.client.Connect()
	if err := settled(t); err != nil {
		return false, err
	}
	return t.(*mqtt.ConnectToken).SessionPresent(), nil
}

var errSlow = errors.New("the broker did not answer in time")

func settled(t mqtt.Token) error {
	if !t.WaitTimeout(patience) {
		return errSlow
	}
	return t.Error()
}

func (p *pahoV3) subscribe(filter string, qos byte) error {
	t := p.client.Subscribe(filter, qos, nil)
	if err := settled(t); err != nil {
		return err
	}
	if granted := t.(*mqtt.SubscribeToken).Result()[filter]; granted != qos {
		return errors.New("granted another QoS than was asked for")
	}
	return nil
}

func (p *pahoV3) publish(l letter) error {
	return settled(p.client.Publish(l.topic, l.qos, l.retain, l.payload))
}

func (p *pahoV3) disconnect() { p.client.Disconnect(uint(250 * time.Millisecond / time.Millisecond)) }

func (p *pahoV3) tells() bool { return p.version > 3 }

// TestPahoV3 serves paho.mqtt.golang over everything it speaks.
func TestPahoV3(t *testing.T) {
	n, secure := startTLSNode(t)
	for _, c := range []struct {
		name, scheme, address string
		version               uint
	}{
		{"3.1 TCP", "tcp", n.tcp, 3},
		{"3.1.1 TCP", "tcp", n.tcp, 4},
		{"3.1.1 WebSocket", "ws", n.ws, 4},
		{"3.1.1 TLS", "ssl", secure.ssl, 4},
		{"3.1.1 WebSocket TLS", "wss", secure.wss, 4},
	} {
		t.Run(c.name, func(t *testing.T) { serve(t, c.address, invitePahoV3(c.scheme, c.version, secure.client)) })
	}
}
