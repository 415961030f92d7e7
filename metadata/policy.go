package metadata

import (
	"tombolo/internal/pack"
	"tombolo/metadata/replica"
)

// areaObject is the first byte of the database's keys that hold records.
const areaObject = replica.AreaObject

// Policy is how the tables merge; name is table and key. See replica.Policy.
func Policy() replica.Policy { return policy{} }

type policy struct{}

// Set: subscriptions are sets of one element each, so that adds win; all else
// is a register.
func (policy) Set(name []byte) bool { return name[0] == codeSubscription }

// Rank: a session and a subscription of a higher epoch win over later writes,
// and the member set of a higher version over one that was written later (R24).
func (policy) Rank(name []byte, v replica.Value) (high, low uint64) {
	var e Epoch
	switch {
	case name[0] == codeSession && v.Tombstone:
		r := pack.NewReader(v.Bytes)
		e = readEpoch(&r)
	case name[0] == codeSession:
		e = sessionEpoch(v.Bytes)
	case name[0] == codeSubscription:
		if s, err := decodeSubscription(v.Bytes); err == nil {
			e = s.Epoch
		}
	case name[0] == codeMembers && !v.Tombstone:
		return memberRank(v.Bytes)
	}
	return e.HLC, e.Node
}

// memberRank reads version and nonce of a member record, which internal/member
// writes: they stand behind the format; zeros if the record is damaged.
func memberRank(b []byte) (version, nonce uint64) {
	r := pack.NewReader(b)
	r.ArrayMin(3)
	r.Uint()
	version, nonce = r.Uint(), r.Uint()
	if r.Err() != nil {
		return 0, 0
	}
	return version, nonce
}

func (p policy) admitMembers(name []byte, values []replica.Value, next []byte) ([]byte, error) {
	version, nonce := memberRank(next)
	for _, v := range values {
		if high, low := p.Rank(name, v); version < high || version == high && nonce < low {
			return nil, ErrMembers
		}
	}
	return next, nil
}

// sessionEpoch reads the epoch alone; zero if the record is damaged.
func sessionEpoch(b []byte) Epoch {
	r := pack.NewReader(b)
	readHead(&r, sessionFields)
	r.Uint()
	e := readEpoch(&r)
	if r.Err() != nil {
		return Epoch{}
	}
	return e
}

// Admit refuses a session of a lower epoch than it has, keeps floor and end
// from going back, and has the tombstone of a session bear its epoch; it refuses
// a member set of a lower version.
func (p policy) Admit(name []byte, current func() []replica.Value, next []byte) ([]byte, error) {
	if name[0] == codeMembers && next != nil {
		return p.admitMembers(name, current(), next)
	}
	if name[0] != codeSession {
		return next, nil
	}
	values := current()
	var top Epoch
	for _, v := range values {
		high, low := p.Rank(name, v)
		top = maxEpoch(top, Epoch{HLC: high, Node: low})
	}
	if next == nil {
		return appendEpoch(nil, top), nil
	}
	s, err := decodeSession(next)
	switch {
	case err != nil:
		return nil, damaged(TableSession, name[1:], err)
	case s.Epoch.Less(top):
		return nil, ErrEpoch
	}
	if raiseMarks(s, values) {
		return appendSession(nil, s), nil
	}
	return next, nil
}

// raiseMarks raises floor, end and the will that was published to the highest
// among values (R18, R29).
func raiseMarks(s *Session, values []replica.Value) (raised bool) {
	floor, ended, fired := s.Floor, s.Ended, s.WillFired
	for _, v := range values {
		if v.Tombstone {
			continue
		}
		if o, err := decodeSession(v.Bytes); err == nil {
			s.Floor, s.Ended = maxEpoch(s.Floor, o.Floor), maxEpoch(s.Ended, o.Ended)
			s.WillFired = maxEpoch(s.WillFired, o.WillFired)
		}
	}
	return s.Floor != floor || s.Ended != ended || s.WillFired != fired
}

// resolve is the value of an object record that a reader sees.
func resolve(name, record []byte) (value []byte, ok bool, err error) {
	value, ok, err = replica.Resolve(policy{}, name, record)
	if err != nil || !ok || name[0] != codeSession {
		return value, ok, err
	}
	values, err := replica.Siblings(record)
	if err != nil || len(values) == 1 {
		return value, true, err
	}
	s, err := decodeSession(value)
	if err != nil {
		return nil, false, err
	}
	if raiseMarks(s, values) {
		value = appendSession(nil, s)
	}
	return value, true, nil
}
