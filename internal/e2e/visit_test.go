package e2e

import (
	"io"
	"net"
	"slices"
	"sync"
	"testing"
)

// letter is a message as a client library hands it over. A value.
type letter struct {
	topic, payload string
	qos            byte
	retain         bool
}

// visitor is somebody else's client library. An implementation belongs to one
// test; what it receives goes to the channel it was made with.
type visitor interface {
	// connect opens a connection, or opens it again.
	connect(clean bool, will *letter) (present bool, err error)
	subscribe(filter string, qos byte) error
	// publish returns when the broker has acknowledged at the letter's QoS.
	publish(l letter) error
	disconnect()
	// tells reports whether its version says in CONNACK if a session was there.
	tells() bool
}

// invite makes a visitor that reaches the broker at address.
type invite func(tb testing.TB, address, id string, got chan<- letter) visitor

// inboxMax is more than any visit sends, so that no library blocks on us.
const inboxMax = 64

// serve does with a library what people do with brokers.
func serve(t *testing.T, address string, make invite) {
	t.Run("publish and subscribe", func(t *testing.T) { serveMessages(t, address, make) })
	t.Run("retained", func(t *testing.T) { serveRetained(t, address, make) })
	t.Run("will", func(t *testing.T) { serveWill(t, address, make) })
	t.Run("resume", func(t *testing.T) { serveResumed(t, address, make) })
}

// guest is a visitor that fails the test for us. Owned by its test.
type guest struct {
	visitor
	tb    testing.TB
	inbox chan letter
}

func (make invite) guest(tb testing.TB, address, id string) *guest {
	tb.Helper()
	g := &guest{tb: tb, inbox: newInbox()}
	g.visitor = make(tb, address, id, g.inbox)
	return g
}

func newInbox() chan letter { return make(chan letter, inboxMax) }

func (g *guest) arrive(clean bool, will *letter) bool {
	g.tb.Helper()
	present, err := g.connect(clean, will)
	if err != nil {
		g.tb.Fatalf("connecting: %v", err)
	}
	return present
}

func (g *guest) listen(filter string, qos byte) {
	g.tb.Helper()
	if err := g.subscribe(filter, qos); err != nil {
		g.tb.Fatalf("subscribing to %s: %v", filter, err)
	}
}

func (g *guest) send(letters ...letter) {
	g.tb.Helper()
	for _, l := range letters {
		if err := g.publish(l); err != nil {
			g.tb.Fatalf("publishing %v: %v", l, err)
		}
	}
}

// gets wants exactly these letters, in this order for each QoS: libraries hand
// over QoS 2 messages at PUBREL, which may be after a later one of QoS 1.
func (g *guest) gets(want ...letter) {
	g.tb.Helper()
	var got, ordered [3][]letter
	for _, w := range want {
		l := receive(g.tb, "a message, the last of which is "+want[len(want)-1].topic, g.inbox)
		got[l.qos] = append(got[l.qos], l)
		ordered[w.qos] = append(ordered[w.qos], w)
	}
	for qos := range got {
		if !slices.Equal(got[qos], ordered[qos]) {
			g.tb.Fatalf("received at QoS %d %+v, want %+v", qos, got[qos], ordered[qos])
		}
	}
	select {
	case more := <-g.inbox:
		g.tb.Fatalf("received %+v beyond what was sent", more)
	default:
	}
}

func serveMessages(t *testing.T, address string, make invite) {
	in, out := make.guest(t, address, "visit-in"), make.guest(t, address, "visit-out")
	in.arrive(true, nil)
	defer in.disconnect()
	out.arrive(true, nil)
	defer out.disconnect()
	in.listen("visit/+/é", 2)
	want := []letter{
		{"visit/0/é", "none", 0, false}, {"visit/1/é", "once at least", 1, false},
		{"visit/2/é", "once exactly ☃", 2, false}, {"visit/3/é", "", 1, false},
	}
	out.send(want...)
	in.gets(want...)
}

func serveRetained(t *testing.T, address string, make invite) {
	out := make.guest(t, address, "retain-out")
	out.arrive(true, nil)
	defer out.disconnect()
	kept := letter{"kept/a", "still here", 1, true}
	out.send(kept)
	in := make.guest(t, address, "retain-in")
	in.arrive(true, nil)
	defer in.disconnect()
	in.listen("kept/#", 1)
	in.gets(kept)
	out.send(letter{"kept/a", "", 1, true})
	in.gets(letter{"kept/a", "", 1, false}) // to who is subscribed already it is a message like any other
	late := make.guest(t, address, "retain-late")
	late.arrive(true, nil)
	defer late.disconnect()
	late.listen("kept/#", 1)
	out.send(letter{"kept/end", "nothing was retained", 1, false})
	late.gets(letter{"kept/end", "nothing was retained", 1, false})
}

func serveWill(t *testing.T, address string, make invite) {
	in := make.guest(t, address, "will-in")
	in.arrive(true, nil)
	defer in.disconnect()
	in.listen("last/words", 2)
	line := newRelay(t, address)
	gone := make.guest(t, line.address, "will-out")
	will := letter{"last/words", "gone", 2, false}
	gone.arrive(true, &will)
	line.cut()
	in.gets(will)
	polite := make.guest(t, address, "will-polite")
	polite.arrive(true, &letter{"last/words", "must not be seen", 1, false})
	polite.disconnect()
	marker := make.guest(t, address, "will-marker")
	marker.arrive(true, nil)
	defer marker.disconnect()
	end := letter{"last/words", "end", 1, false}
	marker.send(end)
	in.gets(end)
}

func serveResumed(t *testing.T, address string, make invite) {
	in := make.guest(t, address, "resume-in")
	in.arrive(true, nil) // whatever an earlier run left is gone
	in.disconnect()
	if in.arrive(false, nil) {
		t.Error("a session is present though none was kept")
	}
	in.listen("resume/#", 2)
	in.disconnect()
	out := make.guest(t, address, "resume-out")
	out.arrive(true, nil)
	defer out.disconnect()
	want := []letter{{"resume/1", "one", 1, false}, {"resume/2", "two", 2, false}, {"resume/3", "three", 1, false}, {"resume/4", "four", 2, false}}
	out.send(want...)
	if present := in.arrive(false, nil); !present && in.tells() {
		t.Error("the session was not there")
	}
	in.gets(want...)
	in.disconnect()
}

// relay is a wire that can be cut: it passes bytes between a client and the
// broker. Owned by its test; mu guards the connections.
type relay struct {
	address string
	ln      net.Listener
	mu      struct {
		sync.Mutex
		open []net.Conn
		dead bool
	}
}

func newRelay(tb testing.TB, target string) *relay {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	r := &relay{address: ln.Addr().String(), ln: ln}
	go func() {
		for {
			a, err := ln.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", target)
			if err != nil || !r.add(a, b) {
				a.Close()
				continue
			}
			go func() { _, _ = io.Copy(a, b); a.Close() }()
			go func() { _, _ = io.Copy(b, a); b.Close() }()
		}
	}()
	tb.Cleanup(r.cut)
	return r
}

func (r *relay) add(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.open = append(r.mu.open, conns...)
	if r.mu.dead {
		for _, c := range conns {
			c.Close()
		}
	}
	return !r.mu.dead
}

// cut ends every connection without a word and takes no more.
func (r *relay) cut() {
	r.ln.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.dead = true
	for _, c := range r.mu.open {
		c.Close()
	}
}
