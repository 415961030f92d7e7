package session

import (
	"tombolo/internal/invariant"
	"tombolo/mqtt/packet"
	"tombolo/queue"
)

// flightState is where an outbound QoS 1 or 2 packet stands.
type flightState uint8

const (
	flightBinding   flightState = iota // QoS 2, durable: waits for its binding to be on disk
	flightSent                         // PUBLISH is out
	flightReleasing                    // PUBREC came; the release waits for the disk
	flightReleased                     // PUBREL is out or due; PUBCOMP is awaited
)

// flight is one packet identifier in use.
type flight struct {
	seq   uint64
	qos   uint8
	state flightState
	held  *queue.Entry // while binding: what to send then; nil once the connection ended
}

// Blocks is into how many blocks packet identifiers are divided, so that a connection
// that lost what was in flight cannot reuse one of them (R19).
const (
	Blocks            = 8
	packetIDsPerBlock = 8191
)

// BlockOf is the block that an identifier is of.
func BlockOf(id uint16) uint8 { return uint8(min((id-1)/packetIDsPerBlock, Blocks-1)) }

// outbound is the sending half of a session. Guarded like its Session.
// Bound: quota flights, at most one block of identifiers.
type outbound struct {
	flights flights
	retry   map[uint64]packet.ID   // QoS 1, in flight on the last connection, by sequence
	retryID map[packet.ID]struct{} // the values of retry
	quota   int
	used    int // flights that count against quota
	low     packet.ID
	next    packet.ID // offset in the block

	aliases  map[string]uint16
	aliasMax uint16
}

func (o *outbound) attach(l *Limits, p *Params, block uint8) {
	if p.Version == packet.V5 {
		o.quota = int(min(p.ReceiveMax, l.ReceiveMaxClient))
	} else if o.quota = l.InflightMax; o.quota <= 0 {
		o.quota = packetIDsPerBlock
	}
	o.quota = min(o.quota, packetIDsPerBlock-1)
	o.low = 1 + packet.ID(block%Blocks)*packetIDsPerBlock
	o.next = 0
	o.aliases, o.aliasMax = nil, p.AliasMax
	o.used = o.flights.count
}

// detach remembers what was in flight at QoS 1, so that the next connection
// sends it again under the same id ([MQTT-4.4.0-1]). At QoS 2 the queue knows
// the ids that are bound; what waits for the disk stays here until it answers.
func (o *outbound) detach() {
	for id, f := range o.flights.all {
		switch {
		case f.state == flightBinding:
			f.held = nil
			o.flights.put(id, f)
			continue
		case f.state >= flightReleasing:
			continue
		case f.qos == 1:
			if o.retry == nil {
				o.retry, o.retryID = map[uint64]packet.ID{}, map[packet.ID]struct{}{}
			}
			o.retry[f.seq] = id
			o.retryID[id] = struct{}{}
		}
		o.flights.remove(id)
	}
	o.aliases = nil
}

// inUse reports whether id may still mean something to the client.
func (o *outbound) inUse(id packet.ID) bool {
	if _, ok := o.flights.get(id); ok {
		return true
	}
	_, ok := o.retryID[id]
	return ok
}

// allocate finds a free identifier in this connection's block. There is one:
// quota is smaller than a block, and retry is empty when a new message is sent;
// and of so many in a row at least half have a place in flights.
func (o *outbound) allocate() packet.ID {
	o.flights.room()
	for range packetIDsPerBlock {
		id := o.low + o.next
		o.next = (o.next + 1) % packetIDsPerBlock
		if o.flights.fits(id) && !o.inUse(id) {
			return id
		}
	}
	invariant.Check(false, "no packet id free: %d in flight, %d to send again", o.flights.count, len(o.retry))
	return 0
}

