package metadata

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"tombolo/internal/kv"
	"tombolo/metadata/replica"
)

// loop carries frames between stores of one process. Its fields are atomic.
type loop struct {
	from   uint64
	stores *[4]atomic.Pointer[Store]
	bytes  *atomic.Int64
	cut    *atomic.Bool
}

func (l loop) Send(to uint64, frame []byte) {
	if s := l.stores[to].Load(); s != nil && !l.cut.Load() {
		l.bytes.Add(int64(len(frame)))
		s.Deliver(l.from, frame)
	}
}

// trio is up to three running stores that are linked. Immutable once built.
type trio struct {
	stores [4]atomic.Pointer[Store]
	bytes  atomic.Int64
	cut    atomic.Bool
}

func (c *trio) config(id uint64) Config {
	return Config{
		Node: id, Transport: loop{id, &c.stores, &c.bytes, &c.cut},
		Replica: replica.Config{ExchangeEvery: 50 * time.Millisecond, CollectEvery: 100 * time.Millisecond},
	}
}

func newTrio(t *testing.T, dbs ...kv.DB) *trio {
	c := &trio{}
	var members []Member
	for i := range dbs {
		members = append(members, Member{ID: uint64(i + 1)})
	}
	for i, db := range dbs {
		c.stores[i+1].Store(open(t, db, c.config(uint64(i+1))))
	}
	for i := range dbs {
		c.stores[i+1].Load().SetMembers(1, members)
	}
	c.link(true)
	return c
}

// link raises or drops all links.
func (c *trio) link(up bool) {
	c.cut.Store(!up)
	for i := range c.stores {
		for j := range c.stores {
			if s := c.stores[i].Load(); s != nil && i != j && c.stores[j].Load() != nil {
				if up {
					s.PeerUp(uint64(j))
				} else {
					s.PeerDown(uint64(j))
				}
			}
		}
	}
}

// eventually polls cond until it holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	within(t, time.Minute, what, cond)
}

func within(t *testing.T, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for !cond() {
		select {
		case <-poll.C:
		case <-deadline.C:
			t.Fatalf("%s: not within %v", what, limit)
		}
	}
}

// equal says whether all stores have seen and hold the same.
func (c *trio) equal() bool {
	first := c.stores[1].Load().Status()
	for i := range c.stores {
		if s := c.stores[i].Load(); s != nil {
			st := s.Status()
			if st.Phase != replica.Serving || st.Digest != first.Digest || !st.Clock.Equal(first.Clock) {
				return false
			}
		}
	}
	return true
}

