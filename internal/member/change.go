package member

import (
	"fmt"
	"slices"
	"strings"

	"tombolo/internal/wire"
)

// changeKind is what a change does to one member.
type changeKind uint8

const (
	changeAdd    changeKind = iota // a node becomes a member
	changeUpdate                   // a member has another name, address or state
	changeState                    // a member's state alone
	changeRemove                   // a member is none any more
)

// change is one wish for the member set. Immutable.
type change struct {
	kind   changeKind
	member wire.Member // of changeState: id and state; of changeRemove: id
}

// apply makes the list after the change, at wall-clock time now in unix ms.
// changed is false where the list is so already.
func (c *change) apply(r *Record, now int64) (list []wire.Member, changed bool, err error) {
	i := r.find(c.member.ID)
	switch {
	case c.kind == changeAdd && i >= 0, c.kind == changeRemove && i < 0:
		return nil, false, nil
	case c.kind == changeAdd:
		return c.add(r, now)
	case i < 0:
		return nil, false, fmt.Errorf("node %s is not a member", idText(c.member.ID))
	case c.kind == changeRemove && len(r.Members) == 1:
		return nil, false, fmt.Errorf("%s is the last member: it cannot be removed", r.Members[i].Name)
	case c.kind == changeRemove:
		return slices.Delete(slices.Clone(r.Members), i, i+1), true, nil
	}
	old := r.Members[i]
	next := c.member
	if c.kind == changeState {
		next = old
		next.State = c.member.State
	}
	next.Since = old.Since
	if next.State != old.State {
		next.Since = now
	}
	if next == old {
		return nil, false, nil
	}
	if err := nameTaken(r, next); err != nil {
		return nil, false, err
	}
	list = slices.Clone(r.Members)
	list[i] = next
	return list, true, nil
}

func (c *change) add(r *Record, now int64) ([]wire.Member, bool, error) {
	m := c.member
	m.State, m.Since = wire.MemberJoined, now
	if len(r.Members) >= membersMax {
		return nil, false, fmt.Errorf("the cluster has %d members, and no more are possible", membersMax)
	}
	if err := nameTaken(r, m); err != nil {
		return nil, false, err
	}
	i, _ := slices.BinarySearchFunc(r.Members, m, func(a, b wire.Member) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return slices.Insert(slices.Clone(r.Members), i, m), true, nil
}

// nameTaken refuses a second member of one name: the name is what an operator
// says to remove one.
func nameTaken(r *Record, m wire.Member) error {
	for _, o := range r.Members {
		if o.Name == m.Name && o.ID != m.ID {
			return fmt.Errorf("the name %s belongs to member %s: give this node another nodename; or, if it replaces that one, "+
				"whose data is gone for good, remove that one first (tombolo cluster remove %s)", m.Name, idText(o.ID), idText(o.ID))
		}
	}
	return nil
}

// lookUp finds a member by name or by id.
func lookUp(r *Record, nameOrID string) (wire.Member, error) {
	id, isID := parseID(nameOrID)
	names := make([]string, 0, len(r.Members))
	for _, m := range r.Members {
		if m.Name == nameOrID || isID && m.ID == id {
			return m, nil
		}
		names = append(names, m.Name)
	}
	return wire.Member{}, fmt.Errorf("no member is called %q; there are: %s", nameOrID, strings.Join(names, ", "))
}
