package queue

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"tombolo/internal/kv"
	"tombolo/internal/kv/faulty"
	"tombolo/internal/wire"
)

var errDied = errors.New("the process died")

// mortal is a database whose process dies with its n-th write: before it reaches
// the disk, or after, when nobody is told. Guarded by mu.
type mortal struct {
	kv.DB
	mu     sync.Mutex
	writes int
	dies   int // with which write, 0 never
	after  bool
}

func (m *mortal) Write(b *kv.Batch, sync bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	switch {
	case m.dies == 0 || m.writes < m.dies:
		return m.DB.Write(b, sync)
	case m.writes == m.dies && m.after:
		_ = m.DB.Write(b, sync)
	}
	return errDied
}

// shore is one of the two stores of a crossing, in memory or, if disk is set, on
// goleveldb.
type shore struct {
	db   kv.DB
	disk *faulty.Disk
	m    *mortal
	r    *running
	life int
}

func (s *shore) begin(t *testing.T, dies int, after bool) {
	s.m = &mortal{DB: s.db, dies: dies, after: after}
	s.life++
	s.r = start(t, s.m, StoreConfig{TidyEvery: 1 << 40, AckDelay: time.Hour, AckCount: 1})
}

// rise starts a store again on what its disk holds: on goleveldb what was not
// synced is gone, or garbled.
func (s *shore) rise(t *testing.T) {
	_ = s.r.end()
	if s.disk == nil {
		s.db = s.db.(*kv.Memory).Fork()
	} else {
		s.disk.PowerLoss()
		_ = s.db.Close()
		s.disk.Arm(faulty.Faults{})
		s.db = openFaulty(t, s.disk)
	}
	audit(t, s.db)
	s.begin(t, 0, false)
}

// dead reports whether an error is that of a process that died.
func (s *shore) dead(err error) bool {
	return errors.Is(err, errDied) || s.disk != nil && s.disk.Dead()
}

// crossing moves a queue from b to c, frame by frame, while its client at c takes
// what comes, and goes on after either dies. Owned by one test.
type crossing struct {
	t        *testing.T
	where    string
	b, c     shore
	source   QueueID
	target   QueueID
	d        *drinker
	want     []string // what is in the queue, in order
	got      []string // what was delivered, in order
	acked    map[string]int
	lostC    bool   // c has died
	messages int    // of another queue at b, which stays
	sequence uint64 // of the frames of b's process
	at       Place
}

const oldEpoch, olderEpoch, newEpoch = 150, 100, 200

// newCrossing makes a queue of two generations at b, with gaps, shared bodies, and
// QoS 2 state: 20 messages and 8, or more of them.
func newCrossing(t *testing.T, b, c shore, times int) *crossing {
	x := &crossing{t: t, acked: map[string]int{}, b: b, c: c, messages: 20 * times}
	s := start(t, x.b.db, StoreConfig{TidyEvery: 1 << 40})
	id, st := s.generation("s", olderEpoch)
	other, _ := s.open("other")
	for i := range x.messages {
		s.put(numbered(i, []int{20, 300}[i%2]), id, other)
	}
	es := s.all(id, st)
	for i, e := range es {
		if i%5 == 3 {
			s.ack(id, e)
		} else {
			x.want = append(x.want, string(e.Msg.Body))
		}
	}
	s.do(id, Op{Kind: OpBind, Seq: 2, PacketID: 9})
	s.generation("s", oldEpoch)
	for i := range 8 * times {
		s.put(fmt.Sprint("later ", i), id)
		x.want = append(x.want, fmt.Sprint("later ", i))
	}
	s.InboundOnly(Inbound{id, 77, false}, MessageID{5, 6}, nil)
	s.sync()
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	return x
}

// openB and openC find the queue again after a start.
func (x *crossing) openB() {
	id, _, err := x.b.r.Open("s", false)
	if err != nil {
		x.t.Fatalf("%s: %v", x.where, err)
	}
	x.source, x.at, x.sequence = id, Place{}, 0
}

func (x *crossing) openC() error {
	id, st, err := x.c.r.OpenGeneration("s", newEpoch, false)
	if err == nil && st.MovingFrom == 0 {
		err = x.moving(id, 1)
	}
	if err == nil {
		x.target, x.d = id, newDrinker(x.c.r, id, st)
		x.d.mayDie = x.c.disk != nil
		x.d.q.SetMoving(true)
		x.d.online()
	}
	return err
}

func (x *crossing) moving(id QueueID, from uint64) error {
	done := make(chan error, 1)
	x.c.r.Moving(id, from, func(err error) { done <- err })
	return <-done
}

// retry repeats a step of c, which begins anew when it has died.
func (x *crossing) retry(step func() error) {
	for try := 0; ; try++ {
		err := step()
		if err == nil {
			return
		}
		if try > 3 || !x.c.dead(err) {
			x.t.Fatalf("%s: %v", x.where, err)
		}
		x.lostC = true
		x.c.rise(x.t)
		for x.openC() != nil {
			x.c.rise(x.t)
		}
	}
}

// run moves everything; the frames of one process of b are numbered.
func (x *crossing) run() {
	x.openB()
	x.retry(x.openC)
	for range 1000 {
		b, err := x.b.r.exported(x.source, x.at, 3, 1<<20)
		if err != nil && x.b.dead(err) {
			x.b.rise(x.t)
			x.openB()
			continue
		}
		if err != nil {
			x.t.Fatalf("%s: %v", x.where, err)
		}
		if b.empty() {
			break
		}
		x.sequence++
		x.send(b)
		if err := x.b.r.release(x.source, b); err != nil {
			x.b.rise(x.t) // and sends everything that it still has
			x.openB()
			continue
		}
		x.at = b.Next
		x.drink()
	}
	x.retry(func() error { return x.moving(x.target, 0) })
	x.d.q.SetMoving(false)
	x.drink()
}

