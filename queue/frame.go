package queue

import "tombolo/internal/wire"

// Frame fills in the part of a migration frame that is the batch's. What m
// holds of it is a view of the batch.
func (b *Batch) Frame(m *wire.Migration) {
	m.Generation, m.Acknowledged, m.Last = b.Generation, b.Acknowledged, b.Last
	m.Records = m.Records[:0]
	for i := range b.Records {
		m.Records = append(m.Records, b.Records[i].migrated())
	}
}

func (r *Record) migrated() wire.Migrated {
	w := wire.Migrated{Sequence: r.Seq, Flags: r.QoS & wire.MigratedQoS, PacketID: r.PacketID, SubIDs: r.SubIDs}
	for _, f := range []struct {
		on   bool
		flag uint8
	}{{r.Retain, wire.MigratedRetain}, {r.Dup, wire.MigratedDup}, {r.Released, wire.MigratedReleased}, {r.Received, wire.MigratedReceived},
		{r.Begun, wire.MigratedBegun}} {
		if f.on {
			w.Flags |= f.flag
		}
	}
	if r.Msg != nil {
		w.ID = wire.MessageID{Ingress: r.Msg.ID.Ingress, N: r.Msg.ID.N}
		w.QoS, w.ExpiresAt, w.Body = r.Msg.QoS, r.Msg.ExpiresAt, r.Msg.Body
	}
	return w
}

// BatchOf copies a batch out of a migration frame.
func BatchOf(m *wire.Migration) *Batch {
	b := &Batch{Generation: m.Generation, Acknowledged: append([]wire.Span(nil), m.Acknowledged...), Last: m.Last}
	b.Records = make([]Record, len(m.Records))
	messages := make([]Message, len(m.Records))
	total := 0
	for i := range m.Records {
		total += len(m.Records[i].Body)
	}
	bodies := make([]byte, 0, total)
	for i := range m.Records {
		w := &m.Records[i]
		has := func(flag uint8) bool { return w.Flags&flag != 0 }
		r := Record{Seq: w.Sequence, QoS: w.Flags & wire.MigratedQoS, Retain: has(wire.MigratedRetain), Dup: has(wire.MigratedDup),
			Released: has(wire.MigratedReleased), Received: has(wire.MigratedReceived), Begun: has(wire.MigratedBegun), PacketID: w.PacketID,
			SubIDs: append([]uint32(nil), w.SubIDs...)}
		if !r.Released {
			from := len(bodies)
			bodies = append(bodies, w.Body...)
			messages[i] = Message{ID: MessageID{w.ID.Ingress, w.ID.N}, QoS: w.QoS, ExpiresAt: w.ExpiresAt, Body: bodies[from:len(bodies):len(bodies)]}
			r.Msg = &messages[i]
		}
		b.Records[i] = r
	}
	return b
}
