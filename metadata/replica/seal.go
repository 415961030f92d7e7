package replica

import "tombolo/internal/kv"

// BatchBytes is how large the next Ready's batch has become.
func (r *Replica) BatchBytes() int {
	if r.out.Batch == nil {
		return 0
	}
	return r.out.Batch.Bytes()
}

func (r *Replica) batchLen() int {
	if r.out.Batch == nil {
		return 0
	}
	return r.out.Batch.Len()
}

// sealBatch adds the store's own records that changed to the batch.
func (r *Replica) sealBatch() {
	b := r.batch()
	r.sealIndex(b)
	r.hlcLease = r.hlc.lease()
	clock := r.clockBytes()
	r.scratch = r.state.append(r.scratch[:0], clock, r.known.trimmed.of(r.trimmed))
	b.Put(metaState, r.scratch)
	if r.dirty.identity {
		b.Put(metaIdentity, r.identity.append(r.scratch[:0]))
	}
	if r.dirty.peers {
		r.scratch = appendPeers(r.scratch[:0], r.version, r.peers)
		b.Put(metaPeers, r.scratch)
	}
	if r.dirty.retired {
		b.Put(metaRetired, r.retiredBytes())
	}
	if r.dirty.join {
		if r.join == nil {
			b.Delete(metaJoin)
		} else {
			b.Put(metaJoin, r.join.append(r.scratch[:0]))
		}
	}
}

// spareMax bounds the batch that is kept for the next one, and listMax the lists.
const (
	spareMax = 64 << 10
	listMax  = 1 << 10
)

// giveBack keeps what the next Ready can be made of.
func (r *Replica) giveBack(f *inflight) {
	if b := f.ready.Batch; b.Bytes() <= spareMax {
		r.spare.ready.Batch = b
	}
	r.spare.names = emptied(r.spare.names, f.names)
	r.spare.ready.Changed = emptied(r.spare.ready.Changed, f.ready.Changed)
	r.spare.ready.Messages = emptied(r.spare.ready.Messages, f.ready.Messages)
	r.spare.ready.Events = emptied(r.spare.ready.Events, f.ready.Events)
}

// emptied is list without what stands in it, or spare, whichever has more room.
func emptied[T any](spare, list []T) []T {
	if cap(list) <= cap(spare) || cap(list) > listMax {
		return spare
	}
	clear(list)
	return list[:0]
}

// takeLists begins the lists of the next Ready.
func (r *Replica) takeLists() {
	s := &r.spare
	r.names = s.names
	r.out = Ready{Changed: s.ready.Changed, Messages: s.ready.Messages, Events: s.ready.Events}
	s.names, s.ready.Changed, s.ready.Messages, s.ready.Events = nil, nil, nil, nil
}

func (r *Replica) batch() *kv.Batch {
	switch {
	case r.out.Batch != nil:
	case r.spare.ready.Batch != nil:
		r.out.Batch, r.spare.ready.Batch = r.spare.ready.Batch, nil
		r.out.Batch.Reset()
	default:
		r.out.Batch = &kv.Batch{}
	}
	return r.out.Batch
}
