package link

import (
	"testing"
	"time"

	"tombolo/internal/wire"
)

// TestCutIsABlackHole: a cut on one side only silences both; nobody is told.
// What was sent meanwhile arrives once after the heal.
func TestCutIsABlackHole(t *testing.T) {
	quick := func(c *Config) {
		c.SilenceMax, c.DialTimeout = 200*time.Millisecond, 200*time.Millisecond
	}
	a, b := prepare(t, 1, quick), prepare(t, 2, quick)
	connect(t, a, b)
	a.start(t)
	b.start(t)
	within(t, "the link", func() bool { return a.up(2) && b.up(1) })
	b.mesh.SetCut([]NodeID{1})
	if err := a.mesh.Send(2, wire.StreamControl, wire.TypeRoutes, numbered(7, 100), nil); err != nil {
		t.Fatal(err)
	}
	within(t, "silence, which the faster end of the two hears", func() bool {
		return a.mesh.Stats().Closes["silence"]+b.mesh.Stats().Closes["silence"] > 0 && !a.up(2) && !b.up(1)
	})
	within(t, "an attempt that came to nothing", func() bool { return b.mesh.Stats().Refusals["cut"] > 0 })
	b.mesh.SetCut(nil)
	within(t, "the message after the heal", func() bool {
		n := 0
		b.read(func() { n = len(b.mu.got["1/4"]) })
		return n == 1
	})
}

// TestReset: both ends begin anew.
func TestReset(t *testing.T) {
	a, b := prepare(t, 1, nil), prepare(t, 2, nil)
	connect(t, a, b)
	a.start(t)
	b.start(t)
	within(t, "the link", func() bool { return a.up(2) && b.up(1) })
	a.mesh.Reset(2)
	within(t, "another link", func() bool {
		again := false
		b.read(func() { again = b.mu.ups[1] > 1 })
		return again && a.up(2)
	})
	if a.mesh.Stats().Closes["verdict"] == 0 {
		t.Error("nothing was closed")
	}
}
