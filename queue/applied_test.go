package queue

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"

	"tombolo/internal/kv"
	"tombolo/internal/wire"
)

// boundaries is a database that keeps a copy of what is there after each commit,
// and counts the keys of a table that batches held. Guarded by mu.
type boundaries struct {
	kv.DB
	mu    sync.Mutex
	forks []*kv.Memory
	puts  map[byte][]int // by table: how many in each batch that had any
}

func newBoundaries(db *kv.Memory) *boundaries {
	return &boundaries{DB: db, puts: map[byte][]int{}}
}

func (b *boundaries) Write(batch *kv.Batch, sync bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := map[byte]int{}
	batch.Each(func(k, _ []byte, deleted bool) {
		if !deleted {
			n[k[0]]++
		}
	})
	for table, n := range n {
		b.puts[table] = append(b.puts[table], n)
	}
	err := b.DB.Write(batch, sync)
	b.forks = append(b.forks, b.DB.(*kv.Memory).Fork())
	return err
}

const peerOne, streamSix = 11, 6

// frame is a publish that came from a peer.
func (r *running) frame(seq uint64, incarnation uint64, ids ...QueueID) *Event {
	ev := r.event(fmt.Sprintf("frame %d", seq), ids...)
	ev.Applied = &Applied{Peer: peerOne, Incarnation: incarnation, Stream: streamSix, Sequence: seq}
	return ev
}

// TestMarkIsWhatIsStored lets frames of a peer end in any order, some without an
// effect, and looks at every commit boundary whether the mark tells exactly which
// frames had their effect (R2). Then everything is sent again.
func TestMarkIsWhatIsStored(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 2))
		db := newBoundaries(kv.NewMemory())
		s := start(t, db, StoreConfig{TidyEvery: 1 << 40})
		id, _ := s.open("a")
		s.sync()
		const frames = 120
		matched := map[uint64]bool{}
		order := rng.Perm(frames)
		if seed%2 == 0 {
			slices.Sort(order)
			for range 20 { // mostly in order
				i := rng.IntN(frames - 1)
				order[i], order[i+1] = order[i+1], order[i]
			}
		}
		for _, n := range order {
			seq := uint64(n + 1)
			if matched[seq] = rng.IntN(3) > 0; matched[seq] {
				s.Append(s.frame(seq, 5, id), nil)
			} else {
				s.Apply(Applied{peerOne, 5, streamSix, seq, wire.NoMatch, 16}, nil)
			}
			if rng.IntN(10) == 0 {
				s.sync()
			}
		}
		s.sync()
		if err := s.end(); err != nil {
			t.Fatal(err)
		}
		for i, fork := range db.forks {
			holdMarkAgainstRecords(t, fmt.Sprintf("seed %d commit %d", seed, i), fork, matched)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
}

func holdMarkAgainstRecords(t *testing.T, where string, db *kv.Memory, matched map[uint64]bool) {
	s := start(t, db, StoreConfig{TidyEvery: 1 << 40})
	defer func() { _ = s.end() }()
	id, st := s.open("a")
	there := map[string]int{}
	for _, body := range bodies(s.all(id, st)) {
		there[body]++
	}
	through, outcomes := s.AppliedThrough(peerOne, 5, streamSix)
	for _, o := range outcomes {
		if matched[o.Sequence] || o.Result != wire.NoMatch || o.Reason != 16 || o.Sequence > through {
			t.Errorf("%s: outcome %+v, through %d", where, o, through)
		}
	}
	for seq, match := range matched {
		body := fmt.Sprintf("frame %d", seq)
		if seq <= through && match != (there[body] == 1) {
			t.Errorf("%s: frame %d is %d times there, through %d", where, seq, there[body], through)
		}
		unmatched := slices.ContainsFunc(outcomes, func(o Outcome) bool { return o.Sequence == seq })
		if seq <= through && match == unmatched {
			t.Errorf("%s: frame %d matched %v, outcome %v", where, seq, match, unmatched)
		}
	}
	// The peer sends everything behind the mark again, in order.
	for seq := through + 1; seq <= uint64(len(matched)); seq++ {
		if matched[seq] {
			s.Append(s.frame(seq, 5, id), nil)
		} else {
			s.Apply(Applied{peerOne, 5, streamSix, seq, wire.NoMatch, 16}, nil)
		}
	}
	s.sync()
	_, st = s.open("a")
	clear(there)
	for _, body := range bodies(s.all(id, st)) {
		there[body]++
	}
	for seq, match := range matched {
		if n := there[fmt.Sprintf("frame %d", seq)]; match && n != 1 || !match && n != 0 {
			t.Errorf("%s: frame %d is stored %d times after it was sent again", where, seq, n)
		}
	}
	if through, _ := s.AppliedThrough(peerOne, 5, streamSix); through != uint64(len(matched)) {
		t.Errorf("%s: through %d in the end", where, through)
	}
}

