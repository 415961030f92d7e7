package netsplit

import "slices"

// Row is which links of one node are up, as that node said itself. Rows travel
// through others, so that nodes that do not reach each other still compute the
// same groups (R25).
type Row struct {
	Node        NodeID
	Incarnation uint64   // of the node's process; must rise with every start
	Seq         uint64   // rises with every change
	Up          []NodeID // by id
	Doubt       []NodeID // those of Up that have been silent for longer than SuspectAfter, by id
	Seated      bool     // the node is in the majority, and stays there if several groups could be the primary
}

func (r *Row) newer(o *Row) bool {
	if r.Incarnation != o.Incarnation {
		return r.Incarnation > o.Incarnation
	}
	return r.Seq > o.Seq
}

// own writes this node's row anew if its links have changed.
func (d *Detector) own(now int64) {
	i, ok := d.members.find(d.self)
	if !ok {
		return
	}
	old := &d.rows[i]
	r := Row{Node: d.self, Incarnation: d.incarnation, Seq: old.Seq + 1, Seated: d.seated(now)}
	for _, l := range d.links {
		if l.state == linkUp {
			r.Up = append(r.Up, l.id)
			if l.suspect {
				r.Doubt = append(r.Doubt, l.id)
			}
		}
	}
	if old.Incarnation == d.incarnation && r.Seated == old.Seated && slices.Equal(r.Up, old.Up) && slices.Equal(r.Doubt, old.Doubt) {
		return
	}
	*old = r
	d.news = true
}

// learn takes rows that a peer has passed on. Nobody else speaks for this node.
func (d *Detector) learn(rows []Row) {
	for k := range rows {
		r := &rows[k]
		i, ok := d.members.find(r.Node)
		if !ok || r.Node == d.self || len(r.Up) > membersMax || len(r.Doubt) > membersMax || !r.newer(&d.rows[i]) {
			continue
		}
		old := &d.rows[i]
		for _, id := range old.Up {
			// It had reached this one and has lost it: also if the other end never said so.
			if old.Incarnation == r.Incarnation && !slices.Contains(r.Up, id) {
				d.newcomers.meet(r.Node, id)
			}
		}
		*old = Row{Node: r.Node, Incarnation: r.Incarnation, Seq: r.Seq, Up: slices.Clone(r.Up), Doubt: slices.Clone(r.Doubt), Seated: r.Seated}
	}
}
