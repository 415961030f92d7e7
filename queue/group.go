package queue

import "tombolo/internal/kv"

// groupBytesMax is where a batch is closed and the next one begins: goleveldb
// stops all other writes for a batch above its write buffer.
const groupBytesMax = 1 << 20

// group is what is committed as one. Guarded by Store.mu while it is open; then
// owned by the committer, then by the completion goroutine.
type group struct {
	batch   kv.Batch
	tickets []ticket
	marks   []mark
	arrived []arrival
	leased  uint64 // message ids below are leased once this is committed, 0 none
	bytes   int    // what was counted against MaxBytesPending
}

// ticket is somebody who waits for a group. Exactly one of done and answer is
// set.
type ticket struct {
	done   Done
	answer Answer
	tag    uint64
}

func (t *ticket) call(err error) {
	if t.done != nil {
		t.done(err)
		return
	}
	t.answer(t.tag, nil, false, err)
}

// mark is the end of what a group appends to a generation of a queue.
type mark struct {
	strand *strand
	tail   uint64
}

// arrival is records that a group brings into an older generation.
type arrival struct {
	strand *strand
	span
}

func (g *group) empty() bool { return g.batch.Len() == 0 && len(g.tickets) == 0 }

func (g *group) reset() {
	g.batch.Reset()
	clear(g.tickets)
	clear(g.marks)
	g.tickets, g.marks, g.arrived, g.leased, g.bytes = g.tickets[:0], g.marks[:0], nil, 0, 0
}

// reply is what the completion goroutine is to pass on: a group, or the answer
// to a read.
type reply struct {
	group *group
	err   error

	then func() // alone

	answer  Answer
	tag     uint64
	entries []Entry
	more    bool
}
