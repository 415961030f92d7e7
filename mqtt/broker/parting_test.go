package broker

import (
	"fmt"
	"testing"
	"time"
)

// TestR27HandsOver: what waits at a node that stops as planned, for a session whose
// client connects elsewhere at once, is there before the links of the node close, and
// comes before anything newer. A session whose client stays away is waited for no longer
// than was said.
func TestR27HandsOver(t *testing.T) {
	const messages = 600 // more than the client has room for while nobody takes them
	m := rig(t, 3)
	a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
	s := a.dial(t, "s", lasting)
	s.subscribe(1, "t")
	pub := c.dial(t, "pub")
	for i := range messages {
		pub.send("t", fmt.Sprint(i), 1)
	}
	a.b.Shutdown()
	taken := 0
	for p := range s.Messages() {
		if string(p.Payload) != fmt.Sprint(taken) {
			t.Fatalf("came %s, want %d", p.Payload, taken)
		}
		taken++
	}
	if taken == messages {
		t.Fatal("nothing waits at the node")
	}
	over := make(chan struct{})
	go func() { defer close(over); a.b.Part(10 * time.Second) }()
	s = b.dial(t, "s", lasting)
	<-over
	m.dies(a)
	pub.send("t", fmt.Sprint(messages), 1)
	s.expectRun(taken, messages)

	c.dial(t, "away", lasting)
	c.b.Shutdown()
	began := time.Now()
	c.b.Part(50 * time.Millisecond)
	if took := time.Since(began); took < 50*time.Millisecond || took > 5*time.Second {
		t.Errorf("it was waited for %v", took)
	}
}

// expectRun wants numbers in a row, from one that is most at the highest up to last.
func (p *person) expectRun(most, last int) {
	p.t.Helper()
	for next := -1; next != last; {
		m := <-p.Messages()
		if m == nil {
			p.t.Fatal("the connection ended")
		}
		var at int
		if _, err := fmt.Sscan(string(m.Payload), &at); err != nil || next >= 0 && at != next+1 || next < 0 && at > most {
			p.t.Fatalf("%s came after %d; the first may be %d", m.Payload, next, most)
		}
		next = at
	}
}

// TestR27HandsOverLate: another node says that a session has left the node that stops
// before that has followed its tables there. It waits for the session all the same.
func TestR27HandsOverLate(t *testing.T) {
	const messages = 600
	m := rig(t, 3)
	a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
	a.dial(t, "s", lasting).subscribe(1, "t")
	pub := c.dial(t, "pub")
	for i := range messages {
		pub.send("t", fmt.Sprint(i), 1)
	}
	a.b.Shutdown()
	goOn := a.lags()
	s := b.dial(t, "s", lasting)
	at := a.b.registry.get(Key{ClientID: "s"})
	eventually(t, "it is said that the session has left", func() bool {
		at.mu.Lock()
		defer at.mu.Unlock()
		return at.leaving()
	})
	if !a.b.parting() {
		t.Error("nothing is waited for")
	}
	goOn()
	goOn()
	a.b.Part(20 * time.Second)
	m.dies(a)
	pub.send("t", fmt.Sprint(messages), 1)
	s.expectRun(messages, messages)
}
