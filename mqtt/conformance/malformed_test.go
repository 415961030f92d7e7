package conformance

import (
	"fmt"
	"strings"
	"testing"

	"tombolo/mqtt/packet"
)

// badConnects are CONNECT packets, and what takes their place, that the
// standards forbid or that this server does not take.
var badConnects = []struct {
	rules, name string
	v           packet.Version // in which the answer is read
	hex, want   string
}{
	{"3.1.1/3.1.0-1 5/3.1.0-1", "PINGREQ first", packet.V5, "c0 00", closed},
	{"3.1.1/2.2.2-2 3.1.1/2.2.2-1", "header flags", packet.V311, "11 0d 00 04 4d 51 54 54 04 02 00 3c 00 01 61", closed},
	{"5/2.1.3-1", "header flags", packet.V5, "11 0e 00 04 4d 51 54 54 05 02 00 3c 00 00 01 61", closed},
	{"3.1.1/3.1.2-1 5/3.1.2-1", "another protocol", packet.V311, "10 0d 00 04 4d 51 58 58 04 02 00 3c 00 01 61", "CONNACK 0x01"},
	{"3.1.1/3.1.2-2", "level 2", packet.V311, "10 0d 00 04 4d 51 54 54 02 02 00 3c 00 01 61", "CONNACK 0x01"},
	{"5/3.1.2-2", "level 6", packet.V5, "10 0e 00 04 4d 51 54 54 06 02 00 3c 00 00 01 61", "CONNACK 0x84"},
	{"3.1.1/3.1.2-3", "reserved flag", packet.V311, "10 0d 00 04 4d 51 54 54 04 03 00 3c 00 01 61", closed},
	{"5/3.1.2-3", "reserved flag", packet.V5, "10 0e 00 04 4d 51 54 54 05 03 00 3c 00 00 01 61", "CONNACK 0x81"},
	{"3.1.1/3.1.2-9", "no will fields", packet.V311, "10 0d 00 04 4d 51 54 54 04 06 00 3c 00 01 61", closed},
	{"5/3.1.2-9", "no will fields", packet.V5, "10 0e 00 04 4d 51 54 54 05 06 00 3c 00 00 01 61", "CONNACK 0x81"},
	{"3.1.1/3.1.2-11 3.1.1/3.1.2-13", "will QoS without will", packet.V311, "10 0d 00 04 4d 51 54 54 04 0a 00 3c 00 01 61", closed},
	{"5/3.1.2-11", "will QoS without will", packet.V5, "10 0e 00 04 4d 51 54 54 05 0a 00 3c 00 00 01 61", "CONNACK 0x81"},
	{"3.1.1/3.1.2-14", "will QoS 3", packet.V311, "10 13 00 04 4d 51 54 54 04 1e 00 3c 00 01 61 00 01 74 00 01 78", closed},
	{"5/3.1.2-12", "will QoS 3", packet.V5, "10 15 00 04 4d 51 54 54 05 1e 00 3c 00 00 01 61 00 00 01 74 00 01 78", "CONNACK 0x81"},
	{"3.1.1/3.1.2-15", "will retain without will", packet.V311, "10 0d 00 04 4d 51 54 54 04 22 00 3c 00 01 61", closed},
	{"5/3.1.2-13", "will retain without will", packet.V5, "10 0e 00 04 4d 51 54 54 05 22 00 3c 00 00 01 61", "CONNACK 0x81"},
	{"3.1.1/3.1.2-18", "user name without flag", packet.V311, "10 10 00 04 4d 51 54 54 04 02 00 3c 00 01 61 00 01 75", closed},
	{"5/3.1.2-16", "user name without flag", packet.V5, "10 11 00 04 4d 51 54 54 05 02 00 3c 00 00 01 61 00 01 75", "CONNACK 0x81"},
	{"3.1.1/3.1.2-19", "flag without user name", packet.V311, "10 0d 00 04 4d 51 54 54 04 82 00 3c 00 01 61", closed},
	{"5/3.1.2-17", "flag without user name", packet.V5, "10 0e 00 04 4d 51 54 54 05 82 00 3c 00 00 01 61", "CONNACK 0x81"},
	{"3.1.1/3.1.2-20", "password without flag", packet.V311, "10 13 00 04 4d 51 54 54 04 82 00 3c 00 01 61 00 01 75 00 01 70", closed},
	{"5/3.1.2-18", "password without flag", packet.V5, "10 14 00 04 4d 51 54 54 05 82 00 3c 00 00 01 61 00 01 75 00 01 70", "CONNACK 0x81"},
	{"3.1.1/3.1.2-21", "flag without password", packet.V311, "10 10 00 04 4d 51 54 54 04 c2 00 3c 00 01 61 00 01 75", closed},
	{"5/3.1.2-19", "flag without password", packet.V5, "10 11 00 04 4d 51 54 54 05 c2 00 3c 00 00 01 61 00 01 75", "CONNACK 0x81"},
	{"3.1.1/3.1.2-22", "password without user name", packet.V311, "10 10 00 04 4d 51 54 54 04 42 00 3c 00 01 61 00 01 70", closed},
	{"3.1.1/3.1.3-3 3.1.1/3.1.4-1", "no client id", packet.V311, "10 0a 00 04 4d 51 54 54 04 02 00 3c", closed},
	{"5/3.1.3-3 5/3.1.4-1", "no client id", packet.V5, "10 0b 00 04 4d 51 54 54 05 02 00 3c 00", "CONNACK 0x81"},
	{"5/2.2.2-1", "no property length", packet.V5, "10 0a 00 04 4d 51 54 54 05 02 00 3c", "CONNACK 0x81"},
	{"3.1.1/3.1.3-4 3.1.1/1.5.3-1", "client id with a surrogate", packet.V311, "10 0f 00 04 4d 51 54 54 04 02 00 3c 00 03 ed a0 80", closed},
	{"5/3.1.3-4 5/1.5.4-1", "client id with a surrogate", packet.V5, "10 10 00 04 4d 51 54 54 05 02 00 3c 00 00 03 ed a0 80", "CONNACK 0x81"},
	{"3.1.1/3.1.3-7 3.1.1/3.1.3-8", "empty client id that stays", packet.V311, "10 0c 00 04 4d 51 54 54 04 00 00 3c 00 00", "CONNACK 0x02"},
	{"3.1.1/3.1.3-10", "will topic not UTF-8", packet.V311, "10 13 00 04 4d 51 54 54 04 06 00 3c 00 01 61 00 01 ff 00 01 78", closed},
	{"5/3.1.3-11", "will topic not UTF-8", packet.V5, "10 15 00 04 4d 51 54 54 05 06 00 3c 00 00 01 61 00 00 01 ff 00 01 78", "CONNACK 0x81"},
	{"3.1.1/3.1.3-11", "user name not UTF-8", packet.V311, "10 10 00 04 4d 51 54 54 04 82 00 3c 00 01 61 00 01 ff", closed},
	{"5/3.1.3-12", "user name not UTF-8", packet.V5, "10 11 00 04 4d 51 54 54 05 82 00 3c 00 00 01 61 00 01 ff", "CONNACK 0x81"},
	{"3.1.1/1.5.3-2", "user name with U+0000", packet.V311, "10 10 00 04 4d 51 54 54 04 82 00 3c 00 01 61 00 01 00", closed},
	{"5/1.5.4-2", "user name with U+0000", packet.V5, "10 11 00 04 4d 51 54 54 05 82 00 3c 00 00 01 61 00 01 00", "CONNACK 0x81"},
	{"5/1.5.7-1", "user property not UTF-8", packet.V5, "10 15 00 04 4d 51 54 54 05 02 00 3c 07 26 00 01 61 00 01 fe 00 01 61", "CONNACK 0x81"},
	{"", "receive maximum 0", packet.V5, "10 11 00 04 4d 51 54 54 05 02 00 3c 03 21 00 00 00 01 61", "CONNACK 0x82"},
	{"", "a property twice", packet.V5, "10 14 00 04 4d 51 54 54 05 02 00 3c 06 21 00 01 21 00 01 00 01 61", "CONNACK 0x82"},
	{"", "will topic with a wildcard", packet.V5, "10 15 00 04 4d 51 54 54 05 06 00 3c 00 00 01 61 00 00 01 2b 00 01 78", "CONNACK 0x90"},
}

