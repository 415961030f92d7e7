package queue

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"tombolo/internal/kv"
	"tombolo/internal/wire"
)

// What a node may know of a place of a generation, from less to more.
const (
	nothing      = iota
	stored       // the message
	withID       // and that the client may have it under a packet id (QoS 2)
	acknowledged // that nobody needs it any more
	levels
)

// placesMax is how many combinations there are of what three nodes know of a place.
const placesMax = levels * levels * levels

// share is what one node knows of one generation, by place. Merging two takes the
// higher at each place, which is the union of what was ever enqueued and of what
// was acknowledged.
type share [placesMax + 1]byte

func (s share) merge(o share) share {
	for i := range s {
		s[i] = max(s[i], o[i])
	}
	return s
}

// knowsLess reports whether o knows all that s knows.
func (s share) knowsLess(o share) bool { return s.merge(o) == o }

// threeShares has each combination at one place, in a random order of places.
func threeShares(rnd *rand.Rand) (a, b, c share) {
	for i, what := range rnd.Perm(placesMax) {
		a[i+1], b[i+1], c[i+1] = byte(what%levels), byte(what/levels%levels), byte(what/levels/levels)
	}
	return a, b, c
}

// less is a share with some of its knowledge taken away.
func (s share) less(rnd *rand.Rand) share {
	for i := range s {
		s[i] = byte(rnd.IntN(int(s[i]) + 1))
	}
	return s
}

// batch is a share as a frame would bring it.
func (s share) batch() *Batch {
	b := &Batch{Generation: olderEpoch}
	for i := uint64(1); i <= placesMax; i++ {
		switch s[i] {
		case stored, withID:
			r := Record{Seq: i, QoS: 2, Msg: &Message{ID: MessageID{9, i}, QoS: 2, Body: []byte(fmt.Sprint(i))}}
			if s[i] == withID {
				r.PacketID, r.Dup = uint16(100+i), true
			}
			b.Records = append(b.Records, r)
		case acknowledged:
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
			s[a.First+i] = acknowledged
		}
	}
	if err := n.walk(w, func(seq uint64, _ []byte) bool {
		s[seq] = max(s[seq], stored)
		if st.isBound(seq) {
			s[seq] = max(s[seq], withID)
		}
		return true
	}); err != nil {
		n.t.Fatal(err)
	}
	return s
}

// TestMergeIsALattice (P9, R22): batches may come twice, from several nodes, in any
// order, and through others. Merging is commutative, associative and idempotent; it
// never takes knowledge away, and who begins with less never ends with more.
func TestMergeIsALattice(t *testing.T) {
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 8))
		a, b, c := threeShares(rnd)
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
		grows := newNode(t, c)
		for before, from := range []*node{na, nb, na} {
			was := grows.knows()
			if is := grows.from(from).knows(); !was.knowsLess(is) || !from.knows().knowsLess(is) {
				t.Fatalf("seed %d, merge %d is not monotone:\nfrom %v\nto   %v", seed, before, was, is)
			}
		}
		if less, more := newNode(t, c.less(rnd)).from(newNode(t, a.less(rnd))).knows(), newNode(t, c).from(na).knows(); !less.knowsLess(more) {
			t.Fatalf("seed %d: with less to begin with comes more:\n%v\n%v", seed, less, more)
		}
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
