package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	mqttclient "tombolo/internal/client"
	"tombolo/mqtt/packet"
)

// TestR17Takeover: a client id that connects at another node is closed at the
// first, with 0x8E, before it is let in (P8), whatever kind of session it is.
func TestR17Takeover(t *testing.T) {
	m := rig(t, 3)
	for _, kind := range []func(*packet.Connect){func(*packet.Connect) {}, lasting} {
		first := m.nodes[0].dial(t, "c", kind)
		for i := 1; i < 6; i++ {
			at := m.nodes[i%3]
			began := time.Now()
			next := at.dial(t, "c", kind)
			if took := time.Since(began); took > 5*time.Second { // bounded; how long it takes on an idle machine the laboratory measures
				t.Errorf("takeover took %v", took)
			}
			<-first.ended
			var d *mqttclient.DisconnectedError
			if !errors.As(first.cause, &d) || d.Reason != packet.SessionTakenOver {
				t.Fatalf("the first connection ended with %v", first.cause)
			}
			first = next
		}
		first.Disconnect(packet.Success)
	}
}

// TestR20Backlog: a session that comes back at another node gets what was queued
// at its old home, then what is new, each once and in order; CONNACK does not
// wait for the backlog.
func TestR20Backlog(t *testing.T) {
	m := rig(t, 3)
	a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
	s := a.dial(t, "s", lasting)
	s.subscribe(1, "t")
	s.Disconnect(packet.Success)
	pub := c.dial(t, "pub")
	var want []string
	send := func(n int) {
		for range n {
			want = append(want, strconv.Itoa(len(want)))
			pub.send("t", want[len(want)-1], 1)
		}
	}
	send(300)
	s = b.dial(t, "s", lasting)
	send(20)
	s.expect(want...)
	// What the client has acknowledged is to be heard of, else it comes again.
	b.awaitAcknowledged(t, "s")
	s.Disconnect(packet.Success)
	want = want[:0]
	send(50)
	s = c.dial(t, "s", lasting) // and on to a third
	send(5)
	s.expect(want...)
	for _, n := range m.nodes[:2] {
		eventually(t, "old homes keep nothing", func() bool {
			_, stored := n.queue.Lookup(queueName(Key{ClientID: "s"}))
			return !stored && n.b.registry.get(Key{ClientID: "s"}) == nil
		})
	}
}

// TestR21Moves: while three nodes publish a thousand messages a second the
// session moves 200 times, or as often as TOMBOLO_MOVES says, also back to where a
// part of it still is. Nothing is lost, nothing comes twice without the mark of a
// duplicate, and each publisher's messages stay in order.
func TestR21Moves(t *testing.T) {
	moves := 200
	if testing.Short() || raceEnabled {
		moves = 30
	}
	if n, err := strconv.Atoi(os.Getenv("TOMBOLO_MOVES")); err == nil && n > 0 {
		moves = n
	}
	m := rig(t, 3, func(s *Settings) { s.Queue.MaxOnline, s.Queue.MaxOffline = 100000, 100000 })
	p := m.nodes[0].dial(t, "s", lasting)
	p.subscribe(1, "m/#")
	var sent [3]int
	stop := make(chan struct{})
	var wg sync.WaitGroup
	end := sync.OnceFunc(func() { close(stop); wg.Wait() })
	t.Cleanup(end) // of a test that fails: they end ahead of their connections
	for i := range 3 {
		pub := m.nodes[i].dial(t, fmt.Sprint("pub", i))
		wg.Go(func() { sent[i] = publishUntil(pub, fmt.Sprint("m/", i), stop) })
	}
	seen := newSeen(t, m)
	for i := range moves {
		seen.take(p, 3) // some are read, others wait or are on their way
		old := p
		at := m.nodes[(i*7+i/5)%3]
		p = at.dial(t, "s", lasting)
		for x := range old.Messages() {
			seen.note(x)
		}
		seen.where = fmt.Sprintf("move %d to node %d", i, at.id)
	}
	end()
	seen.until(p, sent[:])
	t.Logf("%d moves, %v messages: none lost, none out of order, none twice without DUP; %d marked duplicates", moves, sent, seen.dups)
}

