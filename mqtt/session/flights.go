package session

import (
	"math/bits"

	"tombolo/mqtt/packet"
)

// flights are the packets in flight by identifier. Owned by outbound. Identifiers
// are given out nearly in order, so the low bits of one say where it stands, and
// a message costs no hash: a map took a tenth of what one costs at QoS 1.
//
// Two with the same low bits cannot stand together. New identifiers are chosen so
// that it does not happen (fits); where one that another connection chose would
// meet another, the table grows. Bound: it grows with how many are in flight, or
// until the 65,535 identifiers have a place each.
type flights struct {
	slots []slot // a power of two of them, nil at first
	count int
}

// slot is a place, free while id is 0, which is no identifier.
type slot struct {
	flight
	id packet.ID
}

const flightSlotsMin = 8

func (t *flights) at(id packet.ID) *slot { return &t.slots[int(id)&(len(t.slots)-1)] }

// get returns the flight of an identifier.
func (t *flights) get(id packet.ID) (f flight, ok bool) {
	if id == 0 || t.count == 0 {
		return f, false
	}
	if s := t.at(id); s.id == id {
		return s.flight, true
	}
	return f, false
}

// fits reports whether there is a place for an identifier that is not in use.
func (t *flights) fits(id packet.ID) bool { return t.count == 0 || t.at(id).id == 0 }

// room sees to it that at least half of the places are free for one more.
func (t *flights) room() {
	if need := 2 * (t.count + 1); need > len(t.slots) {
		t.resize(max(flightSlotsMin, 1<<bits.Len(uint(need-1))))
	}
}

// put sets the flight of an identifier, which is not 0.
func (t *flights) put(id packet.ID, f flight) {
	if t.count > 0 && t.at(id).id == id {
		t.at(id).flight = f // nothing moves: all may be going through them
		return
	}
	t.room()
	for t.at(id).id != 0 {
		t.resize(2 * len(t.slots))
	}
	*t.at(id) = slot{flight: f, id: id}
	t.count++
}

// remove forgets an identifier.
func (t *flights) remove(id packet.ID) {
	if id == 0 || t.count == 0 {
		return
	}
	if s := t.at(id); s.id == id {
		*s = slot{}
		t.count--
	}
}

// resize moves all to a table of that size, or of the next in which no two meet.
func (t *flights) resize(size int) {
	old := t.slots
next:
	for ; ; size *= 2 {
		t.slots = make([]slot, size)
		for i := range old {
			if id := old[i].id; id != 0 {
				s := t.at(id)
				if s.id != 0 {
					continue next
				}
				*s = old[i]
			}
		}
		return
	}
}

// all yields them in the order of their places; the one that is yielded may be
// changed or removed.
func (t *flights) all(yield func(packet.ID, flight) bool) {
	for i := range t.slots {
		if s := &t.slots[i]; s.id != 0 && !yield(s.id, s.flight) {
			return
		}
	}
}
