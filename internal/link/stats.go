package link

import (
	"errors"
	"maps"
	"sync"
	"sync/atomic"

	"tombolo/internal/wire"
)

// stats counts what a mesh does. Safe for concurrent use.
type stats struct {
	sentBytes, batches, frames atomic.Uint64
	dropped, unsent            atomic.Uint64
	beatsDropped, spoolErrors  atomic.Uint64
	mu                         struct {
		sync.Mutex
		closes, refusals map[string]uint64
	}
}

func (s *stats) closed(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closes == nil {
		s.mu.closes = map[string]uint64{}
	}
	s.mu.closes[reason]++ // the names are a fixed list
}

// refused counts a handshake that came to nothing.
func (s *stats) refused(err error) {
	name := reasonOf(err)
	var r *RefusedError
	if errors.As(err, &r) {
		name = r.Code.String()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.refusals == nil {
		s.mu.refusals = map[string]uint64{}
	}
	s.mu.refusals[name]++
}

// Stats is what a mesh has done since it was made. A value.
type Stats struct {
	SentBytes, Batches, Frames uint64
	DatagramsDropped           uint64 // no connection, or too many wait
	Unsent                     uint64 // messages that Send did not take
	BeatsDropped, SpoolErrors  uint64
	Duplicates, Resent         uint64
	Skipped                    uint64            // frames that had ended for the sender and are not known here
	Closes                     map[string]uint64 // connections by why they ended
	Refusals                   map[string]uint64 // handshakes by why they failed
}

// Stats sums up.
func (m *Mesh) Stats() Stats {
	s := &m.stats
	out := Stats{SentBytes: s.sentBytes.Load(), Batches: s.batches.Load(), Frames: s.frames.Load(), DatagramsDropped: s.dropped.Load(),
		Unsent: s.unsent.Load(), BeatsDropped: s.beatsDropped.Load(), SpoolErrors: s.spoolErrors.Load()}
	s.mu.Lock()
	out.Closes, out.Refusals = maps.Clone(s.mu.closes), maps.Clone(s.mu.refusals)
	s.mu.Unlock()
	for _, p := range m.peers() {
		p.mu.Lock()
		for st := streamFirst; st < streamEnd; st++ {
			out.Resent += p.mu.senders[st].resent
			if r := p.mu.receivers[st]; r != nil {
				out.Duplicates += r.duplicates
				out.Skipped += r.skipped
			}
		}
		p.mu.Unlock()
	}
	return out
}

// PeerStatus is one peer as an operator sees it. A value.
type PeerStatus struct {
	Peer
	Address        string
	Up             bool
	LastError      string           // of the last connection or attempt
	Refusal        wire.RefusalCode // why the last handshake came to nothing; 0: it did not
	WindowFrames   int              // sent or to be sent, not confirmed, on the publish stream
	WindowBytes    int
	Starved        bool   // the peer is slow: it grants no credit
	Spooled        uint64 // messages in the spool
	SpoolFull      bool
	Refused        int // messages that it refused and that are tried again
	InboundOpen    int // its messages that have not ended here
	WaitingToSpool int
	Segment        int // bytes at most of a TCP segment, since larger packets do not seem to pass; 0: as the interfaces say
}

// Status lists the peers by id.
func (m *Mesh) Status() []PeerStatus {
	var out []PeerStatus
	for _, p := range m.peers() {
		p.mu.Lock()
		l := p.mu.lane
		s := PeerStatus{Peer: p.mu.info, Address: p.mu.address, Up: p.mu.conns[0] != nil && p.mu.conns[1] != nil, LastError: p.mu.lastError, Refusal: p.mu.refused,
			WindowFrames: int(l.next - l.base()), WindowBytes: l.bytes, Starved: l.starved(), Spooled: l.stored, SpoolFull: l.full, Segment: p.width.segment(),
			Refused: len(l.parked), WaitingToSpool: len(l.waiting)}
		s.ID = p.id
		for _, r := range p.mu.receivers {
			if r != nil {
				s.InboundOpen += r.backlog()
			}
		}
		p.mu.Unlock()
		out = append(out, s)
	}
	return out
}

// CloseReasons are the names under which Stats.Closes counts.
func CloseReasons() []string {
	out := []string{"replaced", byVerdict, "healed", "stopped", "error"}
	for _, r := range reasons {
		out = append(out, r.name)
	}
	return out
}