// send is the link: what c has applied is not sent again.
func (x *crossing) send(b *Batch) {
	frame := carried(x.t, b)
	ap := &Applied{Peer: 1, Incarnation: uint64(x.b.life), Stream: uint32(wire.StreamMigration), Sequence: x.sequence}
	x.retry(func() error {
		if through, _ := x.c.r.AppliedThrough(ap.Peer, ap.Incarnation, ap.Stream); through >= ap.Sequence {
			return nil
		}
		stored, err := x.c.r.bring(x.target, frame, ap)
		if err == nil {
			x.d.q.Imported(frame, stored)
		}
		return err
	})
}

func (x *crossing) drink() {
	x.got = append(x.got, x.d.drink(100)...)
	for len(x.d.flight) > 0 {
		x.acked[string(x.d.flight[0].Msg.Body)]++
		x.d.settle(1)
	}
	_ = x.c.r.Sync() // if it fails, the next step finds out
}

// check holds the end against what was in the queue.
func (x *crossing) check(exact bool) {
	x.t.Helper()
	first := []string{}
	for _, body := range x.got {
		if !slices.Contains(first, body) {
			first = append(first, body)
		}
	}
	if !slices.Equal(first, x.want) {
		x.t.Errorf("%s: delivered %q, want %q", x.where, first, x.want)
	}
	if exact && len(x.got) != len(x.want) {
		x.t.Errorf("%s: %d deliveries of %d messages: %q", x.where, len(x.got), len(x.want), x.got)
	}
	x.c.rise(x.t)
	_, st := x.c.r.generation("s", newEpoch)
	if st.Total() != 0 && exact || len(st.Received) != 1 || st.Received[0].ID != (MessageID{5, 6}) {
		x.t.Errorf("%s: the target holds %+v", x.where, st)
	}
	x.b.rise(x.t)
	x.openB()
	if _, st := x.b.r.open("s"); st.Total() != 0 || len(st.Received) != 0 {
		x.t.Errorf("%s: the source holds %+v", x.where, st)
	}
	if _, st := x.b.r.open("other"); st.Total() != x.messages {
		x.t.Errorf("%s: another queue at the source holds %+v", x.where, st)
	}
	_ = x.b.r.end()
	_ = x.c.r.end()
}

// TestCrashAtEveryCommitOfAMigration (P9, R2, R20, R22) lets the source, the
// target, or both die with each of their commits: nothing is lost or out of
// order, and nothing comes twice unless the node died that delivered it.
func TestCrashAtEveryCommitOfAMigration(t *testing.T) {
	inMemory := func() *crossing { return newCrossing(t, shore{db: kv.NewMemory()}, shore{db: kv.NewMemory()}, 1) }
	whole := inMemory()
	whole.where = "without a crash"
	whole.b.begin(t, 0, false)
	whole.c.begin(t, 0, false)
	whole.run()
	atB, atC := whole.b.m.writes, whole.c.m.writes
	whole.check(true)
	if atB < 8 || atC < 16 || len(whole.want) != 24 {
		t.Fatalf("%d and %d writes, %d messages", atB, atC, len(whole.want))
	}
	cross := func(diesB, diesC int, after bool) {
		x := inMemory()
		x.where = fmt.Sprintf("source dies with write %d, target with %d, written %v", diesB, diesC, after)
		x.b.begin(t, diesB, after)
		x.c.begin(t, diesC, after)
		x.run()
		x.check(diesC == 0)
		if t.Failed() {
			t.FailNow()
		}
	}
	for _, after := range []bool{false, true} {
		for n := 2; n <= atB; n++ { // the first opens the store
			cross(n, 0, after)
		}
		for n := 2; n <= atC; n++ {
			cross(0, n, after)
			for m := 2; m <= atB && !testing.Short(); m++ {
				cross(m, n, after)
			}
		}
	}
}

// TestPowerLossInAMigration is the same on goleveldb, with ten times the messages:
// the machine of the source, of the target, or of both loses power after so many
// bytes, and with it what was not synced.
func TestPowerLossInAMigration(t *testing.T) {
	died := [2]int{}
	for seed := range uint64(24) {
		rnd := rand.New(rand.NewPCG(seed, 10))
		disks := [2]*faulty.Disk{faulty.New(seed), faulty.New(seed + 1000)}
		x := newCrossing(t, shore{disk: disks[0], db: openFaulty(t, disks[0])}, shore{disk: disks[1], db: openFaulty(t, disks[1])}, 10)
		x.b.begin(t, 0, false)
		x.c.begin(t, 0, false)
		who, dies := rnd.IntN(3), [2]int64{1 + rnd.Int64N(8_000), 1 + rnd.Int64N(80_000)}
		x.where = fmt.Sprintf("seed %d: power lost after %v bytes, at 0 source, 1 target, 2 both: %d", seed, dies, who)
		for i, d := range disks {
			if who == i || who == 2 {
				d.Arm(faulty.Faults{CrashAfterBytes: dies[i]})
			}
		}
		x.run()
		for i, s := range []*shore{&x.b, &x.c} {
			died[i] += min(s.life-1, 1)
		}
		x.check(!x.lostC)
		if t.Failed() {
			t.FailNow()
		}
	}
	if died[0] < 8 || died[1] < 8 {
		t.Errorf("the source lost power %d times, the target %d times: too few show nothing", died[0], died[1])
	}
}