// TestBadConnect sends each of them on a connection of its own: the answer is
// exact, and then the connection is closed. Rules 3.1.1/3.2.2-5, 3.1.1/4.8.0-1,
// 5/3.2.2-7, 5/4.13.2-1 and 5/3.2.2-8 hold in every row.
func TestBadConnect(t *testing.T) {
	t.Parallel()
	for _, row := range badConnects {
		t.Run(row.name+" "+row.v.String(), func(t *testing.T) {
			c := shared.dial(t, row.v)
			c.sendHex(row.hex)
			got := c.receive()
			if got != row.want && !strings.HasPrefix(got, row.want+" {reason-string=") {
				t.Fatalf("%s: %s: got %s, want %s (rules %s)", row.name, row.hex, got, row.want, row.rules)
			}
			if got != closed {
				c.want(closed)
			}
		})
	}
}

// badPackets are packets of a connected client that the standards forbid, with
// the reason code that MQTT 5 names. MQTT 3.1.1 sees the close only.
var badPackets = []struct {
	rules, name string
	v           packet.Version
	hex         string
	want        packet.ReasonCode // 0 in 3.1.1
}{
	{"3.1.1/3.1.0-2", "second CONNECT", packet.V311, "10 0d 00 04 4d 51 54 54 04 02 00 3c 00 01 61", 0},
	{"5/3.1.0-2", "second CONNECT", packet.V5, "10 0e 00 04 4d 51 54 54 05 02 00 3c 00 00 01 61", packet.ProtocolError},
	{"5/1.5.5-1", "padded length", packet.V5, "c0 80 00", packet.MalformedPacket},
	{"", "length of five bytes", packet.V311, "30 ff ff ff ff 01", 0},
	{"", "type 0", packet.V5, "00 00", packet.MalformedPacket},
	{"3.1.1/3.3.1-4", "PUBLISH QoS 3", packet.V311, "36 05 00 01 74 00 01", 0},
	{"5/3.3.1-4", "PUBLISH QoS 3", packet.V5, "36 06 00 01 74 00 01 00", packet.MalformedPacket},
	{"3.1.1/3.3.1-2", "DUP at QoS 0", packet.V311, "38 03 00 01 74", 0},
	{"5/3.3.1-2", "DUP at QoS 0", packet.V5, "38 04 00 01 74 00", packet.MalformedPacket},
	{"3.1.1/3.3.2-1", "topic not UTF-8", packet.V311, "30 03 00 01 ff", 0},
	{"5/3.3.2-1", "topic not UTF-8", packet.V5, "30 04 00 01 ff 00", packet.MalformedPacket},
	{"3.1.1/3.3.2-2 3.1.1/4.7.1-1", "wildcard in a topic", packet.V311, "30 05 00 03 61 2f 23", 0},
	{"5/3.3.2-2 5/4.7.0-1", "wildcard in a topic", packet.V5, "30 06 00 03 61 2f 2b 00", packet.TopicNameInvalid},
	{"3.1.1/4.7.3-1", "empty topic", packet.V311, "30 02 00 00", 0},
	{"5/4.7.3-1", "empty topic", packet.V5, "30 03 00 00 00", packet.ProtocolError},
	{"3.1.1/4.7.3-2", "topic with U+0000", packet.V311, "30 05 00 03 61 00 62", 0},
	{"5/4.7.3-2", "topic with U+0000", packet.V5, "30 06 00 03 61 00 62 00", packet.MalformedPacket},
	{"3.1.1/4.7.3-3", "topic longer than its packet", packet.V311, "30 03 ff ff 61", 0},
	{"5/4.7.3-3", "topic longer than its packet", packet.V5, "30 04 ff ff 61 00", packet.MalformedPacket},
	{"3.1.1/2.3.1-1", "packet id 0", packet.V311, "32 05 00 01 74 00 00", 0},
	{"5/2.2.1-3", "packet id 0", packet.V5, "32 06 00 01 74 00 00 00", packet.ProtocolError},
	{"5/3.3.2-8", "topic alias 0", packet.V5, "30 07 00 01 74 03 23 00 00", packet.TopicAliasInvalid},
	{"5/3.3.2-9 5/3.2.2-17", "topic alias above the maximum", packet.V5, "30 07 00 01 74 03 23 00 05", packet.TopicAliasInvalid},
	{"", "topic alias never set", packet.V5, "30 06 00 00 03 23 00 01", packet.ProtocolError},
	{"5/3.3.4-6", "subscription identifier of a client", packet.V5, "30 06 00 01 74 02 0b 01", packet.ProtocolError},
	{"5/3.3.2-13", "response topic not UTF-8", packet.V5, "30 08 00 01 74 04 08 00 01 ff", packet.MalformedPacket},
	{"5/3.3.2-14", "response topic with a wildcard", packet.V5, "30 08 00 01 74 04 08 00 01 23", packet.ProtocolError},
	{"5/3.3.2-19", "content type not UTF-8", packet.V5, "30 08 00 01 74 04 03 00 01 ff", packet.MalformedPacket},
	{"5/3.2.2-15", "larger than Maximum Packet Size", packet.V5, "30 c0 84 3d", packet.PacketTooLarge},
	{"5/3.4.2-1", "PUBACK with a foreign code", packet.V5, "40 03 00 01 92", packet.ProtocolError},
	{"5/3.5.2-1", "PUBREC with a foreign code", packet.V5, "50 03 00 01 92", packet.ProtocolError},
	{"5/3.6.2-1", "PUBREL with a foreign code", packet.V5, "62 03 00 01 10", packet.ProtocolError},
	{"5/3.7.2-1", "PUBCOMP with a foreign code", packet.V5, "70 03 00 01 10", packet.ProtocolError},
	{"3.1.1/3.6.1-1", "PUBREL flags", packet.V311, "60 02 00 01", 0},
	{"5/3.6.1-1", "PUBREL flags", packet.V5, "60 02 00 01", packet.MalformedPacket},
	{"3.1.1/3.8.1-1", "SUBSCRIBE flags", packet.V311, "80 06 00 01 00 01 61 00", 0},
	{"5/3.8.1-1", "SUBSCRIBE flags", packet.V5, "80 07 00 01 00 00 01 61 00", packet.MalformedPacket},
	{"3.1.1/3.8.3-1", "filter not UTF-8", packet.V311, "82 06 00 01 00 01 ff 00", 0},
	{"5/3.8.3-1", "filter not UTF-8", packet.V5, "82 07 00 01 00 00 01 ff 00", packet.MalformedPacket},
	{"3.1.1/3.8.3-3", "SUBSCRIBE without filter", packet.V311, "82 02 00 01", 0},
	{"5/3.8.3-2", "SUBSCRIBE without filter", packet.V5, "82 03 00 01 00", packet.ProtocolError},
	{"3.1.1/3.8.3-4", "subscription QoS 3", packet.V311, "82 06 00 01 00 01 61 03", 0},
	{"", "subscription QoS 3", packet.V5, "82 07 00 01 00 00 01 61 03", packet.ProtocolError},
	{"5/3.8.3-4", "No Local on a shared subscription", packet.V5, "82 10 00 01 00 00 0a 24 73 68 61 72 65 2f 67 2f 61 04", packet.ProtocolError},
	{"5/3.8.3-5", "reserved subscription bits", packet.V5, "82 07 00 01 00 00 01 61 40", packet.MalformedPacket},
	{"3.1.1/3.10.1-1", "UNSUBSCRIBE flags", packet.V311, "a0 05 00 01 00 01 61", 0},
	{"5/3.10.1-1", "UNSUBSCRIBE flags", packet.V5, "a0 06 00 01 00 00 01 61", packet.MalformedPacket},
	{"3.1.1/3.10.3-1", "UNSUBSCRIBE not UTF-8", packet.V311, "a2 05 00 01 00 01 ff", 0},
	{"5/3.10.3-1", "UNSUBSCRIBE not UTF-8", packet.V5, "a2 06 00 01 00 00 01 ff", packet.MalformedPacket},
	{"3.1.1/3.10.3-2", "UNSUBSCRIBE without filter", packet.V311, "a2 02 00 01", 0},
	{"5/3.10.3-2", "UNSUBSCRIBE without filter", packet.V5, "a2 03 00 01 00", packet.ProtocolError},
	{"", "SUBACK of a client", packet.V5, "90 04 00 01 00 00", packet.ProtocolError},
	{"", "PINGRESP of a client", packet.V311, "d0 00", 0},
	{"3.1.1/3.14.1-1", "DISCONNECT flags", packet.V311, "e1 00", 0},
	{"5/3.14.1-1", "DISCONNECT flags", packet.V5, "e1 00", packet.MalformedPacket},
	{"5/3.14.2-1", "DISCONNECT with a foreign code", packet.V5, "e0 01 91", packet.ProtocolError},
	{"", "DISCONNECT with a server's code", packet.V5, "e0 01 8e", packet.ProtocolError},
	{"5/3.15.1-1", "AUTH flags", packet.V5, "f1 00", packet.MalformedPacket},
	{"5/3.15.2-1", "AUTH with a foreign code", packet.V5, "f0 01 10", packet.ProtocolError},
	{"5/4.12.0-7", "AUTH without a method in CONNECT", packet.V5, "f0 07 19 05 15 00 02 78 79", packet.ProtocolError},
}

