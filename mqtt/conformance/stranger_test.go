package conformance

import (
	"testing"

	"tombolo/mqtt/packet"
)

// TestStrangers: what can never become a CONNECT is closed at once, whole or not, and
// the log says what it looks like. Rule 3.1.0-1.
func TestStrangers(t *testing.T) {
	t.Parallel()
	b := start(t)
	for _, c := range []struct{ name, bytes, hint string }{
		{"TLS", "16 03 01 02 00 01", "listener.ssl"},
		{"PROXY, version 1", "50 52 4f 58 59 20 54 43", "proxy_protocol"},
		{"PROXY, version 2", "0d 0a 0d 0a 00 0d", "proxy_protocol"},
		{"HTTP", "47 45 54 20 2f 20 48 54", "listener.ws"},
		{"half a PUBLISH", "30 20 00 03 61", "first packet is not CONNECT"},
		{"PINGREQ", "c0 00", "first packet is not CONNECT"},
	} {
		d := b.dial(t, packet.V311)
		d.sendHex(c.bytes)
		d.want(closed)
		if lines := b.logLines(t, "connection closed", c.hint); len(lines) == 0 {
			t.Errorf("%s: the log has nothing with %q", c.name, c.hint)
		}
	}
	if n := b.counter(t, "mqtt_connections_closed_total", `reason="connect_timeout"`); n != 0 {
		t.Errorf("%d were waited for in vain", n)
	}
	slow := b.dial(t, packet.V311)
	for _, part := range []string{"10", "10 00", "04 4d 51 54 54 04 02 00 3c 00", "04 73 6c 6f 77"} {
		slow.sendHex(part)
	}
	slow.wantPrefix("CONNACK 0x00")
}
