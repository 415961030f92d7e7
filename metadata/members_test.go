package metadata

import (
	"errors"
	"testing"

	"tombolo/internal/kv"
	"tombolo/internal/pack"
)

// memberRecord is the head of what internal/member writes.
func memberRecord(version, nonce uint64) []byte {
	b := pack.AppendUint(pack.AppendArray(nil, 6), 1)
	b = pack.AppendUint(pack.AppendUint(b, version), nonce)
	b = pack.AppendBool(pack.AppendUint(b, 1), false)
	return pack.AppendArray(b, 0)
}

func putMembers(s *Store, version, nonce uint64) error {
	done := make(chan error, 1)
	s.Put(TableMembers, []byte("cluster"), memberRecord(version, nonce), func(err error) { done <- err })
	return <-done
}

// TestHigherMemberSetWins is R24 in the table: whoever wrote last, the higher
// version is read everywhere, and a lower one is not written over it.
func TestHigherMemberSetWins(t *testing.T) {
	c := newTrio(t, kv.OpenMemory(), kv.OpenMemory())
	a, b := c.stores[1].Load(), c.stores[2].Load()
	c.link(false)
	for _, put := range []struct {
		s              *Store
		version, nonce uint64
	}{{a, 6, 1}, {b, 4, 9}, {b, 5, 9}} {
		if err := putMembers(put.s, put.version, put.nonce); err != nil {
			t.Fatalf("version %d: %v", put.version, err)
		}
	}
	c.link(true)
	for _, s := range []*Store{a, b} {
		eventually(t, "the same member set", func() bool {
			v, ok, err := s.Get(TableMembers, []byte("cluster"))
			version, _ := memberRank(v)
			return err == nil && ok && version == 6
		})
	}
	if err := putMembers(b, 5, 9); !errors.Is(err, ErrMembers) {
		t.Errorf("version 5 over version 6: %v, want %v", err, ErrMembers)
	}
	if err := putMembers(b, 6, 0); !errors.Is(err, ErrMembers) {
		t.Errorf("version 6 with a lower nonce: %v, want %v", err, ErrMembers)
	}
	if err := putMembers(b, 7, 0); err != nil {
		t.Errorf("version 7: %v", err)
	}
}
