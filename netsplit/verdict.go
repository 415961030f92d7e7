package netsplit

import (
	"math/bits"
	"slices"
	"time"
)

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
	m := d.matrix()
	adjacent := m.mutual()
	d.settleNew(adjacent, now)
	for i := range n {
		a := d.members.list[i]
		if a.ID != d.self && !d.reaches(a.ID) {
			v.Unreachable = append(v.Unreachable, a.ID)
		}
		for j := i + 1; j < n; j++ {
			b := d.members.list[j]
			if d.gates(a) && d.gates(b) && adjacent[i]&(1<<j) == 0 && d.counts(i, j, now) {
				v.Missing = append(v.Missing, [2]NodeID{a.ID, b.ID})
			}
		}
	}
	c := m.choose(d.holdsMajority)
	for i := range n {
		if c.primary&(1<<i) != 0 {
			v.Primary = append(v.Primary, d.members.list[i].ID)
		}
	}
	v.Split = len(v.Missing) > 0
	v.InPrimary = slices.Contains(v.Primary, d.self)
	d.keepSeat(c, now)
	switch in := v.InPrimary && d.holdsMajority(c.primary); {
	case !in:
		d.primaryFrom = 0
	case d.primaryFrom == 0:
		d.primaryFrom = now
	}
	v.Majority = d.primaryFrom != 0 && now-d.primaryFrom >= millis(d.handover()) && (!v.Split || d.joined() && d.holdsMajority(c.primary&^d.doubted()))
	for _, l := range d.links {
		if l.state == linkUp && !l.fresh() {
			v.Unproven = true
		}
	}
	return v
}

// gates reports whether a member's absence is a split. This node is not stopped,
// whatever the record says: until its mark is gone the others do not miss it, so
// it has to miss them, or a restart behind a cut would open it on its own.
func (d *Detector) gates(m Member) bool { return m.State == Joined || m.ID == d.self }

// joined reports whether the others miss this node when it is away. One that they
// do not miss is in no majority: they would be open without it.
func (d *Detector) joined() bool {
	m, ok := d.members.Get(d.self)
	return ok && m.State == Joined
}

// doubted are the members that this node has not heard for longer than
// SuspectAfter. While a member is missing they do not count for a majority: when
// the first links of a node that is cut off from all are down the others
// are about to be, and those on the other side stay open meanwhile.
func (d *Detector) doubted() uint64 {
	i, ok := d.members.find(d.self)
	if !ok {
		return 0
	}
	return d.bits(d.rows[i].Doubt)
}

// matrix is what all rows say.
func (d *Detector) matrix() matrix {
	n := d.members.Len()
	m := matrix{rows: make([]uint64, n), doubts: make([]uint64, n)}
	for i := range n {
		r := &d.rows[i]
		m.rows[i], m.doubts[i] = d.bits(r.Up), d.bits(r.Doubt)
		if r.Seated {
			m.seated |= 1 << i
		}
	}
	return m
}

// keepSeat lets the primary be another group than the largest for a while only:
// what lasts longer than links take to go or to come is judged by R25 alone.
func (d *Detector) keepSeat(c choice, now int64) {
	switch {
	case bits.OnesCount64(c.largest) <= bits.OnesCount64(c.primary):
		d.smallerFrom = 0
	case d.smallerFrom == 0:
		d.smallerFrom = now
	}
}

// seated is what this node's row says of its place: it is in the majority, and
// has not been in a group that is too small for too long.
func (d *Detector) seated(now int64) bool {
	return d.verdict != nil && d.verdict.Majority && (d.smallerFrom == 0 || now-d.smallerFrom < millis(seatedWithin))
}

// seatedWithin is how long the primary may be a smaller group than the largest.
const seatedWithin = 5 * time.Second

// holdsMajority reports whether a group is more than half of the members, or
// half of them with the tiebreaker.
func (d *Detector) holdsMajority(group uint64) bool {
	n, size := d.members.Len(), bits.OnesCount64(group)
	if 2*size != n || d.config.Tiebreaker == 0 {
		return 2*size > n
	}
	i, ok := d.members.find(d.config.Tiebreaker)
	return ok && group&(1<<i) != 0
}

// reaches reports whether this node's own link to a member is up.
func (d *Detector) reaches(id NodeID) bool {
	l := d.link(id)
	return l != nil && l.state == linkUp
}

// bits is a list of nodes as bits of the member list.
func (d *Detector) bits(list []NodeID) uint64 {
	out := uint64(0)
	for _, p := range list {
		if i, ok := d.members.find(p); ok {
			out |= 1 << i
		}
	}
	return out
}