// identify gives an entry its identifier: the one that is bound, the one it
// had on the last connection, or a fresh one.
func (o *outbound) identify(e *queue.Entry) packet.ID {
	if e.PacketID != 0 {
		return packet.ID(e.PacketID)
	}
	id, ok := o.retry[e.Seq]
	if !ok {
		// The queue gives what was in flight first. Whatever is still here has
		// expired meanwhile and will not come again.
		clear(o.retry)
		clear(o.retryID)
		return o.allocate()
	}
	delete(o.retry, e.Seq)
	delete(o.retryID, id)
	return id
}

func (o *outbound) take(id packet.ID, f flight) {
	o.flights.put(id, f)
	o.used++
}

func (o *outbound) end(id packet.ID) {
	o.flights.remove(id)
	o.used--
}

// resume sends PUBREL again for what was released, in the order of PUBREC. A
// release that still waits for the disk is sent when it is there.
func (s *Session) resume(e *Effects) {
	o := &s.out
	for _, r := range s.queue.Restored() {
		id := packet.ID(r.PacketID)
		f, ok := o.flights.get(id)
		if ok && f.state != flightReleased {
			continue
		}
		if !ok {
			o.take(id, flight{qos: 2, state: flightReleased})
		}
		s.appendAck(packet.TypePubrel, id, packet.Success, "", e)
	}
}

// Pump sends what the queue has ready and the quota allows.
func (s *Session) Pump(now int64, e *Effects) {
	o := &s.out
	for s.attached && !e.Closing && o.used < o.quota {
		entry, ok := s.queue.Next(now)
		if !ok {
			return
		}
		if entry.QoS == 0 {
			s.sendEntry(&entry, 0, now, e)
			s.queue.Ack(entry.Seq)
			continue
		}
		s.launch(&entry, o.identify(&entry), now, e)
	}
}

// Early sends a message at QoS 1 that its queue has not committed yet, if that
// and the quota allow; else it comes out of the queue in its time.
func (s *Session) Early(entry *queue.Entry, now int64, e *Effects) bool {
	o := &s.out
	if !s.attached || e.Closing || o.used >= o.quota || !s.queue.Early(entry, now) {
		return false
	}
	s.launch(entry, o.identify(entry), now, e)
	return true
}

// launch sends an entry, or has its identifier bound first.
func (s *Session) launch(entry *queue.Entry, id packet.ID, now int64, e *Effects) {
	f := flight{seq: entry.Seq, qos: entry.QoS, state: flightSent}
	if entry.QoS == 2 && s.durable {
		held := *entry
		if old, ok := s.out.flights.get(id); ok && old.state == flightBinding {
			// Bound on the last connection, and the disk has not answered yet.
			old.held = &held
			s.out.flights.put(id, old)
			return
		}
		if entry.PacketID == 0 && s.queue.Bind(entry.Seq, uint16(id), bindTag(id)) {
			f.state, f.held = flightBinding, &held
			s.out.take(id, f)
			return
		}
	}
	if !s.sendEntry(entry, id, now, e) {
		s.queue.Ack(entry.Seq)
		return
	}
	s.out.take(id, f)
	if entry.QoS == 2 {
		s.queue.Sent(entry.Seq, uint16(id))
	}
}

// Tags name what a durable queue operation was for.
const (
	tagBind    = 1 << 32
	tagRelease = 2 << 32
)

func bindTag(id packet.ID) uint64    { return tagBind | uint64(id) }
func releaseTag(id packet.ID) uint64 { return tagRelease | uint64(id) }

// QueueDone tells that the queue operation with this tag is durable.
func (s *Session) QueueDone(tag uint64, now int64, e *Effects) {
	id := packet.ID(tag)
	f, ok := s.out.flights.get(id)
	switch {
	case !ok:
		return // the connection ended meanwhile; the next one binds again
	case tag&tagBind != 0 && f.state == flightBinding:
		s.boundNow(id, f, now, e)
	case tag&tagRelease != 0 && f.state == flightReleasing:
		f.state = flightReleased
		s.out.flights.put(id, f)
		if s.attached {
			s.appendAck(packet.TypePubrel, id, packet.Success, "", e)
		}
	}
}

