package client_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"tombolo/bench/peertest"
	"tombolo/internal/client"
	"tombolo/mqtt/packet"
)

// run dials and keeps the client running until the test ends.
func run(t *testing.T, cfg client.Config) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Run(context.WithoutCancel(t.Context())) }()
	t.Cleanup(func() {
		c.Disconnect(packet.Success)
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return c
}

func connect(v packet.Version, id string) packet.Connect {
	return packet.Connect{Version: v, ClientID: []byte(id), CleanStart: true, KeepAlive: 30}
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestRoundTrip publishes at each QoS in each version over TCP and WebSocket.
func TestRoundTrip(t *testing.T) {
	b := peertest.Mosquitto(t, "protocol websockets")
	for _, v := range []packet.Version{packet.V31, packet.V311, packet.V5} {
		for _, ws := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/ws=%v", v, ws), func(t *testing.T) {
				cfg := client.Config{Address: b.Address, WebSocket: ws, Connect: connect(v, "a")}
				if ws {
					cfg.Address = b.Extra[0]
				}
				roundTrip(t, run(t, cfg))
			})
		}
	}
}

func roundTrip(t *testing.T, c *client.Client) {
	ctx := deadline(t)
	reasons, err := c.Subscribe(ctx, &packet.Subscribe{Subscriptions: []packet.Subscription{
		{Filter: []byte("t/#"), QoS: 2}, {Filter: []byte("u"), QoS: 1}}})
	if err != nil || len(reasons) != 2 || reasons[0] != packet.GrantedQoS2 || reasons[1] != packet.GrantedQoS1 {
		t.Fatalf("Subscribe: %v, %v", reasons, err)
	}
	for qos := range uint8(3) {
		payload := fmt.Sprintf("%d", qos)
		p := packet.Publish{Topic: []byte("t/x"), QoS: qos, Payload: []byte(payload)}
		if r, text, err := c.Publish(ctx, &p); err != nil || r.Failed() {
			t.Fatalf("Publish at QoS %d: %v %q %v", qos, r, text, err)
		}
		got := take(t, ctx, c)
		if string(got.Payload) != payload || string(got.Topic) != "t/x" || got.QoS != qos {
			t.Fatalf("at QoS %d got %q on %q at QoS %d", qos, got.Payload, got.Topic, got.QoS)
		}
	}
	if _, err := c.Unsubscribe(ctx, &packet.Unsubscribe{Filters: [][]byte{[]byte("t/#")}}); err != nil {
		t.Fatalf("Unsubscribe: %v", err)
	}
	for _, topic := range []string{"t/x", "u"} {
		if _, _, err := c.Publish(ctx, &packet.Publish{Topic: []byte(topic), QoS: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if got := take(t, ctx, c); string(got.Topic) != "u" {
		t.Fatalf("a message on %q after its filter was unsubscribed", got.Topic)
	}
}

func take(t *testing.T, ctx context.Context, c *client.Client) *packet.Publish {
	t.Helper()
	select {
	case p, open := <-c.Messages():
		if !open {
			t.Fatal("the connection ended")
		}
		return p
	case <-ctx.Done():
		t.Fatal("no message came")
	}
	return nil
}

// TestManyInFlight publishes from many goroutines at once and wants every
// message exactly once.
func TestManyInFlight(t *testing.T) {
	b := peertest.Mosquitto(t)
	for _, v := range []packet.Version{packet.V311, packet.V5} {
		t.Run(v.String(), func(t *testing.T) {
			sub := run(t, client.Config{Address: b.Address, Connect: connect(v, "sub")})
			pub := run(t, client.Config{Address: b.Address, Connect: connect(v, "pub")})
			manyInFlight(t, pub, sub)
		})
	}
}

func manyInFlight(t *testing.T, pub, sub *client.Client) {
	ctx := deadline(t)
	if _, err := sub.Subscribe(ctx, &packet.Subscribe{
		Subscriptions: []packet.Subscription{{Filter: []byte("m"), QoS: 2}}}); err != nil {
		t.Fatal(err)
	}
	const senders, each = 8, 50
	errs := make(chan error, senders)
	for s := range senders {
		go func() {
			var err error
			for i := 0; i < each && err == nil; i++ {
				p := packet.Publish{Topic: []byte("m"), QoS: 2, Payload: fmt.Appendf(nil, "%d/%d", s, i)}
				_, _, err = pub.Publish(ctx, &p)
			}
			errs <- err
		}()
	}
	seen := map[string]bool{}
	for range senders * each {
		p := take(t, ctx, sub)
		if seen[string(p.Payload)] {
			t.Fatalf("%s came twice", p.Payload)
		}
		seen[string(p.Payload)] = true
	}
	for range senders {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
}

// TestLargeMessage moves a payload that needs the read buffer to grow and
// arrives in many reads.
func TestLargeMessage(t *testing.T) {
	b := peertest.Mosquitto(t)
	c := run(t, client.Config{Address: b.Address, Connect: connect(packet.V5, "big")})
	ctx := deadline(t)
	if _, err := c.Subscribe(ctx, &packet.Subscribe{
		Subscriptions: []packet.Subscription{{Filter: []byte("big"), QoS: 1}}}); err != nil {
		t.Fatal(err)
	}
	payload := make([]byte, 3<<20)
	payload[len(payload)-1] = 7
	if _, _, err := c.Publish(ctx, &packet.Publish{Topic: []byte("big"), QoS: 1, Payload: payload}); err != nil {
		t.Fatal(err)
	}
	if got := take(t, ctx, c); len(got.Payload) != len(payload) || got.Payload[len(payload)-1] != 7 {
		t.Fatalf("%d bytes came back", len(got.Payload))
	}
}

func TestRefused(t *testing.T) {
	b := peertest.Mosquitto(t)
	cfg := client.Config{Address: b.Address, Connect: connect(packet.V311, "")}
	cfg.Connect.CleanStart = false // MQTT 3.1.1: an empty client id needs a clean session
	_, err := client.Dial(t.Context(), cfg)
	var refused *client.RefusedError
	if !errors.As(err, &refused) || refused.Reason != packet.ClientIDNotValid {
		t.Fatalf("got %v", err)
	}
}

func TestDialFails(t *testing.T) {
	var failed *client.DialError
	_, err := client.Dial(t.Context(), client.Config{Address: "127.0.0.1:1", Connect: connect(packet.V5, "x")})
	if !errors.As(err, &failed) || failed.Address != "127.0.0.1:1" {
		t.Fatalf("got %v", err)
	}
}
