package link

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"tombolo/internal/clock"
)

// ticketed hands its end on.
type ticketed chan Result

func (c ticketed) Ended(_ NodeID, r Result, _ uint8) { c <- r }

// TestLoneMessages: a message that nothing else goes with costs one write at
// each end and wakes no goroutine but the two readers: who flushes has written
// when Flush returns, and what takes publishes is called by the reader, which
// writes the acknowledgement as well.
func TestLoneMessages(t *testing.T) {
	at := func(c *Config) { c.BatchDelay = 1 } // no two messages here come too fast
	a, b := prepare(t, 1, at), prepare(t, 2, at)
	var instants atomic.Int64
	b.instant = func(Message) bool { instants.Add(1); return true }
	connect(t, a, b)
	a.start(t)
	b.start(t)
	within(t, "the link", func() bool { return a.up(2) && b.up(1) })
	ended := make(ticketed, 1)
	send := func() {
		t.Helper()
		if err := a.mesh.SendPublish(2, numbered(0, 100), ended); err != nil {
			t.Fatal(err)
		}
	}
	hear := func() {
		t.Helper()
		select {
		case r := <-ended:
			if r != Stored {
				t.Fatalf("ended as %v", r)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("a lone message does not end")
		}
	}
	send() // the first meets what the handshake still has to say
	a.mesh.Flush(2)
	hear()
	instants.Store(0)
	const count = 200
	inHere := 0
	sent, answered := a.mesh.Stats(), b.mesh.Stats()
	for range count {
		before := a.mesh.Stats().Batches
		send()
		if got := a.mesh.Stats().Batches; got != before {
			t.Fatal("it left before the flush")
		}
		a.mesh.Flush(2)
		if got := a.mesh.Stats().Batches; got == before+1 {
			inHere++
		}
		hear()
	}
	const slack = 4 // what the connections say by themselves
	if inHere < count-slack {
		t.Errorf("%d of %d flushes wrote", inHere, count)
	}
	if got := a.mesh.Stats().Batches - sent.Batches; got > count+slack {
		t.Errorf("%d writes for %d messages", got, count)
	}
	if got := b.mesh.Stats().Batches - answered.Batches; got > count+slack {
		t.Errorf("%d writes for %d acknowledgements", got, count)
	}
	if got := instants.Load(); got != count {
		t.Errorf("the reader handed %d of %d on", got, count)
	}
}

// TestPace: after a pause a few batches may follow each other at once; then they
// keep the delay, and after one of many messages they keep a longer one.
func TestPace(t *testing.T) {
	_, c := bulk(t, &net.TCPConn{})
	m := clock.NewManual(time.Unix(1_000_000, 0))
	c.m.config.Clock, c.m.begun = m, m.Now()
	m.Advance(time.Second)
	delay := c.m.config.BatchDelay
	batches := func() (n int) {
		for c.mayLocked(c.m.now()) {
			c.begunLocked(c.m.now())
			if n++; n > 100 {
				t.Fatal("there is no end to it")
			}
		}
		return n
	}
	if got := batches(); got != burst {
		t.Errorf("%d batches at once, want %d", got, burst)
	}
	for range 10 {
		m.Advance(delay)
		if got := batches(); got != 1 {
			t.Errorf("%d batches after the delay, want 1", got)
		}
	}
	m.Advance(time.Second)
	c.out.many = true
	c.begunLocked(c.m.now())
	for i := range stretch {
		if c.mayLocked(c.m.now()) {
			t.Errorf("a batch %v after one of many", time.Duration(i)*delay)
		}
		m.Advance(delay)
	}
	if !c.mayLocked(c.m.now()) {
		t.Error("the longer delay does not end")
	}
}