// TestBadPacket sends each of them after CONNECT, together with a PINGREQ that
// must not be answered: one DISCONNECT in MQTT 5, nothing in 3.1.1, a close in
// both, and one line in the log that says who and why. Rules 5/4.13.1-1,
// 3.1.1/4.8.0-1 and 5/3.14.4-2 hold in every row.
func TestBadPacket(t *testing.T) {
	t.Parallel()
	for i, row := range badPackets {
		t.Run(row.name+" "+row.v.String(), func(t *testing.T) {
			id := fmt.Sprintf("bad-%d-", i)
			c := shared.connect(t, row.v, id)
			c.sendHex(row.hex + "c0 00")
			got := c.receive()
			if row.v == packet.V5 {
				if want := fmt.Sprintf("DISCONNECT 0x%02x", uint8(row.want)); !strings.HasPrefix(got, want) {
					t.Fatalf("%s: %s: got %s, want %s (rules %s)", row.name, row.hex, got, want, row.rules)
				}
				got = c.receive()
			}
			if got != closed {
				t.Fatalf("%s: %s: got %s, want a close (rules %s)", row.name, row.hex, got, row.rules)
			}
			if lines := shared.logLines(t, "connection closed", "client="+id, "peer="+c.conn.LocalAddr().String()); len(lines) != 1 {
				t.Fatalf("%s: the log has %d lines about it, not one: %q", row.name, len(lines), lines)
			}
		})
	}
}

// TestErrorsAreCounted holds the counters beside the log lines.
func TestErrorsAreCounted(t *testing.T) {
	t.Parallel()
	b := start(t)
	for i, hex := range []string{"e1 00", "00 00", "30 03 00 00 00"} {
		c := b.connect(t, packet.V5, fmt.Sprint("counted-", i))
		c.sendHex(hex)
		c.wantPrefix("DISCONNECT ")
		c.want(closed)
	}
	c := b.dial(t, packet.V5)
	c.sendHex("10 0b 00 04 4d 51 54 54 05 02 00 3c 00")
	c.wantPrefix("CONNACK 0x81")
	c.want(closed)
	for label, want := range map[string]int{"malformed_packet": 3, "protocol_error": 1, "topic_name_invalid": 0} {
		if got := b.counter(t, "mqtt_connection_errors_total", `reason="`+label+`"`); got != want {
			t.Errorf("%s: counted %d, want %d", label, got, want)
		}
	}
	for reason, want := range map[string]int{"protocol": 3, "refused": 1} {
		if got := b.counter(t, "mqtt_connections_closed_total", `reason="`+reason+`"`); got != want {
			t.Errorf("closed for %s: counted %d, want %d", reason, got, want)
		}
	}
}
