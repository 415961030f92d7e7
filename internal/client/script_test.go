package client_test

import (
	"errors"
	"io"
	"net"
	"testing"

	"tombolo/internal/client"
	"tombolo/mqtt/packet"
)

// serve accepts one connection, reads its CONNECT and sends what a broker
// would, then gives the rest of what the client sends.
func serve(t *testing.T, say []byte) (address string, heard <-chan []byte) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	rest := make(chan []byte, 1)
	go func() {
		defer close(rest)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		buf := make([]byte, 4096)
		n := 0
		for size := 0; size == 0; {
			m, err := conn.Read(buf[n:])
			if err != nil {
				return
			}
			n += m
			if _, size, err = packet.Split(buf[:n], 0); err != nil {
				return
			}
		}
		if _, err := conn.Write(say); err != nil {
			return
		}
		all, _ := io.ReadAll(conn)
		rest <- all
	}()
	return l.Addr().String(), rest
}

func accepted() []byte { return packet.AppendConnack(nil, packet.V5, &packet.Connack{}) }

// TestBrokerDisconnects: the client says why, and whoever waits is released.
func TestBrokerDisconnects(t *testing.T) {
	say := packet.AppendDisconnect(accepted(), packet.V5, &packet.Disconnect{
		Reason:     packet.SessionTakenOver,
		Properties: packet.Properties{Set: packet.PropReasonString, ReasonString: []byte("elsewhere")}})
	address, _ := serve(t, say)
	c, err := client.Dial(t.Context(), client.Config{Address: address, Connect: connect(packet.V5, "x")})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Run(t.Context())
	var d *client.DisconnectedError
	if !errors.As(err, &d) || d.Reason != packet.SessionTakenOver || d.Text != "elsewhere" {
		t.Fatalf("Run: %v", err)
	}
	if _, _, err := c.Publish(t.Context(), &packet.Publish{Topic: []byte("t"), QoS: 1}); !errors.As(err, &d) {
		t.Fatalf("Publish afterwards: %v", err)
	}
}

// TestInboundFlows: a message at QoS 2 that comes twice is handed out once,
// topic aliases are filled in, and every packet is answered.
func TestInboundFlows(t *testing.T) {
	alias := packet.Properties{Set: packet.PropTopicAlias, TopicAlias: 5}
	say := accepted()
	for _, p := range []packet.Publish{
		{Topic: []byte("a"), QoS: 2, ID: 9, Payload: []byte("once"), Properties: alias},
		{Topic: []byte("a"), QoS: 2, ID: 9, Dup: true, Payload: []byte("once"), Properties: alias},
		{QoS: 1, ID: 10, Payload: []byte("by alias"), Properties: alias},
	} {
		say = packet.AppendPublish(say, packet.V5, &p)
	}
	say = packet.AppendAck(say, packet.V5, &packet.Ack{Type: packet.TypePubrel, ID: 9})
	say = packet.AppendPublish(say, packet.V5, &packet.Publish{Topic: []byte("end")})
	address, heard := serve(t, say)
	c := run(t, client.Config{Address: address, Connect: connect(packet.V5, "x")})
	ctx := deadline(t)
	for _, want := range []string{"a once", "a by alias", "end "} {
		p := take(t, ctx, c)
		if got := string(p.Topic) + " " + string(p.Payload); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	c.Disconnect(packet.Success)
	want := []byte("\x50\x02\x00\x09\x50\x02\x00\x09\x40\x02\x00\x0a\x70\x02\x00\x09\xe0\x00")
	if got := <-heard; string(got) != string(want) {
		t.Errorf("the broker heard %x, want %x", got, want)
	}
}

// TestOldBroker: a broker without MQTT 5 answers with a return code.
func TestOldBroker(t *testing.T) {
	address, _ := serve(t, []byte{0x20, 2, 0, 1})
	_, err := client.Dial(t.Context(), client.Config{Address: address, Connect: connect(packet.V5, "x")})
	var refused *client.RefusedError
	if !errors.As(err, &refused) || refused.Reason != packet.UnsupportedProtocolVersion || refused.Version != packet.V311 {
		t.Fatalf("got %v", err)
	}
}

// TestNotMQTT: what answers on the port is something else.
func TestNotMQTT(t *testing.T) {
	address, _ := serve(t, []byte("HTTP/1.1 400 Bad Request\r\n\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"+
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"))
	_, err := client.Dial(t.Context(), client.Config{Address: address, Connect: connect(packet.V5, "x")})
	var failed *client.DialError
	if !errors.As(err, &failed) {
		t.Fatalf("got %v", err)
	}
}
