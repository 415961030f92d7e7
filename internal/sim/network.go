package sim

import "time"

// linkNotice is how long a node takes to see that a link stands or fell.
const linkNotice = 500 * time.Millisecond

// transmit puts a message on its way: lost, late, doubled, out of order.
func (w *World) transmit(from *slot, p Packet) {
	to := w.route(from, p.To)
	if to == nil {
		return
	}
	w.traceSent(from, p)
	if w.cut[from.index][to.index] || !w.calm && w.rng.IntN(1000) < w.p.LossPerMille {
		return
	}
	at := w.now + time.Millisecond + time.Duration(w.rng.Int64N(int64(w.p.DelayMax)))
	w.agenda.push(event{at: at, kind: eventDeliver, slot: to.index, from: from.index, pkt: p,
		again: w.rng.IntN(1000) < w.p.AgainPerMille})
}

// route is where a node id lives, as from believes: where it last heard it from.
// Two machines may hold one id.
func (w *World) route(from *slot, id NodeID) *slot {
	if i := w.routes[from.index][id]; i > 0 && w.slots[i-1].id == id {
		return w.slots[i-1]
	}
	for _, s := range w.slots {
		if s.id == id && s != from {
			return s
		}
	}
	return nil
}

// deliver hands a message over; a doubled one twice, and late again.
func (w *World) deliver(e *event) {
	s := w.slots[e.slot]
	if !s.up || w.cut[e.from][e.slot] {
		return
	}
	from := w.slots[e.from].id
	w.routes[s.index][from] = e.from + 1
	w.before(s, e)
	w.step(s, e, func(out *Output) error { return s.core.Receive(w.clock(s), from, e.pkt.Body, out) })
	if e.again && s.up && w.violation == nil {
		w.twice(s, e, from)
		late := *e
		late.at, late.again = w.now+w.around(2*time.Second), false
		w.agenda.push(late)
	}
}

// linkSoon tells both ends that they can hear each other, if so.
func (w *World) linkSoon(a, b *slot) {
	for _, x := range [][2]*slot{{a, b}, {b, a}} {
		w.agenda.push(event{at: w.now + w.around(linkNotice), kind: eventLink, slot: x[0].index, from: x[1].index, again: true})
	}
}

// linksDown tells the others that a process is gone.
func (w *World) linksDown(s *slot) {
	for _, o := range w.slots {
		if o != s {
			w.agenda.push(event{at: w.now + w.around(linkNotice), kind: eventLink, slot: o.index, from: s.index})
		}
	}
}

// link is the moment at which an end notices; what is not true any more is not
// told.
func (w *World) link(e *event) {
	s, o := w.slots[e.slot], w.slots[e.from]
	stands := o.up && !w.cut[s.index][o.index] && !w.cut[o.index][s.index]
	if !s.up || stands != e.again {
		return
	}
	w.step(s, e, func(out *Output) error { return s.core.Link(w.clock(s), o.id, e.again, out) })
}

// setCut cuts or heals one direction.
func (w *World) setCut(a, b *slot, cut bool) {
	if w.cut[a.index][b.index] == cut {
		return
	}
	w.cut[a.index][b.index] = cut
	if !cut {
		w.linkSoon(a, b)
		return
	}
	for _, x := range [][2]*slot{{a, b}, {b, a}} {
		w.agenda.push(event{at: w.now + w.around(linkNotice), kind: eventLink, slot: x[0].index, from: x[1].index})
	}
}
