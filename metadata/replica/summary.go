package replica

import (
	"hash/maphash"

	"github.com/cespare/xxhash/v2"

	"tombolo/dvv"
	"tombolo/internal/kv"
)

// summary is all that a write needs to know of the one value that it overwrites:
// that it is one, and what it adds to the digest. Zero: there is something, and it has
// to be read.
type summary uint64

// summaryKey is 128 bits of hash, half of them under a seed that nobody outside
// knows: that two keys share one is not to be expected, by chance or by design.
type summaryKey [2]uint64

// summaries remembers what was written lately, so that writing a key again does
// not read it: about 50 bytes a key, for at most max keys. It is what store last
// did to them, so that it is never wrong; what is not in it is read. Owned by the
// Replica. At the bound the older half is forgotten.
type summaries struct {
	max          int
	complete     bool         // the database was empty and nothing is forgotten: what is not here does not exist
	seed         maphash.Seed // decides no outcome, only which keys share a bucket
	fresh, older map[summaryKey]summary
}

func newSummaries(max int) summaries {
	return summaries{max: max, seed: maphash.MakeSeed(), fresh: map[summaryKey]summary{}}
}

func (s *summaries) hash(key []byte) summaryKey {
	return summaryKey{xxhash.Sum64(key), maphash.Bytes(s.seed, key)}
}

// absent says whether the key of h is known not to be there.
func (s *summaries) absent(h summaryKey) bool {
	_, ok := s.fresh[h]
	return s.complete && !ok
}

func (s *summaries) get(h summaryKey) (v summary, ok bool) {
	v, ok = s.lookup(h)
	return v, ok && v != 0
}

func (s *summaries) lookup(h summaryKey) (summary, bool) {
	if v, ok := s.fresh[h]; ok {
		return v, true
	}
	v, ok := s.older[h]
	return v, ok
}

func (s *summaries) set(h summaryKey, v summary) {
	if len(s.fresh) >= s.max/2 {
		s.fresh, s.older, s.complete = map[summaryKey]summary{}, s.fresh, false
	}
	s.fresh[h] = v
	delete(s.older, h)
}

func (s *summaries) drop(h summaryKey) {
	delete(s.fresh, h)
	delete(s.older, h)
}

// note takes in that key holds next, whose digest is sum.
func (s *summaries) note(key []byte, next dvv.Object, sum uint64) {
	h := s.hash(key)
	siblings := next.Siblings()
	if len(siblings) == 1 && next.Context().Len() == 0 && !isTomb(siblings[0].Value) {
		s.set(h, summary(sum))
	} else if next.IsEmpty() {
		s.drop(h)
	} else {
		s.set(h, 0)
	}
}

// Knows says whether a write of key needs no read.
func (r *Replica) Knows(key []byte) bool {
	h := r.summaries.hash(key)
	_, ok := r.summaries.get(h)
	return ok || r.summaries.absent(h)
}

// replace is store where the old object is one live value of which only the
// summary is known.
func (r *Replica) replace(key []byte, old summary, next dvv.Object, raw []byte) {
	b, name := r.batch(), key[1:]
	sum, live := tally(r.config.Policy, name, next)
	r.digest ^= uint64(old) ^ sum
	r.live += live - 1
	r.reindex(b, name, dvv.Object{}, next)
	r.put(b, key, next, sum, raw)
}

// put writes next, whose record is raw if that is made already, under key, or takes the
// key away if there is nothing to write.
func (r *Replica) put(b *kv.Batch, key []byte, next dvv.Object, sum uint64, raw []byte) {
	p := pending{object: next, seq: r.seq + 1}
	if next.IsEmpty() {
		b.Delete(key)
		r.ranging.note(key[1:])
	} else {
		if p.raw = raw; raw == nil {
			p.raw = appendObject(make([]byte, 0, 16+sizeOf(next)), next)
		}
		b.Put(key, p.raw)
		r.known.keepObject(key[1:], p.raw, next)
	}
	r.summaries.note(key, next, sum)
	name := string(key)
	r.objects[name] = p
	r.names = append(r.names, name)
	r.out.Changed = append(r.out.Changed, key)
	r.dirty.state = true
}