// TestMarkOfANewerProcess: a peer that started anew begins at one, and what its
// old process had sent is forgotten with the first commit.
func TestMarkOfANewerProcess(t *testing.T) {
	db := kv.NewMemory()
	s := start(t, db, StoreConfig{})
	id, _ := s.open("a")
	for seq := range uint64(10) {
		s.Append(s.frame(seq+1, 5, id), nil)
	}
	s.sync()
	if err := s.append(s.frame(1, 6, id)); err != nil {
		t.Fatal(err)
	}
	// A late frame of the old process is stored and marks nothing.
	if ev := s.frame(11, 5, id); s.append(ev) != nil || ev.Targets[0].Seq != 12 {
		t.Errorf("late frame: %+v", ev.Targets[0])
	}
	done := make(chan error, 1)
	s.Apply(Applied{peerOne, 6, 7, 1, wire.Stored, 0}, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s = start(t, db.Fork(), StoreConfig{})
	old, _ := s.AppliedThrough(peerOne, 5, streamSix)
	now, _ := s.AppliedThrough(peerOne, 6, streamSix)
	other, _ := s.AppliedThrough(peerOne, 6, 7)
	if old != 0 || now != 1 || other != 1 || keys(t, db, tableApplied) != 2 {
		t.Errorf("old %d, now %d, other stream %d, %d keys", old, now, other, keys(t, db, tableApplied))
	}
}

// TestMarkCostsOneKeyABatch also after many frames that matched nothing.
func TestMarkCostsOneKeyABatch(t *testing.T) {
	db := newBoundaries(kv.NewMemory())
	s := start(t, db, StoreConfig{TidyEvery: 1 << 40})
	id, _ := s.open("a")
	s.sync()
	seq := uint64(0)
	for range 50 {
		for range 20 {
			seq++
			s.Append(s.frame(seq, 5, id), nil)
		}
		for range 100 {
			seq++
			s.Apply(Applied{peerOne, 5, streamSix, seq, wire.NoMatch, 16}, nil)
		}
		s.sync()
	}
	if marks := db.puts[tableApplied]; len(marks) < 50 || slices.Max(marks) != 1 {
		t.Errorf("marks in batches: %v", marks)
	}
	var k key
	v, err := db.Get(k.applied(peerOne, streamSix))
	if err != nil || len(v) > 400 {
		t.Errorf("%d bytes, %v", len(v), err)
	}
	if _, outcomes := s.AppliedThrough(peerOne, 5, streamSix); len(outcomes) < 3000 || outcomes[0].Sequence+appliedWindow <= seq {
		t.Errorf("%d outcomes from %v on", len(outcomes), outcomes[0])
	}
}

// TestMarkOfAStreamWithGaps: what is missing for a whole window will not come
// any more; memory does not grow.
func TestMarkOfAStreamWithGaps(t *testing.T) {
	var m appliedMark
	for seq := uint64(1); seq < 5*appliedWindow; seq += 2 {
		if !m.record(&Applied{Sequence: seq, Result: wire.Refused}) || m.record(&Applied{Sequence: seq}) {
			t.Fatalf("%d, once and again", seq)
		}
		if seq > m.through+appliedWindow || len(m.ended) > appliedWindow/2 || len(m.outcomes) > appliedWindow+1 {
			t.Fatalf("%d: through %d, %d spans, %d outcomes", seq, m.through, len(m.ended), len(m.outcomes))
		}
	}
	if again, err := decodeApplied(m.append(nil)); err != nil || !reflect.DeepEqual(again, m) {
		t.Errorf("%v", err)
	}
}

func TestMarkDoesNotAllocate(t *testing.T) {
	var m appliedMark
	seq := uint64(0)
	if n := testing.AllocsPerRun(1000, func() {
		seq++
		m.record(&Applied{Sequence: seq})
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestDamagedMarkIsReported: the store goes on, and says what it means.
func TestDamagedMarkIsReported(t *testing.T) {
	db := kv.NewMemory()
	var b kv.Batch
	var k key
	b.Put(k.applied(1, 6), []byte{formatVersion, 5})
	b.Put(k.applied(2, 6), (&appliedMark{incarnation: 7, through: 30}).append(nil))
	if err := db.Write(&b, true); err != nil {
		t.Fatal(err)
	}
	s := start(t, db, StoreConfig{})
	if through, _ := s.AppliedThrough(2, 7, 6); through != 30 || len(s.faults()) != 1 {
		t.Errorf("through %d, faults %v", through, s.faults())
	}
}

func FuzzDecodeApplied(f *testing.F) {
	m := appliedMark{incarnation: 3, through: 50, ended: spans{{52, 54}, {60, 61}}, outcomes: []outcomeRun{{7, 2, 1, 16}, {53, 1, 2, 0}}}
	f.Add(m.append(nil))
	f.Fuzz(func(t *testing.T, v []byte) {
		m, err := decodeApplied(v)
		if err != nil {
			return
		}
		again, err := decodeApplied(m.append(nil))
		if err != nil || !reflect.DeepEqual(m, again) || !bytes.Equal(m.append(nil), again.append(nil)) {
			t.Errorf("%x decodes as %+v, and again as %+v, %v", v, m, again, err)
		}
		m.record(&Applied{Sequence: m.through + 1, Result: wire.NoMatch})
	})
}
