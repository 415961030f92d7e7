package queue

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"tombolo/internal/kv"
)

// pair is a Queue on a Store with a client that comes, goes and acknowledges
// what it likes, and a ledger of both. Guarded by mu.
type pair struct {
	t   *testing.T
	rng *rand.Rand
	c   Config
	db  *kv.Memory
	s   *running
	id  QueueID

	mu        sync.Mutex
	q         *Queue
	online    bool
	flight    []Entry
	committed int
	early     int            // handed out before they were committed, perhaps
	taken     map[string]int // bodies by how often they were handed out
	acked     map[string]bool
	lastSeq   uint64
	dropped   uint64
	serial    int
	packetID  uint16
	now       int64
	orderly   bool // the store only stops in order: nothing comes twice unmarked
}

func newPair(t *testing.T, seed uint64) *pair {
	p := &pair{t: t, rng: rand.New(rand.NewPCG(seed, 77)), db: kv.NewMemory(), now: 1000}
	limits := []int{-1, 5, 30}
	p.c = Config{
		MaxOnline: limits[p.rng.IntN(3)], MaxOffline: limits[p.rng.IntN(3)], LIFO: p.rng.IntN(2) == 0,
		OverrideMaxOnline: p.rng.IntN(2) == 0, MemoryEntries: 1 + p.rng.IntN(20), MemoryBytes: 100 + p.rng.IntN(3000),
	}
	p.taken, p.acked = map[string]int{}, map[string]bool{}
	p.orderly = p.rng.IntN(2) == 0
	p.begin()
	return p
}

func (p *pair) begin() {
	s := start(p.t, p.db, StoreConfig{TidyEvery: 1 << 40})
	id, st := s.open("a")
	p.mu.Lock()
	p.s, p.id, p.q = s, id, New(p.c, true, st)
	p.online, p.flight, p.lastSeq = false, nil, 0
	for _, e := range p.q.Restored() {
		p.q.Complete(e.PacketID)
	}
	p.mu.Unlock()
	p.flush()
}

// flush hands on what the queue wants done; mu is not held.
func (p *pair) flush() {
	p.mu.Lock()
	ops := p.q.Ops(nil)
	q, s, id := p.q, p.s, p.id
	p.mu.Unlock()
	s.Do(id, ops, func(tag uint64, es []Entry, more bool, err error) {
		if tag >= ReadTag {
			p.mu.Lock()
			q.Loaded(tag, es, more)
			p.mu.Unlock()
			p.flush()
		}
	})
}

func (p *pair) publish(early bool) {
	p.mu.Lock()
	admission := p.q.Admit(1)
	q := p.q
	p.serial++
	qos := uint8(1 + p.rng.IntN(2))
	body := numbered(p.serial, p.rng.IntN(300))
	p.mu.Unlock()
	if admission > AcceptEvictOldest {
		return
	}
	ev := &Event{Msg: &Message{ID: p.s.NextID(), QoS: qos, Body: []byte(body)}, Targets: []Target{{Queue: p.id, QoS: qos}}}
	done := func(err error) {
		p.mu.Lock()
		if err != nil {
			q.Abandoned()
		} else {
			p.committed++
			q.Committed(Entry{Seq: ev.Targets[0].Seq, Msg: ev.Msg, QoS: qos})
		}
		p.mu.Unlock()
		p.flush()
	}
	if !early {
		p.s.Append(ev, done)
		return
	}
	p.mu.Lock() // so that it is not committed yet
	p.s.AppendNow(ev, done)
	e := Entry{Seq: ev.Targets[0].Seq, Msg: ev.Msg, QoS: qos}
	if len(p.flight) < 15 && q.Early(&e, p.now) {
		p.early++
		p.take(e)
	}
	p.mu.Unlock()
	p.flush()
}

// take notes what the client was handed. The caller holds mu.
func (p *pair) take(e Entry) {
	body := string(e.Msg.Body)
	if e.Seq <= p.lastSeq {
		p.t.Errorf("%d comes after %d", e.Seq, p.lastSeq)
	}
	p.lastSeq = e.Seq
	if p.acked[body] && p.orderly {
		p.t.Errorf("%q comes after it was acknowledged", body)
	}
	if p.taken[body] > 0 && !e.Dup && p.orderly {
		p.t.Errorf("%q comes again without DUP", body)
	}
	p.taken[body]++
	if e.QoS == 2 && e.PacketID == 0 {
		p.packetID = p.packetID%60000 + 1
		p.q.Bind(e.Seq, p.packetID, 1)
		p.q.Sent(e.Seq, p.packetID)
		e.PacketID = p.packetID
	}
	p.flight = append(p.flight, e)
}

