package conformance

import (
	"bufio"
	"context"
	"net"
	"testing"

	"github.com/gobwas/ws"

	"tombolo/mqtt/packet"
)

// TestWebSocket: packets in binary frames, cut anywhere; any other kind of
// frame ends the connection. The subprotocol is mqtt. Rules 3.1.1/6.0.0-1,
// 3.1.1/6.0.0-2, 3.1.1/6.0.0-4, 5/6.0.0-1, 5/6.0.0-2, 5/6.0.0-4, 5/4.2-1,
// 3.1.1/7.1.1-1.
func TestWebSocket(t *testing.T) {
	t.Parallel()
	b := start(t, "listener.ws.default=127.0.0.1:0", "listener.tcp.default=127.0.0.1:0")
	for _, v := range versions {
		c, agreed := b.webSocket(t, v)
		if agreed != "mqtt" {
			t.Fatalf("the subprotocol is %q", agreed)
		}
		all := append(hello(v, "ws"), packet.AppendPingreq(packet.AppendPingreq(nil))...)
		for i := range all { // a frame a byte
			c.writeFrame(ws.OpBinary, all[i:i+1])
		}
		c.wantPrefix("CONNACK 0x00")
		c.want("PINGRESP", "PINGRESP")
		c.writeFrame(ws.OpBinary, packet.AppendPingreq(packet.AppendPingreq(nil)))
		c.want("PINGRESP", "PINGRESP")
		c.writeFrame(ws.OpText, packet.AppendPingreq(nil))
		c.want(closed)
		c, _ = b.webSocket(t, v)
		c.writeFrame(ws.OpText, hello(v, "text"))
		c.want(closed)
	}
}

// webSocket opens a WebSocket to the listener ws.default.
func (b *broker) webSocket(t *testing.T, v packet.Version) (*client, string) {
	t.Helper()
	for _, addr := range b.addrs {
		d := ws.Dialer{Protocols: []string{"mqtt"}}
		nc, rest, hs, err := d.Dial(context.Background(), "ws://"+addr+"/mqtt")
		if err != nil {
			continue
		}
		t.Cleanup(func() { nc.Close() })
		return &client{t: t, conn: &framed{Conn: nc, r: reader(nc, rest)}, v: v}, hs.Protocol
	}
	t.Fatal("no listener speaks WebSocket")
	return nil, ""
}

func reader(nc net.Conn, rest *bufio.Reader) *bufio.Reader {
	if rest != nil {
		return rest
	}
	return bufio.NewReader(nc)
}

// framed reads the payload of binary frames; a close frame is the end of the
// connection. Owned by one test.
type framed struct {
	net.Conn
	r    *bufio.Reader
	left int64
}

func (f *framed) Read(p []byte) (int, error) {
	for f.left == 0 {
		h, err := ws.ReadHeader(f.r)
		if err != nil {
			return 0, err
		}
		if h.OpCode == ws.OpClose {
			return 0, net.ErrClosed
		}
		f.left = h.Length
	}
	n, err := f.r.Read(p[:min(int64(len(p)), f.left)])
	f.left -= int64(n)
	return n, err
}

func (c *client) writeFrame(op ws.OpCode, payload []byte) {
	c.t.Helper()
	frame := ws.MaskFrame(ws.NewFrame(op, true, append([]byte(nil), payload...)))
	if err := ws.WriteFrame(c.conn, frame); err != nil {
		c.t.Fatal(err)
	}
}
