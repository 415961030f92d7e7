package link

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"tombolo/internal/wire"
)

// world is two processes and what lies between them, in one goroutine. A sends
// numbered messages to B over connections that die at any instant with all that
// is on its way; B may start anew with what its disk has. Owned by its test.
type world struct {
	t    *testing.T
	rng  *rand.Rand
	seed uint64
	mode mode
	now  int64

	lane     *lane
	spool    *MemorySpool
	receiver *receiver
	up       bool
	toB, toA [][]byte // frames on their way

	sent    int
	told    map[int]Result // by message
	open    []openMessage  // handed on at B, not ended
	stored  map[int]int    // how often a message took effect at B
	order   []int          // in which they did
	through uint64         // B's disk, with the effects
	except  []wire.Outcome
	broken  bool   // B's store takes nothing
	events  [4]int // connections lost, restarts, refusals, spooled
}

// mode is what may happen in a world. A value.
type mode struct {
	durable, restarts bool
	refusals          bool // of single messages
	outages           bool // B's store takes nothing until B is started anew
}

type openMessage struct {
	seq uint64
	id  int
}

// number is a ticket that knows its message.
type number struct {
	w  *world
	id int
}

func (n number) Ended(_ NodeID, r Result, _ uint8) {
	if was, twice := n.w.told[n.id]; twice {
		n.w.t.Fatalf("seed %d: message %d ended as %v after %v", n.w.seed, n.id, r, was)
	}
	if r == InSpool {
		n.w.events[3]++
	}
	n.w.told[n.id] = r
}

const worldCredit = 128 << 10

func newWorld(t *testing.T, seed uint64, m mode) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 1)), seed: seed, mode: m, spool: NewMemorySpool(1 << 30),
		told: map[int]Result{}, stored: map[int]int{}}
	w.lane = newLane(newSender(wire.StreamPublish, Limits{Frames: 16, Bytes: 256 << 10}),
		laneConfig{confirmWait: 60, retryAfter: 60, waitingBytes: 1 << 20, durable: m.durable}, 0)
	w.receiver = newReceiver(wire.StreamPublish, worldCredit, 1, 0, nil)
	return w
}

// body is a message with its number and a length that sometimes needs chunks.
func (w *world) body(id int) []byte {
	n := 4 + w.rng.IntN(200)
	if w.rng.IntN(12) == 0 {
		n = wire.BodyBytesMax*(1+w.rng.IntN(4)) + w.rng.IntN(3) - 1
	}
	b := make([]byte, n)
	binary.BigEndian.PutUint32(b, uint32(id))
	for i := 4; i < n; i += 997 {
		b[i] = byte(id + i)
	}
	return b
}

func (w *world) tell(list []ended) {
	for _, e := range list {
		e.ticket.Ended(2, e.result, e.reason)
	}
}

// connect begins a connection: what was on its way is gone.
func (w *world) connect() {
	w.up, w.lane.away = true, false
	var m wire.Resume
	w.receiver.resume(&m)
	w.toA = append(w.toA, wire.AppendResume([]byte{byte(wire.TypeResume)}, &m))
}

func (w *world) drop() {
	w.events[0]++
	w.up, w.lane.away, w.toA, w.toB = false, true, nil, nil
	w.lane.disconnect()
}

// flush lets A write a batch.
func (w *world) flush() {
	if !w.up {
		return
	}
	h := wire.Header{Version: 1, TTL: 1, Source: 1, Destination: 2, Incarnation: 1}
	buf := w.lane.fill(nil, batchBytes, &h)
	for len(buf) > 0 {
		n := wire.FrameSize(buf)
		w.toB = append(w.toB, buf[:n])
		buf = buf[n:]
	}
}

