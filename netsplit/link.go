package netsplit

// Plane is one of the two connections of a pair of nodes.
type Plane uint8

// The planes: heartbeats run on both, so that neither can be dead unnoticed.
const (
	Control Plane = iota
	Bulk
	planes
)

// sentKept is how many of our own heartbeats a plane remembers the time of:
// more than are sent before an unanswered link is down.
const sentKept = 32

// plane is the evidence of one connection. Owned by its Detector.
type plane struct {
	seq     uint64 // of the last heartbeat sent
	sentAt  [sentKept]int64
	heard   uint64 // sequence of the last one heard, to be echoed
	heardAt int64  // when that was
	// proven is when the latest heartbeat of ours that the peer has echoed was
	// sent: at that time both directions worked.
	proven int64
}

func (p *plane) send(now int64) uint64 {
	p.seq++
	p.sentAt[p.seq%sentKept] = now
	return p.seq
}

// take notes a heartbeat; false if it is older than what was heard already.
func (p *plane) take(seq, echo uint64, now int64) bool {
	if seq <= p.heard {
		return false
	}
	p.heard, p.heardAt = seq, now
	if echo > 0 && echo <= p.seq && p.seq-echo < sentKept {
		p.proven = max(p.proven, p.sentAt[echo%sentKept])
	}
	return true
}

// silence is how long the plane has shown no sign of working both ways. An
// echo is as old as the peer's own pause between heartbeats allows.
func (p *plane) silence(now, interval int64) int64 {
	return max(now-p.heardAt, now-p.proven-interval)
}

// shift forgives time in which we ourselves did not run.
func (p *plane) shift(by int64) {
	p.heardAt += by
	p.proven += by
	for i := range p.sentAt {
		p.sentAt[i] += by
	}
}

// linkState is what is known of one peer.
type linkState uint8

const (
	linkDown linkState = iota
	linkUp
)

// link is the evidence about one peer. Owned by its Detector.
type link struct {
	id          NodeID
	incarnation uint64 // of the peer's process; a new one starts from nothing
	state       linkState
	since       int64 // of state
	suspect     bool
	closed      bool // the peer's process has closed its connections, and nothing was heard since
	planes      [planes]plane
	steadyFrom  int64 // since when the link works without a gap; 0: it does not
	exchanged   bool  // a metadata exchange ended that began after steadyFrom
	registered  bool  // the registries were exchanged (R28)
	provenAfter int64 // after a stall: a heartbeat sent later must have come back
	beatAt      int64 // when it was last sent a heartbeat
}

func (l *link) silence(now, interval int64) int64 {
	worst := int64(0)
	for i := range l.planes {
		worst = max(worst, l.planes[i].silence(now, interval))
	}
	return worst
}

// fresh reports whether both planes were proven since provenAfter.
func (l *link) fresh() bool {
	for i := range l.planes {
		if l.planes[i].proven < l.provenAfter {
			return false
		}
	}
	return true
}

// restart begins anew with a peer's process.
func (l *link) restart(incarnation uint64) {
	l.incarnation, l.closed = incarnation, false
	for i := range l.planes {
		p := &l.planes[i]
		p.heard = 0
	}
	l.steadyFrom, l.exchanged, l.registered = 0, false, false
}
