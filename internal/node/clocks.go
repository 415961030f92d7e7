package node

import (
	"time"

	"tombolo/internal/clock"
)

// clockKey sets the wall clock of a rehearsal wrong.
const clockKey = "cluster.rehearsal_clock"

// openClocks takes the machine's clock, or one that can be set wrong if a
// rehearsal asks for it.
func (n *Node) openClocks() {
	n.wall = clock.System()
	if n.set.Bool("cluster.rehearsal") {
		n.wrong = &clock.Stepped{}
		n.wall = n.wrong
		n.setClock()
	}
	n.steady = clock.NewSteady(n.wall)
}

// setClock sets the wall clock as the option says, if this is a rehearsal.
func (n *Node) setClock() {
	if n.wrong != nil {
		n.wrong.Set(time.Duration(n.set.Int(clockKey)) * time.Second)
	}
}
