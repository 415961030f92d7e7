package e2e

import (
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"tombolo/mqtt/packet"
)

// TestStopWhileSweeping: the messages of a session that is discarded are deleted in
// the background; a stop meanwhile does not wait for that, and the next start goes on.
func TestStopWhileSweeping(t *testing.T) {
	const count = 20_000
	n := startNode(t, "max_offline_messages", "-1")
	n.joined("away", keeping(3600), "news").Disconnect(packet.Success)
	n.pour("news", count)
	n.join("away", func(c *packet.Connect) { c.CleanStart = true }).Close()
	began := time.Now()
	n.signal(syscall.SIGTERM)
	if code := n.exit(10 * time.Second); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	t.Logf("stopped after %v", time.Since(began).Round(time.Millisecond))
	n.start()
	n.joined("away", keeping(3600), "news").Disconnect(packet.Success)
	n.join("pub", nil).send("news", "first", 1, false)
	n.join("away", keeping(3600)).gets("news", "first")
}

// pour publishes count messages at QoS 1 as fast as the node takes them, and waits
// until all are acknowledged.
func (n *node) pour(topic string, count int) {
	n.tb.Helper()
	conn, err := net.Dial("tcp", n.tcp)
	if err != nil {
		n.tb.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		n.tb.Fatal(err)
	}
	written := make(chan error, 1)
	go func() {
		out := packet.AppendConnect(nil, &packet.Connect{Version: packet.V311, CleanStart: true, ClientID: []byte("pouring")})
		for i := range count {
			p := packet.Publish{Topic: []byte(topic), Payload: fmt.Appendf(nil, "message %d", i), QoS: 1, ID: packet.ID(i%60_000 + 1)}
			out = packet.AppendPublish(out, packet.V311, &p)
		}
		_, err := conn.Write(out)
		written <- err
	}()
	if _, err := io.CopyN(io.Discard, conn, int64(4+4*count)); err != nil { // CONNACK and each PUBACK
		n.tb.Fatal(err)
	}
	if err := <-written; err != nil {
		n.tb.Fatal(err)
	}
}