// arriveB takes one frame at B, sometimes twice.
func (w *world) arriveB() {
	if len(w.toB) == 0 {
		return
	}
	f := w.toB[0]
	w.toB = w.toB[1:]
	var h wire.Header
	if err := wire.ParseHeader(f, &h); err != nil {
		w.t.Fatalf("seed %d: %v", w.seed, err)
	}
	body := f[wire.HeaderBytes:]
	if h.Type == wire.TypeOpen {
		var o wire.Open
		if err := wire.ParseOpen(body, &o); err != nil {
			w.t.Fatal(err)
		}
		if err := w.receiver.open(&o); err != nil {
			w.t.Fatalf("seed %d: open %+v: %v", w.seed, o, err)
		}
		return
	}
	for range 1 + w.rng.IntN(20)/19 {
		message, ok, err := w.receiver.frame(&h, body)
		if err != nil {
			w.t.Fatalf("seed %d: frame %d: %v", w.seed, h.Sequence, err)
		}
		if !ok {
			continue
		}
		id := int(binary.BigEndian.Uint32(message))
		for i := 4; i < len(message); i += 997 {
			if message[i] != byte(id+i) {
				w.t.Fatalf("seed %d: message %d is not what was sent", w.seed, id)
			}
		}
		w.open = append(w.open, openMessage{h.Sequence, id})
	}
}

// endB ends one message at B. Its effect and the mark go to the disk in one
// batch, so where there are restarts they end in order (R2).
func (w *world) endB() {
	if len(w.open) == 0 {
		return
	}
	i := 0
	if !w.mode.restarts {
		i = w.rng.IntN(len(w.open))
	}
	m := w.open[i]
	w.open = append(w.open[:i], w.open[i+1:]...)
	result, reason := wire.Stored, uint8(0)
	switch n := w.rng.IntN(10); {
	case w.broken:
		result, reason = wire.Refused, wire.NotStored
		w.events[2]++
	case n == 0 && w.mode.refusals:
		result = wire.Refused
		w.events[2]++
	case n == 1:
		result = wire.NoMatch
	}
	if result != wire.Refused {
		w.stored[m.id]++
		w.order = append(w.order, m.id)
	}
	w.receiver.done(m.seq, result, reason)
	w.through = w.receiver.applied
	w.except = append([]wire.Outcome(nil), w.receiver.outcomes...)
}

// ackB lets B write its acknowledgement.
func (w *world) ackB() {
	if w.up && w.receiver.ackDue {
		var a wire.Ack
		w.receiver.ack(&a)
		w.toA = append(w.toA, wire.AppendAck([]byte{byte(wire.TypeAck)}, &a))
	}
}

// arriveA takes one frame at A.
func (w *world) arriveA() {
	if len(w.toA) == 0 {
		return
	}
	f := w.toA[0]
	w.toA = w.toA[1:]
	var m wire.Resume
	var list []ended
	var err error
	if wire.Type(f[0]) == wire.TypeResume {
		if err = wire.ParseResume(f[1:], &m); err == nil {
			list, err = w.lane.resume(&m, nil)
		}
	} else if err = wire.ParseAck(f[1:], &m.Ack); err == nil {
		list, err = w.lane.ack(&m.Ack, nil)
	}
	if err != nil {
		w.t.Fatalf("seed %d: %v from %+v", w.seed, err, m)
	}
	w.tell(w.lane.end(list, w.now, nil))
	if wire.Type(f[0]) == wire.TypeResume {
		w.lane.resumed(&m, w.now)
	}
}

// spoolStep serves one job of the lane; now and then the disk is full.
func (w *world) spoolStep(faults bool) {
	j := w.lane.nextJob(w.now)
	if j == nil {
		return
	}
	if w.rng.IntN(3) == 0 {
		w.arriveA() // an end comes while the disk is busy
	}
	if len(j.remove) > 0 {
		j.otherErr = w.spool.Remove(2, j.remove)
	}
	if len(j.add) > 0 {
		if faults && w.rng.IntN(10) == 0 {
			j.addErr = ErrSpoolFull
		} else {
			j.addErr = w.spool.Append(2, j.add)
		}
	}
	if j.read {
		j.got, j.otherErr = w.spool.Read(2, j.after, j.count, j.bytes)
	}
	w.tell(w.lane.finish(j, w.now, nil))
	w.lane.failedUntil = min(w.lane.failedUntil, w.now+5) // the unit here is a step
}

