package queue

import (
	"encoding/binary"
	"fmt"
	"slices"

	"tombolo/internal/kv"
)

// received is the message that a publisher's QoS 2 packet id stands for (R4).
// Guarded by Store.mu.
//
// It has begun when other nodes may have the message, and not all of them have
// confirmed it: who sends it again after a crash means the same one. The queues
// here that have it are named, since it was stored for them with the record.
type received struct {
	id      MessageID
	state   receivedState
	holders []QueueID // of begunHere
}

type receivedState uint8

const (
	receivedWhole  receivedState = iota // it is wherever it belongs
	begunHere                           // the queues in holders have it
	begunEverybody                      // as begunHere: all queues of this node that it matched
	begunElsewhere                      // at another node; here its id is remembered (R3) if it came
	receivedStates
)

// holdersMax bounds the queues that are named. Of a message for more of them none
// gets it when it is sent again, though its session may have come here meanwhile.
const holdersMax = 256

// lentMax is how many messages are not settled whose packet ids went to other nodes
// while they had begun: their publishers send them again from there, when they come
// back. Beyond, the first that went is settled.
const lentMax = 256

func (r *received) begun() bool { return r != nil && r.state != receivedWhole }

// has reports whether a queue has the message already. r may be nil.
func (r *received) has(id QueueID) bool {
	return r != nil && (r.state == begunEverybody || slices.Contains(r.holders, id))
}

// againLocked is what is known of the message of an event that has begun before; nil
// if it has not.
func (s *Store) againLocked(ev *Event) *received {
	l := s.mu.lanes[ev.Inbound.Queue]
	if l == nil || !ev.Inbound.Begun {
		return nil
	}
	if r := l.received[ev.Inbound.PacketID]; r.begun() && r.id == ev.Msg.ID {
		return r
	}
	return nil
}

// receivedLocked binds a packet id to the message of an event that was appended.
func (s *Store) receivedLocked(g *group, ev *Event, before *received) {
	in := ev.Inbound
	r := &received{id: ev.Msg.ID}
	switch {
	case !in.Begun:
	case before != nil && before.state != begunHere:
		r.state = before.state
	default:
		r.state = begunHere
		if before != nil {
			r.holders = before.holders
		}
		for i := range ev.Targets {
			if t := &ev.Targets[i]; t.Seq != 0 {
				r.holders = append(r.holders, t.Queue)
			}
		}
		if len(r.holders) > holdersMax {
			r.state, r.holders = begunEverybody, nil
		}
	}
	if l := s.mu.lanes[in.Queue]; l != nil && !l.dropped {
		s.setReceivedLocked(g, l, in.PacketID, r)
	}
}

func (s *Store) setReceivedLocked(g *group, l *lane, packetID uint16, r *received) {
	s.endReceivedLocked(l, packetID, false)
	s.noteReceivedLocked(l, packetID, r)
	var k key
	g.batch.Put(k.inbound(l.id, packetID), r.append(nil))
}

func (s *Store) noteReceivedLocked(l *lane, packetID uint16, r *received) {
	if l.received == nil {
		l.received = map[uint16]*received{}
	}
	l.received[packetID] = r
	if r.begun() {
		if s.mu.begun == nil {
			s.mu.begun = map[MessageID]bool{}
		}
		s.mu.begun[r.id] = false
	}
}

// endReceivedLocked forgets a packet id; its message is settled, unless another node
// has the packet id from now on.
func (s *Store) endReceivedLocked(l *lane, packetID uint16, lent bool) {
	r := l.received[packetID]
	if r == nil {
		return
	}
	delete(l.received, packetID)
	switch {
	case !r.begun():
	case lent:
		s.lendLocked(r.id)
	default:
		delete(s.mu.begun, r.id)
	}
}

