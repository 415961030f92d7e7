package metadata

import (
	"bytes"
	"sync/atomic"
	"testing"
	"time"

	"tombolo/internal/kv"
)

// stuck is a database whose writes do not come back while it is shut.
type stuck struct {
	kv.DB
	shut    atomic.Bool
	entered chan struct{} // a write waits
	opened  chan struct{}
}

func (s *stuck) Write(b *kv.Batch, sync bool) error {
	if s.shut.Load() {
		select {
		case s.entered <- struct{}{}:
		default:
		}
		<-s.opened
	}
	return s.DB.Write(b, sync)
}

// readAll reads in every way that there is, and says what a reader of key sees.
func readAll(t *testing.T, s *Store, key string) (seen string) {
	t.Helper()
	read := make(chan string, 1)
	fail := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	go func() {
		v, _, err := s.Get(TableConfig, []byte(key))
		fail(err)
		fail(s.Range(TableConfig, nil, nil, func(_, _ []byte) bool { return true }))
		_, _, err = s.GetSession(ClientKey{ClientID: "c"})
		fail(err)
		fail(s.EachSession(func(ClientKey, *Session) bool { return true }))
		_, _, err = s.GetSubscription(ClientKey{ClientID: "c"}, "a/#")
		fail(err)
		_, _, err = s.GetRetained("", "a/b", 0)
		fail(err)
		fail(s.MatchRetained("", "#", 0, func(string, *Retained) bool { return true }))
		w := s.Watch(TableConfig, nil)
		_, _, err = w.Take()
		fail(err)
		w.Close()
		read <- string(v)
	}()
	select {
	case seen = <-read:
	case <-time.After(30 * time.Second):
		t.Fatal("a read waits")
	}
	return seen
}

// TestReadsWaitForNobody: local reads wait neither for the disk's next sync, nor for a
// peer, nor for a join that is owed (I35); a writer reads its own meanwhile.
func TestReadsWaitForNobody(t *testing.T) {
	db := &stuck{DB: kv.OpenMemory(), entered: make(chan struct{}, 1), opened: make(chan struct{})}
	n := newNetwork(2)
	a := n.start(t, 1, db, nil)
	a.SetMembers(1, []Member{{ID: 1}, {ID: 2}}) // the other one is silent
	a.PeerUp(2)
	done, after := wait(t)
	a.Put(TableConfig, []byte("key"), []byte("before"), done)
	after()
	db.shut.Store(true)
	answered := make(chan error, 1)
	a.Put(TableConfig, []byte("key"), []byte("written"), func(err error) { answered <- err })
	<-db.entered
	if got := readAll(t, a, "key"); got != "written" {
		t.Errorf("read %q while the disk stands still", got)
	}
	select {
	case err := <-answered:
		t.Errorf("acknowledged before it was durable: %v", err)
	default:
	}
	db.shut.Store(false)
	close(db.opened)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	joiner := n.start(t, 2, kv.OpenMemory(), func(c *Config) { c.Join = true })
	joiner.SetMembers(1, []Member{{ID: 1}, {ID: 2}, {ID: 3}})
	if got := readAll(t, joiner, "key"); got != "" {
		t.Errorf("read %q of nothing", got)
	}
}

// TestR33UnknownTable: a table of a later version is kept and replicated as it is.
func TestR33UnknownTable(t *testing.T) {
	c := newTrio(t, kv.OpenMemory(), kv.OpenMemory(), kv.OpenMemory())
	a, b := c.stores[1].Load(), c.stores[2].Load()
	const later Table = "a table of next year"
	value := []byte{0xc1, 0, 0xff}
	done, after := wait(t)
	a.Put(later, []byte("key"), value, done)
	after()
	eventually(t, "agreement", c.equal)
	got, ok, err := b.Get(later, []byte("key"))
	if err != nil || !ok || !bytes.Equal(got, value) {
		t.Errorf("got %x, %v, %v", got, ok, err)
	}
	if _, ok, err := b.Get(TableConfig, []byte("key")); ok || err != nil {
		t.Errorf("it shows in another table: %v, %v", ok, err)
	}
}
