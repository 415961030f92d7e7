package queue

import "sort"

// ring is a queue of entries in a circle of slots. Owned by its Queue. An empty
// one that was never used holds no memory. It grows by doubling; each time it
// runs empty it gives back half, if the last run needed less than a quarter, so
// that a burst does not hold memory for ever and a steady stream never
// allocates.
type ring struct {
	slots []Entry // length a power of two, or nil
	head  uint32
	n     uint32
	peak  uint32 // the largest n since it was last empty
}

const ringSlotsMin = 4

func (r *ring) at(i uint32) *Entry { return &r.slots[(r.head+i)&uint32(len(r.slots)-1)] }

func (r *ring) front() *Entry { return &r.slots[r.head] }

func (r *ring) push(e *Entry) {
	if int(r.n) == len(r.slots) {
		r.resize(max(ringSlotsMin, len(r.slots)*2))
	}
	*r.at(r.n) = *e
	r.n++
	r.peak = max(r.peak, r.n)
}

func (r *ring) pushFront(e *Entry) {
	if int(r.n) == len(r.slots) {
		r.resize(max(ringSlotsMin, len(r.slots)*2))
	}
	r.head = (r.head - 1) & uint32(len(r.slots)-1)
	r.n++
	*r.front() = *e
	r.peak = max(r.peak, r.n)
}

// drop removes the first entry.
func (r *ring) drop() {
	*r.front() = Entry{}
	r.head = (r.head + 1) & uint32(len(r.slots)-1)
	r.n--
	if r.n == 0 {
		r.emptied()
	}
}

// dropBack removes the last entry.
func (r *ring) dropBack() {
	*r.at(r.n - 1) = Entry{}
	r.n--
	if r.n == 0 {
		r.emptied()
	}
}

// remove takes out the entry at place i; the shorter side moves.
func (r *ring) remove(i uint32) {
	if i < r.n/2 {
		for ; i > 0; i-- {
			*r.at(i) = *r.at(i - 1)
		}
		r.drop()
		return
	}
	for ; i+1 < r.n; i++ {
		*r.at(i) = *r.at(i + 1)
	}
	r.dropBack()
}

func (r *ring) emptied() {
	r.head = 0
	if len(r.slots) > ringSlotsMin && int(r.peak) < len(r.slots)/4 {
		r.slots = make([]Entry, len(r.slots)/2)
	}
	r.peak = 0
}

// trim gives back what is not used.
func (r *ring) trim() {
	switch {
	case r.n == 0:
		*r = ring{}
	case len(r.slots) > ringSlotsMin && int(r.n) <= len(r.slots)/4:
		slots := ringSlotsMin
		for slots < int(r.n) {
			slots *= 2
		}
		r.resize(slots)
	}
}

func (r *ring) resize(slots int) {
	next := make([]Entry, slots)
	for i := uint32(0); i < r.n; i++ {
		next[i] = *r.at(i)
	}
	r.slots, r.head = next, 0
}

// flight is the entries that were handed to the client, ascending by sequence.
// Owned by its Queue. Clients acknowledge in order, so the first entry is
// nearly always the one that goes; one in the middle becomes a gap (Msg nil),
// which goes when it reaches the front or when gaps outnumber entries.
type flight struct {
	ring
	gaps uint32
}

func (f *flight) live() int { return int(f.n - f.gaps) }

// enter puts an entry in its place: the end, unless an older part of the queue
// came from another node after newer ones were handed out.
func (f *flight) enter(e *Entry) {
	f.push(e)
	for i := f.n - 1; i > 0 && f.at(i-1).Seq > e.Seq; i-- {
		*f.at(i), *f.at(i - 1) = *f.at(i - 1), *f.at(i)
	}
}

// find returns the entry with this sequence, nil if it is not in flight.
func (f *flight) find(seq uint64) *Entry {
	if f.n == 0 {
		return nil
	}
	if e := f.front(); e.Seq == seq {
		return e
	}
	i := sort.Search(int(f.n), func(i int) bool { return f.at(uint32(i)).Seq >= seq })
	if i == int(f.n) {
		return nil
	}
	if e := f.at(uint32(i)); e.Seq == seq && e.Msg != nil {
		return e
	}
	return nil
}

// forget takes out an entry that find returned.
func (f *flight) forget(e *Entry) {
	if e != f.front() {
		seq := e.Seq
		*e = Entry{Seq: seq}
		f.gaps++
		if f.gaps > f.n/2+ringSlotsMin {
			f.close()
		}
		return
	}
	f.drop()
	for f.n > 0 && f.front().Msg == nil {
		f.drop()
		f.gaps--
	}
}

// close removes the gaps.
func (f *flight) close() {
	kept := uint32(0)
	for i := uint32(0); i < f.n; i++ {
		if e := f.at(i); e.Msg != nil {
			if kept != i {
				*f.at(kept) = *e
			}
			kept++
		}
	}
	for i := kept; i < f.n; i++ {
		*f.at(i) = Entry{}
	}
	f.n, f.gaps = kept, 0
}
