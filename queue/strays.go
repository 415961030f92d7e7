package queue

import (
	"fmt"

	"tombolo/internal/kv"
)

// Stray notes what the node that a queue's session has left knows of a peer that may
// still send for it there (R11): EachStray has it after a restart. It goes by the
// queue's name, since the queue itself is dropped. The store does not look inside;
// nil forgets it. done may be nil.
func (s *Store) Stray(peer uint64, name string, v []byte, done Done) {
	s.note(len(v), done, func(g *group) {
		if v == nil {
			g.batch.Delete(strayKey(peer, name))
		} else {
			g.batch.Put(strayKey(peer, name), append([]byte{formatVersion}, v...))
		}
	})
}

// EachStray calls fn for all that Stray has noted and that is on the disk, by peer
// and name. One that cannot be read is reported and left out. v is valid during the
// call.
func (s *Store) EachStray(fn func(peer uint64, name string, v []byte)) error {
	it := s.db.Iterator(kv.PrefixRange([]byte{tableStray}))
	defer it.Close()
	for it.Next() {
		k := it.Key()
		r := reader{rest: it.Value()}
		r.version()
		if r.bad = r.bad || len(k) < strayHead; r.bad {
			s.c.Fault(fmt.Errorf("who may still send for a session that has left: %w", r.failed("stray")))
			continue
		}
		fn(number(k, 0), string(k[strayHead:]), r.rest)
	}
	return it.Err()
}

// strayHead is the length of a stray's key up to the name.
const strayHead = 9

func strayKey(peer uint64, name string) []byte {
	var k key
	return append(k.one(tableStray, peer), name...)
}