// boundNow sends what waited for its binding. Without a connection there is
// nothing to send: the queue gives the message again, with its identifier.
func (s *Session) boundNow(id packet.ID, f flight, now int64, e *Effects) {
	entry := f.held
	if entry == nil || !s.attached {
		s.out.end(id)
		return
	}
	f.held, f.state = nil, flightSent
	s.out.flights.put(id, f)
	if !s.sendEntry(entry, id, now, e) {
		s.out.end(id)
		s.queue.Ack(entry.Seq)
		return
	}
	s.queue.Sent(entry.Seq, uint16(id))
}

// sendEntry writes a queued message; false means that the client does not
// accept packets of this size, so the message counts as done ([MQTT-3.1.2-25]).
func (s *Session) sendEntry(entry *queue.Entry, id packet.ID, now int64, e *Effects) bool {
	p := &e.outgoing
	if err := DecodeBody(entry.Msg.Body, p); err != nil {
		e.Dropped++
		return false
	}
	p.QoS, p.ID, p.Retain, p.Dup = entry.QoS, id, entry.Retain, entry.Dup && entry.QoS > 0
	if s.dialect.properties {
		setExpiry(&p.Properties, entry.Msg.ExpiresAt, now)
		setIDs(&p.Properties, entry.SubIDs)
		s.useAlias(p)
	}
	// The payload is part of a message that owns its bytes, so it need not be copied.
	return s.appendPublish(p, len(p.Payload) >= ShareBytesMin, e)
}

func setIDs(pr *packet.Properties, ids []uint32) {
	if len(ids) == 0 {
		return
	}
	pr.Set |= packet.PropSubscriptionID
	pr.SubscriptionIDs = append(pr.SubscriptionIDs[:0], ids...)
}

// appendPublish writes p. share says that its payload is never written again.
func (s *Session) appendPublish(p *packet.Publish, share bool, e *Effects) bool {
	if packet.PublishSize(s.version, p) > s.publishMax() {
		if s.dropAlias(p) {
			return s.appendPublish(p, share, e)
		}
		e.Dropped++
		return false
	}
	e.Out = packet.AppendPublishHead(e.Out, s.version, p)
	if share {
		e.share(p.Payload)
	} else {
		e.Out = append(e.Out, p.Payload...)
	}
	e.Sent[p.QoS]++
	return true
}

// useAlias replaces the topic by an alias once the client knows it; the first
// topics get the aliases, which suits clients that see few topics.
func (s *Session) useAlias(p *packet.Publish) {
	o := &s.out
	if o.aliasMax == 0 {
		return
	}
	a, known := o.aliases[string(p.Topic)]
	if !known {
		if len(o.aliases) >= int(o.aliasMax) {
			return
		}
		if o.aliases == nil {
			o.aliases = make(map[string]uint16)
		}
		a = uint16(len(o.aliases) + 1)
		o.aliases[string(p.Topic)] = a
	}
	p.Properties.Set |= packet.PropTopicAlias
	p.Properties.TopicAlias = a
	if known {
		p.Topic = nil
	}
}

// dropAlias takes an alias that this very packet would have introduced away
// again: the client will not learn it from a packet that is not sent.
func (s *Session) dropAlias(p *packet.Publish) bool {
	if !p.Properties.Has(packet.PropTopicAlias) || len(p.Topic) == 0 {
		return false
	}
	p.Properties.Set &^= packet.PropTopicAlias
	delete(s.out.aliases, string(p.Topic))
	return true
}

