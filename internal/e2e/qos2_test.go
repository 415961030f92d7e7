package e2e

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"tombolo/mqtt/packet"
)

// stepwise is a publisher at QoS 2 that takes each step of the handshake when its
// test says so. Owned by its test.
type stepwise struct {
	tb      testing.TB
	conn    net.Conn
	in      *frames
	flights map[packet.ID]*handshake
	next    int // payloads
}

// handshake is how far one message is.
type handshake struct {
	payload             string
	received, completed bool // PUBREC, PUBCOMP came
}

// connect connects for the first time, or goes on with the session.
func (s *stepwise) connect(address string) {
	s.tb.Helper()
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		s.tb.Fatal(err)
	}
	s.tb.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(4 * patience))
	again := s.conn != nil
	s.conn, s.in = conn, &frames{r: bufio.NewReaderSize(conn, 64<<10)}
	c := packet.Connect{Version: packet.V5, ClientID: []byte("stepwise")}
	keeping(3600)(&c)
	s.write(packet.AppendConnect(nil, &c))
	f, err := s.in.next()
	var ack packet.Connack
	if err == nil {
		err = packet.DecodeConnack(f, packet.V5, &ack)
	}
	if err != nil || ack.Reason != packet.Success || ack.SessionPresent != again {
		s.tb.Fatalf("CONNACK: %+v, %v; session present should be %v", ack, err, again)
	}
}

// write sends; a broker that was killed takes nothing.
func (s *stepwise) write(b []byte) { _, _ = s.conn.Write(b) }

// publish sends messages under new packet ids.
func (s *stepwise) publish(count int) {
	s.flights = map[packet.ID]*handshake{}
	for i := range count {
		s.flights[packet.ID(i+1)] = &handshake{payload: fmt.Sprint("m", s.next)}
		s.next++
	}
	s.send(false)
}

// send sends those for which no PUBREC has come.
func (s *stepwise) send(dup bool) {
	var out []byte
	for _, id := range slices.Sorted(maps.Keys(s.flights)) {
		if h := s.flights[id]; !h.received {
			out = packet.AppendPublish(out, packet.V5, &packet.Publish{Topic: []byte("r4/t"), Payload: []byte(h.payload), QoS: 2, ID: id, Dup: dup})
		}
	}
	s.write(out)
}

// release sends PUBREL for all that are not completed.
func (s *stepwise) release() {
	var out []byte
	for _, id := range slices.Sorted(maps.Keys(s.flights)) {
		if !s.flights[id].completed {
			out = packet.AppendAck(out, packet.V5, &packet.Ack{Type: packet.TypePubrel, ID: id})
		}
	}
	s.write(out)
}

// await reads until so many messages are so far.
func (s *stepwise) await(what string, count int, far func(*handshake) bool) {
	s.tb.Helper()
	for {
		n := 0
		for _, h := range s.flights {
			if far(h) {
				n++
			}
		}
		if n >= count {
			return
		}
		f, err := s.in.next()
		var a packet.Ack
		if err == nil {
			err = packet.DecodeAck(f, packet.V5, &a)
		}
		h := s.flights[a.ID]
		if err != nil || h == nil || a.Reason.Failed() && a.Reason != packet.PacketIDNotFound {
			s.tb.Fatalf("%d of %d messages are %s: %+v, %v", n, count, what, a, err)
		}
		h.received = true
		h.completed = h.completed || a.Type == packet.TypePubcomp
	}
}

func received(h *handshake) bool  { return h.received }
func completed(h *handshake) bool { return h.completed }

// tally counts what a client gets. Safe for concurrent use.
type tally struct {
	mu    sync.Mutex
	times map[string]int
}

func (y *tally) deliver(p *packet.Publish) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.times == nil {
		y.times = map[string]int{}
	}
	y.times[string(p.Payload)]++
}

func (y *tally) all() map[string]int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return maps.Clone(y.times)
}

// TestR4Killed: the node of a QoS 2 publisher, or that of its subscriber, is killed
// between PUBLISH and PUBREC, between PUBREC and PUBREL, and between PUBREL and
// PUBCOMP. Started again and sent again with DUP, each message comes once, there and
// at a third node (R4).
func TestR4Killed(t *testing.T) {
	const each = 20
	c := startTrio(t)
	var counts [2]tally
	var subs [2]*careful
	for i := range subs {
		s := newCareful(t, fmt.Sprint("reader", i))
		s.filter, s.qos, s.deliver = "r4/#", 2, counts[i].deliver
		subs[i] = s
		ended := make(chan struct{})
		go func() { defer close(ended); s.run(c.nodes[1+i].tcp) }()
		t.Cleanup(func() { s.halt(); <-ended })
		eventually(t, patience, "the subscription", s.subscribed)
	}
	pub := &stepwise{tb: t}
	pub.connect(c.nodes[0].tcp)
	stages := map[string]func(){
		"after PUBLISH": func() { pub.await("received", 1, received) },
		"after PUBREC":  func() { pub.await("received", each, received) },
		"after PUBREL": func() {
			pub.await("received", each, received)
			pub.release()
			pub.await("completed", 1, completed)
		},
	}
	for _, stage := range slices.Sorted(maps.Keys(stages)) {
		for victim := range 2 {
			pub.publish(each)
			stages[stage]()
			c.nodes[victim].kill()
			c.nodes[victim].start()
			c.whole()
			if victim == 0 {
				pub.connect(c.nodes[0].tcp)
				pub.send(true)
			}
			pub.await("received", each, received)
			pub.release()
			pub.await("completed", each, completed)
			for i := range counts {
				what := fmt.Sprintf("%s, node%d killed: all messages at reader%d", stage, victim+1, i)
				eventually(t, patience, what, func() bool { return len(counts[i].all()) == pub.next })
			}
		}
	}
	for i := range counts {
		eventually(t, patience, "every handshake is over", func() bool { return subs[i].unreleased() == 0 })
		for payload, n := range counts[i].all() {
			if n != 1 {
				t.Errorf("reader%d got %s %d times", i, payload, n)
			}
		}
		for _, fault := range subs[i].faults() {
			t.Error(fault)
		}
	}
}
