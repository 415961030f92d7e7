package queue

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"tombolo/internal/kv"
	"tombolo/internal/wire"
)

const placesMax = 24

// share is what one node knows of one generation, by place: 0 nothing, 1 the
// message, 2 that it was acknowledged. Merging two takes the higher at each
// place, which is the union of what was ever enqueued and of what was
// acknowledged.
type share [placesMax + 1]byte

func (s share) merge(o share) share {
	for i := range s {
		s[i] = max(s[i], o[i])
	}
	return s
}

func randomShare(rnd *rand.Rand) (s share) {
	for i := 1; i <= placesMax; i++ {
		s[i] = []byte{0, 0, 1, 1, 1, 2}[rnd.IntN(6)]
	}
	return s
}

// batch is a share as a frame would bring it.
func (s share) batch() *Batch {
	b := &Batch{Generation: olderEpoch}
	for i := uint64(1); i <= placesMax; i++ {
		switch s[i] {
		case 1:
			b.Records = append(b.Records, Record{Seq: i, QoS: 1, Msg: &Message{ID: MessageID{9, i}, QoS: 1, Body: []byte(fmt.Sprint(i))}})
		case 2:
			b.Acknowledged = append(b.Acknowledged, wire.Span{First: i, Count: 1})
		}
	}
	return b
}

// node is a store with one queue.
type node struct {
	*running
	id QueueID
}

func newNode(t *testing.T, s share) *node {
	n := &node{running: start(t, kv.OpenMemory(), StoreConfig{TidyEvery: 1 << 40, AckDelay: time.Hour})}
	n.id, _ = n.generation("s", newEpoch)
	n.take(s.batch())
	return n
}

func (n *node) take(b *Batch) {
	if _, err := n.bring(n.id, b, nil); err != nil {
		n.t.Fatal(err)
	}
	n.sync()
}

// from merges what another node knows, a few records at a time.
func (n *node) from(o *node) *node {
	at := Place{}
	for {
		b := o.export(o.id, at, 5, 1<<20)
		if b.empty() {
			return n
		}
		n.take(carried(n.t, b))
		if at = b.Next; !b.More {
			return n
		}
	}
}

// knows reads back what the node knows.
func (n *node) knows() (s share) {
	n.Store.mu.Lock()
	st := n.Store.mu.lanes[n.id].strand(olderEpoch)
	acked, _ := st.acknowledged(1, placesMax+1)
	w := st.window(0)
	n.Store.mu.Unlock()
	for _, a := range acked {
		for i := range a.Count {
			s[a.First+i] = 2
		}
	}
	if err := n.walk(w, func(seq uint64, _ []byte) bool {
		s[seq] = max(s[seq], 1)
		return true
	}); err != nil {
		n.t.Fatal(err)
	}
	return s
}

// TestMergeIsALattice: batches may come twice, from several nodes, in any order,
// and through others.
func TestMergeIsALattice(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 8))
		a, b, c := randomShare(rnd), randomShare(rnd), randomShare(rnd)
		na, nb := newNode(t, a), newNode(t, b)
		hold := func(law string, got *node, want share) {
			t.Helper()
			if k := got.knows(); k != want {
				t.Fatalf("seed %d, %s:\n a %v\n b %v\n c %v\ngot  %v\nwant %v", seed, law, a, b, c, k, want)
			}
		}
		hold("as given", na, a)
		hold("neutral", newNode(t, a).from(newNode(t, share{})), a)
		hold("idempotent with itself", newNode(t, a).from(na), a)
		hold("union", newNode(t, c).from(na), c.merge(a))
		hold("idempotent", newNode(t, c).from(na).from(na), c.merge(a))
		hold("commutative, one way", newNode(t, c).from(na).from(nb), c.merge(a).merge(b))
		hold("commutative, the other", newNode(t, c).from(nb).from(na), c.merge(b).merge(a))
		hold("associative", newNode(t, c).from(newNode(t, b).from(na)), c.merge(a.merge(b)))
		again := newNode(t, c).from(nb)
		fork := start(t, again.db.(*kv.Memory).Fork(), StoreConfig{})
		id, _ := fork.generation("s", newEpoch)
		hold("after a crash", (&node{fork, id}).from(na), c.merge(b).merge(a))
	}
}