// Deliver0 writes a QoS 0 message straight to the connection.
func (s *Session) Deliver0(m *Outgoing, retain bool, ids []uint32, now int64, e *Effects) {
	if !s.attached {
		return
	}
	if s.dialect.properties && (len(ids) > 0 || s.out.aliasMax > 0) {
		p := &e.direct
		keep := p.Properties.SubscriptionIDs
		*p = packet.Publish{Topic: m.p.Topic, Payload: m.p.Payload, Retain: retain, Properties: m.p.Properties}
		p.Properties.Set &= forwarded
		p.Properties.SubscriptionIDs = keep
		setExpiry(&p.Properties, m.expiresAt, now)
		setIDs(&p.Properties, ids)
		s.useAlias(p)
		if m.shares {
			p.Payload = m.payload()
		}
		s.appendPublish(p, m.shares, e)
		return
	}
	b := m.bytes(s.version, retain, now)
	size := len(b)
	if m.shares {
		size += len(m.p.Payload)
	}
	if size > s.publishMax() {
		e.Dropped++
		return
	}
	e.Out = append(e.Out, b...)
	if m.shares {
		e.share(m.payload())
	}
	e.Sent[0]++
}

// acknowledge handles PUBACK, PUBREC, PUBREL and PUBCOMP.
func (s *Session) acknowledge(f packet.Frame, now int64, e *Effects) {
	a := &e.ack
	if err := packet.DecodeAck(f, s.version, a); err != nil {
		s.refuse(err, e)
		return
	}
	if a.Type == packet.TypePubrel {
		s.pubrel(a, e)
		return
	}
	fl, ok := s.out.flights.get(a.ID)
	switch a.Type {
	case packet.TypePuback:
		s.puback(a, fl, ok, now, e)
	case packet.TypePubrec:
		s.pubrec(a, fl, ok, now, e)
	case packet.TypePubcomp:
		s.pubcomp(a, fl, ok, now, e)
	}
}

func (s *Session) puback(a *packet.Ack, fl flight, ok bool, now int64, e *Effects) {
	if !ok {
		return // late, for a message that expired or was taken over
	}
	if fl.qos != 1 {
		s.Disconnect(packet.ProtocolError, "PUBACK for a QoS 2 message", e)
		return
	}
	s.out.end(a.ID)
	s.queue.Ack(fl.seq)
	s.Pump(now, e)
}

func (s *Session) pubrec(a *packet.Ack, fl flight, ok bool, now int64, e *Effects) {
	switch {
	case !ok && a.Reason.Failed():
		return
	case !ok:
		s.appendAck(packet.TypePubrel, a.ID, packet.PacketIDNotFound, "", e)
	case fl.qos != 2 || fl.state == flightBinding:
		s.Disconnect(packet.ProtocolError, "PUBREC for a message that is not at QoS 2", e)
	case fl.state == flightReleased:
		s.appendAck(packet.TypePubrel, a.ID, packet.Success, "", e)
	case fl.state == flightReleasing:
		return
	case a.Reason.Failed():
		s.out.end(a.ID)
		s.queue.Ack(fl.seq)
		s.Pump(now, e)
	default:
		s.release(a.ID, fl, e)
	}
}

// release acknowledges the message and keeps its identifier. On a durable
// queue PUBREL waits: sent earlier, a crash could bring the message back
// under another identifier, and the client would take it twice.
func (s *Session) release(id packet.ID, fl flight, e *Effects) {
	if s.queue.Release(fl.seq, uint16(id), releaseTag(id)) {
		fl.state = flightReleasing
		s.out.flights.put(id, fl)
		return
	}
	fl.state = flightReleased
	s.out.flights.put(id, fl)
	s.appendAck(packet.TypePubrel, id, packet.Success, "", e)
}

func (s *Session) pubcomp(a *packet.Ack, fl flight, ok bool, now int64, e *Effects) {
	if !ok {
		return
	}
	if fl.state != flightReleased {
		s.Disconnect(packet.ProtocolError, "PUBCOMP before PUBREL", e)
		return
	}
	s.out.end(a.ID)
	s.queue.Complete(uint16(a.ID))
	s.Pump(now, e)
}
