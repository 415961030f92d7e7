package metadata

import (
	"context"
	"fmt"
	"testing"
	"time"

	"tombolo/internal/clock"
	"tombolo/internal/kv"
	"tombolo/metadata/replica"
)

// raw counts the keys of a table on disk, dead ones included.
func raw(t *testing.T, s *Store, table Table) (n int) {
	t.Helper()
	if err := s.Range(table, nil, nil, func(_, _ []byte) bool { n++; return true }); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestSweep: what is below the floor, ended or expired goes; what was written
// again since, or belongs to another home, stays (R18, R31).
func TestSweep(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	s := open(t, kv.OpenMemory(), Config{Clock: clock.NewManual(now)})
	e := func(n uint64) Epoch { return Epoch{HLC: n, Node: 1} }
	k, ended, foreign := ClientKey{ClientID: "a"}, ClientKey{ClientID: "b"}, ClientKey{ClientID: "c"}
	s.PutSession(k, &Session{Home: 1, Epoch: e(5), Floor: e(5)}, nil)
	s.PutSubscription(k, "old", &Subscription{Epoch: e(4)}, nil)
	s.PutSubscription(k, "new", &Subscription{Epoch: e(5)}, nil)
	s.PutSession(ended, &Session{Home: 1, Epoch: e(3), Ended: e(3)}, nil)
	s.PutSubscription(ended, "x", &Subscription{Epoch: e(3)}, nil)
	s.PutSession(foreign, &Session{Home: 2, Epoch: e(5), Floor: e(5)}, nil)
	s.PutSubscription(foreign, "old", &Subscription{Epoch: e(4)}, nil)
	s.PutRetained("", "expired", &Retained{ExpiresAt: 999_999}, nil)
	done, after := wait(t)
	s.PutRetained("", "kept", &Retained{ExpiresAt: 1_000_001}, done)
	after()
	if err := s.Sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(raw(t, s, TableSession), raw(t, s, TableSubscription), raw(t, s, TableRetained))
	if got != "2 2 1" {
		t.Errorf("sessions, subscriptions, retained left: %s, want 2 2 1", got)
	}
	if _, ok, err := s.GetSubscription(k, "new"); !ok || err != nil {
		t.Errorf("the live subscription: %v, %v", ok, err)
	}
}

// TestDeleteRetainedIfExpired: an expired message goes; one that has not expired,
// and one that was set again and is not yet durable, stay.
func TestDeleteRetainedIfExpired(t *testing.T) {
	s := open(t, kv.OpenMemory(), Config{})
	done, after := wait(t)
	s.PutRetained("", "expired", &Retained{ExpiresAt: 10}, nil)
	s.PutRetained("", "again", &Retained{ExpiresAt: 10}, nil)
	s.PutRetained("", "kept", &Retained{ExpiresAt: 30}, done)
	after()
	s.DeleteRetainedIfExpired("", "expired", 20, nil)
	s.DeleteRetainedIfExpired("", "kept", 20, nil)
	s.DeleteRetainedIfExpired("", "none", 20, nil)
	s.PutRetained("", "again", &Retained{ExpiresAt: 30}, nil)
	s.DeleteRetainedIfExpired("", "again", 20, nil)
	done, after = wait(t)
	s.Put(TableConfig, []byte("last"), nil, done) // commits behind all of them
	after()
	var left []string
	if err := s.EachRetained(func(_, topic string, _ *Retained) bool { left = append(left, topic); return true }); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(left); got != "[again kept]" {
		t.Errorf("left: %s", got)
	}
}

// TestAudit: a record that changes behind the store's back is found, the sums are
// put right, and the value comes back from the peer.
func TestAudit(t *testing.T) {
	db := kv.OpenMemory()
	c := newTrio(t, db, kv.OpenMemory())
	a := c.stores[1].Load()
	done, after := wait(t)
	a.Put(TableConfig, []byte("k"), []byte("v"), done)
	after()
	eventually(t, "agreement", c.equal)
	if err := a.Audit(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := a.counters.events[replica.EventDamaged.String()].Value(); n != 0 {
		t.Fatalf("%d alarms about a sound store", n)
	}
	var b kv.Batch
	b.Delete(append([]byte{areaObject, codeConfig}, 'k'))
	if err := db.Write(&b, true); err != nil {
		t.Fatal(err)
	}
	if err := a.Audit(context.Background()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "alarm and join", func() bool {
		return a.counters.events[replica.EventDamaged.String()].Value() > 0 &&
			a.counters.events[replica.EventJoinEnded.String()].Value() > 0 && c.equal()
	})
	for i := 1; i <= 2; i++ {
		s := c.stores[i].Load()
		if v, ok, err := s.Get(TableConfig, []byte("k")); !ok || string(v) != "v" || err != nil {
			t.Errorf("store %d lost the value: %q, %v, %v", i, v, ok, err)
		}
		if faults, err := s.Verify(); err != nil || len(faults) > 0 {
			t.Errorf("store %d: %v, %v", i, faults, err)
		}
	}
}
