package broker

import (
	"bytes"
	"fmt"
	"testing"

	"tombolo/internal/wire"
	"tombolo/mqtt/packet"
	"tombolo/mqtt/session"
)

// runKeeper keeps what is posted, and how often. Owned by the test's goroutine.
type runKeeper struct {
	frames map[wire.NodeID][][]byte
	posts  int
	room   int // frames that are taken of each run
}

func (k *runKeeper) keep(to wire.NodeID, run []byte) (dropped int) {
	k.posts++
	for taken := 0; len(run) > 0; taken++ {
		n := wire.FrameSize(run)
		if taken < k.room {
			k.frames[to] = append(k.frames[to], bytes.Clone(run[wire.HeaderBytes:n]))
		} else {
			dropped++
		}
		clear(run[:wire.HeaderBytes-4]) // as links do, in their way
		run = run[n:]
	}
	return dropped
}

// TestPlainHead: frames bear the generation that each message was matched under (R21),
// and its own mountpoint.
func TestPlainHead(t *testing.T) {
	var h plainHead
	for _, pub := range []publication{{mount: &mount{}, generation: 7}, {mount: &mount{}, generation: 8}, {mount: &mount{bytes: []byte("m")}, generation: 8}} {
		for range 2 {
			var p wire.Publish
			if err := wire.ParsePublish(append(wire.AppendBodyHead(bytes.Clone(h.of(&pub)), 4), "body"...), &p); err != nil {
				t.Fatal(err)
			}
			if p.Generation != pub.generation || string(p.Mountpoint) != string(pub.mount.bytes) || p.QoS() != 0 || p.Targets != wire.ToMatching {
				t.Errorf("%+v, of generation %d at %q", p, pub.generation, pub.mount.bytes)
			}
		}
	}
}

// TestRunsOfPublishes: what a read brings at QoS 0 goes to each node that wants it, whole
// and in its order, whatever it has beside topic and payload; handed to the link once, or
// more often if it is much; and what finds no room there is counted.
func TestRunsOfPublishes(t *testing.T) {
	n, c := countingRig(t)
	k := &runKeeper{room: 1 << 20}
	c.keep = k.keep
	pub := n.join(t, "pub")
	c.other = true
	n.b.MembersChanged([]wire.NodeID{1, 2, 3})
	n.b.TakeRoutes(2, &wire.Routes{List: []wire.Route{{Filter: "far/#", Members: 1}}})
	n.b.TakeRoutes(3, &wire.Routes{List: []wire.Route{{Filter: "far/x", Members: 1}, {Filter: "far/+", Group: "g", Members: 1, Online: 1}}})
	send := func(count, size int) {
		k.posts, k.frames = 0, map[wire.NodeID][][]byte{}
		var read []byte
		for i := range count {
			read = packet.AppendPublish(read, packet.V311, &packet.Publish{Topic: []byte([]string{"far/x", "far/y"}[i%2]), Retain: i%5 == 4,
				Payload: append(fmt.Appendf(nil, "%06d", i), make([]byte, size)...)})
		}
		pub.feed(t, read)
	}
	check := func(count int) {
		t.Helper()
		for id, frames := range k.frames {
			if len(frames) != count {
				t.Fatalf("node %d: %d messages, want %d", id, len(frames), count)
			}
			for i, f := range frames {
				var p wire.Publish
				var m packet.Publish
				if err := wire.ParsePublish(f, &p); err != nil {
					t.Fatal(err)
				}
				if err := session.DecodeBody(p.Body, &m); err != nil {
					t.Fatal(err)
				}
				groups := 0
				if id == 3 {
					groups = 1 // and no plain route for every second one
				}
				if string(m.Payload[:6]) != fmt.Sprintf("%06d", i) || p.Generation == 0 || len(p.Groups) != groups || (p.Targets == wire.ToGroups) != (id == 3 && i%2 == 1) ||
					(p.Flags&wire.PublishRetain != 0) != (i%5 == 4) {
					t.Fatalf("node %d, message %d: %+v, %q", id, i, p, m.Payload[:6])
				}
			}
		}
	}
	send(20, 10)
	if check(20); len(k.frames) != 2 || k.posts != 2 {
		t.Errorf("%d nodes, handed over %d times", len(k.frames), k.posts)
	}
	send(100, 2000)
	if check(100); k.posts < 2*100*2000/(runBytesMax+4096) || k.posts > 20 {
		t.Errorf("much of it: handed over %d times", k.posts)
	}
	send(3, 1<<20)
	check(3)
	before := n.b.count.dropped[dropLink].Value()
	k.room = 4
	send(10, 1)
	if got := n.b.count.dropped[dropLink].Value() - before; got != 12 {
		t.Errorf("%d counted as dropped, want 6 for each node", got)
	}
}
