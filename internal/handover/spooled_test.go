package handover

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tombolo/internal/kv"
	"tombolo/internal/link"
	"tombolo/internal/spool"
	"tombolo/internal/wire"
	"tombolo/metadata"
	"tombolo/mqtt/packet"
)

// Two members that the node of these tests has messages for.
const (
	peerB = wire.NodeID(0xb1)
	peerC = wire.NodeID(0xc1)
)

// table writes the tables of a stopped node.
func table(t *testing.T, dir string, fill func(s *metadata.Store, done func(error)) (writes int)) {
	t.Helper()
	db, _, err := kv.OpenLevel(filepath.Join(dir, metadataDir), kv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := metadata.Open(db, metadata.Config{Node: 0xa1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	stored := make(chan error, 100)
	for range fill(s, func(err error) { stored <- err }) {
		if err := <-stored; err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := errors.Join(<-ran, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// clients are sessions at members, and what each has subscribed to: b1 to b3 at peerB,
// of which b3 has ended and b2 was at peerC before, c1 and c2 at peerC.
func clients(s *metadata.Store, done func(error)) (writes int) {
	for id, home := range map[string]wire.NodeID{"b1": peerB, "b2": peerB, "b3": peerB, "c1": peerC, "c2": peerC} {
		k := metadata.ClientKey{ClientID: id}
		v := &metadata.Session{Home: uint64(home), Epoch: metadata.Epoch{HLC: 100, Node: uint64(home)}, Expiry: 3600}
		if id == "b3" {
			v.Ended = v.Epoch
		}
		s.PutSession(k, v, done)
		s.PutSubscription(k, "all/#", &metadata.Subscription{QoS: 1, Epoch: v.Epoch}, done)
		writes += 2
	}
	s.PutSubscription(metadata.ClientKey{ClientID: "b2"}, "all/+", &metadata.Subscription{QoS: 2, ID: 7, Epoch: metadata.Epoch{HLC: 100}}, done)
	s.PutSubscription(metadata.ClientKey{ClientID: "c1"}, "$share/g/work", &metadata.Subscription{QoS: 1, Epoch: metadata.Epoch{HLC: 100}}, done)
	return writes + 2
}

// publish is a message as it waits in a spool.
func publish(n, generation uint64, topic string, change func(p *wire.Publish)) link.Spooled {
	body := packet.AppendPublish(nil, packet.V5, &packet.Publish{Topic: []byte(topic), Payload: fmt.Append(nil, n)})
	p := wire.Publish{ID: wire.MessageID{Ingress: 3, N: n}, Generation: generation, Flags: 2, Body: body}
	if change != nil {
		change(&p)
	}
	return link.Spooled{Kind: wire.TypePublish, Body: wire.AppendPublish(nil, &p)}
}

func fence(generation uint64, id string, from, to wire.NodeID) link.Spooled {
	m := wire.Fence{Generation: generation, List: []wire.Fenced{{Client: wire.Client{ID: id}, From: from, To: to}}}
	return link.Spooled{Kind: wire.TypeFence, Body: wire.AppendFence(nil, &m)}
}

// waiting puts messages into the spool of a stopped node.
func waiting(t *testing.T, dir string, to wire.NodeID, list ...link.Spooled) {
	t.Helper()
	s, _, err := spool.Open(filepath.Join(dir, spoolDir), spool.Config{BytesMax: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Append(to, list), s.Close()); err != nil {
		t.Fatal(err)
	}
}

// payloads are what each queue gives, in order.
func (h *Holding) payloads(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	list, _, err := h.Queues()
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range list {
		g := &target{t: t, left: 100}
		if _, err := h.Pass(t.Context(), q, g.put); err != nil {
			t.Fatal(err)
		}
		for _, body := range g.got {
			f, _, err := packet.Split([]byte(body), 0)
			var p packet.Publish
			if err != nil || packet.DecodePublish(f, packet.V5, &p) != nil {
				continue // of nodeDir
			}
			out[q.ClientID] += string(p.Payload) + " "
		}
	}
	return out
}

// TestR11Sort: what waits in the spool of a removed node goes to the sessions that it
// is for: by the tables, by the fences among it, by name, and by group; once, though
// the process that puts it into the queues dies before it leaves the spool. What is
// for nobody stays until it is discarded.
func TestR11Sort(t *testing.T) {
	dir := nodeDir(t, 4)
	table(t, dir, clients)
	named := func(ids ...string) func(p *wire.Publish) {
		return func(p *wire.Publish) {
			p.Targets = wire.ToSessions
			for _, id := range ids {
				p.Sessions = append(p.Sessions, []byte(id))
			}
		}
	}
	grouped := func(p *wire.Publish) {
		p.Targets, p.Groups = wire.ToGroups, []wire.Group{{Name: []byte("g"), Filter: []byte("work")}}
	}
	waiting(t, dir, peerB,
		publish(1, 50, "all/x", nil), // b2 is not there yet
		fence(60, "b2", peerC, peerB),
		publish(2, 59, "all/x", nil), // matched before the fence
		publish(3, 60, "all/x", nil),
		publish(4, 60, "nobody/x", nil),
		publish(5, 60, "all/x", named("c2", "b3")))
	waiting(t, dir, peerC,
		publish(1, 50, "all/x", nil),
		fence(60, "b2", peerC, peerB),
		publish(6, 61, "all/x", nil),
		publish(7, 61, "work", grouped))

	before := t.TempDir()
	if err := os.CopyFS(filepath.Join(before, spoolDir), os.DirFS(filepath.Join(dir, spoolDir))); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time the spool is as if nothing had left it
		if err := errors.Join(os.RemoveAll(filepath.Join(dir, spoolDir)), os.CopyFS(filepath.Join(dir, spoolDir), os.DirFS(filepath.Join(before, spoolDir)))); err != nil {
			t.Fatal(err)
		}
		h := open(t, dir)
		list, nobody, err := h.Queues()
		spooled := 0
		for _, q := range list {
			spooled += q.Spooled
		}
		if err != nil || nobody != 1 || spooled != 11 {
			t.Errorf("%d in the spool, %d for nobody, %v", spooled, nobody, err)
		}
		if err := errors.Join(h.Sort(t.Context()), h.Close()); err != nil {
			t.Fatal(err)
		}
	}
	h := open(t, dir)
	want := map[string]string{"b1": "1 2 3 ", "b2": "1 3 ", "c1": "1 6 7 ", "c2": "1 5 6 "}
	if got := h.payloads(t); !maps.Equal(got, want) {
		t.Errorf("they get %v, want %v", got, want)
	}
	if list, nobody, err := h.Queues(); err != nil || nobody != 1 || len(list) > 0 {
		t.Errorf("left: %v, %d for nobody, %v", list, nobody, err)
	}
	if err := errors.Join(h.DiscardSpooled(), h.Close()); err != nil {
		t.Fatal(err)
	}
	h = open(t, dir)
	if _, nobody, err := h.Queues(); err != nil || nobody != 0 || len(h.spool.Nodes()) > 0 {
		t.Errorf("after it was discarded: %d for nobody, %v", nobody, err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestR11SortKeeps: a queue that the node had of a session keeps its messages before
// those from the spool, and what comes in several runs stays in order, however many
// there are.
func TestR11SortKeeps(t *testing.T) {
	dir := nodeDir(t, 1)
	table(t, dir, func(s *metadata.Store, done func(error)) int {
		k := metadata.ClientKey{ClientID: "q1"} // it has been at peerB since
		s.PutSession(k, &metadata.Session{Home: uint64(peerB), Epoch: metadata.Epoch{HLC: 100, Node: 1}, Expiry: 3600}, done)
		s.PutSubscription(k, "a", &metadata.Subscription{QoS: 2, Epoch: metadata.Epoch{HLC: 100}}, done)
		return 2
	})
	const runs, each = 3, 2 * sortCount
	for run := range runs {
		var list []link.Spooled
		for i := range each {
			list = append(list, publish(uint64(run*each+i), 50, "a", nil))
		}
		waiting(t, dir, peerB, list...)
		if err := os.WriteFile(filepath.Join(dir, incarnationFile), fmt.Appendln(nil, 1000+run), 0o600); err != nil {
			t.Fatal(err) // the node ran between, so that places begin again
		}
		h := open(t, dir)
		if err := errors.Join(h.Sort(t.Context()), h.Close()); err != nil {
			t.Fatal(err)
		}
	}
	h := open(t, dir)
	list, _, err := h.Queues()
	i := slices.IndexFunc(list, func(q Queue) bool { return q.ClientID == "q1" })
	if err != nil || i < 0 || list[i] != (Queue{"", "q1", 1 + runs*each, 0}) {
		t.Fatalf("%v, %v", list, err)
	}
	g := &target{t: t, left: 100}
	if out, err := h.Pass(t.Context(), list[i], g.put); err != nil || out.Passed != 1+runs*each || g.got[0] != "0" {
		t.Fatalf("%+v, %v; first %q", out, err, g.got[0])
	}
	for i, body := range g.got[1:] {
		f, _, _ := packet.Split([]byte(body), 0)
		var p packet.Publish
		if err := packet.DecodePublish(f, packet.V5, &p); err != nil || string(p.Payload) != fmt.Sprint(i) {
			t.Fatalf("message %d is %q, %v", i, p.Payload, err)
		}
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
}
