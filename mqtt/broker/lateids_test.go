package broker

import (
	"testing"
	"time"

	"tombolo/internal/wire"
	"tombolo/mqtt/packet"
)

// lateIDs is a publisher whose home dies when a QoS 2 message of it has reached a
// subscriber, under packet id 1, and that goes on at another node. Owned by one test.
type lateIDs struct {
	t       *testing.T
	m       *mesh
	a, b, c *rigNode // a is the publisher's first home, b the second; far is at c
	far     *person
	pub     *wireman
}

// newLateIDs has the message arrive, with PUBREC or without.
func newLateIDs(t *testing.T, answers bool) *lateIDs {
	t.Helper()
	m := rig(t, 3)
	f := &lateIDs{t: t, m: m, a: m.nodes[0], b: m.nodes[1], c: m.nodes[2]}
	f.far = f.c.dial(t, "far", lasting)
	f.far.subscribe(2, "t")
	f.pub, _ = f.a.wired(t, "pub")
	if !answers {
		f.a.cluster.calm.Store(true)
		way := f.a.cluster.hopTo(f.c.id)
		way.unanswered()
		defer way.change(func() { way.verdict = nil })
	}
	f.publish("one", false)
	if answers {
		f.pub.wait(packet.TypePubrec)
	}
	f.far.expect("one")
	return f
}

// died is newLateIDs whose first home is killed then.
func died(t *testing.T, answers bool) *lateIDs {
	t.Helper()
	f := newLateIDs(t, answers)
	f.m.dies(f.a)
	f.a.crash(t)
	return f
}

// sent has the message come again over a new connection, and be known.
func (f *lateIDs) sent(to *rigNode) {
	f.t.Helper()
	f.pub, _ = to.wired(f.t, "pub")
	f.publish("one", true)
	f.pub.wait(packet.TypePubrec)
	f.completes()
}

// publish sends a message under packet id 1.
func (f *lateIDs) publish(payload string, again bool) {
	f.t.Helper()
	p := packet.Publish{Topic: []byte("t"), Payload: []byte(payload), QoS: 2, ID: 1, Dup: again}
	f.pub.send(packet.AppendPublish(nil, packet.V311, &p))
}

// completes ends the exchange of packet id 1.
func (f *lateIDs) completes() {
	f.t.Helper()
	f.pub.send(packet.AppendAck(nil, packet.V311, &packet.Ack{Type: packet.TypePubrel, ID: 1}))
	f.pub.wait(packet.TypePubcomp)
}

// reaches wants a new message under packet id 1 to be delivered, next and once.
func (f *lateIDs) reaches(payload string) {
	f.t.Helper()
	f.publish(payload, false)
	f.pub.wait(packet.TypePubrec)
	f.far.expect(payload)
	f.completes()
}

// TestR21LatePacketIDs: what a publisher's dead home knew of its QoS 2 packet ids comes
// when the publisher has used them for other messages at another node. Those are not
// taken for the old ones.
func TestR21LatePacketIDs(t *testing.T) {
	t.Run("acknowledged", func(t *testing.T) {
		t.Parallel()
		f := died(t, true)
		f.pub, _ = f.b.wired(t, "pub")
		f.completes()
		f.m.returns(f.a)
		f.a.awaitNothing(t, "pub")
		f.reaches("two")
	})
	t.Run("begun", func(t *testing.T) {
		t.Parallel()
		f := died(t, false)
		f.pub, _ = f.b.wired(t, "pub")
		f.publish("one", true)
		f.pub.wait(packet.TypePubrec)
		f.far.expect("one") // nobody who can be reached knows that it is the same one
		f.completes()
		f.m.returns(f.a)
		f.a.awaitNothing(t, "pub")
		f.reaches("two")
	})
	t.Run("the second home is started again", func(t *testing.T) {
		t.Parallel()
		f := died(t, true)
		f.pub, _ = f.b.wired(t, "pub")
		f.completes()
		f.reaches("two")
		f.b.restart(t)
		f.m.returns(f.a)
		f.a.awaitNothing(t, "pub")
		f.pub, _ = f.b.wired(t, "pub")
		f.reaches("three")
	})
	t.Run("the first home is slow", func(t *testing.T) {
		t.Parallel()
		f := newLateIDs(t, true)
		holdUp(f.a, f.b, wire.StreamMigration, true)
		f.pub, _ = f.b.wired(t, "pub")
		f.completes() // when it has been waited for long enough
		holdUp(f.a, f.b, wire.StreamMigration, false)
		f.a.awaitNothing(t, "pub")
		f.reaches("two")
	})
	t.Run("the first home again", func(t *testing.T) {
		t.Parallel()
		for _, alive := range []bool{true, false} {
			f := died(t, true)
			f.pub, _ = f.b.wired(t, "pub")
			f.completes()
			holdUp(f.a, f.b, wire.StreamMigration, true)
			f.m.returns(f.a)
			eventually(t, "the first home knows of the second", func() bool { return f.a.homeOf("pub") == f.b.id })
			if !alive {
				f.m.dies(f.b)
			}
			f.pub, _ = f.a.wired(t, "pub")
			f.reaches("two")
		}
	})
}

// TestR21PacketIDsOfAdopted: what the dead home of a session knew comes when the session
// has another home and no client: it was let in nowhere, and what it sends again is
// known.
func TestR21PacketIDsOfAdopted(t *testing.T) {
	f := died(t, false)
	f.m.absent(f.a, false)
	eventually(t, "it is adopted", func() bool { return f.b.homeOf("pub") == f.c.id || f.c.homeOf("pub") == f.b.id })
	f.m.returns(f.a)
	f.a.awaitNothing(t, "pub")
	f.sent(f.b)
	f.reaches("two")
}

// TestR21PacketIDsThereAndBack: a publisher comes back before what its home knows of
// packet ids is at the node between. What it sends again is known.
func TestR21PacketIDsThereAndBack(t *testing.T) {
	f := newLateIDs(t, false)
	f.a.restart(t)
	holdUp(f.a, f.b, wire.StreamMigration, true)
	f.b.wired(t, "pub")
	back, began := make(chan struct{}), time.Now()
	go func() { defer close(back); f.sent(f.a) }()
	eventually(t, "it is back", func() bool {
		c := f.b.b.registry.get(Key{ClientID: "pub"})
		return c == nil || !c.connected()
	})
	holdUp(f.a, f.b, wire.StreamMigration, false)
	<-back
	if took := time.Since(began); took > ownMax {
		t.Skipf("the machine stood still: it took %v, and no more than %v is waited", took, ownMax)
	}
	f.reaches("two")
}

// TestR21PacketIDsEndElsewhere: a message that had begun is sent again, and ends, at
// another node. When its publisher is back before its first home has let it go, the
// next message under the packet id is another one.
func TestR21PacketIDsEndElsewhere(t *testing.T) {
	f := newLateIDs(t, false)
	f.a.restart(t)
	holdUp(f.c, f.a, wire.StreamPublish, true) // the first home does not let it go
	f.sent(f.b)
	f.pub, _ = f.a.wired(t, "pub")
	f.reaches("two")
}