// restartB makes B another process that knows only what its disk has.
func (w *world) restartB() {
	w.drop()
	w.events[1]++
	w.open, w.broken = nil, false
	w.receiver = newReceiver(wire.StreamPublish, worldCredit, 1, w.through, w.except)
}

func (w *world) check() {
	if s := w.lane.check(); s != "" {
		w.t.Fatalf("seed %d, step %d: lane: %s", w.seed, w.now, s)
	}
	if s := w.receiver.check(); s != "" {
		w.t.Fatalf("seed %d, step %d: receiver: %s", w.seed, w.now, s)
	}
}

func (w *world) step() {
	w.now++
	switch n := w.rng.IntN(100); {
	case n < 12:
		if ok, _ := w.lane.send(entry{kind: wire.TypePublish, body: w.body(w.sent), ticket: number{w, w.sent}, pushedAt: w.now}); ok {
			w.sent++
		}
	case n < 30:
		w.flush()
	case n < 55:
		w.arriveB()
	case n < 70:
		w.endB()
	case n < 80:
		w.ackB()
	case n < 90:
		w.arriveA()
	case n < 95:
		w.spoolStep(true)
	case n == 95:
		w.drop()
	case n == 96 && w.mode.restarts:
		w.restartB()
	case n == 97 && w.mode.outages && w.rng.IntN(4) == 0:
		w.broken = true // until the process is started anew, as a store that met a full disk
	case !w.up:
		w.connect()
	}
	w.check()
}

// settle heals everything and runs until nothing moves.
func (w *world) settle() {
	for range 100000 {
		if w.broken {
			w.restartB()
		}
		if !w.up {
			w.connect()
		}
		w.now++
		w.spoolStep(false)
		w.flush()
		w.arriveB()
		w.endB()
		w.ackB()
		w.arriveA()
		w.check()
		l := w.lane
		if len(w.told) == w.sent && len(l.entries) == 0 && l.stored == 0 && len(l.waiting) == 0 && len(l.parked) == 0 && len(w.open) == 0 {
			return
		}
	}
	w.t.Fatalf("seed %d: does not settle: %d of %d told, %d in the window, %d spooled, %d wait, %d parked", w.seed, len(w.told), w.sent,
		len(w.lane.entries), w.lane.stored, len(w.lane.waiting), len(w.lane.parked))
}

// TestStreamUnderFaults is guarantees 1 and 2, R2, R9, R10 and R11: whatever
// happens to connections, to the spool and to the receiver's process, every
// message ends once for its sender, takes effect once, and in order while no
// single message is refused; a store that takes nothing keeps the order.
func TestStreamUnderFaults(t *testing.T) {
	for i := range 10 {
		m := mode{durable: i&1 != 0, restarts: i&2 != 0 || i >= 8, refusals: i&4 != 0, outages: i >= 8}
		t.Run(fmt.Sprintf("%+v", m), func(t *testing.T) {
			var events [4]int
			messages := 0
			for seed := range uint64(25) {
				w := newWorld(t, seed, m)
				for range 1500 {
					w.step()
				}
				w.settle()
				for id := range w.sent {
					if w.stored[id] != 1 {
						t.Fatalf("seed %d: message %d took effect %d times", seed, id, w.stored[id])
					}
				}
				for at, id := range w.order {
					if m.restarts && !m.refusals && at != id {
						t.Fatalf("seed %d: message %d took effect at place %d", seed, id, at)
					}
				}
				messages += w.sent
				for i, n := range w.events {
					events[i] += n
				}
			}
			t.Logf("%d messages; %d losses of the connection, %d restarts, %d refusals, %d acknowledged from the spool", messages,
				events[0], events[1], events[2], events[3])
			if events[0] == 0 || m.restarts != (events[1] > 0) || (m.refusals || m.outages) != (events[2] > 0) || m.durable != (events[3] > 0) {
				t.Error("the faults that this is about did not happen")
			}
		})
	}
}

