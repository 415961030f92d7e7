package handover

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"tombolo/internal/link"
	"tombolo/internal/spool"
	"tombolo/internal/wire"
	"tombolo/queue"
)

// A message in the spool waits for a member, not for a session. To be handed over it
// goes into the queues of the sessions that it is for, in the message store beside
// the spool, and leaves the spool when it is on the disk there; from then on it is
// handed over like what the node held for sessions of its own.

const (
	sortCount = 256
	sortBytes = 1 << 20
	// sortStream is the number under which the store notes how far a tail has been
	// sorted. Streams of links have lower ones.
	sortStream = 1 << 31
)

// openSpool opens the spool of a data directory; nil if there is none.
func openSpool(dir string) (*spool.Spool, error) {
	path := filepath.Join(dir, spoolDir)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	s, _, err := spool.Open(path, spool.Config{})
	return s, err
}

// spooled counts what waits in the spool: by the name of the queue that it is for, and
// what is for nobody.
func (h *Holding) spooled() (count map[string]int, nobody int, err error) {
	count = map[string]int{}
	err = h.eachSpooled(func(s *sorter, to wire.NodeID, list []link.Spooled) error {
		for _, m := range list {
			hits := s.hits(to, m)
			for _, x := range hits {
				count[x.to.name()]++
			}
			if len(hits) == 0 && m.Kind == wire.TypePublish {
				nobody++
			}
		}
		return nil
	})
	return count, nobody, err
}

// Sort puts what waits in the spool into the queues of the sessions that it is for.
// What is for none that the node knew stays.
func (h *Holding) Sort(ctx context.Context) error {
	return h.eachSpooled(func(s *sorter, to wire.NodeID, list []link.Spooled) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		stored := make(chan error, len(list))
		var gone []uint64
		var failed error
		for _, m := range list {
			ev, err := h.event(s, to, m)
			if err != nil {
				failed = err
				break
			}
			if ev != nil {
				gone = append(gone, m.Place)
				h.store.Append(ev, func(err error) { stored <- err })
			}
		}
		for range gone {
			if err := <-stored; err != nil {
				failed = err
			}
		}
		if failed != nil {
			return failed
		}
		return h.spool.Remove(to, gone)
	})
}

// event is what puts a message into queues; nil if it is for nobody.
func (h *Holding) event(s *sorter, to wire.NodeID, m link.Spooled) (*queue.Event, error) {
	hits := s.hits(to, m)
	if len(hits) == 0 {
		return nil, nil
	}
	f := &s.frame
	ev := &queue.Event{
		Msg: &queue.Message{
			ID: queue.MessageID{Ingress: f.ID.Ingress, N: f.ID.N}, QoS: f.QoS(), ExpiresAt: f.ExpiresAt, Body: bytes.Clone(f.Body),
		},
		Applied: &queue.Applied{Peer: uint64(to), Incarnation: uint64(h.life), Stream: sortStream, Sequence: m.Place, Result: wire.Stored},
	}
	for _, x := range hits {
		id, err := h.openQueue(x.to)
		if err != nil {
			return nil, err
		}
		ev.Targets = append(ev.Targets, queue.Target{Queue: id, QoS: x.qos, Retain: x.retain, SubIDs: x.ids})
	}
	return ev, nil
}

// openQueue opens the queue that a session's messages are put into: in a generation of
// its own, after the one of the home that they were for, and before that of any later
// home (R20).
func (h *Holding) openQueue(r *receiver) (queue.QueueID, error) {
	if r.copy != 0 {
		return r.copy, nil
	}
	id, st, err := h.store.Open(r.name(), false)
	if generation := h.generation(r); err == nil && st.Generation < generation { // else an earlier run began it
		id, _, err = h.store.OpenGeneration(r.name(), generation, false)
	}
	if err != nil {
		return 0, err
	}
	r.copy = id
	return id, nil
}

// aboveEpoch is how far above the session's epoch such a generation may be: a quarter
// of a second. Where it is tells this node's from that of another which was removed.
const aboveEpoch = 1 << 24

func (h *Holding) generation(r *receiver) uint64 {
	f := fnv.New64a()
	_, _ = io.WriteString(f, h.node+r.name())
	return r.epoch.HLC + 1 + f.Sum64()%aboveEpoch
}

// DiscardSpooled drops what the spool still holds.
func (h *Holding) DiscardSpooled() error {
	return h.eachSpooled(func(_ *sorter, to wire.NodeID, list []link.Spooled) error {
		var places []uint64
		for _, m := range list {
			places = append(places, m.Place)
		}
		return h.spool.Remove(to, places)
	})
}

// eachSpooled gives fn what waits: in order for each member, and for a session that
// moved what was matched before it did first.
func (h *Holding) eachSpooled(fn func(s *sorter, to wire.NodeID, list []link.Spooled) error) error {
	if h.spool == nil || len(h.spool.Nodes()) == 0 {
		return nil
	}
	s, err := h.newSorter()
	if err != nil {
		return err
	}
	var tails []*tail
	for _, to := range h.spool.Nodes() {
		tails = append(tails, &tail{to: to})
	}
	for {
		for _, t := range tails {
			if err := t.fill(h.spool, s); err != nil {
				return err
			}
		}
		tails = slices.DeleteFunc(tails, func(t *tail) bool { return len(t.list) == 0 })
		if len(tails) == 0 {
			return nil
		}
		slices.SortStableFunc(tails, func(a, b *tail) int { return cmp.Compare(a.generations[0], b.generations[0]) })
		n := len(tails[0].list)
		if len(tails) > 1 {
			next := tails[1].generations[0]
			if at := slices.IndexFunc(tails[0].generations, func(g uint64) bool { return g > next }); at > 0 {
				n = at
			}
		}
		if err := fn(s, tails[0].to, tails[0].list[:n]); err != nil {
			return err
		}
		tails[0].list, tails[0].generations = tails[0].list[n:], tails[0].generations[n:]
	}
}

// tail is what waits for one member, a part of it in memory. Owned by eachSpooled.
type tail struct {
	to          wire.NodeID
	after       uint64 // up to here it was read
	list        []link.Spooled
	generations []uint64 // beside list: of the routes that they were matched by
}

// fill reads on, if nothing is in memory.
func (t *tail) fill(from *spool.Spool, s *sorter) (err error) {
	if len(t.list) > 0 {
		return nil
	}
	if t.list, err = from.Read(t.to, t.after, sortCount, sortBytes); err != nil || len(t.list) == 0 {
		return err
	}
	t.after = t.list[len(t.list)-1].Place
	t.generations = t.generations[:0]
	for _, m := range t.list {
		generation := uint64(0)
		if m.Kind == wire.TypePublish && wire.ParsePublish(m.Body, &s.frame) == nil {
			generation = s.frame.Generation
		}
		t.generations = append(t.generations, generation)
	}
	return nil
}
