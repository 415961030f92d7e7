package replica

import "time"

// The bounds of Wake.
const (
	wakeMin = 50 * time.Millisecond
	wakeMax = time.Second
)

// Queued is how many messages the next Ready has.
func (r *Replica) Queued() int { return len(r.out.Messages) }

// Wake is how long from now Tick is not needed if nothing else happens: a second at
// most, and all of it while there is nobody to speak to and nothing to finish.
func (r *Replica) Wake(now time.Time) time.Duration {
	if r.rebuild != nil || r.join != nil || r.goals != nil || r.phase != Serving {
		return wakeMin
	}
	next := now.Add(wakeMax)
	sooner := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	for _, p := range r.peers {
		if p.served != nil && !p.served.done || r.ranging != nil && r.ranging.agreed && !r.ranging.done {
			return wakeMin
		}
		if p.incoming != nil || p.outgoing != nil || p.meeting.round != 0 || p.meeting.theirs != 0 {
			return wakeMin
		}
		if p.up && !p.proved {
			sooner(p.helloAt)
		}
		if p.established() {
			sooner(p.meeting.next)
			sooner(r.nextExchange)
		}
	}
	if r.sweep.again || r.sweep.from != nil {
		sooner(r.sweep.due())
	}
	sooner(r.nextCollect)
	return max(next.Sub(now), wakeMin)
}
