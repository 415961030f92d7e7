package member

import (
	"tombolo/internal/pack"
	"tombolo/internal/wire"
)

// ballot is one attempt to decide a version: of two the higher round, then the
// higher node is above. The zero value is below all. A value.
type ballot struct {
	round uint64
	node  wire.NodeID
}

func (b ballot) less(o ballot) bool {
	if b.round != o.round {
		return b.round < o.round
	}
	return b.node < o.node
}

// kept is what must outlive the process before anybody hears of it. Owned by
// the core; the shell writes a copy.
//
// Properties:
//  1. record, if there is one, is well-formed.
//  2. promised, accepted and value are about version record.Version+1, and are
//     empty while this node has no part in deciding it.
//  3. accepted is never above promised; value is there exactly if accepted is.
//  4. pledge is there only while there is no record.
//  5. abstains is set if what was voted on version record.Version+1 is lost: this
//     node votes on that version no more, and promised is not its vote.
type kept struct {
	record   Record      // in effect; Version 0: none
	pledge   wire.NodeID // the founder of the cluster that this node has asked to join: it founds none itself
	promised ballot      // no lower one is taken part in
	accepted ballot      // the one in which value was confirmed
	value    *Record
	abstains bool
}

// keptFormat is the version of the encoding.
const keptFormat = 1

// keptFields is how many values there are, the format included.
const keptFields = 9

func appendKept(dst []byte, k *kept) []byte {
	dst = pack.AppendUint(pack.AppendArray(dst, keptFields), keptFormat)
	dst = appendOptional(dst, &k.record)
	dst = pack.AppendUint(dst, uint64(k.pledge))
	dst = pack.AppendUint(pack.AppendUint(dst, k.promised.round), uint64(k.promised.node))
	dst = pack.AppendUint(pack.AppendUint(dst, k.accepted.round), uint64(k.accepted.node))
	value := k.value
	if value == nil {
		value = &Record{}
	}
	return pack.AppendBool(appendOptional(dst, value), k.abstains)
}

// appendOptional appends a record as a byte string, empty for none.
func appendOptional(dst []byte, r *Record) []byte {
	if r.Version == 0 {
		return pack.AppendBytes(dst, []byte{})
	}
	return pack.AppendBytes(dst, appendRecord(nil, r))
}

func parseKept(b []byte) (k kept, err error) {
	r := wire.NewReader(b)
	n := r.Array()
	if r.Err() == nil && (n < keptFields || n > 64) {
		r.Fail(pack.ErrRange)
	}
	if f := r.Uint(); r.Err() == nil && f < keptFormat {
		r.Fail(pack.ErrRange)
	}
	record := r.Bytes()
	k.pledge = wire.NodeID(r.Uint())
	k.promised = ballot{round: r.Uint(), node: wire.NodeID(r.Uint())}
	k.accepted = ballot{round: r.Uint(), node: wire.NodeID(r.Uint())}
	value := r.Bytes()
	k.abstains = r.Bool()
	for ; n > keptFields && r.Err() == nil; n-- {
		r.Skip()
	}
	if err := r.End(); err != nil {
		return kept{}, err
	}
	if len(record) > 0 {
		rec, err := parseRecord(record)
		if err != nil {
			return kept{}, err
		}
		k.record = *rec
	}
	if len(value) > 0 {
		if k.value, err = parseRecord(value); err != nil {
			return kept{}, err
		}
	}
	return k, k.check()
}

// check holds the properties that kept has by their numbers.
func (k *kept) check() error {
	switch {
	case k.record.Version != 0 && k.record.check() != nil: // 1
		return k.record.check()
	case k.value != nil && (k.value.Version != k.record.Version+1 || k.value.Origin != k.record.Origin): // 2
		return pack.ErrRange
	case k.promised.less(k.accepted), (k.value != nil) != (k.accepted != ballot{}): // 3
		return pack.ErrRange
	case k.pledge != 0 && k.record.Version != 0: // 4
		return pack.ErrRange
	case k.abstains && (k.value != nil || k.record.Version == 0): // 5
		return pack.ErrRange
	}
	return nil
}