func (p *pair) deliver() {
	p.mu.Lock()
	for range 1 + p.rng.IntN(10) {
		if len(p.flight) > 15 {
			break
		}
		e, ok := p.q.Next(p.now)
		if !ok {
			break
		}
		p.take(e)
	}
	p.mu.Unlock()
	p.flush()
}

func (p *pair) settle(most int) {
	p.mu.Lock()
	for range most {
		if len(p.flight) == 0 {
			break
		}
		i := 0
		if p.rng.IntN(4) == 0 {
			i = p.rng.IntN(len(p.flight))
		}
		e := p.flight[i]
		p.flight = append(p.flight[:i:i], p.flight[i+1:]...)
		p.acked[string(e.Msg.Body)] = true
		if e.QoS == 2 {
			p.q.Release(e.Seq, e.PacketID, 2)
			p.q.Complete(e.PacketID)
		} else {
			p.q.Ack(e.Seq)
		}
	}
	p.mu.Unlock()
	p.flush()
}

func (p *pair) connect(online bool) {
	p.mu.Lock()
	if p.online != online {
		p.q.SetOnline(online, p.now)
		p.online, p.flight, p.lastSeq = online, nil, 0
	}
	p.mu.Unlock()
	p.flush()
}

// drained has the client take and acknowledge some, and reports whether that was
// all.
func (p *pair) drained() bool {
	p.deliver()
	p.settle(100)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.q.Len() == 0 && len(p.flight) == 0
}

// calm is a client that keeps up, for a moment.
func (p *pair) calm() {
	p.connect(true)
	eventually(p.t, "everything has come", p.drained)
	p.s.sync()
	for range 4 {
		p.publish(true)
		p.settle(p.rng.IntN(3))
	}
	if p.rng.IntN(4) == 0 {
		p.connect(false)
	}
}

// restart stops the store, or leaves it to be dead and goes on with a copy of
// its database.
func (p *pair) restart() {
	// An eviction that waits for a read would be counted and not made.
	p.connect(false)
	p.s.sync() // all Dones were called,
	if p.orderly {
		p.s.sync() // and what they asked for is done
		if err := p.s.end(); err != nil {
			p.t.Error(err)
		}
	} else {
		p.s.sync() // so that the ledger knows what is stored
		p.db = p.db.Fork()
	}
	p.mu.Lock()
	st := p.q.Stats()
	p.dropped += st.DroppedOldest + st.DroppedExcess
	if st.Lost > 0 {
		p.t.Errorf("%d were lost", st.Lost)
	}
	p.mu.Unlock()
	p.begin()
}

// TestQueueAndStoreAgree lets clients come and go, stops stores, and demands at
// the end that each stored message was acknowledged or counted as dropped.
func TestQueueAndStoreAgree(t *testing.T) {
	early := 0
	for seed := range uint64(60) {
		p := newPair(t, seed)
		for range 250 {
			switch k := p.rng.IntN(100); {
			case k < 50:
				p.publish(p.rng.IntN(4) == 0)
			case k < 75:
				p.deliver()
			case k < 90:
				p.settle(1 + p.rng.IntN(8))
			case k < 97:
				p.connect(p.rng.IntN(3) > 0)
			case k < 98:
				p.restart()
			default:
				p.calm()
			}
		}
		p.s.sync()
		p.connect(true)
		eventually(t, fmt.Sprintf("seed %d %+v is empty", seed, p.c), p.drained)
		p.s.sync()
		p.s.sync()
		p.mu.Lock()
		st := p.q.Stats()
		p.mu.Unlock()
		p.dropped += st.DroppedOldest + st.DroppedExcess
		if got := len(p.acked) + int(p.dropped); got != p.committed && p.orderly || got < p.committed {
			t.Errorf("seed %d %+v: %d stored, %d acknowledged, %d dropped", seed, p.c, p.committed, len(p.acked), p.dropped)
		}
		if _, now := p.s.open("a"); now.Count != 0 || keys(t, p.s.db, tableRecord) != 0 {
			t.Errorf("seed %d: the store still holds %+v", seed, now)
		}
		if err := p.s.end(); err != nil {
			t.Error(err)
		}
		audit(t, p.s.db)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
		early += p.early
	}
	if early < 50 {
		t.Errorf("%d were handed out before they were committed", early)
	}
}
