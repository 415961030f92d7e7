package replica

import (
	"fmt"
	"math"

	"tombolo/dvv"
	"tombolo/internal/pack"
)

// state is the record that changes with every batch. Owned by the Replica.
type state struct {
	clock     dvv.Clock
	digest    uint64
	live      int64 // keys with a value that a reader sees
	garbage   int64 // deletes and tombstones that are not collected
	collected dvv.VV
	hlcLease  uint64
	trimmed   dvv.Clock // every member has this: of its live dots the index knows nothing
}

// append appends the record; clock and trimmed are the bytes of those two.
func (s *state) append(dst, clock, trimmed []byte) []byte {
	var room [vectorRoom]byte
	dst = pack.AppendArray(dst, 8)
	dst = pack.AppendUint(dst, recordVersion)
	dst = pack.AppendBytes(dst, clock)
	dst = pack.AppendUint(dst, s.digest)
	dst = pack.AppendInt(dst, s.live)
	dst = pack.AppendInt(dst, s.garbage)
	dst = pack.AppendBytes(dst, s.collected.Append(room[:0]))
	dst = pack.AppendUint(dst, s.hlcLease)
	return pack.AppendBytes(dst, trimmed)
}

func decodeState(b []byte, k *known) (s state, err error) {
	r, n := openRecord(b, 8)
	s.clock = k.readClock(&r)
	s.digest = r.Uint()
	s.live = r.Int()
	s.garbage = r.Int()
	s.collected = k.readVV(&r)
	s.hlcLease = r.Uint()
	s.trimmed = k.readClock(&r)
	return s, closeRecord(&r, n-8, "state")
}

// identity says who writes. Owned by the Replica.
type identity struct {
	node  uint64
	actor dvv.Actor
	nonce uint64 // of the last opening
	clean bool   // the last stop was clean
	joins bool   // a full join is owed before clients are served

	rebuilds bool // a rebuild was begun and has not ended
}

func (i *identity) append(dst []byte) []byte {
	dst = pack.AppendArray(dst, 7)
	dst = pack.AppendUint(dst, recordVersion)
	dst = pack.AppendUint(dst, i.node)
	dst = pack.AppendUint(dst, uint64(i.actor))
	dst = pack.AppendUint(dst, i.nonce)
	dst = pack.AppendBool(dst, i.clean)
	dst = pack.AppendBool(dst, i.joins)
	return pack.AppendBool(dst, i.rebuilds)
}

func decodeIdentity(b []byte) (i identity, err error) {
	r, n := openRecord(b, 7)
	i.node = r.Uint()
	i.actor = dvv.Actor(r.Uint())
	i.nonce = r.Uint()
	i.clean = r.Bool()
	i.joins = r.Bool()
	i.rebuilds = r.Bool()
	return i, closeRecord(&r, n-7, "identity")
}

// Retired is an actor that will write no more. Its clock entry is kept for ever
// (§1.2 of the reference). Immutable.
type Retired struct {
	Actor dvv.Actor
	Node  uint64
}

func appendRetired(dst []byte, list []Retired) []byte {
	dst = pack.AppendArray(dst, 1+len(list))
	dst = pack.AppendUint(dst, recordVersion)
	for _, t := range list {
		dst = pack.AppendArray(dst, 2)
		dst = pack.AppendUint(dst, uint64(t.Actor))
		dst = pack.AppendUint(dst, t.Node)
	}
	return dst
}

func readRetired(r *pack.Reader) []Retired {
	n := r.ArrayMin(1)
	if v := r.Uint(); r.Err() == nil && v != recordVersion {
		r.Fail(errVersion)
	}
	var list []Retired
	if n > 1 {
		list = make([]Retired, 0, min(n-1, 16)) // no more is made of a mere claim
	}
	for i := 1; i < n && r.Err() == nil; i++ {
		k := r.ArrayMin(2)
		list = append(list, Retired{Actor: dvv.Actor(r.Uint()), Node: r.Uint()})
		for ; k > 2 && r.Err() == nil; k-- {
			r.Skip()
		}
	}
	return list
}

func decodeRetired(b []byte) ([]Retired, error) {
	r := pack.NewReader(b)
	list := readRetired(&r)
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("retired record: %w", err)
	}
	return list, nil
}

// appendPeers is the durable half of the peer table, absent ones included.
func appendPeers(dst []byte, version uint64, peers []*peer) []byte {
	dst = pack.AppendArray(dst, 2+len(peers))
	dst = pack.AppendUint(dst, recordVersion)
	dst = pack.AppendUint(dst, version)
	var room [vectorRoom]byte // for vectors and clocks, in turn
	for _, p := range peers {
		dst = pack.AppendArray(dst, 11)
		dst = pack.AppendUint(dst, p.id)
		dst = pack.AppendBool(dst, p.absent)
		dst = pack.AppendUint(dst, p.known)
		dst = pack.AppendUint(dst, uint64(p.actor))
		dst = pack.AppendBytes(dst, p.need.Append(room[:0]))
		dst = pack.AppendBytes(dst, p.row.Append(room[:0]))
		dst = pack.AppendUint(dst, p.rowNonce)
		dst = pack.AppendInt(dst, p.heard)
		dst = appendProofs(dst, p.proofs)
	}
	return dst
}