// TestFullSpoolDrains: a spool that takes nothing more is read all the same,
// and what waits for it comes after, driven by nothing but the lane's own times.
func TestFullSpoolDrains(t *testing.T) {
	w := newWorld(t, 1, mode{})
	w.spool = NewMemorySpool(20 * (100 + spooledOverhead))
	w.lane.config.waitingBytes = 4000
	for n := 0; n < 60; n++ {
		if ok, _ := w.lane.send(entry{kind: wire.TypePublish, body: numbered(uint32(n), 100), ticket: number{w, n}}); ok {
			w.sent++
		}
		if n%10 == 0 {
			w.spoolStep(false)
		}
	}
	if !w.lane.full {
		t.Fatal("the spool is not full")
	}
	w.lane.away = false
	resume := wire.Resume{Ack: wire.Ack{Stream: wire.StreamPublish, Incarnation: 1, Credit: 1 << 30}}
	if _, err := w.lane.resume(&resume, nil); err != nil {
		t.Fatal(err)
	}
	for round := 0; len(w.told) < w.sent; round++ {
		if round == 200 {
			t.Fatalf("%d of %d ended, %d in the spool, %d wait", len(w.told), w.sent, w.lane.stored, len(w.lane.waiting))
		}
		// What the shell does: all jobs until there is none or one fails.
		for j := w.lane.nextJob(w.now); j != nil; j = w.lane.nextJob(w.now) {
			_ = w.spool.Remove(2, j.remove)
			if len(j.add) > 0 {
				j.addErr = w.spool.Append(2, j.add)
			}
			if j.read {
				j.got, j.otherErr = w.spool.Read(2, j.after, j.count, j.bytes)
			}
			w.tell(w.lane.finish(j, w.now, nil))
			w.check()
			if j.addErr != nil {
				break
			}
		}
		w.lane.fill(nil, 1<<30, &wire.Header{})
		list, err := w.lane.ack(&wire.Ack{Stream: wire.StreamPublish, Through: w.lane.highest}, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.tell(w.lane.end(list, w.now, nil))
		wait := w.lane.wait(w.now)
		if wait == 0 && len(w.told) < w.sent {
			t.Fatalf("nothing is to happen any more, and %d of %d ended", len(w.told), w.sent)
		}
		w.now += int64(wait)
	}
}

// TestOverdueWindowIsSpooledInOrder is R9 and the order of R11: once the oldest
// message of a connected peer is overdue, the whole window is in the spool
// before anything newer, so that a crash here keeps the order.
func TestOverdueWindowIsSpooledInOrder(t *testing.T) {
	w := newWorld(t, 1, mode{durable: true})
	w.connect()
	w.arriveA()
	for ; w.sent < 8; w.sent++ {
		w.now = int64(10 * w.sent)
		w.lane.send(entry{kind: wire.TypePublish, body: numbered(uint32(w.sent), 50), ticket: number{w, w.sent}, pushedAt: w.now})
		w.spoolStep(false)
		switch due := w.now >= w.lane.config.confirmWait; {
		case !due && len(w.told) != 0:
			t.Fatalf("at %d the spool has answered for %v", w.now, w.told)
		case due && len(w.told) == 0:
			t.Fatalf("at %d the spool has answered for nothing", w.now)
		}
	}
	w.now += w.lane.config.confirmWait
	w.spoolStep(false)
	list, _ := w.spool.Read(2, 0, 100, 1<<20)
	for at, m := range list {
		if id := binary.BigEndian.Uint32(m.Body); int(id) != at {
			t.Errorf("message %d stands at place %d", id, at)
		}
	}
	if len(list) != w.sent || len(w.told) != w.sent {
		t.Errorf("%d of %d are in the spool, %d are told", len(list), w.sent, len(w.told))
	}
}