// lendLocked keeps a message unsettled whose packet id has left.
func (s *Store) lendLocked(id MessageID) {
	s.mu.begun[id] = true
	s.mu.lent = append(slices.DeleteFunc(s.mu.lent, func(o MessageID) bool { return o == id }), id)
	if len(s.mu.lent) <= lentMax {
		return
	}
	if first := s.mu.lent[0]; s.mu.begun[first] { // and has not come back
		delete(s.mu.begun, first)
	}
	s.mu.lent = s.mu.lent[1:]
}

// Confirmed notes that a message that has begun is wherever it belongs. It is
// written with the next commit, which nobody needs to wait for: after a crash
// before that it is sent again under the same id, if its publisher sends it at all.
func (s *Store) Confirmed(queue QueueID, packetID uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.mu.lanes[queue]
	if l == nil || l.dropped || s.refusalLocked() != nil {
		return
	}
	r := l.received[packetID]
	if !r.begun() {
		return
	}
	g := s.groupLocked(0)
	before := g.batch.Bytes()
	whole := &received{id: r.id}
	l.received[packetID] = whole
	var k key
	g.batch.Put(k.inbound(l.id, packetID), whole.append(nil))
	g.tickets = append(g.tickets, ticket{done: func(err error) {
		if err != nil {
			return
		}
		s.mu.Lock()
		delete(s.mu.begun, whole.id)
		s.mu.Unlock()
	}})
	s.grewLocked(g, before)
}

// Begun lists the messages of an ingress that have begun, in order: whoever took
// one in has to know it when it comes again, so that it is not settled (R3, R4).
func (s *Store) Begun(ingress uint64) []MessageID {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []MessageID
	for id := range s.mu.begun {
		if id.Ingress == ingress {
			list = append(list, id)
		}
	}
	slices.SortFunc(list, func(a, b MessageID) int { return compare(a.N, b.N) })
	return list
}

// The value of an inbound packet id is a version and the message id; of one that
// has begun the state and the holders follow.
func (r *received) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, formatVersion), r.id.Ingress)
	dst = binary.BigEndian.AppendUint64(dst, r.id.N)
	if r.state == receivedWhole {
		return dst
	}
	dst = binary.AppendUvarint(append(dst, byte(r.state)), uint64(len(r.holders)))
	for _, id := range r.holders {
		dst = binary.AppendUvarint(dst, uint64(id))
	}
	return dst
}

func decodeReceived(v []byte) (*received, error) {
	r := reader{rest: v}
	r.version()
	x := &received{id: MessageID{r.uint64(), r.uint64()}}
	if !r.bad && len(r.rest) > 0 {
		x.state = receivedState(r.byte())
		for range r.count(1) {
			x.holders = append(x.holders, QueueID(r.uvarint()))
		}
		if x.state >= receivedStates || x.state != begunHere && len(x.holders) > 0 {
			r.bad = true
		}
	}
	return x, r.failed("inbound packet id")
}

func (s *Store) loadReceived(l *lane) error {
	var lo, hi key
	it := s.db.Iterator(kv.Range{Start: lo.one(tableInbound, uint64(l.id)), Limit: hi.one(tableInbound, uint64(l.id)+1)})
	defer it.Close()
	for it.Next() {
		k := it.Key()
		r, err := decodeReceived(it.Value())
		if err != nil || len(k) != 11 {
			s.c.Fault(fmt.Errorf("inbound packet id of queue %q: %w", l.name, damaged("key or value")))
			continue
		}
		if l.received == nil {
			l.received = map[uint16]*received{}
		}
		l.received[binary.BigEndian.Uint16(k[9:])] = r
	}
	return it.Err()
}

// PacketIDs calls yield with each packet id that a queue has bound to a message of
// its, or keeps until the client has released it (QoS 2). yield must not call back.
func (s *Store) PacketIDs(id QueueID, yield func(packetID uint16)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.mu.lanes[id]
	if l == nil {
		return
	}
	for _, st := range l.strands {
		for _, b := range st.bound {
			yield(b.PacketID)
		}
		for _, packetID := range st.released {
			yield(packetID)
		}
	}
}