// TestThreeStores: writes on all sides of a cut converge, with the rules of the
// tables: add wins, a register's delete is a write, floors rise.
func TestThreeStores(t *testing.T) {
	c := newTrio(t, kv.OpenMemory(), kv.OpenMemory(), kv.OpenMemory())
	a, b := c.stores[1].Load(), c.stores[2].Load()
	k := ClientKey{ClientID: "c"}
	put := func(write func(done func(error))) {
		t.Helper()
		done, after := wait(t)
		write(done)
		after()
	}
	old, now := Epoch{HLC: 1, Node: 1}, Epoch{HLC: 2, Node: 2}
	put(func(d func(error)) { a.PutSession(k, &Session{Home: 1, Epoch: old}, d) })
	put(func(d func(error)) { a.PutSubscription(k, "a", &Subscription{QoS: 1, Epoch: old}, d) })
	put(func(d func(error)) { a.PutRetained("", "t", &Retained{Payload: []byte("1")}, d) })
	eventually(t, "first agreement", c.equal)

	c.link(false)
	put(func(d func(error)) { a.PutSubscription(k, "b", &Subscription{QoS: 1, Epoch: old}, d) })
	put(func(d func(error)) { a.PutSession(k, &Session{Home: 1, Epoch: old, Connects: 7}, d) })
	put(func(d func(error)) { a.DeleteSubscription(k, "a", d) })
	put(func(d func(error)) { b.PutSubscription(k, "a", &Subscription{QoS: 2, Epoch: now}, d) })
	put(func(d func(error)) { b.PutSession(k, &Session{Home: 2, Epoch: now, Floor: now}, d) })
	put(func(d func(error)) { b.DeleteRetained("", "t", d) })
	c.link(true)
	eventually(t, "agreement after the cut", c.equal)

	for i := 1; i <= 3; i++ {
		s := c.stores[i].Load()
		v, ok, err := s.GetSession(k)
		if err != nil || !ok || v.Home != 2 || v.Floor != now {
			t.Errorf("session at %d: %+v, %v, %v", i, v, ok, err)
		}
		var filters []string
		err = s.ClientSubscriptions(k, func(f string, v *Subscription) bool {
			filters = append(filters, fmt.Sprint(f, v.QoS))
			return true
		})
		if err != nil || fmt.Sprint(filters) != "[a2]" {
			t.Errorf("subscriptions at %d: %v, %v: add wins, and below the floor is dead", i, filters, err)
		}
		if _, ok, err := s.GetRetained("", "t", 0); ok || err != nil {
			t.Errorf("retained at %d: %v, %v", i, ok, err)
		}
	}
	eventually(t, "collection", func() bool {
		for i := 1; i <= 3; i++ {
			in, err := c.stores[i].Load().Inspect()
			if err != nil {
				t.Fatal(err)
			}
			if in.Garbage != 0 || in.Residual != 0 {
				return false
			}
		}
		return true
	})
	for i := 1; i <= 3; i++ {
		if faults, err := c.stores[i].Load().Verify(); err != nil || len(faults) > 0 {
			t.Errorf("store %d: %v, %v", i, faults, err)
		}
	}
}

// TestSessionRules: a lower epoch is refused, floor, end and the
// will that was published never go back (R18, R29).
func TestSessionRules(t *testing.T) {
	s := open(t, kv.OpenMemory(), Config{})
	k := ClientKey{ClientID: "c"}
	e := func(n uint64) Epoch { return Epoch{HLC: n, Node: 1} }
	write := func(v *Session) error {
		ch := make(chan error, 1)
		s.PutSession(k, v, func(err error) { ch <- err })
		return <-ch
	}
	if err := write(&Session{Epoch: e(5), Floor: e(4), Ended: e(3), WillFired: e(2)}); err != nil {
		t.Fatal(err)
	}
	if err := write(&Session{Epoch: e(4)}); err != ErrEpoch {
		t.Fatalf("a lower epoch: %v", err)
	}
	if err := write(&Session{Epoch: e(6), Home: 9}); err != nil {
		t.Fatal(err)
	}
	v, ok, err := s.GetSession(k)
	if err != nil || !ok || v.Home != 9 || v.Floor != e(4) || v.Ended != e(3) || v.WillFired != e(2) {
		t.Fatalf("got %+v, %v, %v", v, ok, err)
	}
}

// TestWatchTellsOfRefusedWrites: a write shows from when it is taken. If it is
// refused, because a peer's change of a higher epoch has come meanwhile, that
// change shows from then on, and a watch tells so: who looked before has seen the
// write in its place.
func TestWatchTellsOfRefusedWrites(t *testing.T) {
	s := open(t, kv.OpenMemory(), Config{})
	w := s.Watch(TableSession, nil)
	k := ClientKey{ClientID: "c"}
	put := func(hlc uint64) error {
		ch := make(chan error, 1)
		s.PutSession(k, &Session{Epoch: Epoch{HLC: hlc}}, func(err error) { ch <- err })
		return <-ch
	}
	told := func() uint64 {
		t.Helper()
		late := time.After(10 * time.Second)
		for {
			select {
			case <-w.Ready():
			case <-late:
				t.Fatal("the watch tells nothing")
			}
			events, _, err := w.Take()
			if err != nil {
				t.Fatal(err)
			}
			if len(events) == 1 {
				v, err := DecodeSession(events[0].Value)
				if err != nil {
					t.Fatal(err)
				}
				return v.Epoch.HLC
			}
		}
	}
	if err := put(5); err != nil || told() != 5 {
		t.Fatal("the first write", err)
	}
	if err := put(4); err != ErrEpoch {
		t.Fatalf("a lower epoch: %v", err)
	}
	if got := told(); got != 5 {
		t.Errorf("after a refusal epoch %d shows, want 5", got)
	}
}

