package registrar

import (
	"fmt"
	"testing"

	"tombolo/internal/wire"
)

// askIdle asks for an id whose session is to be adopted.
func (x *node) askIdle(k wire.Client) (answer func() bool) {
	x.next++
	n := x.next
	x.calls[n] = call{k, x.w.now + AnswerMax.Milliseconds() + 2*TickEvery.Milliseconds()}
	x.step(func(e *Effects) { x.core.Ask(n, Request{Client: k, IfIdle: true}, x.at(), e) })
	return func() bool { _, waits := x.calls[n]; return !waits }
}

// TestR23IfIdle: a request for a session without its client is denied while the
// client is connected elsewhere, or is being granted there, and closes nobody. It
// is granted when the client has gone. Whoever leads the id, who holds it and
// whoever asks may be one node; half of the members may have to accept (R25).
func TestR23IfIdle(t *testing.T) {
	for i := range 24 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			w := newWorld(uint64(i), 3)
			w.quorum = i%2 == 1
			w.run(500)
			asks, has, k := w.nodes[i%3], w.nodes[(i+1+i/12)%3], clientOf(i)
			has.ask(k)
			if i%4 < 2 {
				w.run(500) // it is connected
			} else {
				w.run(int64(i)) // it is on its way
			}
			_, was := has.connected[k]
			before, closes := len(w.granted), has.core.Stats().Released
			answered := asks.askIdle(k)
			w.run(1000)
			if _, stays := has.connected[k]; !answered() || has.core.Stats().Released != closes || was && (!stays || len(w.granted) > before) {
				t.Errorf("answered %v, granted %d, the client is connected %v, was %v", answered(), len(w.granted)-before, stays, was)
			}
			has.leave(k)
			w.run(500)
			before = len(w.granted)
			asks.askIdle(k)
			w.run(1000)
			if len(w.granted) != before+1 {
				t.Errorf("granted %d times when the client had gone", len(w.granted)-before)
			}
			for _, b := range w.broken {
				t.Error(b)
			}
		})
	}
}
