package sim

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"tombolo/dvv"
	"tombolo/internal/kv"
	"tombolo/metadata/replica"
)

// mirror is the store as its batches tell it, so that a look inside costs
// nothing. Owned by the replicaCore.
type mirror struct {
	fresh     bool
	objects   map[string]dvv.Object
	keys      map[string]*mirrorKey    // by table and key, also those that are gone
	last      *mirrorKey               // that was asked for; nil: none yet
	index     map[dvv.Dot]mirrorEntry  // deletes and tombstones that wait to be collected
	blocks    map[blockKey]mirrorBlock // of the index of live dots
	indexed   map[dvv.Dot]mirrorLive
	retired   map[dvv.Actor]bool
	lasting   map[string]dvv.VV
	horizon   dvv.Clock
	touched   []string    // keys whose objects changed since it was last asked, and
	dropped   []droppedAt // deletes that left the index
	begun     int
	donor     NodeID
	joins     int
	conflicts int
	ledger    ledger
	records   *records
	needs     map[string]bool // that the horizon covers
}

// mirrorKey is all that is known of one key: there are few of them, and they come again
// and again. Owned by the mirror.
type mirrorKey struct {
	name     string
	look     replica.Look // what its object adds to the sums
	residual bool
	spoken   bool // since the last verification
}

// key is what is known of a key.
func (m *mirror) key(key []byte) *mirrorKey {
	if m.last != nil && m.last.name == string(key) {
		return m.last // a batch says several things of one key
	}
	k := m.keys[string(key)]
	if k == nil {
		k = &mirrorKey{name: string(key)}
		m.keys[k.name] = k
	}
	m.last = k
	return k
}

// droppedAt is a delete that left the index of a key. Immutable.
type droppedAt struct {
	dot dvv.Dot
	key string
}

// Changes is what changed since it was last asked for.
func (t *replicaCore) Changes() (keys []string, dropped []droppedAt) {
	m := &t.mirror
	keys, m.touched = m.touched, m.touched[:0] // good up to the next batch
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

// blockKey is the key of a block of the index, which is as long as that.
type blockKey [25]byte

// mirrorBlock is the dots of a block of the index: mostly it is one. Immutable.
type mirrorBlock struct {
	first dvv.Dot
	rest  []dvv.Dot
}

// mirrorLive is the key that the index names for a dot, and in how many blocks.
type mirrorLive struct {
	key    *mirrorKey
	blocks int
}

func (m *mirror) load(db kv.DB) error {
	m.objects, m.index = map[string]dvv.Object{}, map[dvv.Dot]mirrorEntry{}
	m.keys, m.needs = map[string]*mirrorKey{}, map[string]bool{}
	m.retired, m.lasting = map[dvv.Actor]bool{}, map[string]dvv.VV{}
	m.blocks, m.indexed = map[blockKey]mirrorBlock{}, map[dvv.Dot]mirrorLive{}
	it := db.Iterator(kv.Range{})
	defer it.Close()
	m.fresh = true
	for it.Next() {
		m.fresh = false
		if err := m.put(it.Key(), it.Value()); err != nil {
			return err
		}
	}
	return it.Err()
}

// put follows one put; it keeps nothing of key and value.
func (m *mirror) put(key, value []byte) error {
	switch key[0] {
	case replica.AreaObject:
		k := m.key(key[1:])
		o, err := m.records.object(k.name, key[1:], value)
		if err != nil {
			return fmt.Errorf("object %q: %w", k.name, err)
		}
		m.ledger.object(k, o.look, m.objects[k.name])
		m.objects[k.name] = o.object
		m.touched = append(m.touched, k.name)
	case 'l':
		v, err := decodeReplicaLasting(value)
		if err != nil {
			return fmt.Errorf("lasting context of %q: %w", key[1:], err)
		}
		k := m.key(key[1:])
		m.lasting[k.name] = v
		m.ledger.speak(k)
	case 'i':
		return m.putBlock(key, value)
	case 'g':
		m.index[dotOf(key)] = mirrorEntry{key: m.key(value[1:]).name, del: value[0] == 'd'}
		m.ledger.dots = append(m.ledger.dots, dotOf(key))
	case 'r':
		k := m.key(key[1:])
		k.residual = true
		m.ledger.speak(k)
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
		if bytes.Equal(was, m.ledger.told.Trimmed) {
			m.ledger.told.Trimmed = was
			return nil
		}
		m.ledger.told.Trimmed = bytes.Clone(m.ledger.told.Trimmed)
		m.ledger.trimmed, err = replica.DecodeTrimmed(m.ledger.told.Trimmed)
	case 'r':
		if bytes.Equal(m.ledger.retired, value) {
			return nil
		}
		m.ledger.retired = append(m.ledger.retired[:0], value...)
		list, e := replica.DecodeRetired(value)
		for _, t := range list {
			m.retired[t.Actor] = true
		}
		err = e
	case 'p':
		e := replica.EachNeed(value, func(need []byte) {
			if !m.needs[string(need)] {
				err = errors.Join(err, m.need(need))
			}
		})
		err = errors.Join(err, e)
	}
	return err
}

// need has the horizon cover a vector that is told by its bytes: there are few of them,
// and they stand in every record of the members.
func (m *mirror) need(raw []byte) error {
	v, _, err := dvv.DecodeVV(raw)
	if err != nil {
		return err
	}
	m.needs[string(raw)] = true
	m.horizon = m.horizon.Join(v.Clock())
	return nil
}

// remove follows one delete.
func (m *mirror) remove(key []byte) {
	switch key[0] {
	case replica.AreaObject:
		k := m.key(key[1:])
		m.ledger.object(k, replica.Look{}, m.objects[k.name])
		delete(m.objects, k.name)
		m.touched = append(m.touched, k.name)
	case 'l':
		delete(m.lasting, string(key[1:]))
		m.ledger.speak(m.key(key[1:]))
	case 'i':
		m.dropBlock(key)
	case 'g':
		d := dotOf(key)
		if e := m.index[d]; e.del {
			m.dropped = append(m.dropped, droppedAt{d, e.key})
		}
		delete(m.index, d)
		m.ledger.dots = append(m.ledger.dots, d)
	case 'r':
		k := m.key(key[1:])
		k.residual = false
		m.ledger.speak(k)
	}
}

// putBlock follows that a block of the index comes, or another one in its place.
func (m *mirror) putBlock(key, value []byte) error {
	m.dropBlock(key)
	var block mirrorBlock
	err := replica.ReadBlock(key, value, func(d dvv.Dot, name []byte) {
		if block.first.Counter == 0 {
			block.first = d
		} else {
			block.rest = append(block.rest, d)
		}
		of := m.key(name)
		m.indexed[d] = mirrorLive{key: of, blocks: m.indexed[d].blocks + 1}
		m.ledger.speak(of)
	})
	if err == nil {
		m.blocks[blockKey(key)] = block
	}
	return err
}

// dropBlock follows that a block of the index goes.
func (m *mirror) dropBlock(key []byte) {
	if len(key) != len(blockKey{}) {
		return // none
	}
	block, there := m.blocks[blockKey(key)]
	if !there {
		return
	}
	m.unindex(block.first)
	for _, d := range block.rest {
		m.unindex(d)
	}
	delete(m.blocks, blockKey(key))
}

// unindex follows that a block with d goes.
func (m *mirror) unindex(d dvv.Dot) {
	e, there := m.indexed[d]
	if !there {
		return
	}
	m.ledger.speak(e.key)
	if e.blocks--; e.blocks > 0 {
		m.indexed[d] = e
	} else {
		delete(m.indexed, d)
	}
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
