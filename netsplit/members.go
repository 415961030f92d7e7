package netsplit

import (
	"cmp"
	"slices"
)

// NodeID names a node for the life of its data directory.
type NodeID uint64

// State is where a member stands (R24, R27).
type State uint8

// The states of a member. Every one counts in the denominator of a majority;
// only a joined one gates when it cannot be reached.
const (
	Joined  State = iota
	Absent        // marked by the primary side: missing for so long that it gates no more
	Stopped       // stopped as planned: its absence is no split
)

// Member is one node of the durable member set.
type Member struct {
	ID    NodeID
	State State
}

// Members is the durable member set. Immutable once built.
type Members struct {
	Version uint64
	list    []Member // by id
}

// membersMax is how many members the groups are computed for: one bit each.
const membersMax = 64

// NewMembers builds a set; of two entries with one id the last counts. It
// panics above 64 members, which the member record refuses long before.
func NewMembers(version uint64, members ...Member) *Members {
	m := &Members{Version: version}
	for _, x := range members {
		if i, ok := m.find(x.ID); ok {
			m.list[i] = x
		} else {
			m.list = slices.Insert(m.list, i, x)
		}
	}
	if len(m.list) > membersMax {
		panic("BUG: netsplit: more than 64 members")
	}
	return m
}

func (m *Members) find(id NodeID) (int, bool) {
	return slices.BinarySearchFunc(m.list, id, func(a Member, b NodeID) int { return cmp.Compare(a.ID, b) })
}

// Len is the denominator of a majority.
func (m *Members) Len() int { return len(m.list) }

// Get returns a member.
func (m *Members) Get(id NodeID) (Member, bool) {
	i, ok := m.find(id)
	if !ok {
		return Member{}, false
	}
	return m.list[i], true
}

// Each calls fn for the members by id.
func (m *Members) Each(fn func(Member)) {
	for _, x := range m.list {
		fn(x)
	}
}
