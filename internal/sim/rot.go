package sim

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"tombolo/internal/kv"
)

// rotMax is within which time a changed record must be found and mended.
const rotMax = 90 * time.Second

// rotting is a core that compares what is on its disk with its peers.
type rotting interface {
	// recordKey is under which key of its disk the object of key stands.
	recordKey(key string) []byte
}

func (*replicaCore) recordKey(key string) []byte { return append([]byte{'o'}, key...) }

// restMin is for how long a cluster at rest has begun no full join.
const restMin = 3 * time.Second

// rest waits until what was on its way has come: a late refusal may begin a full join.
// What a join takes from a disk that has just changed is a second value of one dot. Of
// two such values all stores choose the same, and set both aside (R30); that it is the
// one from before the change is promised only to stores that were at rest.
func (w *World) rest(list []*slot) {
	joins := func() (n int) {
		for _, s := range list {
			if s.up {
				n += s.core.View().JoinsMade
			}
		}
		return n
	}
	began, made := w.now, joins()
	for end := w.now + w.p.HealMax; w.violation == nil && w.now-began < restMin; {
		w.loop(w.now + time.Second)
		if n := joins(); n != made {
			began, made = w.now, n
		}
		if w.now >= end {
			w.fail("I16", list[0], "after %v without faults full joins go on", w.p.HealMax)
		}
	}
	if checker, s, why := w.unfinished(); w.violation == nil && checker != "" {
		w.fail(checker, s, "at rest no more: %s", why)
	}
}

// rot has a disk change or lose one value behind its store's back, in a cluster at rest
// or in one whose clients never pause: the comparison by range finds it, and takes over
// the value that the others have (R32).
func (w *World) rot() {
	list := w.standing()
	if w.violation == nil && w.p.Rot > 0 && w.seed%w.p.Rot == 0 {
		w.rest(list)
	}
	if w.violation != nil || w.p.Rot == 0 || w.seed%w.p.Rot != 0 || len(list) < 2 {
		return
	}
	s := list[w.rng.IntN(len(list))]
	at, tells := s.core.(rotting)
	keys := slices.Sorted(maps.Keys(s.core.View().Objects))
	if !tells || len(keys) == 0 {
		return
	}
	name := keys[w.rng.IntN(len(keys))]
	key := at.recordKey(name)
	record, err := s.disk.Get(key)
	if err != nil {
		w.fail("R32", s, "%q cannot be read: %v", key, err)
		return
	}
	w.spoil(s, key, record)
	pause := w.seed/w.p.Rot%2 == 0
	if pause {
		w.waitMended(s, key, record, func() { w.loop(w.now + time.Second) })
	} else {
		w.waitMended(s, key, record, func() { w.clients(name) })
		w.quiet()
	}
	for _, o := range w.standing() {
		got, err := o.disk.Get(key)
		if err != nil || !bytes.Equal(got, record) {
			w.fail("R32", o, "%q is %x (%v), and was %x before a disk changed it", key, got, err, record)
		}
		if !o.up {
			w.fail("R32", o, "it is down, and nothing but one value has changed")
		} else if why := o.core.Verify(true); why != "" {
			w.fail("R32", o, "after it was mended: %s", why)
		}
	}
}

// spoil changes a bit of a record on a slot's disk, or takes all of it away.
func (w *World) spoil(s *slot, key, record []byte) {
	var b kv.Batch
	if w.rng.IntN(3) == 0 {
		w.note("slot %d: its disk loses %q", s.index, key)
		b.Delete(key)
	} else {
		w.note("slot %d: its disk changes %q", s.index, key)
		changed := bytes.Clone(record)
		changed[len(changed)-1] ^= 1 << w.rng.IntN(8)
		b.Put(key, changed)
	}
	if err := s.disk.Memory.Write(&b, true); err != nil {
		w.fail("R32", s, "%v", err)
	}
	s.rotten = true
}

// waitMended has time pass until the disk holds the record again.
func (w *World) waitMended(s *slot, key, record []byte, pass func()) {
	for end := w.now + rotMax; w.violation == nil && w.now < end && s.rotten; {
		pass()
		got, err := s.disk.Get(key)
		s.rotten = err != nil || !bytes.Equal(got, record)
	}
	if s.rotten {
		w.fail("R32", s, "%v after its disk changed %q nobody has mended it", rotMax, key)
	}
}

// clients write every few milliseconds, for a second, to all keys but one: what they
// wrote is still on its way when they write again, so that clocks are hardly ever equal.
func (w *World) clients(but string) {
	for end := w.now + time.Second; w.now < end && w.violation == nil; {
		w.loop(w.now + w.around(40*time.Millisecond))
		if op := w.anyOp(); op.Key != but && w.violation == nil {
			if s := w.ready(nil); s != nil {
				w.write(s, op)
			}
		}
	}
}

// quiet has a cluster come to rest again after its clients paused.
func (w *World) quiet() {
	w.checks.captured = false // of the heal, before these writes
	for end := w.now + w.p.HealMax; w.violation == nil; {
		w.loop(w.now + time.Second)
		checker, s, why := w.unfinished()
		if checker == "" {
			break
		}
		if w.now >= end && w.violation == nil {
			w.fail(checker, s, "%v after the last write: %s", w.p.HealMax, why)
		}
	}
	w.final()
}