// publishUntil publishes 0, 1, 2 … at QoS 1, one every three milliseconds, and
// returns how many were acknowledged.
func publishUntil(p *person, topic string, stop <-chan struct{}) (n int) {
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return n
		case <-tick.C:
		}
		if r, err := p.trySend(20*time.Second, topic, strconv.Itoa(n), 1); err != nil || r.Failed() {
			p.t.Errorf("%s: %v, %v", topic, r, err)
			return n
		}
		n++
	}
}

// seen holds what comes to a subscriber to the laws of P9. Owned by one test.
type seen struct {
	t     *testing.T
	next  map[string]int
	dups  int
	m     *mesh
	where string              // on which connection
	last  map[string][]string // by topic, what came last
}

// seenMax is how many messages of a topic are told of by a test that fails.
const seenMax = 20

func newSeen(t *testing.T, m *mesh) *seen {
	return &seen{t: t, m: m, next: map[string]int{}, where: "first", last: map[string][]string{}}
}

// fail ends the test, with all that may tell why it failed.
func (s *seen) fail(format string, args ...any) {
	s.t.Helper()
	for topic, list := range s.last {
		s.t.Logf("%s:\n\t%s", topic, strings.Join(list, "\n\t"))
	}
	for _, n := range s.m.nodes {
		s.t.Log(n.story("s"))
	}
	s.t.Fatalf(format, args...)
}

// story is what a node holds of a session, for a test that fails.
func (n *rigNode) story(id string) string {
	k := Key{ClientID: id}
	out := fmt.Sprintf("node %d:", n.id)
	if rec, _ := n.b.storedSession(k); rec != nil {
		out += fmt.Sprintf(" home %d epoch %v connects %d;", rec.Home, rec.Epoch, rec.Connects)
	}
	c := n.b.registry.get(k)
	if c == nil {
		return out + " nothing here"
	}
	n.b.EachMoving(func(m Moving) bool {
		out += fmt.Sprintf(" on its way to %d for %d ms, %d sent;", m.To, time.Now().UnixMilli()-m.Since, m.Sent)
		return true
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	out += fmt.Sprintf(" connected %v queued %d moving %v awaits %v importing %d pending %d ids from %d receiving %v;",
		c.conn != nil, c.queue.Len(), c.queue.Moving(), c.awaits, c.importing, c.queue.Pending(), c.idsFrom, c.core.Receiving())
	for s := c.shift.Load(); s != nil; s = s.before {
		out += fmt.Sprintf(" [target %v epoch %v open %v cuts %v sure %v]", s.target, s.epoch, s.open, s.cuts, s.sure)
	}
	return out
}

func (s *seen) note(m *packet.Publish) {
	topic := string(m.Topic)
	n, _ := strconv.Atoi(string(m.Payload))
	list := append(s.last[topic], fmt.Sprintf("%s: %d, id %d, dup %v", s.where, n, m.ID, m.Dup))
	s.last[topic] = list[max(0, len(list)-seenMax):]
	switch want := s.next[topic]; {
	case n == want:
		s.next[topic]++
	case n < want && m.Dup:
		s.dups++
	default:
		s.fail("%s: %d came, want %d (dup %v)", topic, n, want, m.Dup)
	}
}

// take reads some messages, if they come soon.
func (s *seen) take(p *person, n int) {
	late := time.NewTimer(20 * time.Second)
	defer late.Stop()
	for range n {
		select {
		case m := <-p.Messages():
			if m == nil {
				return
			}
			s.note(m)
		case <-late.C:
			s.fail("nothing comes: %v", s.next)
		}
	}
}

func (s *seen) until(p *person, sent []int) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		whole := true
		for i, n := range sent {
			whole = whole && s.next[fmt.Sprint("m/", i)] == n
		}
		if whole {
			return
		}
		select {
		case m := <-p.Messages():
			if m == nil {
				s.fail("the connection ended")
			}
			s.note(m)
		case <-ctx.Done():
			s.fail("came %v, sent %v", strings.TrimPrefix(fmt.Sprint(s.next), "map"), sent)
		}
	}
}
