package sim

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"tombolo/dvv"
	"tombolo/internal/kv"
	"tombolo/metadata/replica"
)

// mirror is the store as its batches tell it, so that a look inside costs
// nothing. Owned by the replicaCore.
type mirror struct {
	fresh     bool
	objects   map[string]dvv.Object
	index     map[dvv.Dot]mirrorEntry // deletes and tombstones that wait to be collected
	blocks    map[string][]dvv.Dot    // of the index of live dots, by their keys
	indexed   map[dvv.Dot]mirrorLive
	retired   map[dvv.Actor]bool
	lasting   map[string]dvv.VV
	horizon   dvv.Clock
	inspected *replica.Inspection
	touched   []string    // keys whose objects changed since it was last asked, and
	dropped   []droppedAt // deletes that left the index
	begun     int
	donor     NodeID
	joins     int
	conflicts int
	ledger    ledger
}

// droppedAt is a delete that left the index of a key. Immutable.
type droppedAt struct {
	dot dvv.Dot
	key string
}

// Changes is what changed since it was last asked for.
func (t *replicaCore) Changes() (keys []string, dropped []droppedAt) {
	m := &t.mirror
	keys, m.touched = m.touched, nil
	for _, d := range m.dropped {
		if _, ok := m.index[d.dot]; !ok {
			dropped = append(dropped, d)
		}
	}
	m.dropped = m.dropped[:0]
	return keys, dropped
}

type mirrorEntry struct {
	key string
	del bool
}

// mirrorLive is the key that the index names for a dot, and in how many blocks.
type mirrorLive struct {
	key    string
	blocks int
}

func (m *mirror) load(db kv.DB) error {
	m.objects, m.index = map[string]dvv.Object{}, map[dvv.Dot]mirrorEntry{}
	m.retired, m.lasting = map[dvv.Actor]bool{}, map[string]dvv.VV{}
	m.blocks, m.indexed = map[string][]dvv.Dot{}, map[dvv.Dot]mirrorLive{}
	m.ledger.init()
	it := db.Iterator(kv.Range{})
	defer it.Close()
	m.fresh = true
	for it.Next() {
		m.fresh = false
		if err := m.put(it.Key(), it.Value()); err != nil {
			return err
		}
	}
	if m.fresh || it.Err() != nil {
		return it.Err()
	}
	return m.inspect(db)
}

// put follows one put; it keeps nothing of key and value.
func (m *mirror) put(key, value []byte) error {
	switch key[0] {
	case replica.AreaObject:
		o, err := decodeReplicaObject(value)
		if err != nil {
			return fmt.Errorf("object %q: %w", key[1:], err)
		}
		name := string(key[1:])
		m.ledger.object(name, value, m.objects[name])
		m.objects[name] = o
		m.touched = append(m.touched, name)
	case 'l':
		v, err := decodeReplicaLasting(value)
		if err != nil {
			return fmt.Errorf("lasting context of %q: %w", key[1:], err)
		}
		m.lasting[string(key[1:])] = v
		m.ledger.keys[string(key[1:])] = true
	case 'i':
		m.dropBlock(string(key))
		return replica.ReadBlock(key, value, func(d dvv.Dot, name []byte) {
			m.blocks[string(key)] = append(m.blocks[string(key)], d)
			m.indexed[d] = mirrorLive{key: string(name), blocks: m.indexed[d].blocks + 1}
			m.ledger.keys[string(name)] = true
		})
	case 'g':
		m.index[dotOf(key)] = mirrorEntry{key: string(value[1:]), del: value[0] == 'd'}
		m.ledger.dots[dotOf(key)] = true
	case 'r':
		m.ledger.residual[string(key[1:])] = true
		m.ledger.keys[string(key[1:])] = true
	case 'm':
		return m.record(key[1], value)
	}
	return nil
}

// record follows one of the store's own records.
func (m *mirror) record(which byte, value []byte) (err error) {
	switch which {
	case 's':
		was := m.ledger.told.Trimmed
		if m.ledger.told, err = replica.DecodeSums(value); err != nil {
			return err
		}
		m.ledger.told.Trimmed = bytes.Clone(m.ledger.told.Trimmed)
		if !bytes.Equal(was, m.ledger.told.Trimmed) {
			m.ledger.trimmed, err = replica.DecodeTrimmed(m.ledger.told.Trimmed)
		}
	case 'r':
		list, e := replica.DecodeRetired(value)
		for _, t := range list {
			m.retired[t.Actor] = true
		}
		err = e
	case 'p':
		needs, e := replica.DecodeNeeds(value)
		for _, v := range needs {
			m.widen(v)
		}
		err = e
	}
	return err
}

// widen has the horizon cover v.
func (m *mirror) widen(v dvv.VV) {
	for _, d := range v.Entries() {
		if m.horizon.Base(d.Actor) < d.Counter {
			m.horizon = m.horizon.AddSpan(dvv.Span{Actor: d.Actor, First: 1, Last: d.Counter})
		}
	}
}

// remove follows one delete.
func (m *mirror) remove(key []byte) {
	switch key[0] {
	case replica.AreaObject:
		name := string(key[1:])
		m.ledger.object(name, nil, m.objects[name])
		delete(m.objects, name)
		m.touched = append(m.touched, name)
	case 'l':
		delete(m.lasting, string(key[1:]))
		m.ledger.keys[string(key[1:])] = true
	case 'i':
		m.dropBlock(string(key))
	case 'g':
		d := dotOf(key)
		if e := m.index[d]; e.del {
			m.dropped = append(m.dropped, droppedAt{d, e.key})
		}
		delete(m.index, d)
		m.ledger.dots[d] = true
	case 'r':
		delete(m.ledger.residual, string(key[1:]))
		m.ledger.keys[string(key[1:])] = true
	}
}

// dropBlock follows that a block of the index goes.
func (m *mirror) dropBlock(key string) {
	for _, d := range m.blocks[key] {
		e := m.indexed[d]
		m.ledger.keys[e.key] = true
		if e.blocks--; e.blocks > 0 {
			m.indexed[d] = e
		} else {
			delete(m.indexed, d)
		}
	}
	delete(m.blocks, key)
}

func dotOf(key []byte) dvv.Dot {
	return dvv.Dot{Actor: dvv.Actor(binary.BigEndian.Uint64(key[1:])), Counter: binary.BigEndian.Uint64(key[9:])}
}

// apply follows a batch.
func (m *mirror) apply(b *kv.Batch) (err error) {
	b.Each(func(key, value []byte, deleted bool) {
		switch {
		case err != nil:
		case deleted:
			m.remove(key)
		default:
			err = m.put(key, value)
		}
	})
	return err
}

// inspect reads what a store that was just opened says of itself.
func (m *mirror) inspect(db kv.DB) error {
	snap, err := db.Snapshot()
	if err != nil {
		return err
	}
	defer snap.Release()
	m.inspected, err = replica.InspectRecords(snap)
	return err
}

// members is the set that the store knows; id is its own node.
func (m *mirror) members(id NodeID) Members {
	out := Members{Version: m.inspected.Version, IDs: []NodeID{id}}
	for _, p := range m.inspected.Members {
		out.IDs = append(out.IDs, p.ID)
	}
	slices.Sort(out.IDs)
	return out
}

func (m *mirror) note(e replica.Event) {
	switch e.Kind {
	case replica.EventJoinBegan:
		m.begun++
		m.donor = e.Peer
	case replica.EventJoinEnded:
		m.joins++
	case replica.EventQuarantined:
		m.conflicts++
	}
}
