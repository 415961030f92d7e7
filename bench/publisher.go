package bench

import (
	"time"

	"tombolo/mqtt/packet"
)

// stallAfter is the silence after which a publisher takes what its window
// waits for as lost and goes on.
const stallAfter = int64(time.Second)

// publisher sends the messages of one connection. Owned by the event loop.
//
// Properties: (1) base <= next; (2) with a window, next - base <= window, and
// remaining[n%window] is how many subscribers have yet to receive message n,
// for base <= n < next; (3) an identifier is either free or in flight;
// (4) with a limit, acked <= next <= limit.
type publisher struct {
	index     uint32
	end       *endpoint
	topic     []byte
	receivers uint32 // subscribers of each message
	next      uint64 // number of the next message
	base      uint64 // the oldest message that the window waits for
	remaining []uint32
	progress  int64 // when base last moved
	free      []packet.ID
	waiting   []int64 // at a fixed rate: when messages that could not go yet were due
	written   []int64 // at a fixed rate: from when the newest messages count that were due when they were written
	eager     bool    // stands in run.eager
	limit     uint64  // messages to send in all, 0 for no end
	acked     uint64  // of them
	retain    bool
	empty     bool // messages have no payload
	gathers   bool // answers are read when several are there
	// address, if set, gives the topic of message n and the subscriber that
	// should have it, plus one. It may use the topic given as its buffer.
	address func(n uint64, topic []byte) ([]byte, uint32)
}

func newPublisher(index uint32, cfg *Config, topic string, receivers, receiveMax int) *publisher {
	p := &publisher{index: index, topic: []byte(topic), receivers: uint32(receivers)}
	if cfg.Rate > 0 {
		p.written = make([]int64, writtenKept)
	}
	ids := min(receiveMax, windowMax)
	switch {
	case cfg.Scenario == Retained || cfg.Scenario == Offline || cfg.Scenario == Migrate:
		ids = min(ids, cfg.Window) // what is not acknowledged is the window
	case cfg.Rate == 0:
		p.remaining = make([]uint32, cfg.Window)
	}
	if cfg.QoS > 0 {
		for id := ids; id > 0; id-- {
			p.free = append(p.free, packet.ID(id))
		}
	}
	return p
}

// answersGathered is how many PUBACKs are read at once where nothing waits for one:
// the window counts what subscribers received, and there are identifiers enough. A
// client that reads each by itself spends a system call and a wake-up on it.
const answersGathered = 32

const ackBytes = 4 // of a PUBACK

// gather has the answers of p read several at a time, until r.stop.
func (p *publisher) gather(r *run) {
	if r.cfg.QoS != 1 || len(p.remaining) == 0 || len(p.free) < len(p.remaining)+2*answersGathered {
		return
	}
	p.gathers = true
	r.fault(readableFrom(p.end.fd, answersGathered*ackBytes))
}

// answered reports whether all that p sent has its answer, if p gathers them: what is
// read late is waited for and checked like the rest.
func (p *publisher) answered() bool { return !p.gathers || p.acked == p.next }

// clear reports whether the connection takes a message now.
func (p *publisher) clear(r *run) bool {
	return len(p.end.out) < outMax && (r.cfg.QoS == 0 || len(p.free) > 0)
}

// fill sends as long as the window has room.
func (p *publisher) fill(r *run) {
	for p.next < p.limit && p.clear(r) {
		p.send(r, r.now, r.now)
	}
	if r.phase == stepping {
		return // the load has not begun: a PING was written
	}
	window := uint64(len(p.remaining))
	for p.next < p.base+window && p.clear(r) {
		if p.next == p.base {
			p.progress = r.now
		}
		p.remaining[p.next%window] = p.receivers
		p.send(r, r.now, r.now)
	}
}

// due sends a message that belongs to the moment at, or keeps it for later.
func (p *publisher) due(r *run, at int64) {
	if len(p.waiting) > 0 || !p.clear(r) {
		p.waiting = append(p.waiting, at)
		return
	}
	p.send(r, at, r.clock())
}

// catchUp sends what had to wait.
func (p *publisher) catchUp(r *run) {
	n := 0
	for n < len(p.waiting) && p.clear(r) {
		p.send(r, p.waiting[n], p.waiting[n]) // the broker kept it waiting
		n++
	}
	p.waiting = append(p.waiting[:0], p.waiting[n:]...)
}

// writtenKept is for how many messages of a publisher it is known when they were
// written: no more are under way at a rate that the broker bears.
const writtenKept = 1 << 10

// writtenAt is from when message n counts if the generator's own lag does not; -1
// if that is not known.
func (p *publisher) writtenAt(n uint64) int64 {
	if p.written == nil || n+writtenKept < p.next {
		return -1
	}
	return p.written[n%writtenKept]
}

// send sends a message that was due at a moment, and is written at another.
func (p *publisher) send(r *run, at, written int64) {
	if p.written != nil {
		p.written[p.next%writtenKept] = written
	}
	h := header{publisher: p.index, number: p.next, sentAt: at}
	if p.address != nil {
		p.topic, h.receiver = p.address(p.next, p.topic[:0])
	}
	h.put(r.payload, r.id)
	p.next++
	out := &r.out
	out.Topic, out.QoS, out.Payload, out.Retain = p.topic, r.cfg.QoS, r.payload, p.retain
	if p.empty {
		out.Payload = nil
	}
	if r.cfg.QoS > 0 {
		out.ID = p.free[len(p.free)-1]
		p.free = p.free[:len(p.free)-1]
	}
	p.end.out = packet.AppendPublish(p.end.out, r.cfg.Version, out)
	r.touch(p.end)
	r.sentOne(at)
}

// delivered notes that one subscriber received message n.
func (p *publisher) delivered(r *run, n uint64) {
	if p.remaining == nil || n < p.base || n >= p.next {
		return
	}
	window := uint64(len(p.remaining))
	if p.remaining[n%window]--; p.remaining[n%window] > 0 || n != p.base {
		return
	}
	for p.base < p.next && p.remaining[p.base%window] == 0 {
		p.base++
	}
	p.progress = r.now
	r.want(p)
}

// giveUp frees a window that waits for what does not come.
func (p *publisher) giveUp(r *run) bool {
	if p.remaining == nil || p.base == p.next || r.now-p.progress < stallAfter {
		return false
	}
	p.base = p.next
	r.want(p)
	return true
}

func (p *publisher) handle(r *run, e *endpoint, f packet.Frame) error {
	switch f.Type {
	case packet.TypePuback, packet.TypePubrec, packet.TypePubcomp:
	default:
		return e.other(r, f)
	}
	if err := packet.DecodeAck(f, r.cfg.Version, &r.ackIn); err != nil {
		return err
	}
	if r.ackIn.Reason.Failed() {
		r.total.refused++
	} else if f.Type == packet.TypePubrec {
		e.sendAck(r, packet.TypePubrel, r.ackIn.ID)
		return nil
	}
	p.free = append(p.free, r.ackIn.ID)
	p.acked++
	r.progress = r.now
	p.drained(r)
	return nil
}

func (p *publisher) drained(r *run) {
	if p.remaining != nil || len(p.waiting) > 0 || p.next < p.limit {
		r.want(p)
	}
}