func decodePeers(b []byte) (version uint64, peers []*peer, err error) {
	r := pack.NewReader(b)
	n := r.ArrayMin(2)
	if v := r.Uint(); r.Err() == nil && v != recordVersion {
		r.Fail(errVersion)
	}
	version = r.Uint()
	for i := 2; i < n && r.Err() == nil; i++ {
		k := r.ArrayMin(10)
		p := &peer{id: r.Uint(), absent: r.Bool(), known: r.Uint(), actor: dvv.Actor(r.Uint())}
		p.need = readVV(&r)
		p.row = readClock(&r)
		p.rowNonce = r.Uint()
		p.heard = r.Int()
		p.proofs = readProofs(&r, k > 10)
		for ; k > 11 && r.Err() == nil; k-- {
			r.Skip()
		}
		peers = append(peers, p)
	}
	if err := r.End(); err != nil {
		return 0, nil, fmt.Errorf("peers record: %w", err)
	}
	return version, peers, nil
}

// appendProofs appends the latest proof, which every build knows, and then the earlier ones.
func appendProofs(dst []byte, list []proof) []byte {
	n := max(len(list)-1, 0)
	var last proof
	if len(list) > 0 {
		last = list[n]
	}
	dst = pack.AppendUint(pack.AppendUint(dst, uint64(last.actor)), last.opening)
	dst = pack.AppendArray(dst, 2*n)
	for _, f := range list[:n] {
		dst = pack.AppendUint(pack.AppendUint(dst, uint64(f.actor)), f.opening)
	}
	return dst
}

// readProofs reads what appendProofs wrote; an earlier build left the earlier ones out.
func readProofs(r *pack.Reader, earlier bool) (list []proof) {
	last := proof{dvv.Actor(r.Uint()), r.Uint()}
	if earlier {
		n := r.Array()
		if n%2 != 0 {
			r.Fail(pack.ErrKind)
		}
		for ; n > 0 && r.Err() == nil; n -= 2 {
			list = append(list, proof{dvv.Actor(r.Uint()), r.Uint()})
		}
	}
	if last.actor != 0 {
		list = append(list, last)
	}
	return list
}

// joinState is how far a full join has come. Owned by the Replica.
type joinState struct {
	donor  uint64
	clock  dvv.Clock // of the donor's first snapshot: up to there every key that is merged is the whole truth
	cursor []byte    // table and key up to which all is merged; nil at the start
	last   dvv.Clock // of its last snapshot: more than clock if the join was resumed
	parts  []joinPart
}

func (j *joinState) append(dst []byte) []byte {
	dst = pack.AppendArray(dst, 6)
	dst = pack.AppendUint(dst, recordVersion)
	dst = pack.AppendUint(dst, j.donor)
	var room [vectorRoom]byte
	dst = pack.AppendBytes(dst, j.clock.Append(room[:0]))
	dst = pack.AppendBytes(dst, j.cursor)
	dst = pack.AppendBytes(dst, j.last.Append(room[:0]))
	return appendParts(dst, j.parts)
}

func decodeJoin(b []byte) (j joinState, err error) {
	r, n := openRecord(b, 4)
	j.donor = r.Uint()
	j.clock = readClock(&r)
	j.cursor = append([]byte(nil), r.Bytes()...)
	if n == 4 { // from before the last snapshot was noted: the join begins again
		j.cursor = nil
		return j, closeRecord(&r, 0, "join")
	}
	j.last = readClock(&r)
	switch {
	case n > 5:
		j.parts = readParts(&r)
	case j.clock.Descends(j.last):
		j.parts = []joinPart{{bases: j.clock.Bases()}}
	default: // from before it was noted which keys are of which snapshot
		j.cursor = nil
	}
	return j, closeRecord(&r, max(n-6, 0), "join")
}

// openRecord reads the header of a record of at least fields values.
func openRecord(b []byte, fields int) (pack.Reader, int) {
	r := pack.NewReader(b)
	n := r.ArrayMin(fields)
	if v := r.Uint(); r.Err() == nil && v != recordVersion {
		r.Fail(errVersion)
	}
	return r, n
}

// closeRecord passes over the fields of later versions.
func closeRecord(r *pack.Reader, unknown int, name string) error {
	for ; unknown > 0 && r.Err() == nil; unknown-- {
		r.Skip()
	}
	if err := r.End(); err != nil {
		return fmt.Errorf("%s record: %w", name, err)
	}
	return nil
}

func readClock(r *pack.Reader) dvv.Clock { return (*known)(nil).readClock(r) }

func readVV(r *pack.Reader) dvv.VV { return (*known)(nil).readVV(r) }

// readVV reads a vector of a frame or record.
func (k *known) readVV(r *pack.Reader) dvv.VV {
	v, rest, err := k.decodeVV(r.Bytes())
	if err != nil || len(rest) > 0 {
		r.Fail(dvv.ErrMalformed)
		return dvv.VV{}
	}
	return v
}

func readDot(r *pack.Reader) dvv.Dot {
	return dvv.Dot{Actor: dvv.Actor(r.Uint()), Counter: r.UintMax(math.MaxInt64 / 2)}
}
