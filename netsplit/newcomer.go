package netsplit

import "slices"

// newcomer is a member of whom this node's set has not known long. Owned by its
// Detector.
//
// Whoever joins has no clients yet, and must not close the gates of those who
// have while its links come up and its tables fill, however long that takes. But
// one that is cut off meanwhile has to be noticed like any other (P3): so it
// counts towards everybody whom it has reached, towards a node that hears nothing
// of it for JoinWithin, and towards all once it has reached one of them that long ago.
type newcomer struct {
	id    NodeID
	since int64 // it became a member
	seen  int64 // it was first in a pair that reaches each other; 0: not yet
}

// newcomers are those and whom they have reached. Owned by its Detector.
type newcomers struct {
	list []newcomer         // by id
	met  map[[2]NodeID]bool // pairs with a newcomer that have reached each other: they count
}

func (w *newcomers) find(id NodeID) *newcomer {
	for i := range w.list {
		if w.list[i].id == id {
			return &w.list[i]
		}
	}
	return nil
}

// add begins anew with a member, drop ends what is known of it.
func (w *newcomers) add(id NodeID, now int64) {
	w.drop(id)
	w.list = append(w.list, newcomer{id: id, since: now})
}

func (w *newcomers) drop(id NodeID) {
	w.list = slices.DeleteFunc(w.list, func(n newcomer) bool { return n.id == id })
	for pair := range w.met {
		if pair[0] == id || pair[1] == id {
			delete(w.met, pair)
		}
	}
}

func (w *newcomers) meet(a, b NodeID) {
	if w.find(a) != nil || w.find(b) != nil {
		w.met[pairOf(a, b)] = true
	}
}

func pairOf(a, b NodeID) [2]NodeID { return [2]NodeID{min(a, b), max(a, b)} }

// welcome finds out who is new in a member set. To a node that has just joined
// nobody is: it is the newcomer itself, serves nobody yet, and waits for all.
func (d *Detector) welcome(before, m *Members, now int64) {
	if before == nil || before.Version == 0 {
		return
	}
	for _, n := range slices.Clone(d.newcomers.list) {
		if _, ok := m.Get(n.id); !ok {
			d.newcomers.drop(n.id)
		}
	}
	for _, x := range m.list {
		// One that was stopped as planned comes back as one that joins.
		if was, known := before.Get(x.ID); x.ID != d.self && (!known || was.State != Joined && x.State == Joined) {
			d.newcomers.add(x.ID, now)
		}
	}
}

// settleNew makes a newcomer a member like the others once it reaches everybody.
func (d *Detector) settleNew(adjacent []uint64, now int64) {
	joined := uint64(0)
	for i, m := range d.members.list {
		if m.State == Joined {
			joined |= 1 << i
		}
	}
	for _, n := range slices.Clone(d.newcomers.list) {
		i, _ := d.members.find(n.id)
		if adjacent[i]&joined == joined {
			d.newcomers.drop(n.id)
			continue
		}
		for j, m := range d.members.list {
			if m.ID != n.id && adjacent[i]&(1<<j) != 0 {
				d.newcomers.meet(n.id, m.ID)
				if x := d.newcomers.find(n.id); x.seen == 0 {
					x.seen = now
				}
			}
		}
	}
}

// counts reports whether a pair that does not reach each other is a split.
func (d *Detector) counts(i, j int, now int64) bool {
	a, b := d.members.list[i].ID, d.members.list[j].ID
	w, within := &d.newcomers, millis(d.config.JoinWithin)
	if w.met[pairOf(a, b)] {
		return true
	}
	for _, id := range [2]NodeID{a, b} {
		n := w.find(id)
		if n == nil {
			continue
		}
		if n.seen != 0 && now-n.seen >= within {
			continue
		}
		// Its tables may fill for long; only silence of our own link to it says more.
		if other := a ^ b ^ id; other != d.self || now-n.since < within || d.link(id).silence(now, millis(d.config.Interval)) <= within {
			return false
		}
	}
	return true
}
