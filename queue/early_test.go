package queue

import (
	"slices"
	"testing"
)

// earlyRig is a queue of a connected client. Owned by one test.
type earlyRig struct {
	*testing.T
	q *Queue
}

func newEarlyRig(t *testing.T, st State) *earlyRig {
	r := &earlyRig{T: t, q: New(Config{MaxOnline: 100, MaxOffline: 100}, true, st)}
	r.q.SetOnline(true, 0)
	return r
}

func entryAt(seq uint64) Entry {
	return Entry{Seq: seq, QoS: 1, Msg: &Message{ID: MessageID{1, seq}, QoS: 1, Body: []byte{byte(seq)}}}
}

// append reserves a place and tries to hand the entry out.
func (r *earlyRig) append(seq uint64, want bool) {
	r.Helper()
	if r.q.Admit(1) != Accept {
		r.Fatal("no place")
	}
	e := entryAt(seq)
	if got := r.q.Early(&e, 0); got != want {
		r.Fatalf("%d handed out early: %v", seq, got)
	}
}

// takes demands what the store is told, of acknowledgements and reads.
func (r *earlyRig) takes(kind OpKind, seqs ...uint64) {
	r.Helper()
	var got []uint64
	for _, op := range r.q.Ops(nil) {
		for i := range max(op.N, 1) {
			if op.Kind == kind {
				got = append(got, op.Seq+uint64(i))
			}
		}
	}
	if !slices.Equal(got, seqs) {
		r.Errorf("%s of %v, want %v", kind, got, seqs)
	}
}

// TestEarly: what is handed out before its commit is acknowledged to the store
// after it, whatever the order in which the client does.
func TestEarly(t *testing.T) {
	r := newEarlyRig(t, State{Head: 5, Tail: 5})
	r.append(5, true)
	r.append(6, true)
	if r.q.InFlight() != 2 || r.q.Pending() != 2 || r.q.Len() != 0 {
		t.Errorf("%d in flight, %d pending, %d wait", r.q.InFlight(), r.q.Pending(), r.q.Len())
	}
	if !r.q.Ack(6) || r.q.Ack(6) {
		t.Error("6 was not acknowledged once")
	}
	r.takes(OpAck)
	r.q.Committed(entryAt(5))
	r.takes(OpAck)
	r.q.Committed(entryAt(6))
	r.takes(OpAck, 6)
	r.q.Ack(5)
	r.takes(OpAck, 5)
	if _, ok := r.q.Next(0); ok || r.q.Pending() != 0 || r.q.InFlight() != 0 {
		t.Error("something is left")
	}
}

// TestEarlyKeepsOrder: nothing overtakes what was appended before, wherever that
// is, and what comes to a queue that is not as usual waits for its commit.
func TestEarlyKeepsOrder(t *testing.T) {
	r := newEarlyRig(t, State{})
	r.append(2, false) // 1 is appended and its append has not returned yet
	r.append(1, true)
	r.q.Committed(entryAt(1))
	r.append(3, false) // 2 is not committed
	r.q.Committed(entryAt(2))
	r.append(4, false) // 2 waits, 3 is not committed
	r.q.Committed(entryAt(3))
	for want := uint64(2); want <= 3; want++ {
		if e, ok := r.q.Next(0); !ok || e.Seq != want {
			t.Fatalf("%d came, want %d", e.Seq, want)
		}
	}
	r.q.Committed(entryAt(4))
	r.append(5, false) // 4 waits
	if e, _ := r.q.Next(0); e.Seq != 4 {
		t.Fatalf("%d came, want 4", e.Seq)
	}
	r.q.Committed(entryAt(5))
	r.q.Next(0)
	r.append(6, true)

	for name, change := range map[string]func(q *Queue, e *Entry){
		"at QoS 2":             func(_ *Queue, e *Entry) { e.QoS = 2 },
		"of a QoS 2 publisher": func(_ *Queue, e *Entry) { e.Msg.QoS = 2 },
		"expired":              func(_ *Queue, e *Entry) { e.Msg.ExpiresAt = 1 },
		"offline":              func(q *Queue, _ *Entry) { q.SetOnline(false, 0) },
		"moving":               func(q *Queue, _ *Entry) { q.SetMoving(true) },
	} {
		r, e := newEarlyRig(t, State{}), entryAt(1)
		change(r.q, &e)
		if r.q.Admit(1); r.q.Early(&e, 1) {
			t.Errorf("%s: handed out early", name)
		}
	}
	r = newEarlyRig(t, State{Head: 1, Tail: 3, Count: 2})
	r.append(3, false) // two are stored
}

// TestEarlyOffline: of what was handed out early to a client that goes before the
// commit, what it acknowledged does not come again, and the rest does in order,
// with DUP, before anything new.
func TestEarlyOffline(t *testing.T) {
	r := newEarlyRig(t, State{})
	for seq := uint64(1); seq <= 3; seq++ {
		r.append(seq, true)
	}
	r.q.Ack(3)
	r.q.SetOnline(false, 0)
	if r.q.Len() != 0 || r.q.InFlight() != 0 || r.q.Pending() != 3 {
		t.Errorf("%d wait, %d in flight, %d pending", r.q.Len(), r.q.InFlight(), r.q.Pending())
	}
	r.q.Committed(entryAt(1))
	if r.q.Len() != 1 {
		t.Errorf("%d wait, want the first", r.q.Len())
	}
	r.q.SetOnline(true, 0)
	if !slices.ContainsFunc(r.q.Ops(nil), func(op Op) bool { return op.Kind == OpRead && op.Seq == 1 }) {
		t.Error("the first is not read")
	}
	r.append(4, false)
	r.q.Loaded(ReadTag+1, []Entry{entryAt(1)}, false)
	r.append(5, false) // 2 is to come again
	for seq := uint64(2); seq <= 5; seq++ {
		r.q.Committed(entryAt(seq))
	}
	r.takes(OpAck, 3)
	for _, want := range []uint64{1, 2, 4, 5} {
		e, ok := r.q.Next(0)
		if !ok || e.Seq != want || e.Dup != (want < 3) {
			t.Fatalf("%+v came, want %d", e, want)
		}
	}
	r.append(6, true)
}

// TestEarlyFails: what could not be stored is the publisher's; the client has it,
// and the queue knows of it no more.
func TestEarlyFails(t *testing.T) {
	r := newEarlyRig(t, State{})
	r.append(1, true)
	r.append(2, true)
	r.q.Ack(2)
	r.q.Failed(1)
	r.q.Failed(2)
	if r.q.Ack(1) || r.q.InFlight() != 0 || r.q.Pending() != 0 {
		t.Errorf("%d in flight, %d pending", r.q.InFlight(), r.q.Pending())
	}
	r.takes(OpAck)
	r.append(3, false)
	r.q.Failed(3)
}
