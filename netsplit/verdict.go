package netsplit

import "slices"

// Verdict is what a node holds to be true of the cluster. Immutable.
type Verdict struct {
	Split       bool
	Since       int64       // unix ms since when Split has this value
	Missing     [][2]NodeID // pairs of gating members without a link that is up, smaller id first
	Unreachable []NodeID    // members that this node itself does not reach
	Primary     []NodeID    // the largest group in which everybody reaches everybody (R25)
	InPrimary   bool        // this node is in it
	Majority    bool        // it is more than half of the members, and has held this node for the time of a handover
	Unproven    bool        // this node stalled; its links have to answer before anything is admitted (R17)
}

func (v *Verdict) same(w *Verdict) bool {
	return w != nil && v.Split == w.Split && v.InPrimary == w.InPrimary && v.Majority == w.Majority && v.Unproven == w.Unproven &&
		slices.Equal(v.Missing, w.Missing) && slices.Equal(v.Unreachable, w.Unreachable) && slices.Equal(v.Primary, w.Primary)
}

// judge computes the verdict from everybody's rows. A pair counts only if both
// ends say so. The row of a node that this side has lost may be old; it can
// claim pairs among nodes that are lost as well, and so take the primary away
// from this side, but never give it: this side's own rows are fresh.
func (d *Detector) judge(now int64) *Verdict {
	v := &Verdict{Since: now}
	n := d.members.Len()
	m := matrix{rows: make([]uint64, n)}
	for i := range n {
		m.rows[i] = d.bits(&d.rows[i])
	}
	adjacent := m.mutual()
	d.settleNew(adjacent, now)
	for i := range n {
		a := d.members.list[i]
		if a.ID != d.self && !d.reaches(a.ID) {
			v.Unreachable = append(v.Unreachable, a.ID)
		}
		for j := i + 1; j < n; j++ {
			b := d.members.list[j]
			if a.State == Joined && b.State == Joined && adjacent[i]&(1<<j) == 0 && d.counts(i, j) {
				v.Missing = append(v.Missing, [2]NodeID{a.ID, b.ID})
			}
		}
	}
	group := primary(adjacent)
	for i := range n {
		if group&(1<<i) != 0 {
			v.Primary = append(v.Primary, d.members.list[i].ID)
		}
	}
	v.Split = len(v.Missing) > 0
	v.InPrimary = slices.Contains(v.Primary, d.self)
	switch in := v.InPrimary && d.holdsMajority(v.Primary); {
	case !in:
		d.primaryFrom = 0
	case d.primaryFrom == 0:
		d.primaryFrom = now
	}
	v.Majority = d.primaryFrom != 0 && now-d.primaryFrom >= millis(d.handover())
	for _, l := range d.links {
		if l.state == linkUp && !l.fresh() {
			v.Unproven = true
		}
	}
	return v
}

// settleNew makes a new member one like the others, once it reaches everybody or
// has had its time. Until then it gates nobody whom it has not reached yet:
// whoever joins has no clients, and must not close the gates of those who have.
func (d *Detector) settleNew(adjacent []uint64, now int64) {
	joined := uint64(0)
	for i, m := range d.members.list {
		if m.State == Joined {
			joined |= 1 << i
		}
	}
	for i, until := range d.newUntil {
		if until == 0 {
			continue
		}
		if now >= until || adjacent[i]&joined == joined {
			d.newUntil[i] = 0
			continue
		}
		a := d.members.list[i].ID
		for j := range d.members.list {
			b := d.members.list[j].ID
			if adjacent[i]&(1<<j) != 0 {
				d.met[pairOf(a, b)] = true
			}
		}
	}
}

// counts reports whether a pair that does not reach each other is a split.
func (d *Detector) counts(i, j int) bool {
	return d.newUntil[i] == 0 && d.newUntil[j] == 0 || d.met[pairOf(d.members.list[i].ID, d.members.list[j].ID)]
}

func pairOf(a, b NodeID) [2]NodeID { return [2]NodeID{min(a, b), max(a, b)} }

// holdsMajority reports whether a group is more than half of the members, or
// half of them with the tiebreaker.
func (d *Detector) holdsMajority(group []NodeID) bool {
	n := d.members.Len()
	if 2*len(group) > n {
		return true
	}
	return 2*len(group) == n && d.config.Tiebreaker != 0 && slices.Contains(group, d.config.Tiebreaker)
}

// reaches reports whether this node's own link to a member is up.
func (d *Detector) reaches(id NodeID) bool {
	l := d.link(id)
	return l != nil && l.state == linkUp
}

// bits is a row as bits of the member list.
func (d *Detector) bits(r *Row) uint64 {
	out := uint64(0)
	for _, p := range r.Up {
		if i, ok := d.members.find(p); ok {
			out |= 1 << i
		}
	}
	return out
}
