package twin

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"

	"tombolo/dvv"
	"tombolo/internal/kv"
)

// The database:
//
//	o key                  object, stripped
//	i actor counter        'l' or 'd', key
//	c                      clock
//	m                      the rest: fixed fields, members, retired, nonces, horizon

// DotHash is what a live dot adds to the digest: key, dot and value.
func DotHash(key string, s dvv.Sibling) uint64 {
	h := fnv.New64a()
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], uint64(s.Dot.Actor))
	binary.BigEndian.PutUint64(b[8:], s.Dot.Counter)
	h.Write([]byte(key))
	h.Write(b[:])
	h.Write(s.Value)
	return h.Sum64()
}

func dotKey(d dvv.Dot) []byte {
	b := append(make([]byte, 0, 17), 'i')
	b = binary.BigEndian.AppendUint64(b, uint64(d.Actor))
	return binary.BigEndian.AppendUint64(b, d.Counter)
}

// commit writes what changed as one batch and keeps the database's error.
func (r *Replica) commit() error {
	if r.failed != nil {
		return r.failed
	}
	meta := r.meta()
	if len(r.dirtyKeys)+len(r.dirtyDots) == 0 && bytes.Equal(meta, r.written) && r.clock.Equal(r.writtenClock) {
		return nil
	}
	r.written, r.writtenClock = meta, r.clock
	var b kv.Batch
	for _, k := range sortedKeys(r.dirtyKeys) {
		if o := r.objects[k]; o.IsEmpty() {
			b.Delete([]byte("o" + k))
		} else {
			b.Put([]byte("o"+k), o.Append(nil))
		}
	}
	for d := range r.dirtyDots { // the order inside a batch shows nowhere
		if e, ok := r.index[d]; !ok {
			b.Delete(dotKey(d))
		} else if e.del {
			b.Put(dotKey(d), append([]byte{'d'}, e.key...))
		} else {
			b.Put(dotKey(d), append([]byte{'l'}, e.key...))
		}
	}
	clear(r.dirtyKeys)
	clear(r.dirtyDots)
	if r.bug(BugSplitBatch) && b.Len() > 0 {
		if r.failed = r.db.Write(&b, true); r.failed != nil {
			return r.failed
		}
		b.Reset()
	}
	if !r.bug(BugClockForgets) || r.cfg.Rand()%4 == 0 {
		b.Put([]byte("c"), r.clock.Append(nil))
	}
	b.Put([]byte("m"), meta)
	r.failed = r.db.Write(&b, true)
	return r.failed
}

func (r *Replica) meta() []byte {
	var b []byte
	flags := byte(0)
	if r.needFull {
		flags |= 1
	}
	if r.clean {
		flags |= 2
	}
	if r.phase == PhaseRemoved {
		flags |= 4
	}
	if r.members.Gone {
		flags |= 8
	}
	b = append(b, flags)
	for _, n := range []uint64{uint64(r.actor), r.digest, r.lease, r.nonce, r.members.Version, uint64(len(r.members.IDs)), uint64(len(r.retired))} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	for _, id := range r.members.IDs {
		b = binary.BigEndian.AppendUint64(b, uint64(id))
	}
	for _, a := range sortedKeys(r.retired) {
		b = binary.BigEndian.AppendUint64(b, uint64(a))
		seal := r.retired[a]
		n := uint64(2 * len(seal.Gaps))
		if seal.Done {
			n++
		}
		b = binary.BigEndian.AppendUint64(b, n)
		for _, g := range seal.Gaps {
			b = binary.BigEndian.AppendUint64(b, g.First)
			b = binary.BigEndian.AppendUint64(b, g.Last)
		}
	}
	known := 0
	for _, w := range r.rows {
		if w.nonce != 0 {
			known++
		}
	}
	b = binary.BigEndian.AppendUint64(b, uint64(known))
	for _, n := range sortedKeys(r.rows) {
		if w := r.rows[n]; w.nonce != 0 {
			b = binary.BigEndian.AppendUint64(b, uint64(n))
			b = binary.BigEndian.AppendUint64(b, w.nonce)
		}
	}
	return r.horizon.Append(b)
}

// load reads what an earlier life left.
func (r *Replica) load() (found bool, err error) {
	raw, err := r.db.Get([]byte("m"))
	if errors.Is(err, kv.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := r.readMeta(raw); err != nil {
		return false, err
	}
	clock, err := r.db.Get([]byte("c"))
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return false, err
	}
	if err == nil {
		if r.clock, _, err = dvv.DecodeClock(clock); err != nil {
			return false, err
		}
	}
	it := r.db.Iterator(kv.Range{})
	defer it.Close()
	for it.Next() {
		k, v := it.Key(), append([]byte(nil), it.Value()...)
		switch k[0] {
		case 'o':
			o, _, err := dvv.DecodeObject(v)
			if err != nil {
				return false, err
			}
			r.objects[string(k[1:])] = o
			if o.Context().Len() > 0 {
				r.residual[string(k[1:])] = true
			}
		case 'i':
			d := dvv.Dot{Actor: dvv.Actor(binary.BigEndian.Uint64(k[1:])), Counter: binary.BigEndian.Uint64(k[9:])}
			r.index[d] = indexEntry{key: string(v[1:]), del: v[0] == 'd'}
		}
	}
	return true, it.Err()
}

func (r *Replica) readMeta(b []byte) error {
	if len(b) < 57 {
		return fmt.Errorf("meta of %d bytes", len(b))
	}
	r.needFull, r.clean, r.members.Gone = b[0]&1 != 0, b[0]&2 != 0, b[0]&8 != 0
	if b[0]&4 != 0 {
		r.phase = PhaseRemoved
	}
	b = b[1:]
	next := func() uint64 {
		n := binary.BigEndian.Uint64(b)
		b = b[8:]
		return n
	}
	r.actor, r.digest, r.lease, r.nonce = dvv.Actor(next()), next(), next(), next()
	r.members.Version = next()
	ids, retired := next(), next()
	for range ids {
		r.members.IDs = append(r.members.IDs, Node(next()))
	}
	for range retired {
		a, n := dvv.Actor(next()), next()
		seal := Seal{Done: n%2 == 1}
		for range n / 2 {
			seal.Gaps = append(seal.Gaps, dvv.Run{First: next(), Last: next()})
		}
		r.retired[a] = seal
	}
	for range next() {
		n := Node(next())
		r.row(n).nonce = next()
	}
	var err error
	r.horizon, _, err = dvv.DecodeClock(b)
	return err
}
