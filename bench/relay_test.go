package bench

import (
	"net"
	"sync"
	"testing"

	"tombolo/mqtt/packet"
)

// relay is a broker that knows exact topics at QoS 0 and 1 only, and misbehaves on
// request: the generator must notice. Its subscriptions are guarded by mu.
type relay struct {
	t *testing.T
	// deliver decides what becomes of the n-th message: it calls send as often
	// as it likes. nil is a broker without fault.
	deliver func(n int, frame []byte, send func([]byte))
	// closeAfter messages the relay closes the publisher's connection; 0 never.
	closeAfter int
	// answers decides whether the n-th message at QoS 1 has a PUBACK; nil: all have.
	answers func(n int) bool
	mu      struct {
		sync.Mutex
		subs map[string][]net.Conn
		n    int
	}
}

// listen serves until the test ends.
func (r *relay) listen() (address string) {
	r.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.subs = map[string][]net.Conn{}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { r.serve(conn) })
		}
	})
	r.t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return l.Addr().String()
}

func (r *relay) serve(conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, 0, 64<<10)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := conn.Read(buf[len(buf):cap(buf)])
		if err != nil {
			return
		}
		buf = buf[:len(buf)+n]
		rest := buf
		out := map[net.Conn][]byte{}
		for {
			f, size, err := packet.Split(rest, 0)
			if err != nil || size == 0 {
				break
			}
			if !r.act(conn, f, rest[:size], out) {
				return
			}
			rest = rest[size:]
		}
		for to, bytes := range out {
			if _, err := to.Write(bytes); err != nil {
				return
			}
		}
		buf = append(buf[:0], rest...)
	}
}

// act answers one packet and reports whether the connection goes on.
func (r *relay) act(conn net.Conn, f packet.Frame, frame []byte, out map[net.Conn][]byte) bool {
	switch f.Type {
	case packet.TypeConnect:
		out[conn] = packet.AppendConnack(out[conn], packet.V311, &packet.Connack{})
	case packet.TypeSubscribe:
		var s packet.Subscribe
		if packet.DecodeSubscribe(f, packet.V311, &s) != nil {
			return false
		}
		r.mu.Lock()
		topic := string(s.Subscriptions[0].Filter)
		r.mu.subs[topic] = append(r.mu.subs[topic], conn)
		r.mu.Unlock()
		out[conn] = packet.AppendSuback(out[conn], packet.V311, &packet.Suback{ID: s.ID, Reasons: []packet.ReasonCode{packet.ReasonCode(min(s.Subscriptions[0].QoS, 1))}})
	case packet.TypePublish:
		var p packet.Publish
		if packet.DecodePublish(f, packet.V311, &p) != nil {
			return false
		}
		r.mu.Lock()
		subs := r.mu.subs[string(p.Topic)]
		n := r.mu.n
		r.mu.n++
		r.mu.Unlock()
		if r.closeAfter > 0 && n >= r.closeAfter {
			return false
		}
		if p.QoS == 1 && (r.answers == nil || r.answers(n)) {
			out[conn] = packet.AppendAck(out[conn], packet.V311, &packet.Ack{Type: packet.TypePuback, ID: p.ID})
		}
		send := func(frame []byte) {
			for _, to := range subs {
				out[to] = append(out[to], frame...)
			}
		}
		if r.deliver == nil {
			send(frame)
		} else {
			r.deliver(n, frame, send)
		}
	}
	return true
}
