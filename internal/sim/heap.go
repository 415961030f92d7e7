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
	slot  int // whom it happens to
	from  int // of a message
	life  int // of the receiving process: a dead one's timers are void
	kind  eventKind
	again bool
	pkt   Packet
}

// agenda is a binary heap of events. Owned by the World.
type agenda struct {
	heap   []due
	events []event // where due says
	free   []int32 // places in events
	made   uint64
}

// due is when an event comes and where it lies: to move it about costs little.
type due struct {
	at  time.Duration
	seq uint64
	in  int32
}

func (d due) before(o due) bool { return d.at < o.at || d.at == o.at && d.seq < o.seq }

// next is when the next event comes; ok is false if there is none.
func (a *agenda) next() (at time.Duration, ok bool) {
	if len(a.heap) == 0 {
		return 0, false
	}
	return a.heap[0].at, true
}

func (a *agenda) push(e event) {
	a.made++
	d := due{at: e.at, seq: a.made}
	if n := len(a.free); n > 0 {
		d.in, a.free = a.free[n-1], a.free[:n-1]
		a.events[d.in] = e
	} else {
		d.in = int32(len(a.events))
		a.events = append(a.events, e)
	}
	a.heap = append(a.heap, d)
	i := len(a.heap) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !d.before(a.heap[up]) {
			break
		}
		a.heap[i] = a.heap[up]
		i = up
	}
	a.heap[i] = d
}

// pop takes the next event out into e; false if there is none.
func (a *agenda) pop(e *event) bool {
	n := len(a.heap) - 1
	if n < 0 {
		return false
	}
	in := a.heap[0].in
	*e = a.events[in]
	a.events[in].pkt = Packet{} // let go of it
	a.free = append(a.free, in)
	last := a.heap[n]
	a.heap = a.heap[:n]
	if n == 0 {
		return true
	}
	i := 0
	for {
		c := 2*i + 1
		if c >= n {
			break
		}
		if c+1 < n && a.heap[c+1].before(a.heap[c]) {
			c++
		}
		if !a.heap[c].before(last) {
			break
		}
		a.heap[i] = a.heap[c]
		i = c
	}
	a.heap[i] = last
	return true
}
