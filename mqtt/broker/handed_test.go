package broker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"tombolo/internal/wire"
	"tombolo/mqtt/packet"
	"tombolo/queue"
)

// parts are the frames in which a node's queue of a session leaves its data
// directory, a message each.
func (n *rigNode) parts(t *testing.T, id string) (list []*wire.Migration) {
	t.Helper()
	k := Key{ClientID: id}
	rec, err := n.b.storedSession(k)
	if err != nil {
		t.Fatal(err)
	}
	qid, _, err := n.queue.Open(queueName(k), false)
	if err != nil {
		t.Fatal(err)
	}
	for at := (queue.Place{Generation: 1}); ; {
		got := make(chan *queue.Batch, 1)
		n.queue.Export(qid, at, 1, 1<<20, func(b *queue.Batch, err error) {
			if err != nil {
				t.Error(err)
			}
			got <- b
		})
		b := <-got
		if b == nil || len(b.Records) == 0 && b.Next == at {
			return list
		}
		m := &wire.Migration{Client: wire.Client{ID: id}, Epoch: wire.Epoch{HLC: rec.Epoch.HLC, Node: wire.NodeID(rec.Epoch.Node)}}
		b.Frame(m)
		list, at = append(list, m), b.Next
	}
}

// TestR23HandedOver: what a removed member still holds is handed over by an
// operator, to whatever member: the home of each session has it before what came
// later, marked DUP, and once, though every part is brought twice, to two members,
// and the home is started again between. What the client has discarded by a clean
// start, or with its session, is refused by name.
func TestR23HandedOver(t *testing.T) {
	m := rig(t, 3)
	a, b, c := m.nodes[0], m.nodes[1], m.nodes[2]
	const sessions = 12
	m.offline(t, a, sessions)
	pub := b.dial(t, "pub")
	for i := range 3 {
		pub.send("all/x", fmt.Sprint(i), 1)
	}
	eventually(t, "the backlog is at the old home", func() bool { return a.b.Remaining().Messages == 3*sessions })
	m.dies(a)
	m.absent(a, true)
	m.adopted(t, sessions)
	pub.send("all/x", "later", 1)
	c.dial(t, "s0").Disconnect(packet.Success)
	c.dial(t, "s1", lasting, func(c *packet.Connect) { c.CleanStart = true }).Disconnect(packet.Success)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for range 2 {
		for i := range sessions {
			for _, at := range []*rigNode{b, c} {
				for _, part := range a.parts(t, fmt.Sprint("s", i)) {
					if err := at.b.HandOver(ctx, part); i > 1 && err != nil || i <= 1 && !errors.Is(err, ErrSessionGone) {
						t.Fatalf("s%d at n%d: %v", i, at.id, err)
					}
				}
			}
		}
		b.restart(t)
		m.absent(a, true)
	}
	pub = b.dial(t, "pub")
	for i := 2; i < sessions; i++ {
		s := m.nodes[1+i%2].dial(t, fmt.Sprint("s", i), lasting)
		for j := range 3 {
			if p := <-s.Messages(); p == nil || string(p.Payload) != fmt.Sprint(j) || !p.Dup {
				t.Fatalf("s%d: came %v, want message %d with DUP", i, p, j)
			}
		}
		s.expect("later")
		s.expectNothing(pub)
	}
}

// TestPresentAtOnce: a client that has CONNACK for a new session finds it at every
// other node from then on, though nobody has subscribed and there is no will.
func TestPresentAtOnce(t *testing.T) {
	m := rig(t, 2)
	a, b := m.nodes[0], m.nodes[1]
	a.silent.Store(true)
	in := make(chan struct{})
	go func() {
		defer close(in)
		a.dial(t, "s", lasting)
	}()
	select {
	case <-in:
		t.Error("CONNACK came before the other node could know of the session")
	case <-time.After(200 * time.Millisecond):
	}
	a.silent.Store(false)
	<-in
	if s := b.dial(t, "s", lasting); !s.Connack().SessionPresent {
		t.Error("the session is not there at the other node")
	}
}
