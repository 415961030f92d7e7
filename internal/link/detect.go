package link

import (
	"context"
	"time"

	"tombolo/internal/wire"
)

// heardBeat is a heartbeat on its way to the detector. A value.
type heardBeat struct {
	from        NodeID
	incarnation wire.Incarnation
	beat        *wire.Heartbeat
}

// beatsMax is how many heartbeats may wait for the detector; one more is
// dropped and counted, and the next one says the same and more.
const beatsMax = 1024

func (m *Mesh) heard(b heardBeat) {
	select {
	case m.beats <- b:
	default:
		m.stats.beatsDropped.Add(1)
	}
}

// Judge runs fn where the detector is stepped, so that the assembly can tell it
// of exchanges, registrations and members. It returns when fn has run, or false
// if the mesh has stopped.
func (m *Mesh) Judge(fn func(now int64)) bool {
	done := make(chan struct{})
	select {
	case m.judgements <- func(now int64) { fn(now); close(done) }:
	case <-m.stopped:
		return false
	}
	select {
	case <-done:
		return true
	case <-m.stopped:
		return false
	}
}

// Millis is a moment as the detector is told it: unix milliseconds that go on
// with the monotonic clock from when the mesh was made, so that a wall clock that
// is set neither makes silence nor hides it.
func (m *Mesh) Millis(t time.Time) int64 { return m.begun.UnixMilli() + t.Sub(m.begun).Milliseconds() }

// detects steps the detector. After a stall time passes first, so that the
// detector knows of it before it judges what has waited meanwhile.
func (m *Mesh) detects(ctx context.Context) {
	d := m.config.Detector
	send := func(to NodeID, h *wire.Heartbeat) {
		if p := m.peer(to); p != nil {
			p.beat(h)
		}
	}
	ms := func() int64 { return m.Millis(m.config.Clock.Now()) }
	wake := d.Tick(ms(), send)
	timer := m.config.Clock.NewTimer(time.Duration(wake-ms()) * time.Millisecond)
	defer timer.Stop()
	for {
		var todo func(now int64)
		select {
		case <-timer.C():
			todo = func(int64) {}
		case b := <-m.beats:
			todo = func(now int64) { d.Heard(b.from, b.incarnation, b.beat, now) }
		case todo = <-m.judgements:
		case <-ctx.Done():
			return
		}
		if now := ms(); now >= wake {
			wake = d.Tick(now, send)
			timer.Reset(time.Duration(max(wake-now, 1)) * time.Millisecond)
		}
		todo(ms())
	}
}
