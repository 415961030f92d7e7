package sim

import "time"

// eventKind says what an event does.
type eventKind uint8

const (
	eventTick    eventKind = iota // a node's timer
	eventDeliver                  // a message arrives
	eventOp                       // a client asks something
	eventFault                    // chaos does something
	eventRestart                  // a dead node starts again
	eventLink                     // an end sees that a link stands or fell
	eventSample                   // the slower checkers look
)

// event is one thing that will happen. Ties are broken by the order of making.
type event struct {
	at    time.Duration
	seq   uint64
	kind  eventKind
	slot  int // whom it happens to
	from  int // of a message
	life  int // of the receiving process: a dead one's timers are void
	again bool
	pkt   Packet
}

// agenda is a binary heap of events. Owned by the World.
type agenda struct {
	events []event
	made   uint64
}

func (a *agenda) before(i, j int) bool {
	x, y := &a.events[i], &a.events[j]
	return x.at < y.at || x.at == y.at && x.seq < y.seq
}

func (a *agenda) push(e event) {
	a.made++
	e.seq = a.made
	a.events = append(a.events, e)
	for i := len(a.events) - 1; i > 0; {
		up := (i - 1) / 2
		if !a.before(i, up) {
			return
		}
		a.events[i], a.events[up] = a.events[up], a.events[i]
		i = up
	}
}

func (a *agenda) pop() (event, bool) {
	n := len(a.events) - 1
	if n < 0 {
		return event{}, false
	}
	top := a.events[0]
	a.events[0] = a.events[n]
	a.events[n] = event{} // let go of its message
	a.events = a.events[:n]
	for i := 0; ; {
		least := i
		for _, c := range []int{2*i + 1, 2*i + 2} {
			if c < n && a.before(c, least) {
				least = c
			}
		}
		if least == i {
			return top, true
		}
		a.events[i], a.events[least] = a.events[least], a.events[i]
		i = least
	}
}