// TestWatch: changes of any node are told once, by key; a watch that falls
// behind says so.
func TestWatch(t *testing.T) {
	c := newTrio(t, kv.OpenMemory(), kv.OpenMemory())
	a, b := c.stores[1].Load(), c.stores[2].Load()
	eventually(t, "agreement", c.equal)
	w := b.Watch(TableConfig, []byte("x"))
	defer w.Close()
	for i := range 10 {
		a.Put(TableConfig, []byte("x1"), fmt.Append(nil, i), nil)
	}
	a.Put(TableConfig, []byte("y"), []byte("other prefix"), nil)
	done, after := wait(t)
	a.Put(TableConfig, []byte("x2"), []byte("2"), done)
	after()
	got := map[string]string{}
	eventually(t, "events", func() bool {
		events, resync, err := w.Take()
		if resync || err != nil {
			t.Fatalf("resync %v, %v", resync, err)
		}
		for _, e := range events {
			got[string(e.Key)] = string(e.Value)
		}
		return got["x1"] == "9" && got["x2"] == "2"
	})
	if len(got) != 2 {
		t.Errorf("events: %v", got)
	}
	for i := range watchKeysMax + 10 {
		a.Put(TableConfig, fmt.Appendf(nil, "x%05d", i), []byte("v"), nil)
	}
	eventually(t, "falling behind", func() bool { return b.counters.watchResyncs.Value() > 0 })
	if _, resync, err := w.Take(); !resync || err != nil {
		t.Errorf("a watch that fell behind: resync %v, %v", resync, err)
	}
}

// TestLargeValue: a value that no frame holds goes out in parts.
func TestLargeValue(t *testing.T) {
	c := newTrio(t, kv.OpenMemory(), kv.OpenMemory())
	a, b := c.stores[1].Load(), c.stores[2].Load()
	eventually(t, "agreement", c.equal)
	big := make([]byte, 1<<20)
	for i := range big {
		big[i] = byte(i * 7)
	}
	done, after := wait(t)
	a.PutRetained("", "big", &Retained{Payload: big}, done)
	after()
	eventually(t, "the value", func() bool {
		v, ok, err := b.GetRetained("", "big", 0)
		return err == nil && ok && string(v.Payload) == string(big)
	})
	ch := make(chan error, 1)
	a.Put(TableConfig, []byte("k"), make([]byte, valueBytesMax+1), func(err error) { ch <- err })
	if err := <-ch; err != ErrTooLarge {
		t.Errorf("a value above the bound: %v", err)
	}
}

// TestRestart: what was acknowledged is there after Close and Open, and the
// actor of a lone store is kept.
func TestRestart(t *testing.T) {
	db := kv.OpenMemory()
	run := func(fn func(s *Store)) {
		s, err := Open(db, Config{Node: 1})
		if err != nil {
			t.Fatal(err)
		}
		ran := make(chan error, 1)
		go func() { ran <- s.Run(context.Background()) }()
		<-s.Running()
		fn(s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-ran; err != nil {
			t.Fatal(err)
		}
	}
	var stamp uint64
	run(func(s *Store) {
		for i := range 100 {
			s.Put(TableConfig, fmt.Append(nil, i), []byte("v"), nil)
		}
		stamp = s.Stamp()
	})
	run(func(s *Store) {
		n := 0
		s.Range(TableConfig, nil, nil, func(_, _ []byte) bool { n++; return true })
		if n != 100 || s.Status().Live != 100 || s.Stamp() <= stamp {
			t.Errorf("%d keys, %+v", n, s.Status())
		}
		if got := s.Clock().Actors(); len(got) != 1 {
			t.Errorf("minted on a clean restart of a lone store: %v", got)
		}
	})
}
