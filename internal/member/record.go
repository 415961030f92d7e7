package member

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"tombolo/internal/pack"
	"tombolo/internal/wire"
)

// The bounds of a record.
const (
	membersMax      = 64 // one bit each in the groups of netsplit
	nameBytesMax    = 128
	addressBytesMax = 256
)

// Record is one version of the member set. Immutable once built.
type Record struct {
	Version uint64 // 0: there is none, the node is by itself
	Nonce   uint64 // of the change that made it
	Origin  wire.NodeID
	Forced  bool
	Members []wire.Member // by id
}

// above says that r is the one to keep of two effective records. Two of one
// version exist only if an operator forced one.
func (r *Record) above(o *Record) bool {
	if r.Version != o.Version {
		return r.Version > o.Version
	}
	return r.Nonce > o.Nonce
}

func (r *Record) same(o *Record) bool {
	return r.Version == o.Version && r.Nonce == o.Nonce && r.Origin == o.Origin && slices.Equal(r.Members, o.Members)
}

// find returns the place of a member, -1 for none.
func (r *Record) find(id wire.NodeID) int {
	i, ok := slices.BinarySearchFunc(r.Members, id, func(m wire.Member, id wire.NodeID) int { return cmp.Compare(m.ID, id) })
	if !ok {
		return -1
	}
	return i
}

func (r *Record) has(id wire.NodeID) bool { return r.find(id) >= 0 }

// majority is how many members have to confirm the next version (R24): absent
// and stopped ones are in the denominator.
func (r *Record) majority() int { return len(r.Members)/2 + 1 }

// The faults of a record that came from elsewhere.
var (
	errSize   = errors.New("a record without members, or with more than 64")
	errOrder  = errors.New("a record whose members are not sorted by id")
	errMember = errors.New("a record with a member that has no id or no name")
	errName   = errors.New("a record with two members of one name")
)

// check holds what every record holds: it is asked of our own and of others'.
func (r *Record) check() error {
	if len(r.Members) == 0 || len(r.Members) > membersMax || r.Version == 0 || r.Origin == 0 {
		return errSize
	}
	for i := range r.Members {
		m := &r.Members[i]
		switch {
		case m.ID == 0 || m.Name == "" || len(m.Name) > nameBytesMax || len(m.Link) > addressBytesMax || len(m.Gossip) > addressBytesMax:
			return errMember
		case i > 0 && r.Members[i-1].ID >= m.ID:
			return errOrder
		case slices.ContainsFunc(r.Members[:i], func(o wire.Member) bool { return o.Name == m.Name }):
			return errName
		}
	}
	return nil
}

// recordFormat is the version of the encoding.
const recordFormat = 1

// appendRecord appends r; equal records encode to equal bytes.
func appendRecord(dst []byte, r *Record) []byte {
	dst = pack.AppendUint(pack.AppendArray(dst, 6), recordFormat)
	dst = pack.AppendUint(pack.AppendUint(dst, r.Version), r.Nonce)
	dst = pack.AppendBool(pack.AppendUint(dst, uint64(r.Origin)), r.Forced)
	return wire.AppendMemberList(dst, r.Members)
}

// readRecord reads one from where r stands; what a later version put behind
// the known values is passed over.
func readRecord(r *wire.Reader) (rec Record) {
	n := r.Array()
	if r.Err() == nil && (n < 6 || n > 64) {
		r.Fail(pack.ErrRange)
	}
	if f := r.Uint(); r.Err() == nil && f < recordFormat {
		r.Fail(pack.ErrRange)
	}
	rec.Version = r.Uint()
	rec.Nonce = r.Uint()
	rec.Origin = wire.NodeID(r.Uint())
	rec.Forced = r.Bool()
	rec.Members = r.MemberList(nil)
	for ; n > 6 && r.Err() == nil; n-- {
		r.Skip()
	}
	return rec
}

// parseRecord reads the value of the table's key.
func parseRecord(b []byte) (*Record, error) {
	r := wire.NewReader(b)
	rec := readRecord(&r)
	if err := r.End(); err != nil {
		return nil, err
	}
	return &rec, rec.check()
}

// idText is how an id is shown: as in the file node.id.
func idText(id wire.NodeID) string { return fmt.Sprintf("%016x", uint64(id)) }

// parseID reads what idText wrote.
func parseID(s string) (wire.NodeID, bool) {
	if len(s) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 16, 64)
	return wire.NodeID(n), err == nil && n != 0
}
