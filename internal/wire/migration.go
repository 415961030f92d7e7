package wire

import "tombolo/internal/pack"

// MigratedMax bounds the records, and the spans, of one migration batch.
const MigratedMax = 8192

// Flags of a migrated record.
const (
	MigratedQoS       = 3      // mask: the effective one
	MigratedRetain    = 1 << 2 // as it goes to the client
	MigratedDup       = 1 << 3 // the client may have been handed it before
	MigratedReleased  = 1 << 4 // the client has it, PUBREL is outstanding: no body
	MigratedReceived  = 1 << 5 // a packet id of the client's own, bound to ID (R4): no body
	MigratedBegun     = 1 << 6 // the same, and not all that are to have the message may have it
	migratedFlagsEnd  = 1 << 7
	migratedRecordLen = 9
)

// Migrated is one record of a queue. Body is a view of the frame.
type Migrated struct {
	Sequence  uint64 // in its generation (R20); in generation 0 the packet id, or 65,536 more
	ID        MessageID
	Flags     uint8
	QoS       uint8 // of the message
	ExpiresAt int64 // unix ms; 0 never
	PacketID  uint16
	SubIDs    []uint32
	Body      []byte
}

// Span is Count sequences from First on.
type Span struct{ First, Count uint64 }

// Migration is a part of one generation of a session's queue on its way to a
// new home (R20, R22); generation 0 holds its QoS 2 packet ids. The sender
// deletes what ended as stored.
type Migration struct {
	Client       Client
	Epoch        Epoch // of the new home; a lower one than it knows is refused
	Generation   uint64
	Acknowledged []Span // up to the last record, or of all the generation if Last
	Records      []Migrated
	Last         bool // of this generation
	Final        bool // of the session: the sender holds nothing more
}

// AppendMigration appends the body of a migration batch.
func AppendMigration(dst []byte, m *Migration) []byte {
	dst = appendEpoch(appendClient(pack.AppendArray(dst, 8), &m.Client), m.Epoch)
	dst = pack.AppendArray(pack.AppendUint(dst, m.Generation), len(m.Acknowledged))
	for _, a := range m.Acknowledged {
		dst = pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, 2), a.First), a.Count)
	}
	dst = appendList(dst, m.Records, appendMigrated)
	return pack.AppendBool(pack.AppendBool(dst, m.Last), m.Final)
}

func appendMigrated(dst []byte, e *Migrated) []byte {
	dst = pack.AppendUint(pack.AppendArray(dst, migratedRecordLen), e.Sequence)
	dst = pack.AppendUint(pack.AppendUint(dst, e.ID.Ingress), e.ID.N)
	dst = pack.AppendUint(pack.AppendUint(dst, uint64(e.Flags)), uint64(e.QoS))
	dst = pack.AppendUint(pack.AppendInt(dst, e.ExpiresAt), uint64(e.PacketID))
	dst = pack.AppendArray(dst, len(e.SubIDs))
	for _, id := range e.SubIDs {
		dst = pack.AppendUint(dst, uint64(id))
	}
	return pack.AppendBytes(dst, e.Body)
}

// ParseMigration reads the body of a migration batch.
func ParseMigration(b []byte, m *Migration) error {
	r := NewReader(b)
	more := r.begin(8)
	m.Client = r.client()
	m.Epoch = r.epoch()
	m.Generation = r.Uint()
	m.Acknowledged = list(&r, m.Acknowledged, MigratedMax, readSpan)
	m.Records = list(&r, m.Records, MigratedMax, readMigrated)
	m.Last = r.Bool()
	m.Final = r.Bool()
	r.finish(more)
	return r.End()
}

func readSpan(r *Reader, s *Span) {
	more := r.begin(2)
	*s = Span{First: r.Uint(), Count: r.Uint()}
	r.finish(more)
	if s.First+s.Count < s.First {
		r.Fail(pack.ErrRange)
	}
}

func readMigrated(r *Reader, e *Migrated) {
	more := r.begin(migratedRecordLen)
	e.Sequence = r.Uint()
	e.ID = MessageID{Ingress: r.Uint(), N: r.Uint()}
	e.Flags = uint8(r.UintMax(migratedFlagsEnd - 1))
	e.QoS = uint8(r.UintMax(2))
	e.ExpiresAt = r.Int()
	e.PacketID = uint16(r.UintMax(1<<16 - 1))
	e.SubIDs = list(r, e.SubIDs, namedMax, func(r *Reader, u *uint32) { *u = uint32(r.UintMax(1<<32 - 1)) })
	e.Body = r.Bytes()
	r.finish(more)
	if e.Flags&MigratedQoS == 3 || e.ExpiresAt < 0 {
		r.Fail(pack.ErrRange)
	}
}
