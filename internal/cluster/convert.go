package cluster

import (
	"tombolo/internal/wire"
	"tombolo/netsplit"
)

// toWire puts a heartbeat of the detector into the form of the wire. Its rows
// share memory with h, which the detector never changes.
func toWire(h *netsplit.Heartbeat, out *wire.Heartbeat) {
	*out = wire.Heartbeat{Plane: wire.Plane(h.Plane), Seq: h.Seq, Echo: h.Echo, Version: h.Version, Rows: out.Rows[:0]}
	if h.Plane != netsplit.Control {
		return // the detector takes rows from the control plane alone
	}
	for i := range h.Rows {
		r := &h.Rows[i]
		out.Rows = append(out.Rows, wire.Row{Node: wire.NodeID(r.Node), Incarnation: wire.Incarnation(r.Incarnation), Seq: r.Seq, Up: wireIDs(r.Up), Doubt: wireIDs(r.Doubt), Seated: r.Seated})
	}
}

// fromWire is a heartbeat as the detector takes it.
func fromWire(from wire.NodeID, inc wire.Incarnation, h *wire.Heartbeat) netsplit.Heartbeat {
	out := netsplit.Heartbeat{From: netsplit.NodeID(from), Incarnation: uint64(inc), Plane: netsplit.Plane(h.Plane),
		Seq: h.Seq, Echo: h.Echo, Version: h.Version, Rows: make([]netsplit.Row, len(h.Rows))}
	for i := range h.Rows {
		r := &h.Rows[i]
		out.Rows[i] = netsplit.Row{Node: netsplit.NodeID(r.Node), Incarnation: uint64(r.Incarnation), Seq: r.Seq, Up: splitIDs(r.Up), Doubt: splitIDs(r.Doubt), Seated: r.Seated}
	}
	return out
}

func wireIDs(list []netsplit.NodeID) []wire.NodeID {
	out := make([]wire.NodeID, len(list))
	for i, id := range list {
		out[i] = wire.NodeID(id)
	}
	return out
}

func splitIDs(list []wire.NodeID) []netsplit.NodeID {
	out := make([]netsplit.NodeID, len(list))
	for i, id := range list {
		out[i] = netsplit.NodeID(id)
	}
	return out
}

// stateOf is what a member's state means to the detector. One that is leaving is
// here until it has left.
func stateOf(s wire.MemberState) netsplit.State {
	switch s {
	case wire.MemberAbsent:
		return netsplit.Absent
	case wire.MemberStopped:
		return netsplit.Stopped
	default:
		return netsplit.Joined
	}
}

func splitMembers(version uint64, list []wire.Member) *netsplit.Members {
	out := make([]netsplit.Member, len(list))
	for i := range list {
		out[i] = netsplit.Member{ID: netsplit.NodeID(list[i].ID), State: stateOf(list[i].State)}
	}
	return netsplit.NewMembers(version, out...)
}
