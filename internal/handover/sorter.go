package handover

import (
	"bytes"
	"cmp"
	"slices"

	"tombolo/internal/link"
	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/mqtt/packet"
	"tombolo/mqtt/session"
	"tombolo/mqtt/topic"
	"tombolo/queue"
)

// sorter tells whom the messages of a spool are for, by what the node knew: the
// sessions whose home was the member that a message waits for when it was matched.
// The fences that wait among the messages tell that (R21), and the tables of those
// sessions that no fence names. Owned by one call.
type sorter struct {
	wants map[string]*topic.Index[*receiver] // by mountpoint
	moves map[wire.NodeID]map[metadata.ClientKey][]move
	named map[metadata.ClientKey]bool // by the frames themselves (R11)

	frame  wire.Publish
	packet packet.Publish
	fence  wire.Fence
}

// receiver is one session. Owned by its sorter.
type receiver struct {
	key   metadata.ClientKey
	home  wire.NodeID
	epoch metadata.Epoch
	copy  queue.QueueID // where its messages are put; 0: not open yet
}

func (s *receiver) name() string { return queue.Name(s.key.Mountpoint, s.key.ClientID) }

// move is what a fence says of a session. A value.
type move struct {
	generation uint64 // the first that is for the new home
	from, to   wire.NodeID
}

// hit is a message for a session. A value.
type hit struct {
	to     *receiver
	qos    uint8
	retain bool
	ids    []uint32
}

// newSorter reads the spool once, for what it says of sessions, and the tables.
func (h *Holding) newSorter() (*sorter, error) {
	s := &sorter{
		wants: map[string]*topic.Index[*receiver]{},
		moves: map[wire.NodeID]map[metadata.ClientKey][]move{}, named: map[metadata.ClientKey]bool{},
	}
	for _, to := range h.spool.Nodes() {
		s.moves[to] = map[metadata.ClientKey][]move{}
		if err := h.spool.Each(to, func(m link.Spooled) bool { s.learn(to, m); return true }); err != nil {
			return nil, err
		}
		for _, list := range s.moves[to] {
			slices.SortStableFunc(list, func(a, b move) int { return cmp.Compare(a.generation, b.generation) })
		}
	}
	known := map[metadata.ClientKey]*receiver{}
	tables := metadata.ReadStopped(h.meta)
	err := tables.EachSession(func(k metadata.ClientKey, v *metadata.Session) bool {
		if !v.Over() {
			known[k] = &receiver{key: k, home: wire.NodeID(v.Home), epoch: v.Epoch}
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	return s, tables.EachSubscription(func(k metadata.ClientKey, filter string, v *metadata.Subscription) bool {
		if r := known[k]; r != nil {
			s.subscribe(r, filter, v)
		}
		return true
	})
}

// learn takes in what a message of a tail says of sessions.
func (s *sorter) learn(to wire.NodeID, m link.Spooled) {
	switch {
	case m.Kind == wire.TypeFence && wire.ParseFence(m.Body, &s.fence) == nil:
		for i := range s.fence.List {
			e := &s.fence.List[i]
			k := metadata.ClientKey{Mountpoint: e.Client.Mountpoint, ClientID: e.Client.ID}
			s.moves[to][k] = append(s.moves[to][k], move{s.fence.Generation, e.From, e.To})
		}
	case m.Kind == wire.TypePublish && wire.ParsePublish(m.Body, &s.frame) == nil:
		for _, id := range s.frame.Sessions {
			s.named[metadata.ClientKey{Mountpoint: string(s.frame.Mountpoint), ClientID: string(id)}] = true
		}
	}
}

// subscribe puts one filter of a session into the index, if something may be for it.
func (s *sorter) subscribe(r *receiver, filter string, v *metadata.Subscription) {
	group, plain, shared, err := topic.SplitShare(filter)
	if err != nil || !shared && !s.concerns(r) {
		return
	}
	x := s.wants[r.key.Mountpoint]
	if x == nil {
		x = topic.NewIndex[*receiver](topic.Config{})
		s.wants[r.key.Mountpoint] = x
	}
	o := topic.Options{QoS: v.QoS, RetainAsPublished: v.RetainAsPublished, ID: v.ID}
	if shared {
		x.SubscribeShared(group, plain, r, o)
	} else {
		x.Subscribe(plain, r, o)
	}
}

// concerns says whether a tail may have something for a session.
func (s *sorter) concerns(r *receiver) bool {
	for to, moves := range s.moves {
		if r.home == to || len(moves[r.key]) > 0 {
			return true
		}
	}
	return s.named[r.key]
}

// at says whether a session was at a member by what the node knew when it matched
// under a generation of its routes.
func (s *sorter) at(r *receiver, to wire.NodeID, generation uint64) bool {
	moves := s.moves[to][r.key]
	if len(moves) == 0 {
		return r.home == to
	}
	was := moves[0].from == to
	for _, m := range moves {
		if generation >= m.generation {
			was = m.to == to
		}
	}
	return was
}

// hits gives the sessions that a message is for which waits for a member; frame has
// the message then. None: for nobody that the node knows.
func (s *sorter) hits(to wire.NodeID, m link.Spooled) (list []hit) {
	f := &s.frame
	if m.Kind != wire.TypePublish || wire.ParsePublish(m.Body, f) != nil || session.DecodeBody(f.Body, &s.packet) != nil {
		return nil
	}
	x := s.wants[string(f.Mountpoint)]
	if x == nil {
		return nil
	}
	add := func(h *topic.Hit[*receiver]) {
		if qos := min(f.QoS(), h.Options.QoS); qos > 0 {
			list = append(list, hit{h.Sub, qos, f.Flags&wire.PublishRetain != 0 && h.Options.RetainAsPublished, h.IDs})
		}
	}
	found := x.Match(s.packet.Topic)
	for i := range found.Direct {
		h := &found.Direct[i]
		switch f.Targets {
		case wire.ToMatching:
			if s.at(h.Sub, to, f.Generation) {
				add(h)
			}
		case wire.ToSessions:
			if slices.ContainsFunc(f.Sessions, func(id []byte) bool { return string(id) == h.Sub.key.ClientID }) {
				add(h)
			}
		}
	}
	for i := range f.Groups {
		if h := member(found, &f.Groups[i], to); h != nil {
			add(h)
		}
	}
	return list
}

// member chooses the member of a group that gets a message: one in its turn whose
// home is that which it waits for, or else any.
func member(found *topic.Result[*receiver], want *wire.Group, to wire.NodeID) *topic.Hit[*receiver] {
	for i := range found.Shared {
		g := &found.Shared[i]
		if !bytes.Equal([]byte(g.Name), want.Name) || !bytes.Equal([]byte(g.Filter), want.Filter) {
			continue
		}
		n := uint64(len(g.Members))
		turn := g.Turn()
		for j := range n {
			if h := &g.Members[(turn+j)%n]; h.Sub.home == to {
				return h
			}
		}
		return &g.Members[turn%n]
	}
	return nil
}
