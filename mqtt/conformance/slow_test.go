package conformance

import (
	"strings"
	"testing"

	"tombolo/mqtt/packet"
)

// deaf connects and subscribes a client that will not read. What its socket
// holds without being read stays near what the kernel begins with.
func deaf(t *testing.T, b *broker, filter string, ws ...with) *client {
	t.Helper()
	c := b.connect(t, packet.V5, "deaf", ws...)
	c.subscribe(filter)
	return c
}

// payloads is the size of the messages that fill buffers.
const payloads = 16 << 10

func slowNode(t *testing.T, full string) *broker {
	return start(t, "max_outbox_bytes=65536", "outbox_full="+full, "max_online_messages=50",
		"listener.tcp.default=127.0.0.1:0", "listener.tcp.default.buffer_sizes=65536,65536,65536")
}

// TestDeafDropped: QoS 0 for a client that does not read is dropped at the
// bound and counted; others do not suffer, and it gets what comes after it has
// read.
func TestDeafDropped(t *testing.T) {
	t.Parallel()
	b := slowNode(t, "drop")
	c := deaf(t, b, "t/#")
	other := b.connect(t, packet.V5, "other")
	other.subscribe("t/#")
	p := b.connect(t, packet.V5, "p")
	payload := strings.Repeat("x", payloads)
	dropped := func() int { return b.counter(t, "mqtt_messages_dropped_total", `reason="outbox_full"`) }
	sent := 0
	// The kernel may take more of what waits after the first drop, so the count
	// decides how long this goes on, not the number of messages.
	for dropped() < 20 {
		p.publish("t/m", payload, 0, nil)
		other.want("PUBLISH t/m " + payload + " qos0")
		if sent++; sent > 4000 {
			t.Fatalf("4000 messages, and %d were dropped", dropped())
		}
	}
	p.fence() // the last one has been counted
	lost := dropped()
	for range sent - lost {
		c.want("PUBLISH t/m " + payload + " qos0")
	}
	c.nothing()
	p.publish("t/after", "x", 0, nil)
	c.want("PUBLISH t/after x qos0")
}

// TestDeafDisconnected: the other setting.
func TestDeafDisconnected(t *testing.T) {
	t.Parallel()
	b := slowNode(t, "disconnect")
	c := deaf(t, b, "t/#")
	p := b.connect(t, packet.V5, "p")
	payload := strings.Repeat("x", payloads)
	gone := func() bool { return b.counter(t, "mqtt_connections_closed_total", `reason="slow_consumer"`) == 1 }
	for range 4000 {
		if gone() {
			break
		}
		p.publish("t/m", payload, 0, nil)
	}
	if !gone() {
		t.Fatal("the client that does not read is still connected")
	}
	var lines []string
	eventually(t, "the log says why", func() bool { // it is counted first
		lines = b.logLines(t, "connection closed", "client=deaf", "max_outbox_bytes")
		return len(lines) > 0
	})
	if len(lines) != 1 {
		t.Errorf("log: %q", lines)
	}
	for got := c.receive(); got != closed; got = c.receive() {
		if !strings.HasPrefix(got, "PUBLISH ") && !strings.HasPrefix(got, "DISCONNECT 0x97") {
			t.Fatal(got)
		}
	}
}

// TestDeafKeepsItsQueue: QoS 1 for a client that does not read waits in its
// queue up to the limit of the queue, then is dropped there and counted; what
// waits comes in order when it reads.
func TestDeafKeepsItsQueue(t *testing.T) {
	t.Parallel()
	b := slowNode(t, "drop")
	c := deaf(t, b, "t/# 1", receiveMax(10))
	p := b.connect(t, packet.V5, "p")
	const all = 100
	for range all {
		p.publish("t/m", strings.Repeat("x", payloads), 1, nil)
	}
	lost := b.counter(t, "mqtt_messages_dropped_total", `reason="queue_full"`)
	if lost < all-65 || lost > all-50 {
		t.Errorf("with 50 in the queue and 10 on the way, %d of %d were dropped", lost, all)
	}
	for range all - lost {
		c.send(c.ack(packet.TypePuback, c.wantPublish("PUBLISH t/m "+strings.Repeat("x", payloads)+" qos1")))
	}
	c.nothing()
}

// TestDeafPublisher: a client that asks and does not read the answers is not
// read any more, so that what is kept for it stays bounded.
func TestDeafPublisher(t *testing.T) {
	t.Parallel()
	b := slowNode(t, "drop")
	c := deaf(t, b, "nothing")
	done := make(chan int)
	flood := []byte(strings.Repeat("\xc0\x00", 32<<10))
	go func() {
		total := 0
		defer func() { done <- total }()
		for range 8 {
			n, err := c.conn.Write(flood)
			total += n
			if err != nil {
				return
			}
		}
	}()
	eventually(t, "reading is paused", func() bool { return b.counter(t, "mqtt_reads_paused_total", "") > 0 })
	quick := b.connect(t, packet.V5, "quick")
	quick.fence()
	// Every ping is answered once the client reads.
	answers := 0
	for range 8 * len(flood) / 2 {
		c.want("PINGRESP")
		answers++
	}
	if total := <-done; answers != total/2 {
		t.Errorf("%d pings, %d answers", total/2, answers)
	}
}

// TestQueueRefuses: with queue_full = refuse a publish that a full queue would
// lose is never acknowledged. Rules 3.1.1/4.8.0-2.
func TestQueueRefuses(t *testing.T) {
	inBoth(t, func(t *testing.T, v packet.Version) {
		b := start(t, "queue_full=refuse", "max_offline_messages=2", "max_online_messages=2")
		away := b.connect(t, v, "away", keep)
		away.subscribe("t 1")
		away.leave()
		p := b.connect(t, v, "p")
		p.publish("t", "1", 1, nil)
		p.publish("t", "2", 2, nil)
		p.send(p.pub("t", "3", 1, 9, nil), packet.AppendPingreq(nil))
		if v == packet.V5 {
			p.wantPrefix("PUBACK id9 0x97")
			p.want("PINGRESP")
		} else {
			p.want(closed)
		}
		away = b.resume(t, v, "away")
		away.wantPrefix("PUBLISH t 1 qos1")
		away.wantPrefix("PUBLISH t 2 qos1")
		away.nothing()
	})
}
