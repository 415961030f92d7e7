package wire

import "tombolo/internal/pack"

// membersMax is how many members a cluster has at most.
const membersMax = 64

// Heartbeat is what nodes tell each other on either plane, four times a second
// (R25). The sender and its incarnation stand in the header.
type Heartbeat struct {
	Plane   Plane
	Seq     uint64 // rises by one with each heartbeat of the plane
	Echo    uint64 // the highest Seq of the receiver that the sender has heard
	Version uint64 // of the sender's member set
	Rows    []Row  // what the sender knows of everybody's links; may be left out on the bulk plane
}

// Row is which links of one node are up, as that node said itself.
type Row struct {
	Node        NodeID
	Incarnation Incarnation
	Seq         uint64
	Up          []NodeID
	Doubt       []NodeID // those of Up that were silent for more than a second
	Seated      bool     // it is in the majority and stays there
}

// AppendHeartbeat appends the body of a heartbeat.
func AppendHeartbeat(dst []byte, h *Heartbeat) []byte {
	dst = pack.AppendArray(dst, 5)
	dst = pack.AppendUint(dst, uint64(h.Plane))
	dst = pack.AppendUint(dst, h.Seq)
	dst = pack.AppendUint(dst, h.Echo)
	dst = pack.AppendUint(dst, h.Version)
	return appendList(dst, h.Rows, appendRow)
}

func appendRow(dst []byte, row *Row) []byte {
	dst = pack.AppendArray(dst, 6)
	dst = pack.AppendUint(dst, uint64(row.Node))
	dst = pack.AppendUint(dst, uint64(row.Incarnation))
	dst = pack.AppendUint(dst, row.Seq)
	dst = appendList(dst, row.Up, appendNode)
	dst = appendList(dst, row.Doubt, appendNode)
	return pack.AppendBool(dst, row.Seated)
}

func appendNode(dst []byte, n *NodeID) []byte { return pack.AppendUint(dst, uint64(*n)) }

// ParseHeartbeat reads the body of a heartbeat.
func ParseHeartbeat(b []byte, h *Heartbeat) error {
	r := NewReader(b)
	more := r.begin(5)
	h.Plane = Plane(r.UintMax(uint64(Planes) - 1))
	h.Seq = r.Uint()
	h.Echo = r.Uint()
	h.Version = r.Uint()
	h.Rows = list(&r, h.Rows, membersMax, readRow)
	r.finish(more)
	return r.End()
}

func readRow(r *Reader, row *Row) {
	more := r.begin(4) // the two behind came later
	row.Node = NodeID(r.Uint())
	row.Incarnation = Incarnation(r.Uint())
	row.Seq = r.Uint()
	row.Up = list(r, row.Up, membersMax, readNode)
	row.Doubt, row.Seated = row.Doubt[:0], false
	if more >= 2 {
		row.Doubt = list(r, row.Doubt, membersMax, readNode)
		row.Seated = r.Bool()
		more -= 2
	}
	r.finish(more)
}

func readNode(r *Reader, n *NodeID) { *n = NodeID(r.Uint()) }
